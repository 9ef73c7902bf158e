use ffapi_domain::{PublicEvent, Tenant, Timestamp};
use ffapi_nats::{Position, PubSub, subject};
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
        pubsub.publish(subject::live_event(tenant, id, event.kind), body.to_string()).await;
    }
}
