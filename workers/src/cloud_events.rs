use ffapi_domain::{PublicEvent, Tenant, Timestamp};
use ffapi_nats::{Position, PubSub};
use serde_json::json;

/// The decision that the published events belong to.
pub(crate) struct Source<'a> {
    pub(crate) tenant: &'a Tenant,
    /// The job's or the batch's identifier.
    pub(crate) id: &'a str,
    /// Position of the decision's first event in the log.
    pub(crate) position: Position,
    pub(crate) at: Timestamp,
}

/// Publishes events on `live.<tenant>.<job|batch>.<id>.<type>`, as JSON CloudEvents.
pub(crate) async fn publish(
    pubsub: &PubSub,
    source: Source<'_>,
    events: impl Iterator<Item = PublicEvent> + Send,
) {
    let Source { tenant, id, position, at } = source;
    for (index, event) in events.enumerate() {
        let position = Position { index: u32::try_from(index).unwrap_or(u32::MAX), ..position };
        let body = json!({
            "specversion": "1.0",
            "id": position.to_string(),
            "source": "/ffapi",
            "type": event.kind,
            "subject": id,
            "time": at,
            "datacontenttype": "application/json",
            "data": event.data,
        });
        // `job.completed` goes to `job.<id>.completed`.
        let (resource, change) = event.kind.split_once('.').unwrap_or(("event", event.kind));
        let subject = format!("live.{tenant}.{resource}.{id}.{change}");
        pubsub.publish(subject, body.to_string()).await;
    }
}
