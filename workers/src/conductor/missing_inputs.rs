use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    Decider, JobId, Personal,
    dispatch::MissingInput,
    job::{Failure, FailureCode, Job, JobCommand},
};
use ffapi_nats::{failpoint, subject};
use futures::{StreamExt, stream};

use super::Conductor;
use crate::clock;

/// Jobs that are failed in one round, at once; the log batches their appends.
const MAX_JOBS: usize = 256;

impl Conductor {
    /// Fails the jobs that wait for outputs which will not be made. Idempotent.
    ///
    /// A client may have retried the other job in a message that is not folded yet, so this waits until
    /// every message at hand is.
    pub(super) async fn fail_missing_inputs(&mut self) {
        if self.is_behind {
            return;
        }
        let mut missing = self.dispatch.missing_inputs(clock::now());
        missing.truncate(MAX_JOBS);
        let (commands, caller) = (&self.commands, Caller::process("dispatch"));
        let caller = &caller;
        let handled = missing.into_iter().map(|MissingInput { job, tenant, input }| async move {
            failpoint::hit("conductor.before_missing_input");
            let command = JobCommand::Refuse { failure: failure(input) };
            let id = job.to_string();
            let handled = commands.handle::<Job>(tenant.as_str(), &id, caller, command).await;
            (job, tenant, handled)
        });
        let handled: Vec<_> = stream::iter(handled).buffer_unordered(MAX_JOBS).collect().await;
        for (job, tenant, handled) in handled {
            let subject = subject::aggregate(Job::CATEGORY, &tenant, job);
            match handled {
                // A rejection means that the job ended already.
                Ok(_) | Err(HandleError::Rejected(_)) => self.dispatch.missing_input_handled(job),
                Err(error) if self.unreadable.record_failure(&subject, &error) => {
                    self.dispatch.missing_input_handled(job);
                }
                Err(error) => {
                    tracing::warn!(%error, %job, "cannot fail a job without input yet");
                }
            }
        }
    }
}

fn failure(input: JobId) -> Failure {
    let message = format!(
        "it reads an output of {input}, which failed or was cancelled; retry that job, then this one"
    );
    Failure { code: FailureCode::InputJobFailed, message: Personal::Clear(message) }
}
