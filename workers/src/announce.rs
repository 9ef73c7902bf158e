use domain::{
    JobId, Tenant, Timestamp,
    job::{JobEvent, public},
};
use nats::{Decision, Live, Position};
use serde_json::json;

/// Tells `live.<tenant>.job.<id>.<type>` what happened, as JSON CloudEvents.
pub(crate) async fn announce(
    live: &Live,
    job: JobId,
    tenant: &Tenant,
    position: Position,
    decision: &Decision<JobEvent>,
) {
    for (index, event) in decision.events.iter().enumerate() {
        let event = public(event);
        let position = Position { index: u32::try_from(index).unwrap_or(u32::MAX), ..position };
        let body = json!({
            "specversion": "1.0",
            "id": position.to_string(),
            "source": "/ffapi",
            "type": event.kind,
            "subject": job,
            "time": Timestamp::from_millis(decision.at),
            "datacontenttype": "application/json",
            "data": event.data,
        });
        let word = event.kind.trim_start_matches("job.");
        live.tell(format!("live.{tenant}.job.{job}.{word}"), body.to_string()).await;
    }
}
