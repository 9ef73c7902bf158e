//! What happened, as users see it: of a job, of a batch, of everything a tenant has. As pages of JSON,
//! or as server-sent events that resume where they were.

mod batch;
mod event_view;
mod follow;
mod tenant;

use std::{io, task::Poll, time::Duration};

use bytes::Bytes;
use ffapi_nats::Position;
use futures::{Stream, StreamExt, stream};
use poem::{Body, Response, web::sse::Event};
use tokio::time::{Instant, interval_at};

pub(crate) use self::{
    batch::BatchEvents,
    event_view::{EventView, Logged, translate},
    follow::{Follow, Wanted},
    tenant::Events,
};
use crate::{
    auth::{Principal, while_admitted},
    problem::{Kind, Problem},
    reply::Raw,
    state::Gateway,
};

const HEARTBEAT: Duration = Duration::from_secs(15);
/// Nothing but a sign of life.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

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
    let response = Response::builder()
        .content_type("text/event-stream")
        .header("cache-control", "no-store")
        .header("x-accel-buffering", "no");
    Raw(response.body(Body::from_bytes_stream(lines(events))))
}

/// Events as they are written, and a comment now and then. The body is made of these directly: what the
/// framework puts between keeps a buffer of 4 KiB for each who waits.
fn lines(events: impl Stream<Item = Event> + Send) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let mut events = Box::pin(events);
    let start = Instant::now().checked_add(HEARTBEAT).unwrap_or_else(Instant::now);
    let mut beat = interval_at(start, HEARTBEAT);
    stream::poll_fn(move |context| match events.poll_next_unpin(context) {
        Poll::Ready(event) => Poll::Ready(event.map(|event| Ok(Bytes::from(event.to_string())))),
        Poll::Pending => beat.poll_tick(context).map(|_| Some(Ok(COMMENT))),
    })
}

/// A page of events.
pub(crate) fn page(events: &[EventView], has_more: bool) -> Raw {
    let data: Vec<_> = events.iter().map(|shown| &shown.body).collect();
    let next = events.last().map(|last| last.position.to_string());
    let body = serde_json::json!({ "data": data, "has_more": has_more, "next_cursor": next });
    Raw(Response::builder().content_type("application/json").body(body.to_string()))
}

/// True if whoever asks wants JSON and no stream.
pub(crate) fn wants_json(accept: Option<&str>) -> bool {
    accept.is_some_and(|accept| accept.contains("application/json"))
}
