use std::time::Duration;

use commands::Caller;
use domain::{dispatch::Release, job::JobCommand};

use super::Conductor;
use crate::insist::insist;

/// How long we must have heard the others ourselves before their silence means something.
const EARS_OPEN: Duration = Duration::from_secs(8);

impl Conductor {
    /// The attempts whose workers are not there any more: found dead by another worker, or silent
    /// while we were listening long enough.
    fn vanished(&self) -> Vec<(Release, String)> {
        let connected = self.commands.log().nats().connected_for();
        let listening = connected.is_some_and(|since| since >= EARS_OPEN)
            && self.started.elapsed() >= EARS_OPEN;
        let roster = self.roster();
        let gone = |worker: &String| roster.buried(worker) || (listening && !roster.knows(worker));
        self.state
            .out()
            .iter()
            .filter_map(|(job, out)| {
                let worker = out.worker.clone().filter(gone)?;
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
            let command = JobCommand::AbandonAttempt {
                attempt: release.attempt,
                reason: format!("worker {worker} vanished"),
                handed_back: false,
            };
            let caller = Caller::process("dispatch");
            // A refusal means that the attempt ended after all.
            let outcome = insist(&self.commands, &caller, &release, command).await;
            tracing::warn!(job = %release.job, worker, ?outcome, "worker vanished");
        }
    }
}
