use domain::{
    Decider, Public, Timestamp,
    batch::{self, Batch, BatchEvent},
    job::{self, Job, JobEvent},
};
use nats::{CodecError, Decision, Message, Position};
use poem::web::sse::Event;
use serde_json::{Value, json};

use crate::state::Gateway;

/// One event as it is shown, and whether it is the last of its thing.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) position: Position,
    pub(crate) kind: &'static str,
    pub(crate) body: Value,
    pub(crate) terminal: bool,
}

impl Shown {
    /// As a server-sent event, at which a reader can go on.
    pub(crate) fn event(&self) -> Event {
        Event::message(self.body.to_string()).id(self.position.to_string()).event_type(self.kind)
    }
}

/// What a message of the log says to users; nothing if it is none of theirs.
pub(crate) async fn translate(
    gateway: &Gateway,
    message: &Message,
) -> Result<Vec<Shown>, CodecError> {
    let Some((category, _, id)) = message.address() else { return Ok(vec![]) };
    let codec = gateway.commands.codec();
    let epoch = gateway.commands.log().identity().epoch;
    let at = (epoch, message.sequence);
    Ok(match category {
        Job::CATEGORY => {
            let decision: Decision<JobEvent> = codec.decode(&message.payload).await?;
            shown(&decision, ("job_id", id), at, job::public)
        }
        Batch::CATEGORY => {
            let decision: Decision<BatchEvent> = codec.decode(&message.payload).await?;
            shown(&decision, ("batch_id", id), at, batch::public)
        }
        _ => vec![],
    })
}

fn shown<E>(
    decision: &Decision<E>,
    (field, id): (&str, &str),
    (epoch, sequence): (u32, u64),
    public: impl Fn(&E) -> Public,
) -> Vec<Shown> {
    let events = (0..).zip(&decision.events).map(|(index, event)| {
        let position = Position { epoch, sequence, index };
        let event = public(event);
        let body = json!({
            "id": position.to_string(),
            "type": event.kind,
            "time": Timestamp::from_millis(decision.at),
            field: id,
            "actor": decision.actor,
            "data": event.data,
        });
        Shown { position, kind: event.kind, body, terminal: event.terminal }
    });
    events.collect()
}
