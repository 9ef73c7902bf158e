use std::{fmt::Display, str::FromStr};

use nats::{Reservation, Reserved};

use crate::{
    auth::Principal,
    problem::{Kind, Problem},
    state::Gateway,
};

/// Reserves a client's key for what it is to make; answers the id that stands for it: this one, or
/// that of the request that came before.
pub(crate) async fn reserve<I: Display + FromStr + Sync>(
    gateway: &Gateway,
    principal: &Principal,
    (route, key): (&str, &str),
    id: &I,
    fingerprint: String,
) -> Result<I, Problem> {
    // The draft wants a quoted string; many clients send it bare.
    let key = key.trim().trim_matches('"');
    if key.is_empty() || key.len() > 255 {
        let detail = "an Idempotency-Key is 1 to 255 characters";
        return Err(Problem::field(Kind::Malformed, "#Idempotency-Key", detail));
    }
    let reservation = Reservation { resource: id.to_string(), fingerprint };
    let tenant = principal.tenant.as_str();
    let resource = match gateway.idempotency.reserve(tenant, route, key, &reservation).await? {
        Reserved::Now => reservation.resource,
        Reserved::Before(before) if before.fingerprint == reservation.fingerprint => {
            before.resource
        }
        Reserved::Before(_) => {
            let detail = "this key was used with another body; use a new key for a new request";
            return Err(Problem::field(Kind::Invalid, "#Idempotency-Key", detail));
        }
    };
    let unreadable = || Problem::new(Kind::Internal, "a reservation cannot be read");
    resource.parse().map_err(|_| unreadable())
}
