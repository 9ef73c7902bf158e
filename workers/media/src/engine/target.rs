//! The constant quality that reaches a VMAF, found by trying on samples.

use ffapi_domain::media::{MediaFacts, Micros, Plan, VideoFilter, VideoPlan, Window};
use serde_json::{Value, json};

use super::{
    TaskContext,
    analyze::mean,
    crf_sampling::{self, samples},
    progress::ProgressReporter,
    quality::rounded,
};
use crate::MediaError;

/// No more qualities are tried than these.
const TRIES: usize = 8;

/// How far above its target a quality may be and still be taken without looking further.
const CLOSE: f64 = 0.4;

/// What was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) crf: u8,
    /// For the job's result.
    pub(super) told: Value,
}

/// A quality that was tried.
#[derive(Debug, Clone, Copy)]
struct Tried {
    crf: u8,
    vmaf: f64,
    /// Bits per second.
    rate: f64,
}

/// Finds the smallest file that is as good as it should be.
pub(super) fn search(
    context: &TaskContext<'_>,
    plan: &Plan,
    video: &VideoPlan,
    facts: &[MediaFacts],
    target: f64,
    reporter: &ProgressReporter<'_>,
) -> Result<Found, MediaError> {
    let (best, smallest) = video.codec.crf_range().unwrap_or((0, 51));
    let left = facts.first().and_then(|own| own.duration);
    let left = left.map(|lasts| lasts.saturating_sub(plan.seek));
    // What a trim leaves is as long as the output, unless others are put behind it.
    let samples = samples(plan.seek, left.zip(plan.duration).map(|(left, lasts)| left.min(lasts)));
    let mut tried: Vec<Tried> = Vec::new();
    let mut next = Some(video.codec.usual_crf());
    while let Some(crf) = next {
        let found = attempt(context, video, facts, &samples, crf)?;
        tried.push(found);
        let share = u64::try_from(tried.len()).unwrap_or(u64::MAX);
        reporter.reach(plan.duration.unwrap_or(0).saturating_mul(share) / TRIES as u64);
        next = choose(&tried, target, (best, smallest));
    }
    let good = tried.iter().filter(|tried| tried.vmaf >= target).max_by_key(|tried| tried.crf);
    let least = tried.iter().min_by_key(|tried| tried.crf);
    let Some(taken) = good.or(least).copied() else {
        return Err(MediaError::internal("the search", "tried nothing"));
    };
    let seen: Micros = samples.iter().map(|w| w.end.unwrap_or(w.start) - w.start).sum();
    let each = tried.iter().map(|tried| {
        json!({ "crf": tried.crf, "vmaf": rounded(tried.vmaf), "video_bitrate": tried.rate.round() })
    });
    let each: Vec<Value> = each.collect();
    let told = json!({
        "target_vmaf": target,
        "reached": taken.vmaf >= target,
        "crf": taken.crf,
        "vmaf": rounded(taken.vmaf),
        "samples": samples.len(),
        "sampled_seconds": super::convert::seconds(seen.min(plan.duration.unwrap_or(seen))),
        "tried": each,
    });
    Ok(Found { crf: taken.crf, told })
}

/// Which quality to try next, from those that were tried; none once one is good enough.
fn choose(tried: &[Tried], target: f64, (best, smallest): (u8, u8)) -> Option<u8> {
    /// VMAF usually falls by about this from one quality to the next.
    const SLOPE: f64 = 1.2;
    let good = tried.iter().filter(|tried| tried.vmaf >= target).max_by_key(|tried| tried.crf);
    let bad = tried.iter().filter(|tried| tried.vmaf < target).min_by_key(|tried| tried.crf);
    if tried.len() >= TRIES || good.is_some_and(|good| good.vmaf <= target + CLOSE) {
        return None;
    }
    let least = good.map_or(Some(best), |good| good.crf.checked_add(1))?;
    let most = bad.map_or(Some(smallest), |bad| bad.crf.checked_sub(1))?;
    if least > most {
        return None;
    }
    let guess = match (good, bad) {
        (Some(good), Some(bad)) => {
            let share = (good.vmaf - target) / (good.vmaf - bad.vmaf).max(0.01);
            f64::from(good.crf) + share * f64::from(bad.crf.saturating_sub(good.crf))
        }
        (Some(one), None) | (None, Some(one)) => f64::from(one.crf) + (one.vmaf - target) / SLOPE,
        (None, None) => f64::from(best),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let guess = guess.clamp(0.0, 255.0) as u8;
    Some(guess.clamp(least, most))
}

/// Encodes the samples and looks at them.
fn attempt(
    context: &TaskContext<'_>,
    video: &VideoPlan,
    facts: &[MediaFacts],
    samples: &[Window],
    crf: u8,
) -> Result<Tried, MediaError> {
    let mut wanted = video.clone();
    wanted.quality.crf = Some(crf);
    // Where the camera went was noted for the whole film, picture by picture; and what is joined makes of
    // a sample a whole film. The others keep their places, by which their texts are found.
    for filter in &mut wanted.filters {
        let of_the_whole = matches!(
            filter,
            VideoFilter::Stabilize(_) | VideoFilter::Hold(_) | VideoFilter::Concat(_)
        );
        if of_the_whole {
            *filter = VideoFilter::Speed(1.0);
        }
    }
    let found = crf_sampling::attempt(context, &wanted, facts, samples, true)?;
    if found.scores.is_empty() {
        return Err(MediaError::input("the input has no pictures to judge a quality by"));
    }
    let rate = Some(video.rate.as_f64()).filter(|rate| *rate > 0.0).unwrap_or(25.0);
    #[expect(clippy::cast_precision_loss, reason = "shown, not counted")]
    let rate = found.bytes as f64 * 8.0 * rate / found.pictures.max(1) as f64;
    Ok(Tried { crf, vmaf: mean(found.scores.iter().copied()), rate })
}
