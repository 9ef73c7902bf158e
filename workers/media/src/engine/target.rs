//! The constant quality that reaches a VMAF, found by trying on samples.

use std::sync::{
    Arc, PoisonError,
    atomic::{AtomicU64, Ordering},
    mpsc::sync_channel,
};

use domain::media::{MediaFacts, Micros, Plan, VideoFilter, VideoPlan, Window};
use serde_json::{Value, json};

use super::{
    Studio,
    analyze::mean,
    convert::{canvas, is_planar},
    encoder,
    filtering::Shape,
    judge::Judge,
    quality::{every_core, rounded},
    script::Look,
    tally::Tally,
    track::Track,
};
use crate::MediaError;

/// A film as short as this is its own sample.
const WHOLE: Micros = 10_000_000;

/// How long each sample of a longer one is.
const SAMPLE: Micros = 2_000_000;

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

/// The samples' places in the job's input: few and short, spread over what is kept of it.
fn samples(plan: &Plan, facts: &[MediaFacts]) -> Vec<Window> {
    let start = plan.seek;
    let end = facts.first().and_then(|own| own.duration);
    let whole = vec![Window { start, end: Some(start.saturating_add(WHOLE)) }];
    let kept = end.map(|end| end.saturating_sub(start));
    // What a trim leaves is as long as the output, unless others are put behind it.
    let kept = kept.zip(plan.duration).map(|(left, lasts)| left.min(lasts));
    let Some(kept) = kept.filter(|kept| *kept > WHOLE) else { return whole };
    let count = (kept / 20_000_000).clamp(3, 6);
    let place = |number: u64| {
        let middle = kept.saturating_mul(2 * number + 1) / (2 * count);
        let start = start.saturating_add(middle).saturating_sub(SAMPLE / 2);
        Window { start, end: Some(start.saturating_add(SAMPLE)) }
    };
    (0..count).map(place).collect()
}

/// Finds the smallest file that is as good as it should be.
pub(super) fn search(
    studio: &Studio<'_>,
    plan: &Plan,
    video: &VideoPlan,
    facts: &[MediaFacts],
    target: f64,
    tally: &Tally<'_>,
) -> Result<Found, MediaError> {
    let (best, smallest) = video.codec.crf_range().unwrap_or((0, 51));
    let samples = samples(plan, facts);
    let mut tried: Vec<Tried> = Vec::new();
    let mut next = Some(video.codec.usual_crf());
    while let Some(crf) = next {
        let found = attempt(studio, video, facts, &samples, crf)?;
        tried.push(found);
        let share = u64::try_from(tried.len()).unwrap_or(u64::MAX);
        tally.reach(plan.duration.unwrap_or(0).saturating_mul(share) / TRIES as u64);
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
    studio: &Studio<'_>,
    video: &VideoPlan,
    facts: &[MediaFacts],
    samples: &[Window],
    crf: u8,
) -> Result<Tried, MediaError> {
    let mut wanted = video.clone();
    wanted.quality.crf = Some(crf);
    // Where the camera went was noted for the whole film, picture by picture.
    wanted.filters.retain(|filter| !matches!(filter, VideoFilter::Stabilize(_)));
    let (mut scores, mut bytes, mut lasts) = (Vec::new(), 0, 0.0);
    for window in samples {
        let (seen, weight, seconds) = sample(studio, &wanted, facts, *window)?;
        scores.extend(seen);
        bytes += weight;
        lasts += seconds;
    }
    if scores.is_empty() {
        return Err(MediaError::input("the input has no pictures to judge a quality by"));
    }
    #[expect(clippy::cast_precision_loss, reason = "shown, not counted")]
    let rate = bytes as f64 * 8.0 / f64::max(lasts, 0.001);
    Ok(Tried { crf, vmaf: mean(scores.iter().copied()), rate })
}

/// The scores, the bytes and the seconds of one sample.
fn sample(
    studio: &Studio<'_>,
    video: &VideoPlan,
    facts: &[MediaFacts],
    window: Window,
) -> Result<(Vec<f64>, u64, f64), MediaError> {
    let mut flow = studio.flow(facts)?;
    let planar = is_planar(facts, video);
    let look = Look { plan: video, planar, scratch: studio.scratch };
    let mut filtering = flow.filter(look.sample(window), None)?;
    let (time_base, aspect, rate) = filtering.outcome()?;
    let parameters = super::parameters(&flow, video.source)?;
    let canvas = canvas(time_base, aspect, rate, video, &parameters, studio.scratch);
    let encoder = encoder::open_picture(video, canvas)?;
    let shape = Shape::of_plan(video, (time_base, aspect, rate))?;
    let depth = if video.pixel_format.contains("10") { 10 } else { 8 };
    let (evidence, judge) = Judge::of(&encoder, shape.clone(), shape, depth, every_core());
    let sent = Arc::new(AtomicU64::new(0));
    let bytes = Arc::new(AtomicU64::new(0));
    let (coded, packets) = sync_channel::<super::track::Coded>(1);
    let track = Track {
        filtering,
        encoder,
        time_base,
        stream: 0,
        coded: Some(coded),
        picture: true,
        limit: None,
        keys_every: None,
        sent: Arc::clone(&sent),
        seen_by: vec![evidence.given],
    };
    flow.stage(move || track.run(studio.pulse, None).map(|_| ()));
    let (weighed, made) = (Arc::clone(&bytes), evidence.made);
    flow.stage(move || {
        for coded in packets {
            weighed.fetch_add(coded.packet.size() as u64, Ordering::Relaxed);
            if made.send(coded).is_err() {
                break;
            }
        }
        Ok(())
    });
    let verdict = judge.sit(&mut flow, studio.pulse)?;
    flow.run(window.start)?;
    let scores = std::mem::take(&mut *verdict.lock().unwrap_or_else(PoisonError::into_inner));
    let rate = video.rate.as_f64();
    #[expect(clippy::cast_precision_loss, reason = "a few pictures")]
    let seconds = sent.load(Ordering::Relaxed) as f64 / if rate > 0.0 { rate } else { 25.0 };
    Ok((scores, bytes.load(Ordering::Relaxed), seconds))
}
