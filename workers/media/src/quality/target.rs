//! Searches the constant quality (CRF) that reaches a target VMAF, by encoding samples.

use ffapi_domain::media::{MediaFacts, Micros, Plan, VideoFilter, VideoPlan, Window};
use serde_json::{Value, json};

use super::crf_sampling::{self, Measured, sample_windows};
use crate::{
    MediaError,
    pipeline::{context::TaskContext, progress::ProgressReporter},
    statistics::{mean, rounded},
};

/// Maximum number of CRFs that are tried.
const MAX_ATTEMPTS: usize = 8;

/// The search stops at a VMAF that exceeds the target by at most this.
const TARGET_TOLERANCE: f64 = 0.4;

/// The result of a search.
#[derive(Debug, Clone)]
pub(crate) struct QualityFound {
    pub(crate) crf: u8,
    /// The `quality` object of the job's result.
    pub(crate) report: Value,
}

/// A CRF that was tried.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    crf: u8,
    vmaf: f64,
    /// Bits per second.
    rate: f64,
}

/// The CRFs of a codec.
#[derive(Debug, Clone, Copy)]
struct CrfRange {
    /// The one of the best quality.
    best: u8,
    /// The one of the smallest files.
    smallest: u8,
}

/// Finds the highest CRF whose VMAF reaches the target; the best quality tried if none does.
pub(crate) fn search(
    context: &TaskContext<'_>,
    plan: &Plan,
    video: &VideoPlan,
    facts: &[MediaFacts],
    target: f64,
    reporter: &ProgressReporter<'_>,
) -> Result<QualityFound, MediaError> {
    let (best, smallest) = video.codec.crf_range().unwrap_or((0, 51));
    let range = CrfRange { best, smallest };
    let left = facts.first().and_then(|primary| primary.duration);
    let left = left.map(|duration| duration.saturating_sub(plan.seek));
    // The trimmed input is as long as the output, unless others are appended to it.
    let kept = left.zip(plan.duration).map(|(left, duration)| left.min(duration));
    let samples = sample_windows(plan.seek, kept);
    let mut tried: Vec<Attempt> = Vec::new();
    let mut next = Some(video.codec.default_crf());
    while let Some(crf) = next {
        let found = try_crf(context, video, facts, &samples, crf)?;
        tried.push(found);
        let share = u64::try_from(tried.len()).unwrap_or(u64::MAX);
        reporter
            .set_position(plan.duration.unwrap_or(0).saturating_mul(share) / MAX_ATTEMPTS as u64);
        next = choose(&tried, target, range);
    }
    let good = tried.iter().filter(|tried| tried.vmaf >= target).max_by_key(|tried| tried.crf);
    let best_quality = tried.iter().min_by_key(|tried| tried.crf);
    let Some(taken) = good.or(best_quality).copied() else {
        return Err(MediaError::internal("the search", "tried nothing"));
    };
    let sampled: Micros = samples.iter().map(|w| w.end.unwrap_or(w.start) - w.start).sum();
    let each = tried.iter().map(|tried| {
        json!({ "crf": tried.crf, "vmaf": rounded(tried.vmaf), "video_bitrate": tried.rate.round() })
    });
    let each: Vec<Value> = each.collect();
    let report = json!({
        "target_vmaf": target,
        "reached": taken.vmaf >= target,
        "crf": taken.crf,
        "vmaf": rounded(taken.vmaf),
        "samples": samples.len(),
        "sampled_seconds": crate::units::seconds(sampled.min(plan.duration.unwrap_or(sampled))),
        "tried": each,
    });
    Ok(QualityFound { crf: taken.crf, report })
}

/// The CRF to try next, given those that were tried; `None` once the search is done.
fn choose(tried: &[Attempt], target: f64, range: CrfRange) -> Option<u8> {
    /// The typical decrease of VMAF from one CRF to the next.
    const SLOPE: f64 = 1.2;
    let good = tried.iter().filter(|tried| tried.vmaf >= target).max_by_key(|tried| tried.crf);
    let bad = tried.iter().filter(|tried| tried.vmaf < target).min_by_key(|tried| tried.crf);
    if tried.len() >= MAX_ATTEMPTS
        || good.is_some_and(|good| good.vmaf <= target + TARGET_TOLERANCE)
    {
        return None;
    }
    let min = good.map_or(Some(range.best), |good| good.crf.checked_add(1))?;
    let max = bad.map_or(Some(range.smallest), |bad| bad.crf.checked_sub(1))?;
    if min > max {
        return None;
    }
    let guess = match (good, bad) {
        (Some(good), Some(bad)) => {
            let share = (good.vmaf - target) / (good.vmaf - bad.vmaf).max(0.01);
            f64::from(good.crf) + share * f64::from(bad.crf.saturating_sub(good.crf))
        }
        (Some(one), None) | (None, Some(one)) => f64::from(one.crf) + (one.vmaf - target) / SLOPE,
        (None, None) => f64::from(range.best),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let guess = guess.clamp(0.0, 255.0) as u8;
    Some(guess.clamp(min, max))
}

/// Encodes the samples at a CRF, and measures their VMAF and bitrate.
fn try_crf(
    context: &TaskContext<'_>,
    video: &VideoPlan,
    facts: &[MediaFacts],
    samples: &[Window],
    crf: u8,
) -> Result<Attempt, MediaError> {
    let mut plan = video.clone();
    plan.quality.crf = Some(crf);
    // Stabilization data is per frame of the whole video, and concatenation would turn a sample
    // into a whole video. The other filters keep their index, by which their text files are found.
    for filter in &mut plan.filters {
        let needs_whole_input = matches!(
            filter,
            VideoFilter::Stabilize(_) | VideoFilter::Hold(_) | VideoFilter::Concat(_)
        );
        if needs_whole_input {
            *filter = VideoFilter::Speed(1.0);
        }
    }
    let found =
        crf_sampling::encode_samples(context, &plan, facts, samples, Measured::BitrateAndVmaf)?;
    if found.scores.is_empty() {
        return Err(MediaError::input("the input has no frames to measure a quality by"));
    }
    let rate = Some(video.rate.as_f64()).filter(|rate| *rate > 0.0).unwrap_or(25.0);
    #[expect(clippy::cast_precision_loss, reason = "shown, not counted")]
    let rate = found.bytes as f64 * 8.0 * rate / found.frames.max(1) as f64;
    Ok(Attempt { crf, vmaf: mean(found.scores.iter().copied()), rate })
}
