use std::{fmt::Display, str::FromStr};

use ffapi_domain::{Tenant, UploadId};
use ffapi_nats::{Idempotency, LogError, Reservation, Reserved};

use crate::metrics;

/// An idempotency key: the client's text, the route that it is scoped to, and a fingerprint of the
/// request.
#[derive(Debug)]
pub(crate) struct Key {
    route: &'static str,
    text: String,
    fingerprint: String,
}

/// Why an idempotency key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdempotencyError {
    /// The header is empty or too long.
    #[error("an Idempotency-Key is 1 to 255 characters")]
    Malformed,
    /// An earlier request with the same key had another body.
    #[error("this key was used with another body; use a new key for a new request")]
    UsedBefore,
    /// The id in the reservation cannot be parsed.
    #[error("a reservation cannot be read")]
    Unreadable,
    /// The reservation could not be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Key {
    /// Parses the `Idempotency-Key` header; none if absent.
    pub(crate) fn of(
        route: &'static str,
        header: Option<String>,
        fingerprint: String,
    ) -> Result<Option<Self>, IdempotencyError> {
        let Some(header) = header else { return Ok(None) };
        // The IETF draft requires a quoted string, but many clients send it without quotes.
        let text = header.trim().trim_matches('"').to_owned();
        if text.is_empty() || text.len() > 255 {
            return Err(IdempotencyError::Malformed);
        }
        Ok(Some(Self { route, text, fingerprint }))
    }

    /// The same key with a fingerprint, once that is known.
    pub(crate) fn with_fingerprint(&self, fingerprint: String) -> Self {
        Self { route: self.route, text: self.text.clone(), fingerprint }
    }

    /// The key that the requests which complete an upload share, so that only bytes of one fingerprint
    /// become it.
    pub(crate) fn of_upload(id: UploadId, fingerprint: String) -> Self {
        Self { route: "/uploads/:id", text: id.to_string(), fingerprint }
    }

    /// The id that an earlier request reserved the key for, if any. Looked up before anything is
    /// checked, so that a client which missed the response gets it, whatever quota was used up or
    /// resource deleted since.
    pub(crate) async fn earlier<I: FromStr>(
        &self,
        reservations: &Idempotency,
        tenant: &Tenant,
    ) -> Result<Option<I>, IdempotencyError> {
        let found = reservations.find(tenant.as_str(), self.route, &self.text).await?;
        if found.is_some() {
            metrics::replayed();
        }
        found.map(|found| self.resource(found)).transpose()
    }

    /// Reserves the key for a new resource; returns the id that it stands for: this one, or that of
    /// an earlier request.
    pub(crate) async fn reserve<I: Display + FromStr + Sync>(
        &self,
        reservations: &Idempotency,
        tenant: &Tenant,
        id: &I,
    ) -> Result<I, IdempotencyError> {
        let fingerprint = self.fingerprint.clone();
        let own = Reservation { resource: id.to_string(), fingerprint };
        match reservations.reserve(tenant.as_str(), self.route, &self.text, &own).await? {
            Reserved::Now => self.resource(own),
            Reserved::Before(earlier) => {
                metrics::replayed();
                self.resource(earlier)
            }
        }
    }

    /// The id of a reservation, if it was made with the same fingerprint.
    fn resource<I: FromStr>(&self, reservation: Reservation) -> Result<I, IdempotencyError> {
        if reservation.fingerprint != self.fingerprint {
            return Err(IdempotencyError::UsedBefore);
        }
        reservation.resource.parse().map_err(|_| IdempotencyError::Unreadable)
    }
}
