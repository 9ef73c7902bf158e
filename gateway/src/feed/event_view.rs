use std::time::Duration;

use ffapi_nats::{CodecError, Message, Position};
use ffapi_projections::public_message;
use poem::web::sse::Event;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::state::Gateway;

/// One event as it is shown, and whether it is the last of its thing.
#[derive(Debug, Clone)]
pub(crate) struct EventView {
    pub(crate) position: Position,
    pub(crate) kind: &'static str,
    pub(crate) body: Value,
    pub(crate) terminal: bool,
}

impl EventView {
    /// As a server-sent event, at which a reader can go on.
    pub(crate) fn event(&self) -> Event {
        Event::message(self.body.to_string()).id(self.position.to_string()).event_type(self.kind)
    }
}

/// A message of the log, translated once for however many read of it.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) message: Message,
    shown: OnceCell<Vec<EventView>>,
}

/// Between two tries while the log or the key store does not answer.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

impl Logged {
    pub(crate) const fn new(message: Message) -> Self {
        Self { message, shown: OnceCell::const_new() }
    }

    /// What it says to users.
    pub(crate) async fn shown(&self, gateway: &Gateway) -> &[EventView] {
        let translated = async || loop {
            match translate(gateway, &self.message).await {
                Ok(shown) => return shown,
                Err(CodecError::Unreadable(why)) => {
                    tracing::error!(sequence = self.message.sequence, why, "message passed over");
                    return vec![];
                }
                Err(CodecError::Log(_)) => tokio::time::sleep(PATIENCE).await,
            }
        };
        self.shown.get_or_init(translated).await
    }
}

/// What a message of the log says to users; nothing if it is none of theirs.
pub(crate) async fn translate(
    gateway: &Gateway,
    message: &Message,
) -> Result<Vec<EventView>, CodecError> {
    let Some(told) = public_message::told(gateway.commands.codec(), message).await? else {
        return Ok(vec![]);
    };
    let epoch = gateway.commands.log().identity().epoch;
    let shown = told.events.into_iter().map(|(index, event)| {
        let position = Position { epoch, sequence: message.sequence, index };
        let body = json!({
            "id": position.to_string(),
            "type": event.kind,
            "time": told.at,
            told.field: told.thing,
            "actor": told.actor,
            "data": event.data,
        });
        EventView { position, kind: event.kind, body, terminal: event.terminal }
    });
    Ok(shown.collect())
}
