use std::time::{Duration, Instant};

use ffapi_domain::{dispatch::Release, job::FailureCode, media::Spent};
use ffapi_media::{
    MediaError,
    protocol::{ChildMessage, Needs, Permit, Progress, ProtocolViolation, Report},
};
use ffapi_nats::{Subscription, failpoint, subject};
use serde_json::json;

use super::{
    AttemptContext, AttemptSpec,
    bounds::{Bounds, MessageBudget},
};
use crate::{
    clock,
    failure::crashed,
    media_minutes::{self, Charged},
    metrics::media::ChildMeter,
    progress_event::{job_progress, progress_event},
    ranged_input::RangedInputs,
    scratch::{NotEnoughSpace, Reservation},
    slot::Slot,
    stall_detector::StallDetector,
};

/// How often it is checked whether a child makes progress.
const STALL_CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// How often a child's time and memory are checked.
const USAGE_CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// How often a child's disk usage is checked.
const DISK_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A child at work, and what bounds it.
pub(super) struct Watching<'a> {
    pub(super) slot: &'a mut Slot,
    pub(super) bounds: &'a Bounds,
    pub(super) inputs: &'a RangedInputs,
    /// What is reserved of the scratch disk.
    pub(super) scratch: &'a Reservation,
}

/// What a child reported, and what was measured meanwhile.
pub(super) struct Watched {
    pub(super) report: Box<Report>,
    pub(super) spent: Spent,
}

/// A timer whose first tick is immediate and that does not catch up on missed ticks.
fn every(period: Duration) -> tokio::time::Interval {
    let mut timer = tokio::time::interval(period);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    timer
}

impl AttemptContext {
    /// Watches the child until it is done or stalled, or exceeds a limit.
    pub(super) async fn watch(
        &self,
        release: &Release,
        spec: AttemptSpec<'_>,
        Watching { slot, bounds, inputs, scratch }: Watching<'_>,
        charged: &mut Charged,
    ) -> Result<Watched, MediaError> {
        let job = release.job;
        let started = Instant::now();
        let mut stall_detector = StallDetector::new(self.stall_timeout);
        let mut budget = MessageBudget::default();
        let mut stall_check = every(STALL_CHECK_INTERVAL);
        let mut usage_check = every(USAGE_CHECK_INTERVAL);
        let mut disk_check = every(DISK_CHECK_INTERVAL);
        // The current stage, as the child reports it.
        let mut stage = "starting".to_owned();
        // Whether it has said what it needs.
        let mut has_begun = false;
        let mut child = ChildMeter::begin(spec.request.kind());
        loop {
            tokio::select! {
                message = slot.receive() => match message {
                    Ok(Some(ChildMessage::Working)) => stall_detector.beat(),
                    Ok(Some(ChildMessage::Progress(progress))) => {
                        stall_detector.beat();
                        charged.record_progress(&progress);
                        child.progress(&progress);
                        failpoint::hit("worker.on_progress");
                        let new_stage = stage != progress.stage && budget.allows_stage();
                        if budget.allows_progress() || new_stage {
                            self.publish_progress(release, &progress).await;
                        }
                        stage = progress.stage;
                    }
                    Ok(Some(ChildMessage::Log { level, line })) => {
                        if let Some((level, line)) = budget.logged(&level, &line) {
                            self.log_line(release, &stage, level, line).await;
                        }
                    }
                    Ok(Some(ChildMessage::Needs(needs))) => {
                        self.reserve_outputs(release, scratch, needs.bytes, &mut has_begun)?;
                        self.grant(release, spec, slot, needs, charged).await?;
                        stall_detector.beat();
                    }
                    Ok(Some(ChildMessage::Done(report))) => {
                        report.check_result_of(spec.request).map_err(|error| broken(&error))?;
                        let reserved = charged.reserved();
                        if spec.request.is_charged() && reserved.is_none() {
                            return Err(not_reserved());
                        }
                        let (mut effort, usage) = (report.effort.clone(), slot.usage());
                        // The child's own figure is not trusted.
                        effort.charged = reserved.unwrap_or(0);
                        tracing::debug!(%job, cpu = usage.cpu.as_secs_f64(), "media work is done");
                        let seconds = started.elapsed().as_secs_f64();
                        child.sample(usage);
                        child.done(seconds);
                        let cpu_seconds = Some(usage.cpu.as_secs_f64());
                        let spent = Spent { effort, seconds, bytes: 0, cpu_seconds };
                        return Ok(Watched { report: Box::new(report), spent });
                    }
                    Ok(Some(ChildMessage::Failed { code, message })) => {
                        return Err(MediaError { code, message });
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => return Err(slot.post_mortem().await),
                    Err(error) => return Err(crashed(&error)),
                },
                _ = usage_check.tick() => {
                    charged.record_runtime(started.elapsed());
                    let usage = slot.usage();
                    child.sample(usage);
                    bounds.check(&usage)?;
                }
                _ = disk_check.tick() => {
                    let usage = slot.disk_usage().await.map_err(|error| crashed(&error))?;
                    scratch.record_made(usage.bytes);
                    bounds.check_written(&usage)?;
                }
                _ = stall_check.tick() => {
                    stall_detector.advance(slot.usage().io_bytes);
                    // It is the store that makes no progress; its requests have a limit of their own.
                    if inputs.are_waiting() {
                        stall_detector.beat();
                    }
                    if stall_detector.stalled() {
                        return Err(stalled(self.stall_timeout));
                    }
                }
            }
        }
    }

    /// Reserves what the outputs will take of the scratch disk, before the work begins.
    fn reserve_outputs(
        &self,
        release: &Release,
        scratch: &Reservation,
        bytes: u64,
        has_begun: &mut bool,
    ) -> Result<(), MediaError> {
        let is_late = std::mem::replace(has_begun, true);
        match bytes {
            0 => return Ok(()),
            _ if is_late => return Err(late_estimate()),
            _ => {}
        }
        // No job may write more; and the estimate is the child's.
        let reserved = scratch.reserve_outputs(bytes.min(self.max_output_bytes));
        let NotEnoughSpace { needed, free } = match reserved.map_err(|error| crashed(&error))? {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        tracing::warn!(job = %release.job, needed, free, "the scratch disk has not enough space for a job");
        // What other tenants' jobs leave free is not for this one to know.
        let message = format!(
            "the outputs need about {} MiB of the worker's disk, which has less for them; another worker, \
             or a later attempt, may have the space",
            needed.div_ceil(1024 * 1024),
        );
        Err(MediaError { code: FailureCode::ScratchFull, message })
    }

    /// Reserves media minutes, makes folders and sends the permit that a child needs to continue.
    async fn grant(
        &self,
        release: &Release,
        spec: AttemptSpec<'_>,
        slot: &mut Slot,
        needs: Needs,
        charged: &mut Charged,
    ) -> Result<(), MediaError> {
        // A preview is a conversion to the child, and free as all thumbnails.
        if spec.request.is_charged()
            && let Some(micros) = charged.to_reserve(needs.charged)
        {
            let month = Box::pin(media_minutes::reserve(self, release, spec.key, micros)).await?;
            charged.record_reservation(month, micros);
        }
        for folder in &needs.folders {
            slot.folder.add(folder).map_err(|error| crashed(&error))?;
        }
        // As late as possible, so that it reflects the other running attempts.
        let permit = Permit { threads: self.active_attempts.threads() };
        slot.send_permit(permit).await.map_err(|error| crashed(&error))
    }

    pub(super) async fn log_line(&self, release: &Release, stage: &str, level: &str, line: &str) {
        let line = json!({
            "level": level, "stage": stage, "time": clock::now(),
            "attempt": release.attempt, "message": line,
        });
        let id = release.job.to_string();
        self.job_logs.publish(release.tenant.as_str(), &id, line.to_string()).await;
    }

    async fn publish_progress(&self, release: &Release, progress: &Progress) {
        let (job, tenant) = (release.job, &release.tenant);
        let body = progress_event(&job_progress(release, progress), progress.done);
        self.pubsub.publish(subject::progress(tenant, job), body.to_string()).await;
    }
}

/// The failure of a child that makes no progress.
fn stalled(timeout: Duration) -> MediaError {
    let message = format!("the media process made no progress for {} s", timeout.as_secs());
    MediaError { code: FailureCode::MediaStalled, message }
}

/// The failure of a child that sent what no intact one sends.
fn broken(error: &ProtocolViolation) -> MediaError {
    MediaError { code: FailureCode::MediaCrashed, message: error.to_string() }
}

/// The failure of a child that asks for space after its work began: an attempt that ends because the disk has
/// not enough does not count.
fn late_estimate() -> MediaError {
    MediaError {
        code: FailureCode::MediaCrashed,
        message:
            "the media process broke its protocol: it asked for disk space after its work began"
                .to_owned(),
    }
}

/// The failure of a child that finished charged work without asking for a reservation.
fn not_reserved() -> MediaError {
    MediaError {
        code: FailureCode::MediaCrashed,
        message: "the media process broke its protocol: it did not reserve media minutes"
            .to_owned(),
    }
}

/// The next message; never completes without a subscription, as the log is polled in addition.
pub(super) async fn next(
    subscription: &mut Option<Subscription>,
) -> Option<ffapi_nats::LiveMessage> {
    match subscription {
        Some(open) => match open.next().await {
            Some(message) => Some(message),
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
