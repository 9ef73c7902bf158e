use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    Decider, JobId, Personal, Tenant,
    job::{Failure, FailureCode, Job, JobCommand},
    queue_quota::{Due, QueueQuota},
};
use ffapi_nats::subject;

use super::Conductor;
use crate::clock;

impl Conductor {
    /// Frees the queue slots of ended jobs, takes back the leases of dead gateways, and takes slots
    /// for jobs that arrived after theirs had been taken back, or fails those jobs. Idempotent.
    pub(super) async fn settle_queue_quotas(&mut self) {
        let caps = self.dispatch.caps_mut();
        let due = self.queue_quotas.due(clock::now(), |tenant| caps.limits(tenant).queue_places);
        let caller = Caller::process("queue");
        for Due { tenant, command, late } in due {
            let name = tenant.as_str();
            let subject = subject::aggregate(QueueQuota::CATEGORY, name, name);
            if self.unreadable.contains(&subject) {
                continue;
            }
            let handled = self.commands.handle::<QueueQuota>(name, name, &caller, command).await;
            match (handled, late) {
                (Ok(_), _) => {}
                (Err(HandleError::Rejected(full)), Some(job)) => {
                    self.refuse(&tenant, job, full.to_string()).await;
                }
                (Err(error), _) if self.unreadable.record_failure(&subject, &error) => {}
                (Err(error), _) => {
                    tracing::warn!(%error, %tenant, "cannot update the queue quota yet");
                }
            }
        }
    }

    /// Fails a job for which the account has no free queue slot.
    async fn refuse(&mut self, tenant: &Tenant, job: JobId, full: String) {
        let message = format!("{full}: this job's slot was taken back before the job arrived");
        let failure =
            Failure { code: FailureCode::QuotaExceeded, message: Personal::Clear(message) };
        let command = JobCommand::Refuse { failure };
        let (name, caller) = (tenant.as_str(), Caller::process("queue"));
        let refused = self.commands.handle::<Job>(name, &job.to_string(), &caller, command).await;
        let subject = subject::aggregate(Job::CATEGORY, name, job);
        if let Err(error) = refused
            && !self.unreadable.record_failure(&subject, &error)
        {
            tracing::warn!(%error, %job, "cannot fail a job without a queue slot yet");
        }
    }
}
