use serde_json::json;

use super::{BatchEvent, BatchStatus};
use crate::PublicEvent;

/// Translates a stored event into a public one.
pub fn public(event: &BatchEvent) -> PublicEvent {
    let event_of = |kind, data| PublicEvent { kind, data, terminal: false };
    match event {
        BatchEvent::Submitted { spec } => {
            let data = json!({
                "status": "processing", "name": spec.name, "total": spec.jobs.len(),
                "max_parallel": spec.max_parallel,
            });
            event_of("batch.queued", data)
        }
        BatchEvent::CancelRequested {} => {
            event_of("batch.cancel_requested", json!({ "status": "processing" }))
        }
        BatchEvent::Retried { jobs, .. } => {
            event_of("batch.retried", json!({ "status": "processing", "jobs": jobs }))
        }
        BatchEvent::Reopened {} => event_of("batch.reopened", json!({ "status": "processing" })),
        BatchEvent::Ended { status, counts, .. } => {
            let kind = match status {
                BatchStatus::Processing | BatchStatus::Completed => "batch.completed",
                BatchStatus::PartialSuccess => "batch.partial_success",
                BatchStatus::Failed => "batch.failed",
                BatchStatus::Cancelled => "batch.cancelled",
            };
            let data = json!({ "status": status, "counts": counts });
            PublicEvent { kind, data, terminal: true }
        }
    }
}
