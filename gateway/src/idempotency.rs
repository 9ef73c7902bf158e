use std::{fmt::Display, str::FromStr};

use ffapi_nats::{Reservation, Reserved};

use crate::{
    auth::Principal,
    problem::{Kind, Problem},
    state::Gateway,
};

/// What makes a request safe to send again: the client's key, where it holds, and what was sent
/// with it.
#[derive(Debug)]
pub(crate) struct Key {
    route: &'static str,
    text: String,
    fingerprint: String,
}

impl Key {
    /// Of a request that has one.
    pub(crate) fn of(
        route: &'static str,
        header: Option<String>,
        fingerprint: String,
    ) -> Result<Option<Self>, Problem> {
        let Some(header) = header else { return Ok(None) };
        // The draft wants a quoted string; many clients send it bare.
        let text = header.trim().trim_matches('"').to_owned();
        if text.is_empty() || text.len() > 255 {
            let detail = "an Idempotency-Key is 1 to 255 characters";
            return Err(Problem::field(Kind::Malformed, "#Idempotency-Key", detail));
        }
        Ok(Some(Self { route, text, fingerprint }))
    }

    /// The same key, with what was sent once that is known.
    pub(crate) fn sent_with(self, fingerprint: String) -> Self {
        Self { fingerprint, ..self }
    }

    /// What the key stands for since an earlier request. Asked before anything is checked: a client
    /// that missed the answer gets it, whatever was used up or deleted since.
    pub(crate) async fn before<I: FromStr>(
        &self,
        gateway: &Gateway,
        principal: &Principal,
    ) -> Result<Option<I>, Problem> {
        let tenant = principal.tenant.as_str();
        let found = gateway.idempotency.find(tenant, self.route, &self.text).await?;
        found.map(|found| self.same(found)).transpose()
    }

    /// Reserves the key for what it is to make; answers the id that stands for it: this one, or
    /// that of the request that came before.
    pub(crate) async fn reserve<I: Display + FromStr + Sync>(
        &self,
        gateway: &Gateway,
        principal: &Principal,
        id: &I,
    ) -> Result<I, Problem> {
        let fingerprint = self.fingerprint.clone();
        let own = Reservation { resource: id.to_string(), fingerprint };
        let tenant = principal.tenant.as_str();
        match gateway.idempotency.reserve(tenant, self.route, &self.text, &own).await? {
            Reserved::Now => self.same(own),
            Reserved::Before(before) => self.same(before),
        }
    }

    fn same<I: FromStr>(&self, before: Reservation) -> Result<I, Problem> {
        if before.fingerprint != self.fingerprint {
            let detail = "this key was used with another body; use a new key for a new request";
            return Err(Problem::field(Kind::Invalid, "#Idempotency-Key", detail));
        }
        let unreadable = |_| Problem::new(Kind::Internal, "a reservation cannot be read");
        before.resource.parse().map_err(unreadable)
    }
}
