//! The public events in messages of the log, as clients see them.

use ffapi_domain::{
    Category, PublicEvent, Timestamp,
    batch::{self, BatchEvent},
    job::{self, JobEvent},
    key::{self, KeyEvent},
    webhook::{self, Callback, WebhookEvent},
};
use ffapi_nats::{Actor, Codec, CodecError, Decision, Message};
use serde_json::Value;

/// The public part of a message of the log.
#[derive(Debug, Clone)]
pub struct PublicMessage {
    /// Name of the id field of its resource, like `job_id`.
    pub field: &'static str,
    /// Id of that resource.
    pub thing: String,
    /// When the decision was made.
    pub at: Timestamp,
    /// The key or process that caused it.
    pub actor: Actor,
    /// W3C trace context of the decision.
    pub traceparent: Option<String>,
    /// The public events, each with its index in the message.
    pub events: Vec<(u32, PublicEvent)>,
    /// The endpoint that gets this resource's events in addition to the tenant's endpoints, if the
    /// message defines one.
    pub callback: Option<Callback>,
}

/// Decodes the public part of a message; `None` if its aggregate has no public events.
///
/// # Errors
/// When it cannot be decoded, or the key store does not respond.
pub async fn decode(codec: &Codec, message: &Message) -> Result<Option<PublicMessage>, CodecError> {
    let Some((category, _, id)) = message.address() else { return Ok(None) };
    let Some(category) = Category::of(category) else { return Ok(None) };
    Ok(Some(match category {
        Category::Job => {
            let decision: Decision<JobEvent> = codec.read(message).await?;
            let callback = decision.events.iter().find_map(|event| match event {
                JobEvent::Submitted { spec } => spec.callback.clone(),
                _ => None,
            });
            PublicMessage {
                callback,
                ..public_part(&decision, "job_id", id, |event| Some(job::public(event)))
            }
        }
        Category::Batch => {
            let decision: Decision<BatchEvent> = codec.read(message).await?;
            let callback = decision.events.iter().find_map(|event| match event {
                BatchEvent::Submitted { spec } => spec.callback.clone(),
                _ => None,
            });
            let of = |event: &BatchEvent| Some(batch::public(event));
            PublicMessage { callback, ..public_part(&decision, "batch_id", id, of) }
        }
        Category::Key => {
            let decision: Decision<KeyEvent> = codec.read(message).await?;
            public_part(&decision, "key_id", id, |event| Some(key::public(event)))
        }
        Category::Webhook => {
            let decision: Decision<WebhookEvent> = codec.read(message).await?;
            public_part(&decision, "webhook_id", id, webhook::public)
        }
        Category::Account
        | Category::Dispatch
        | Category::KeyQuota
        | Category::Output
        | Category::Preset
        | Category::QueueQuota
        | Category::Quota
        | Category::Restoration
        | Category::StorageQuota
        | Category::Upload
        | Category::WebhookQuota => return Ok(None),
    }))
}

/// Outputs that an event lists: each event is copied for every endpoint and stream that receives it, and a
/// job may have 10,000 outputs.
const MAX_OUTPUTS: usize = 100;

/// With the first outputs only, and their number in `outputs_total`, if there are more.
fn shortened(mut event: PublicEvent) -> PublicEvent {
    let Some(data) = event.data.as_object_mut() else { return event };
    let Some(outputs) = data.get_mut("outputs").and_then(Value::as_array_mut) else { return event };
    let total = outputs.len();
    if total > MAX_OUTPUTS {
        outputs.truncate(MAX_OUTPUTS);
        data.insert("outputs_total".to_owned(), total.into());
    }
    event
}

fn public_part<E>(
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
        traceparent: decision.traceparent.clone(),
        events: events
            .filter_map(|(index, event)| Some((index, shortened(public(event)?))))
            .collect(),
        callback: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outputs(count: usize) -> PublicEvent {
        let data = json!({ "outputs": vec![json!({ "name": "a" }); count] });
        PublicEvent { kind: "job.completed", terminal: true, data }
    }

    #[test]
    fn an_event_lists_a_bounded_number_of_outputs() {
        assert_eq!(shortened(outputs(MAX_OUTPUTS)), outputs(MAX_OUTPUTS));
        let long = shortened(outputs(10_000));
        assert_eq!(long.data["outputs"].as_array().unwrap().len(), MAX_OUTPUTS);
        assert_eq!(long.data["outputs_total"], 10_000);
    }
}
