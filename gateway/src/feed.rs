//! What happened, as users see it: of a job, of a batch, of everything a tenant has. As pages of JSON,
//! or as server-sent events that resume where they were.

mod batch;
mod follow;
mod shown;
mod tenant;

use std::time::Duration;

use futures::{StreamExt, stream};
use nats::Position;
use poem::{
    IntoResponse, Response,
    http::HeaderValue,
    web::sse::{Event, SSE},
};

pub(crate) use self::{
    batch::BatchEvents,
    shown::{Shown, translate},
    tenant::Events,
};
use crate::{
    auth::{Principal, while_admitted},
    problem::{Kind, Problem},
    reply::Raw,
    state::Gateway,
};

const HEARTBEAT: Duration = Duration::from_secs(15);

/// The position that a reader has seen, if it says one.
pub(crate) fn seen(text: Option<&str>, field: &str) -> Result<Option<Position>, Problem> {
    let seen = text.map(|text| {
        text.parse::<Position>()
            .map_err(|error| Problem::field(Kind::Malformed, field, error.to_string()))
    });
    seen.transpose()
}

/// What one reader is sent, one event after the other. It is asked by the reader's own connection: who
/// only waits, of whom there may be thousands, has no task and no queue.
pub(crate) trait Source: Send {
    /// The next one; none once there is no more to say.
    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send;
}

/// Answers with what is to be sent, for as long as whoever asked may see it.
pub(crate) fn stream(
    gateway: &Gateway,
    principal: &Principal,
    source: impl Source + 'static,
) -> Raw {
    let events = stream::unfold(Box::new(source), |mut source| async {
        source.next().await.map(|event| (event, source))
    });
    let events = while_admitted(&gateway.directory, principal, events);
    let mut response = SSE::new(events.boxed()).keep_alive(HEARTBEAT).into_response();
    let headers = response.headers_mut();
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Raw(response)
}

/// A page of events.
pub(crate) fn page(events: &[Shown], has_more: bool) -> Raw {
    let data: Vec<_> = events.iter().map(|shown| &shown.body).collect();
    let next = events.last().map(|last| last.position.to_string());
    let body = serde_json::json!({ "data": data, "has_more": has_more, "next_cursor": next });
    Raw(Response::builder().content_type("application/json").body(body.to_string()))
}

/// True if whoever asks wants JSON and no stream.
pub(crate) fn wants_json(accept: Option<&str>) -> bool {
    accept.is_some_and(|accept| accept.contains("application/json"))
}
