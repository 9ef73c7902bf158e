use std::collections::BTreeMap;

use ffapi_domain::dispatch::Release;
use ffapi_media::protocol::Progress;
use serde_json::json;

use crate::clock;

/// The `job.progress` `CloudEvent` of a running attempt.
#[expect(clippy::cast_precision_loss, reason = "progress is displayed, not accounted")]
pub(crate) fn progress_event(release: &Release, progress: &Progress) -> serde_json::Value {
    let share = progress.total.filter(|total| *total > 0);
    let percent = share.map(|total| (progress.done as f64 / total as f64 * 100.0).min(100.0));
    let eta = share
        .filter(|_| progress.speed > 0.0)
        .map(|total| total.saturating_sub(progress.done) as f64 / 1_000_000.0 / progress.speed);
    let rounded = |value: f64| (value * 100.0).round() / 100.0;
    let outputs: BTreeMap<&String, f64> = progress
        .outputs
        .iter()
        .filter_map(|(name, done)| {
            let percent = *done as f64 / share? as f64 * 100.0;
            Some((name, rounded(percent.min(100.0))))
        })
        .collect();
    let mut fields: BTreeMap<&str, serde_json::Value> = [
        ("job_id", json!(release.job)),
        ("attempt", json!(release.attempt)),
        ("stage", json!(progress.stage)),
        ("progress", json!(percent.map(rounded))),
        ("frames", json!(progress.frames)),
        ("fps", json!(rounded(progress.fps))),
        ("speed", json!(rounded(progress.speed))),
        ("eta_seconds", json!(eta.map(rounded))),
    ]
    .into();
    if !outputs.is_empty() {
        fields.insert("outputs", json!(outputs));
    }
    json!({
        "specversion": "1.0",
        "id": format!("{}-{}-{}", release.job, release.attempt, progress.done),
        "source": "/ffapi",
        "type": "job.progress",
        "subject": release.job,
        "time": clock::now(),
        "datacontenttype": "application/json",
        "data": fields,
    })
}
