use ffapi_commands::Caller;
use ffapi_domain::{
    BatchId, Decider, JobId, Tenant,
    batch::{Batch, BatchEvent},
    job::{Job, JobCommand},
};
use ffapi_nats::{Decision, failpoint};
use futures::{StreamExt, stream};

use super::Conductor;
use crate::clock;

/// Steps taken at once: the log takes them together.
const AT_ONCE: usize = 256;

impl Conductor {
    /// Whoever asked for a batch asked for its jobs, whoever makes them.
    pub(super) fn remember_who(&mut self, batch: BatchId, decision: &Decision<BatchEvent>) {
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
                    self.asked.insert(batch, caller);
                }
                BatchEvent::Ended { .. } => {
                    self.asked.remove(&batch);
                }
                BatchEvent::CancelRequested {}
                | BatchEvent::Retried { .. }
                | BatchEvent::Reopened {} => {}
            }
        }
    }

    /// Does what batches still need done. Repeating it is harmless.
    pub(super) async fn see_batches_through(&mut self) {
        let (jobs, batches) = self.batches.due(clock::now());
        let (commands, live, asked) = (&self.commands, &self.live, &self.asked);
        let process = Caller::process("batch");
        let process = &process;
        let of = |job| self.batches.of(job);
        let broken = &self.broken;
        let subject = |tenant: &Tenant, id: JobId| format!("ev.{}.{tenant}.{id}", Job::CATEGORY);
        let jobs = jobs.into_iter().filter(|step| !broken.holds(&subject(&step.tenant, step.id)));
        let steps = stream::iter(jobs.map(|step| async move {
            failpoint::hit("conductor.before_batch_step");
            let caller = match &step.command {
                JobCommand::Submit { .. } => of(step.id).and_then(|batch| asked.get(&batch)),
                _ => None,
            };
            let (tenant, id) = (step.tenant.as_str(), step.id.to_string());
            let failed = subject(&step.tenant, step.id);
            let stops = matches!(step.command, JobCommand::Cancel);
            let caller = caller.unwrap_or(process);
            let handled = commands.handle::<Job>(tenant, &id, caller, step.command).await;
            // A refusal means that it was done already, or is no longer to be done.
            tracing::debug!(job = %step.id, ?handled, "a batch's job was seen to");
            if stops && handled.is_ok() {
                live.tell(format!("ctl.cancel.{id}"), "").await;
            }
            handled.err().map(|error| (failed, error))
        }));
        let failed: Vec<_> =
            steps.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
        for (subject, error) in failed {
            self.broken.explains(&subject, &error);
        }
        for step in batches {
            let subject = format!("ev.{}.{}.{}", Batch::CATEGORY, step.tenant, step.id);
            if self.broken.holds(&subject) {
                continue;
            }
            failpoint::hit("conductor.before_batch_end");
            let (tenant, id) = (step.tenant.as_str(), step.id.to_string());
            let handled = self.commands.handle::<Batch>(tenant, &id, process, step.command).await;
            tracing::debug!(batch = id, ?handled, "a batch was seen to");
            if let Err(error) = &handled {
                self.broken.explains(&subject, error);
            }
            failpoint::hit("conductor.after_batch_end");
        }
    }
}
