use ffapi_domain::{dispatch::Release, live::JobProgress};
use ffapi_media::protocol::Progress;
use serde_json::json;

use crate::clock;

/// How far a running attempt is, from what its child reports.
#[expect(clippy::cast_precision_loss, reason = "progress is displayed, not accounted")]
pub(crate) fn job_progress(release: &Release, progress: &Progress) -> JobProgress {
    let total = progress.total.filter(|total| *total > 0).map(|total| total as f64);
    let percent = |done: u64| total.map(|total| rounded((done as f64 / total * 100.0).min(100.0)));
    let eta = total
        .filter(|_| progress.speed > 0.0)
        .map(|total| (total - progress.done as f64).max(0.0) / 1_000_000.0 / progress.speed);
    let outputs = progress.outputs.iter();
    JobProgress {
        job_id: release.job,
        attempt: release.attempt,
        stage: progress.stage.clone(),
        progress: percent(progress.done),
        frames: progress.frames,
        fps: rounded(progress.fps),
        speed: rounded(progress.speed),
        eta_seconds: eta.map(rounded),
        outputs: outputs.filter_map(|(name, done)| Some((name.clone(), percent(*done)?))).collect(),
    }
}

/// To two decimals.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The `job.progress` `CloudEvent` of a running attempt whose child has written this much, in media
/// microseconds.
pub(crate) fn progress_event(progress: &JobProgress, done: u64) -> serde_json::Value {
    let JobProgress { job_id, attempt, .. } = progress;
    json!({
        "specversion": "1.0",
        "id": format!("{job_id}-{attempt}-{done}"),
        "source": "/ffapi",
        "type": "job.progress",
        "subject": job_id,
        "time": clock::now(),
        "datacontenttype": "application/json",
        "data": progress,
    })
}
