use serde_json::json;

use super::{JobError, JobEvent};
use crate::PublicEvent;

/// Translates a stored event into a public one.
pub fn public(event: &JobEvent) -> PublicEvent {
    let ongoing = |kind, data| PublicEvent { kind, data, terminal: false };
    let terminal = |kind, data| PublicEvent { kind, data, terminal: true };
    match event {
        JobEvent::Submitted { spec } => {
            let data = json!({
                "status": "queued", "kind": spec.request.kind(),
                "priority": spec.priority, "metadata": spec.metadata,
                "batch_id": spec.batch.map(|batch| batch.id),
            });
            ongoing("job.queued", data)
        }
        JobEvent::AttemptStarted { attempt, worker, pool, device, .. } => ongoing(
            "job.started",
            json!({
                "status": "processing", "attempt": attempt, "worker": worker, "pool": pool,
                "device": device,
            }),
        ),
        JobEvent::AttemptFailed { attempt, failure, retry_at } => ongoing(
            "job.attempt_failed",
            json!({
                "status": "queued", "attempt": attempt, "error": JobError::from(failure),
                "next_attempt_at": retry_at,
            }),
        ),
        JobEvent::AttemptAbandoned { attempt, reason, handed_back } => ongoing(
            "job.attempt_abandoned",
            json!({
                "status": "queued", "attempt": attempt, "reason": reason,
                "handed_back": handed_back,
            }),
        ),
        JobEvent::CancelRequested { attempt } => {
            ongoing("job.cancel_requested", json!({ "status": "processing", "attempt": attempt }))
        }
        JobEvent::Cancelled {} => terminal("job.cancelled", json!({ "status": "cancelled" })),
        JobEvent::OutputsSealed { attempt, outputs, .. } => ongoing(
            "job.outputs_sealed",
            json!({ "status": "processing", "attempt": attempt, "outputs": outputs }),
        ),
        JobEvent::Completed { attempt } => {
            terminal("job.completed", json!({ "status": "completed", "attempt": attempt }))
        }
        JobEvent::Failed { failure, dead_lettered } => terminal(
            "job.failed",
            json!({
                "status": "failed", "error": JobError::from(failure),
                "dead_lettered": dead_lettered,
            }),
        ),
        JobEvent::Retried { next_attempt, .. } => {
            ongoing("job.retried", json!({ "status": "queued", "next_attempt": next_attempt }))
        }
        JobEvent::OutputsExpired {} => {
            terminal("job.outputs_expired", json!({ "status": "completed" }))
        }
        JobEvent::OutputsDeleted { only } => terminal(
            "job.outputs_deleted",
            json!({
                "status": "completed",
                "output": only.as_ref().and_then(|output| output.name.as_ref()),
            }),
        ),
        JobEvent::PriorityChanged { priority } => {
            ongoing("job.priority_changed", json!({ "priority": priority }))
        }
    }
}
