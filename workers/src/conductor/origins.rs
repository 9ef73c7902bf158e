use std::collections::BTreeMap;

use ffapi_domain::{JobId, job::JobEvent};
use ffapi_nats::{Decision, trace::TraceContext};

/// The context of the request that queued each job that is not over: its attempts continue that trace.
#[derive(Debug, Default)]
pub(super) struct Origins(BTreeMap<JobId, TraceContext>);

impl Origins {
    /// Folds in a decision about a job.
    pub(super) fn job(&mut self, job: JobId, decision: &Decision<JobEvent>) {
        for event in &decision.events {
            match event {
                JobEvent::Submitted { .. } | JobEvent::Retried { .. } => {
                    let context = decision.traceparent.as_deref().and_then(TraceContext::parse);
                    if let Some(context) = context {
                        self.0.insert(job, context);
                    }
                }
                JobEvent::Completed { .. }
                | JobEvent::Failed { .. }
                | JobEvent::Cancelled { .. } => {
                    self.0.remove(&job);
                }
                _ => {}
            }
        }
    }

    /// The context of the request that queued a job, if it is known.
    pub(super) fn of(&self, job: JobId) -> Option<TraceContext> {
        self.0.get(&job).copied()
    }
}
