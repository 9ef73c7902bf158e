//! What messages of the log say to users, whatever they are about.

use ffapi_domain::{
    Decider, PublicEvent, Timestamp,
    batch::{self, Batch, BatchEvent},
    job::{self, Job, JobEvent},
    key::{self, Key, KeyEvent},
    webhook::{self, Callback, Webhook, WebhookEvent},
};
use ffapi_nats::{Actor, Codec, CodecError, Decision, Message};

/// What a message of the log says to users.
#[derive(Debug, Clone)]
pub struct PublicMessage {
    /// The field that names what it is about, like `job_id`.
    pub field: &'static str,
    /// Its name.
    pub thing: String,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub actor: Actor,
    /// What, each with its place in the message.
    pub events: Vec<(u32, PublicEvent)>,
    /// Who is told of this thing from here on, beside the tenant's endpoints.
    pub callback: Option<Callback>,
}

/// Reads what a message says to users; none if it is none of theirs.
///
/// # Errors
/// When it cannot be read, or the key store does not answer.
pub async fn told(codec: &Codec, message: &Message) -> Result<Option<PublicMessage>, CodecError> {
    let Some((category, _, id)) = message.address() else { return Ok(None) };
    Ok(Some(match category {
        Job::CATEGORY => {
            let decision: Decision<JobEvent> = codec.decode(&message.payload).await?;
            let callback = decision.events.iter().find_map(|event| match event {
                JobEvent::Submitted { spec } => spec.callback.clone(),
                _ => None,
            });
            PublicMessage {
                callback,
                ..tell(&decision, "job_id", id, |event| Some(job::public(event)))
            }
        }
        Batch::CATEGORY => {
            let decision: Decision<BatchEvent> = codec.decode(&message.payload).await?;
            let callback = decision.events.iter().find_map(|event| match event {
                BatchEvent::Submitted { spec } => spec.callback.clone(),
                _ => None,
            });
            let of = |event: &BatchEvent| Some(batch::public(event));
            PublicMessage { callback, ..tell(&decision, "batch_id", id, of) }
        }
        Key::CATEGORY => {
            let decision: Decision<KeyEvent> = codec.decode(&message.payload).await?;
            tell(&decision, "key_id", id, |event| Some(key::public(event)))
        }
        Webhook::CATEGORY => {
            let decision: Decision<WebhookEvent> = codec.decode(&message.payload).await?;
            tell(&decision, "webhook_id", id, webhook::public)
        }
        _ => return Ok(None),
    }))
}

fn tell<E>(
    decision: &Decision<E>,
    field: &'static str,
    thing: &str,
    public: impl Fn(&E) -> Option<PublicEvent>,
) -> PublicMessage {
    let events = (0..).zip(&decision.events);
    PublicMessage {
        field,
        thing: thing.to_owned(),
        at: Timestamp::from_millis(decision.at),
        actor: decision.actor.clone(),
        events: events.filter_map(|(index, event)| Some((index, public(event)?))).collect(),
        callback: None,
    }
}
