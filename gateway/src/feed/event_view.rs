use std::time::Duration;

use ffapi_commands::Commands;
use ffapi_domain::live::JobProgress;
use ffapi_nats::{CodecError, Message, Position, Unreadable, until_available};
use ffapi_projections::public_message;
use poem::web::sse::Event;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// The public form of one event, and whether it is the last one of its job or batch.
#[derive(Debug, Clone)]
pub(crate) struct EventView {
    pub(crate) position: Position,
    pub(crate) kind: &'static str,
    pub(crate) body: Value,
    pub(crate) terminal: bool,
}

impl EventView {
    /// As a server-sent event whose id is the position to resume from.
    pub(crate) fn event(&self) -> Event {
        Event::message(self.body.to_string()).id(self.position.to_string()).event_type(self.kind)
    }
}

/// Progress, as a server-sent event. It has no position: a stream that is resumed gets newer progress. Its
/// fields are at the top level as well, where they were in earlier versions.
pub(crate) fn progress_event(progress: &JobProgress) -> Event {
    let data = json!(progress);
    let mut body = data.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.insert("type".to_owned(), "job.progress".into());
        fields.insert("data".to_owned(), data);
    }
    Event::message(body.to_string()).event_type("job.progress")
}

/// A message of the log, translated once for all streams.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) message: Message,
    views: OnceCell<Vec<EventView>>,
}

/// Delay between two attempts while the log or the key store is unavailable.
pub(super) const RETRY_DELAY: Duration = Duration::from_millis(200);

impl Logged {
    pub(crate) const fn new(message: Message) -> Self {
        Self { message, views: OnceCell::const_new() }
    }

    /// Its public events; empty if it cannot be decoded.
    pub(crate) async fn views(&self, commands: &Commands) -> &[EventView] {
        let translated = async || {
            let read = until_available(|| translate(commands, &self.message)).await;
            read.unwrap_or_else(|Unreadable(why)| {
                tracing::error!(sequence = self.message.sequence, why, "a message is skipped");
                vec![]
            })
        };
        self.views.get_or_init(translated).await
    }
}

/// Translates a message of the log to its public events; none if it is internal.
pub(crate) async fn translate(
    commands: &Commands,
    message: &Message,
) -> Result<Vec<EventView>, CodecError> {
    let Some(public) = public_message::decode(commands.codec(), message).await? else {
        return Ok(vec![]);
    };
    let epoch = commands.log().identity().epoch;
    let views = public.events.into_iter().map(|(index, event)| {
        let position = Position { epoch, sequence: message.sequence, index };
        let body = json!({
            "id": position.to_string(),
            "type": event.kind,
            "time": public.at,
            public.field: public.thing,
            "actor": public.actor,
            "data": event.data,
        });
        EventView { position, kind: event.kind, body, terminal: event.terminal }
    });
    Ok(views.collect())
}
