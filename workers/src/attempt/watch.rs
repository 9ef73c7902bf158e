use std::time::{Duration, Instant};

use ffapi_domain::{
    account::{Account, Limits},
    dispatch::Release,
    job::{FailureCode, Job, JobState},
    media::Spent,
};
use ffapi_media::{
    MediaError,
    protocol::{ChildMessage, Needs, Permit, Progress, Report},
};
use ffapi_nats::{Subscription, failpoint};
use serde_json::json;

use super::{
    AttemptContext, Order, Outcome,
    bounds::{Bounds, Budget, Line},
};
use crate::{
    clock,
    failure::crashed,
    media_minutes::{self, Charged},
    slot::Slot,
    stall_detector::StallDetector,
    tell::progress_event,
};

/// How often a running attempt asks the log whether it still counts, should the word be lost.
const ASK: Duration = Duration::from_secs(2);
/// How often it is looked at what a child uses, and at what it wrote.
const MEASURE: Duration = Duration::from_millis(200);
const WEIGH: Duration = Duration::from_secs(1);

/// How a child's work ended.
pub(super) enum Watched {
    /// It says that this is done; it took as much as was measured meanwhile.
    Report { report: Report, spent: Spent },
    /// It was stopped.
    Stopped(Outcome),
}

/// A timer that begins at once and never catches up.
fn every(period: Duration) -> tokio::time::Interval {
    let mut timer = tokio::time::interval(period);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    timer
}

impl AttemptContext {
    /// Follows the child until it is done, stuck, called off or deposed, or uses more than it may.
    pub(super) async fn watch(
        &self,
        release: &Release,
        order: Order<'_>,
        slot: &mut Slot,
        bounds: &Bounds,
        charged: &mut Charged,
    ) -> Result<Watched, MediaError> {
        let job = release.job;
        let mut cancels = self.live.listen(format!("ctl.cancel.{job}")).await.ok();
        let began = Instant::now();
        let mut life = StallDetector::new(self.stall_timeout);
        let mut budget = Budget::default();
        let (mut ask, mut measure, mut weigh) = (every(ASK), every(MEASURE), every(WEIGH));
        // What it is at, as it says itself.
        let mut stage = "starting".to_owned();
        loop {
            tokio::select! {
                said = slot.hear() => match said {
                    Ok(Some(ChildMessage::Working)) => life.beat(),
                    Ok(Some(ChildMessage::Progress(progress))) => {
                        life.beat();
                        charged.reach(&progress);
                        failpoint::hit("worker.on_progress");
                        let begins = stage != progress.stage && budget.stage();
                        if budget.publishes() || begins {
                            self.tell_progress(release, &progress).await;
                        }
                        stage = progress.stage;
                    }
                    Ok(Some(ChildMessage::Log { level, line })) => match budget.line(&line) {
                        Line::Keep => self.keep_line(release, &stage, &level, &line).await,
                        Line::Last => {
                            let line = "more lines of this attempt are not kept";
                            self.keep_line(release, &stage, "warning", line).await;
                        }
                        Line::Drop => {}
                    },
                    Ok(Some(ChildMessage::Needs(needs))) => {
                        if let Some(outcome) = self.grant(release, order, slot, needs, charged).await? {
                            return Ok(Watched::Stopped(outcome));
                        }
                        life.beat();
                    }
                    Ok(Some(ChildMessage::Done(report))) => {
                        let reserved = charged.reserved();
                        if order.request.is_charged() && reserved.is_none() {
                            return Err(uncharged());
                        }
                        let (mut effort, usage) = (report.effort.clone(), slot.usage());
                        // What it says itself does not count.
                        effort.charged = reserved.unwrap_or(0);
                        tracing::debug!(%job, cpu = usage.cpu.as_secs_f64(), "media work is done");
                        let seconds = began.elapsed().as_secs_f64();
                        let spent = Spent { effort, seconds, bytes: 0 };
                        return Ok(Watched::Report { report, spent });
                    }
                    Ok(Some(ChildMessage::Failed { code, message })) => {
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
                _ = measure.tick() => {
                    charged.ran(began.elapsed());
                    bounds.check(&slot.usage())?;
                }
                _ = weigh.tick() => {
                    let load = slot.folder.load().await.map_err(|error| crashed(&error))?;
                    bounds.check_written(&load)?;
                }
                _ = ask.tick() => {
                    life.advance(slot.usage().moved);
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

    /// Gives a child what it needs to go on; answers how the attempt ends if it does not.
    async fn grant(
        &self,
        release: &Release,
        order: Order<'_>,
        slot: &mut Slot,
        needs: Needs,
        charged: &mut Charged,
    ) -> Result<Option<Outcome>, MediaError> {
        if let Some(lacking) = charged.lacks(needs.charged) {
            tokio::select! {
                reserved = Box::pin(media_minutes::reserve(self, release, order.key, lacking)) => {
                    charged.reserve(reserved?, lacking);
                }
                outcome = self.called_off(release) => return Ok(Some(outcome)),
            }
        }
        for folder in &needs.folders {
            slot.folder.add(folder).map_err(|error| crashed(&error))?;
        }
        // As late as may be: by now it shows who else is at work.
        let permit = Permit { threads: self.running.threads() };
        slot.permit(permit).await.map_err(|error| crashed(&error))?;
        Ok(None)
    }

    /// What the attempt may use, from now on.
    pub(super) async fn bounds(&self, release: &Release, slot: &Slot) -> Bounds {
        Bounds::new(&self.limits(release).await, slot.memory, self.max_output_bytes)
    }

    /// What the account may; without an answer, what an account may that nobody gave a tier.
    async fn limits(&self, release: &Release) -> Limits {
        let (tenant, tiers) = (release.tenant.as_str(), &self.sources.tiers);
        let asking = self.commands.state::<Account>(tenant, tenant);
        let account = tokio::time::timeout(ASK, asking).await.ok().and_then(Result::ok);
        account.unwrap_or_default().limits(tiers)
    }

    async fn keep_line(&self, release: &Release, stage: &str, level: &str, line: &str) {
        let line = json!({
            "level": level, "stage": stage, "time": clock::now(),
            "attempt": release.attempt, "message": line,
        });
        let id = release.job.to_string();
        self.lines.keep(release.tenant.as_str(), &id, line.to_string()).await;
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

/// A child of ours asks before it makes anything that is charged.
fn uncharged() -> MediaError {
    MediaError {
        code: FailureCode::MediaCrashed,
        message: "the media process broke its protocol: it did not ask for what is charged"
            .to_owned(),
    }
}

/// The next thing heard; never, if we could not begin to listen: the log is asked as well.
pub(super) async fn next(
    subscription: &mut Option<Subscription>,
) -> Option<ffapi_nats::LiveMessage> {
    match subscription {
        Some(open) => match open.next().await {
            Some(heard) => Some(heard),
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
