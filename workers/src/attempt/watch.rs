use std::time::Duration;

use domain::{
    KeyId,
    dispatch::Release,
    job::{FailureCode, Job, JobState},
};
use media::{
    MediaError,
    protocol::{Permit, Progress, Report, Said},
};
use nats::{Subscription, failpoint};
use serde_json::json;

use super::{Outcome, Workshop};
use crate::{charge, clock, failure::crashed, life::Life, slot::Slot, tell::progress_event};

/// How often a running attempt asks the log whether it still counts, should the word be lost.
const ASK: Duration = Duration::from_secs(2);

pub(super) enum Watched {
    Report(Report),
    Stopped(Outcome),
}

impl Workshop {
    /// Follows the child until it is done, stuck, called off or deposed.
    pub(super) async fn watch(
        &self,
        release: &Release,
        key: Option<KeyId>,
        slot: &mut Slot,
    ) -> Result<Watched, MediaError> {
        let (job, attempt) = (release.job, release.attempt);
        let mut cancels = self.live.listen(format!("ctl.cancel.{job}")).await.ok();
        let mut life = Life::new(self.stall_timeout);
        let mut ask = tokio::time::interval(ASK);
        ask.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // What it is at, as it says itself.
        let mut stage = "starting".to_owned();
        loop {
            tokio::select! {
                said = slot.hear() => match said {
                    Ok(Some(Said::Working)) => life.beat(),
                    Ok(Some(Said::Progress(progress))) => {
                        life.beat();
                        failpoint::hit("worker.on_progress");
                        self.tell_progress(release, &progress).await;
                        stage = progress.stage;
                    }
                    Ok(Some(Said::Log { level, line })) => {
                        let line = json!({
                            "level": level, "stage": stage, "time": clock::now(),
                            "attempt": attempt, "message": line,
                        });
                        let id = job.to_string();
                        self.lines.keep(release.tenant.as_str(), &id, line.to_string()).await;
                    }
                    Ok(Some(Said::Charges(micros))) => {
                        tokio::select! {
                            reserved = Box::pin(charge::reserve(self, release, key, micros)) => {
                                reserved?;
                            }
                            outcome = self.called_off(release) => {
                                return Ok(Watched::Stopped(outcome));
                            }
                        }
                        life.beat();
                        // As late as may be: by now it shows who else is at work.
                        let permit = Permit { threads: self.running.threads() };
                        slot.permit(permit).await.map_err(|error| crashed(&error))?;
                    }
                    Ok(Some(Said::Done(report))) => return Ok(Watched::Report(report)),
                    Ok(Some(Said::Failed { code, message })) => {
                        return Err(MediaError { code, message });
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => return Err(slot.post_mortem().await),
                    Err(error) => return Err(crashed(&error)),
                },
                _ = next(&mut cancels) => {
                    if let Some(outcome) = self.ended(release).await {
                        return Ok(Watched::Stopped(outcome));
                    }
                }
                _ = ask.tick() => {
                    life.advance(slot.moved());
                    if life.stalled() {
                        return Err(MediaError {
                            code: FailureCode::MediaStalled,
                            message: format!(
                                "the media process made no progress for {} s",
                                self.stall_timeout.as_secs()
                            ),
                        });
                    }
                    if let Some(outcome) = self.ended(release).await {
                        return Ok(Watched::Stopped(outcome));
                    }
                }
                () = self.abandon.cancelled() => {
                    return Ok(Watched::Stopped(Outcome::Abandoned));
                }
            }
        }
    }

    /// Ends when this attempt should stop while it has no child to listen to.
    pub(super) async fn called_off(&self, release: &Release) -> Outcome {
        let mut cancels = self.live.listen(format!("ctl.cancel.{}", release.job)).await.ok();
        loop {
            tokio::select! {
                _ = next(&mut cancels) => {}
                () = tokio::time::sleep(ASK) => {}
                () = self.abandon.cancelled() => return Outcome::Abandoned,
            }
            if let Some(outcome) = self.ended(release).await {
                return outcome;
            }
        }
    }

    /// Whether the log says that this attempt should stop. No answer is no reason to.
    pub(super) async fn ended(&self, release: &Release) -> Option<Outcome> {
        self.commands.log().nats().connected_for()?;
        let (tenant, id) = (release.tenant.as_str(), release.job.to_string());
        let asking = self.commands.state::<Job>(tenant, &id);
        let state = tokio::time::timeout(Duration::from_secs(1), asking).await.ok()?.ok()?;
        match state {
            JobState::Processing { attempt, cancelling, .. } if attempt == release.attempt => {
                cancelling.then_some(Outcome::Cancelled)
            }
            JobState::Processing { .. }
            | JobState::Queued { .. }
            | JobState::Unknown
            | JobState::Completed
            | JobState::Failed { .. }
            | JobState::Cancelled { .. } => Some(Outcome::Deposed),
        }
    }

    pub(super) async fn tell_progress(&self, release: &Release, progress: &Progress) {
        let (job, tenant) = (release.job, &release.tenant);
        let body = progress_event(release, progress);
        self.live.tell(format!("live.{tenant}.job.{job}.progress"), body.to_string()).await;
    }
}

/// The next thing heard; never, if we could not begin to listen: the log is asked as well.
pub(super) async fn next(subscription: &mut Option<Subscription>) -> Option<nats::Heard> {
    match subscription {
        Some(open) => match open.next().await {
            Some(heard) => Some(heard),
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
