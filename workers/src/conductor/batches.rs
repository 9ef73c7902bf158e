use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    BatchId, Decider, JobId, Tenant,
    batch::{Batch, BatchEvent},
    job::{Job, JobCommand},
};
use ffapi_nats::{Decision, failpoint, subject};
use futures::{StreamExt, stream};

use super::Conductor;
use crate::clock;

/// Concurrent steps; the log batches their appends.
const MAX_CONCURRENT_STEPS: usize = 256;

impl Conductor {
    /// Records the caller that submitted a batch: its jobs are submitted on behalf of that caller.
    pub(super) fn record_caller(&mut self, batch: BatchId, decision: &Decision<BatchEvent>) {
        for event in &decision.events {
            match event {
                BatchEvent::Submitted { .. } => {
                    let caller = Caller {
                        actor: decision.actor.clone(),
                        correlation_id: decision.correlation_id,
                        causation: Some(format!("batch {batch}")),
                        traceparent: decision.traceparent.clone(),
                        address: None,
                    };
                    self.batch_callers.insert(batch, caller);
                }
                BatchEvent::Ended { .. } => {
                    self.batch_callers.remove(&batch);
                }
                BatchEvent::CancelRequested {}
                | BatchEvent::Retried { .. }
                | BatchEvent::Reopened {} => {}
            }
        }
    }

    /// Submits, cancels and ends what batches still require. Idempotent.
    pub(super) async fn advance_batches(&mut self) {
        let (jobs, batches) = self.batches.due(clock::now());
        let (commands, pubsub, callers) = (&self.commands, &self.pubsub, &self.batch_callers);
        let process = Caller::process("batch");
        let process = &process;
        let batch_of = |job| self.batches.of(job);
        let unreadable = &self.unreadable;
        let subject = |tenant: &Tenant, id: JobId| subject::aggregate(Job::CATEGORY, tenant, id);
        let jobs =
            jobs.into_iter().filter(|step| !unreadable.contains(&subject(&step.tenant, step.id)));
        let steps = stream::iter(jobs.map(|step| async move {
            failpoint::hit("conductor.before_batch_step");
            let caller = match &step.command {
                JobCommand::Submit { .. } => {
                    batch_of(step.id).and_then(|batch| callers.get(&batch))
                }
                _ => None,
            };
            let (tenant, id) = (step.tenant.as_str(), step.id.to_string());
            let subject = subject(&step.tenant, step.id);
            let cancels = matches!(step.command, JobCommand::Cancel);
            let retries = matches!(step.command, JobCommand::Retry { .. });
            let caller = caller.unwrap_or(process);
            let handled = commands.handle::<Job>(tenant, &id, caller, step.command).await;
            // A rejection means that it was done already, or is no longer needed.
            tracing::debug!(job = %step.id, ?handled, "batch step for a job handled");
            if cancels && handled.is_ok() {
                pubsub.publish(subject::cancel_job(id), "").await;
            }
            let is_rejected = matches!(handled, Err(HandleError::Rejected(_)));
            handled.err().map(|error| (subject, error, (retries && is_rejected).then_some(step.id)))
        }));
        let steps = steps.buffer_unordered(MAX_CONCURRENT_STEPS);
        let failed: Vec<_> = steps.filter_map(std::future::ready).collect().await;
        for (subject, error, rejected_retry) in failed {
            self.unreadable.record_failure(&subject, &error);
            if let Some(job) = rejected_retry {
                self.batches.drop_retry(job);
            }
        }
        for step in batches {
            let subject = subject::aggregate(Batch::CATEGORY, &step.tenant, step.id);
            if self.unreadable.contains(&subject) {
                continue;
            }
            failpoint::hit("conductor.before_batch_end");
            let (tenant, id) = (step.tenant.as_str(), step.id.to_string());
            let handled = self.commands.handle::<Batch>(tenant, &id, process, step.command).await;
            tracing::debug!(batch = id, ?handled, "batch step handled");
            if let Err(error) = &handled {
                self.unreadable.record_failure(&subject, error);
            }
            failpoint::hit("conductor.after_batch_end");
        }
    }
}
