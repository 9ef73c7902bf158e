use std::collections::BTreeMap;

use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    BatchId, JobId, Tenant,
    batch::{Batch, BatchCommand, BatchEvent},
    dispatch::Caps,
    job::{Job, JobCommand, JobEvent},
};
use ffapi_nats::subject;

use super::Conductor;

/// Jobs and batches that a gateway accepted before it learned that their account is being erased.
/// In the log they come after the event that closed the account, which identifies them.
#[derive(Debug, Default)]
pub(super) struct Stragglers {
    jobs: BTreeMap<JobId, Tenant>,
    batches: BTreeMap<BatchId, Tenant>,
}

impl Stragglers {
    /// Folds the events of one job.
    pub(super) fn job(&mut self, tenant: &Tenant, id: JobId, events: &[JobEvent], caps: &Caps) {
        for event in events {
            match event {
                JobEvent::Submitted { .. } | JobEvent::Retried { .. } if !caps.is_open(tenant) => {
                    self.jobs.insert(id, tenant.clone());
                }
                JobEvent::Completed { .. }
                | JobEvent::Failed { .. }
                | JobEvent::Cancelled {}
                | JobEvent::CancelRequested { .. } => {
                    self.jobs.remove(&id);
                }
                _ => {}
            }
        }
    }

    /// Folds the events of one batch.
    pub(super) fn batch(
        &mut self,
        tenant: &Tenant,
        id: BatchId,
        events: &[BatchEvent],
        caps: &Caps,
    ) {
        for event in events {
            match event {
                BatchEvent::Submitted { .. } | BatchEvent::Retried { .. }
                    if !caps.is_open(tenant) =>
                {
                    self.batches.insert(id, tenant.clone());
                }
                BatchEvent::Ended { .. } | BatchEvent::CancelRequested {} => {
                    self.batches.remove(&id);
                }
                _ => {}
            }
        }
    }
}

impl Conductor {
    /// Cancels jobs and batches that arrived for a closed account. Idempotent.
    pub(super) async fn cancel_stragglers(&mut self) {
        let caller = Caller::process("erasure");
        for (id, tenant) in std::mem::take(&mut self.stragglers.batches) {
            let (name, cancel) = (id.to_string(), BatchCommand::Cancel);
            let cancelling = self.commands.handle::<Batch>(tenant.as_str(), &name, &caller, cancel);
            let outcome = cancelling.await;
            if must_retry(&outcome) {
                self.stragglers.batches.insert(id, tenant);
            }
        }
        for (id, tenant) in std::mem::take(&mut self.stragglers.jobs) {
            let (name, cancel) = (id.to_string(), JobCommand::Cancel);
            let cancelling = self.commands.handle::<Job>(tenant.as_str(), &name, &caller, cancel);
            let outcome = cancelling.await;
            self.pubsub.publish(subject::cancel_job(&name), "").await;
            if must_retry(&outcome) {
                self.stragglers.jobs.insert(id, tenant);
            }
        }
    }
}

/// True if the cancellation must be retried; a rejection means that it has ended already.
fn must_retry<T, R: std::error::Error>(outcome: &Result<T, HandleError<R>>) -> bool {
    match outcome {
        Ok(_) | Err(HandleError::Rejected(_)) => false,
        Err(error) => {
            tracing::warn!(?error, "cannot cancel work of an erased account yet");
            true
        }
    }
}
