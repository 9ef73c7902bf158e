//! Public events of a job, of a batch or of a whole account, as pages of JSON or as server-sent
//! events that can be resumed.

mod batch;
pub(crate) mod event_view;
mod follow;
mod tenant;

use std::{io, task::Poll, time::Duration};

use bytes::Bytes;
use ffapi_nats::Position;
use futures::{Stream, StreamExt, stream};
use poem::{Body, Response, http::StatusCode, web::sse::Event};
use tokio::time::{Instant, interval_at};

pub(crate) use self::{
    batch::BatchEvents,
    event_view::{EventView, Logged, progress_event, translate},
    follow::{EventSelector, Follow, PAGE},
    tenant::Events,
};
use crate::{
    auth::{Principal, while_authorized},
    metrics::EventStream,
    problem::{Kind, Problem},
    reply::Raw,
    state::Gateway,
};

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// An empty comment, sent as heartbeat.
const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

/// The position in a `Last-Event-ID` header: the last event that a client has seen.
pub(crate) fn last_event_id(text: Option<&str>) -> Result<Option<Position>, Problem> {
    let malformed = |detail| Problem::header(Kind::Malformed, "Last-Event-ID", detail);
    read_position(text, malformed)
}

/// Parses a position, if a client sends one.
fn read_position(
    text: Option<&str>,
    malformed: impl Fn(String) -> Problem,
) -> Result<Option<Position>, Problem> {
    text.map(|text| text.parse::<Position>().map_err(|error| malformed(error.to_string())))
        .transpose()
}

/// The events of one stream. It is polled by the client's own connection, so that a waiting stream,
/// of which there may be thousands, needs neither a task nor a queue.
pub(crate) trait Source: Send {
    /// The next event; none at the end.
    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send;
}

/// A response that streams events until the principal loses access.
pub(crate) fn stream(
    gateway: &Gateway,
    principal: &Principal,
    source: impl Source + 'static,
) -> Raw {
    let events = stream::unfold(Box::new(source), |mut source| async {
        source.next().await.map(|event| (event, source))
    });
    let events = while_authorized(&gateway.credentials, principal, events);
    let response = Response::builder()
        .content_type("text/event-stream")
        .header("cache-control", "no-store")
        .header("x-accel-buffering", "no");
    Raw(response.body(Body::from_bytes_stream(chunks(events))))
}

/// Events in their text form, and heartbeats while there are none. Used as the body directly,
/// because the framework's own event stream keeps a buffer of 4 KiB for each waiting client.
fn chunks(
    events: impl Stream<Item = Event> + Send,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let mut events = Box::pin(events);
    let start = Instant::now().checked_add(HEARTBEAT_INTERVAL).unwrap_or_else(Instant::now);
    let mut heartbeat = interval_at(start, HEARTBEAT_INTERVAL);
    let counted = EventStream::begin();
    stream::poll_fn(move |context| {
        let _counted = &counted;
        match events.poll_next_unpin(context) {
            Poll::Ready(event) => {
                Poll::Ready(event.map(|event| Ok(Bytes::from(event.to_string()))))
            }
            Poll::Pending => heartbeat.poll_tick(context).map(|_| Some(Ok(HEARTBEAT))),
        }
    })
}

/// The response for a client that has received the last event: 204, which ends its reconnections.
pub(crate) fn ended() -> Raw {
    Raw(Response::builder().status(StatusCode::NO_CONTENT).finish())
}

/// A page of events.
pub(crate) struct EventPage {
    pub(crate) events: Vec<EventView>,
    /// The position after which the next page begins; none if nothing was read.
    pub(crate) next: Option<Position>,
    pub(crate) has_more: bool,
}

/// The response with a page of events.
pub(crate) fn page(page: &EventPage) -> Raw {
    let data: Vec<_> = page.events.iter().map(|shown| &shown.body).collect();
    let next = page.next.map(|position| position.to_string());
    let body = serde_json::json!({ "data": data, "has_more": page.has_more, "next_cursor": next });
    Raw(Response::builder().content_type("application/json").body(body.to_string()))
}

/// True if the client accepts JSON, so that it gets a page instead of a stream.
pub(crate) fn wants_json(accept: Option<&str>) -> bool {
    accept.is_some_and(|accept| accept.contains("application/json"))
}
