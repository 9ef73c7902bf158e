use domain::{PublicEvent, Tenant, Timestamp};
use nats::{Position, PubSub};
use serde_json::json;

/// Tells `live.<tenant>.<job|batch>.<id>.<type>` what happened, as JSON CloudEvents.
pub(crate) async fn announce(
    live: &PubSub,
    (tenant, id): (&Tenant, &str),
    (position, at): (Position, Timestamp),
    events: impl Iterator<Item = PublicEvent> + Send,
) {
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
        let (thing, word) = event.kind.split_once('.').unwrap_or(("event", event.kind));
        live.tell(format!("live.{tenant}.{thing}.{id}.{word}"), body.to_string()).await;
    }
}
