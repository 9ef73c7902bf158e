use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    Decider, Personal,
    dispatch::MissingInput,
    job::{Failure, FailureCode, Job, JobCommand},
};
use ffapi_nats::failpoint;

use super::Conductor;
use crate::clock;

impl Conductor {
    /// Fails the jobs that wait for outputs which will not be made. Idempotent.
    pub(super) async fn fail_missing_inputs(&mut self) {
        for MissingInput { job, tenant, input } in self.dispatch.missing_inputs(clock::now()) {
            let subject = format!("ev.{}.{tenant}.{job}", Job::CATEGORY);
            if self.unreadable.contains(&subject) {
                continue;
            }
            failpoint::hit("conductor.before_missing_input");
            let message = format!(
                "it reads an output of {input}, which failed or was cancelled; retry that job, then \
                 this one"
            );
            let failure =
                Failure { code: FailureCode::InputJobFailed, message: Personal::Clear(message) };
            let (caller, id) = (Caller::process("dispatch"), job.to_string());
            let command = JobCommand::Refuse { failure };
            let handled = self.commands.handle::<Job>(tenant.as_str(), &id, &caller, command).await;
            // A rejection means that the job ended already.
            if let Err(error) = handled
                && !matches!(error, HandleError::Rejected(_))
                && !self.unreadable.record_failure(&subject, &error)
            {
                tracing::warn!(%error, %job, "cannot fail a job without input yet");
            }
        }
    }
}
