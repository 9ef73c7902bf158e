use std::collections::BTreeMap;

use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    BatchId, JobId, Tenant,
    batch::{Batch, BatchCommand, BatchEvent},
    dispatch::Caps,
    job::{Job, JobCommand, JobEvent},
};

use super::Conductor;

/// Jobs and batches that a gateway accepted before it heard that their account is being erased. In the
/// log they stand behind the event that closed it, so whoever reads it in order knows them.
#[derive(Debug, Default)]
pub(super) struct Stragglers {
    jobs: BTreeMap<JobId, Tenant>,
    batches: BTreeMap<BatchId, Tenant>,
}

impl Stragglers {
    /// Folds in what happened to one job.
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

    /// Folds in what happened to one batch.
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
    /// Calls off what came in for an account that takes nothing any more. Repeating it is harmless.
    pub(super) async fn call_off_stragglers(&mut self) {
        let caller = Caller::process("erasure");
        for (id, tenant) in std::mem::take(&mut self.stragglers.batches) {
            let (name, cancel) = (id.to_string(), BatchCommand::Cancel);
            let done = self.commands.handle::<Batch>(tenant.as_str(), &name, &caller, cancel).await;
            if unclear(&done) {
                self.stragglers.batches.insert(id, tenant);
            }
        }
        for (id, tenant) in std::mem::take(&mut self.stragglers.jobs) {
            let (name, cancel) = (id.to_string(), JobCommand::Cancel);
            let done = self.commands.handle::<Job>(tenant.as_str(), &name, &caller, cancel).await;
            self.live.tell(format!("ctl.cancel.{name}"), "").await;
            if unclear(&done) {
                self.stragglers.jobs.insert(id, tenant);
            }
        }
    }
}

/// True if it is to be tried again: a refusal means that it is over already.
fn unclear<T, R: std::fmt::Debug>(done: &Result<T, HandleError<R>>) -> bool {
    match done {
        Ok(_) | Err(HandleError::Rejected(_)) => false,
        Err(error) => {
            tracing::warn!(?error, "what came for an erased account is not called off yet");
            true
        }
    }
}
