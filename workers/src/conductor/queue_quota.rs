use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    Decider, JobId, Personal, Tenant,
    job::{Failure, FailureCode, Job, JobCommand},
    queue_quota::{Due, QueueQuota},
};

use super::Conductor;
use crate::clock;

impl Conductor {
    /// Frees the places of jobs that are over, takes back what dead gateways held, and finds places for
    /// jobs that came too late for their own, or ends them. Repeating it is harmless.
    pub(super) async fn make_room(&mut self) {
        let caps = self.state.caps_mut();
        let due = self.rooms.due(clock::now(), |tenant| caps.limits(tenant).queue_places);
        let caller = Caller::process("queue");
        for Due { tenant, command, late } in due {
            let name = tenant.as_str();
            let subject = format!("ev.{}.{name}.{name}", QueueQuota::CATEGORY);
            if self.broken.holds(&subject) {
                continue;
            }
            let told = self.commands.handle::<QueueQuota>(name, name, &caller, command).await;
            match (told, late) {
                (Ok(_), _) => {}
                (Err(HandleError::Rejected(full)), Some(job)) => {
                    self.refuse(&tenant, job, full.to_string()).await;
                }
                (Err(error), _) if self.broken.explains(&subject, &error) => {}
                (Err(error), _) => tracing::warn!(%error, %tenant, "places are not freed yet"),
            }
        }
    }

    /// Ends a job for which the queue has no room.
    async fn refuse(&mut self, tenant: &Tenant, job: JobId, full: String) {
        let message = format!("{full}: the one of this job was taken back before it came");
        let failure =
            Failure { code: FailureCode::QuotaExceeded, message: Personal::Clear(message) };
        let command = JobCommand::Refuse { failure };
        let (name, caller) = (tenant.as_str(), Caller::process("queue"));
        let refused = self.commands.handle::<Job>(name, &job.to_string(), &caller, command).await;
        let subject = format!("ev.{}.{name}.{job}", Job::CATEGORY);
        if let Err(error) = refused
            && !self.broken.explains(&subject, &error)
        {
            tracing::warn!(%error, %job, "a job without a place is not ended yet");
        }
    }
}
