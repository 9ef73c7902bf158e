use std::{fmt::Display, str::FromStr};

use ffapi_nats::{Reservation, Reserved};

use crate::{
    auth::Principal,
    metrics,
    problem::{Kind, Problem},
    state::Gateway,
};

/// An idempotency key: the client's text, the route that it is scoped to, and a fingerprint of the
/// request.
#[derive(Debug)]
pub(crate) struct Key {
    route: &'static str,
    text: String,
    fingerprint: String,
}

impl Key {
    /// Parses the `Idempotency-Key` header; none if absent.
    pub(crate) fn of(
        route: &'static str,
        header: Option<String>,
        fingerprint: String,
    ) -> Result<Option<Self>, Problem> {
        let Some(header) = header else { return Ok(None) };
        // The IETF draft requires a quoted string, but many clients send it without quotes.
        let text = header.trim().trim_matches('"').to_owned();
        if text.is_empty() || text.len() > 255 {
            let detail = "an Idempotency-Key is 1 to 255 characters";
            return Err(Problem::header(Kind::Malformed, "Idempotency-Key", detail));
        }
        Ok(Some(Self { route, text, fingerprint }))
    }

    /// The same key with a fingerprint, once that is known.
    pub(crate) fn with_fingerprint(self, fingerprint: String) -> Self {
        Self { fingerprint, ..self }
    }

    /// The id that an earlier request reserved the key for, if any. Looked up before anything is
    /// checked, so that a client which missed the response gets it, whatever quota was used up or
    /// resource deleted since.
    pub(crate) async fn earlier<I: FromStr>(
        &self,
        gateway: &Gateway,
        principal: &Principal,
    ) -> Result<Option<I>, Problem> {
        let tenant = principal.tenant.as_str();
        let found = gateway.idempotency.find(tenant, self.route, &self.text).await?;
        if found.is_some() {
            metrics::replayed();
        }
        found.map(|found| self.resource(found)).transpose()
    }

    /// Reserves the key for a new resource; returns the id that it stands for: this one, or that of
    /// an earlier request.
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
            Reserved::Now => self.resource(own),
            Reserved::Before(earlier) => {
                metrics::replayed();
                self.resource(earlier)
            }
        }
    }

    /// The id of a reservation, if it was made with the same fingerprint.
    fn resource<I: FromStr>(&self, reservation: Reservation) -> Result<I, Problem> {
        if reservation.fingerprint != self.fingerprint {
            let detail = "this key was used with another body; use a new key for a new request";
            return Err(Problem::header(Kind::Invalid, "Idempotency-Key", detail));
        }
        let unreadable = |_| Problem::new(Kind::Internal, "a reservation cannot be read");
        reservation.resource.parse().map_err(unreadable)
    }
}
