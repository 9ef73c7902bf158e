use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    Decider,
    dispatch::Release,
    job::{Job, JobCommand, JobEvent},
};

use super::Conductor;
use crate::clock;

impl Conductor {
    /// The attempts whose workers are not there any more: found dead by another worker, or silent
    /// while we were listening long enough.
    fn vanished(&self) -> Vec<(Release, String)> {
        let roster = self.roster();
        self.state
            .out()
            .iter()
            .filter_map(|(job, out)| {
                let worker = out.worker.clone().filter(|worker| roster.lacks(worker))?;
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

    pub(super) async fn take_over_from_the_vanished(&mut self) {
        self.roster().forget_the_gone();
        for (release, worker) in self.vanished() {
            // While we wrote of the one before, this one may have spoken, or the log fallen silent.
            if !self.roster().lacks(&worker) {
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
            let subject = format!("ev.{}.{tenant}.{id}", Job::CATEGORY);
            if let Err(error) = &outcome
                && self.broken.explains(&subject, error)
            {
                let at = clock::now();
                self.state.job(release.job, &release.tenant, None, at, &JobEvent::Cancelled {});
                continue;
            }
            // A refusal means that the attempt ended after all; anything else is looked at again.
            if !matches!(outcome, Ok(_) | Err(HandleError::Rejected(_))) {
                return;
            }
        }
    }
}
