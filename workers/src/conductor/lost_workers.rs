use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    Decider,
    dispatch::Release,
    job::{Job, JobCommand, JobEvent},
};
use ffapi_nats::subject;

use super::Conductor;
use crate::clock;

impl Conductor {
    /// The attempts whose workers are gone, with the workers' names: found dead by another worker,
    /// or without heartbeats while this process did receive messages.
    fn lost_attempts(&self) -> Vec<(Release, String)> {
        let roster = self.roster();
        self.dispatch
            .in_flight()
            .iter()
            .filter_map(|(job, out)| {
                let worker = out.worker.clone().filter(|worker| roster.is_gone(worker))?;
                let release = Release {
                    job: *job,
                    tenant: out.tenant.clone(),
                    attempt: out.attempt,
                    waited: None,
                };
                Some((release, worker))
            })
            .collect()
    }

    /// Abandons the attempts of lost workers, so that their jobs are queued again. Idempotent.
    pub(super) async fn abandon_lost_attempts(&mut self) {
        self.roster().prune();
        for (release, worker) in self.lost_attempts() {
            // Its heartbeat may have arrived, or the connection failed, during the previous
            // iteration.
            if !self.roster().is_gone(&worker) {
                continue;
            }
            let command = JobCommand::AbandonAttempt {
                attempt: release.attempt,
                reason: format!("worker {worker} vanished"),
                handed_back: false,
            };
            let (caller, id) = (Caller::process("dispatch"), release.job.to_string());
            let tenant = release.tenant.as_str();
            let outcome = self.commands.handle::<Job>(tenant, &id, &caller, command).await;
            tracing::warn!(job = %release.job, worker, ?outcome, "worker vanished");
            let subject = subject::aggregate(Job::CATEGORY, tenant, id);
            if let Err(error) = &outcome
                && self.unreadable.record_failure(&subject, error)
            {
                let at = clock::now();
                self.dispatch.job(release.job, &release.tenant, None, at, &JobEvent::Cancelled {});
                continue;
            }
            // A rejection means that the attempt ended after all; other errors are retried next
            // time.
            if !matches!(outcome, Ok(_) | Err(HandleError::Rejected(_))) {
                return;
            }
        }
    }
}
