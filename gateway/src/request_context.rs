//! Who sent a request, and under which id it is served.

use ffapi_commands::Caller;
use ffapi_domain::Personal;
use ffapi_nats::{Actor, trace};
use poem::Request;
use uuid::Uuid;

use crate::auth::Principal;

/// The id of the request being served.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// The caller of the commands that a request gives, with a new correlation id.
pub(crate) fn caller(principal: &Principal, request: &Request) -> Caller {
    Caller {
        actor: Actor::Key(principal.key.to_string()),
        correlation_id: Uuid::now_v7(),
        causation: request.data::<RequestId>().map(|id| format!("request {}", id.0)),
        traceparent: trace::current().map(|context| context.to_string()),
        address: principal.address.map(|address| Personal::Clear(address.to_string())),
    }
}
