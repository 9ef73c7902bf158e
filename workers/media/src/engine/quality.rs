//! How good a film looks beside the one it was made from, by VMAF.

use std::num::NonZero;

use ffmpeg_the_third::{Rescale, frame};
use serde_json::{Value, json};

use super::{MICROS, filtering::Filtering, measure::Measure};
use crate::{MediaError, ffi::Vmaf, heartbeat::Heartbeat};

/// Two films of one size, rate and depth, each counting from 0, to be looked at side by side.
pub(super) struct SideBySide<'env> {
    pub(super) film: Filtering<'env>,
    pub(super) reference: Filtering<'env>,
    /// Bits of a sample.
    pub(super) depth: u32,
    /// Threads of the measure's own, beside the one it is called from.
    pub(super) threads: u32,
}

/// As many threads as there are cores.
pub(super) fn every_core() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    u32::try_from(cores).unwrap_or(1)
}

impl SideBySide<'_> {
    /// The score of every picture of the film that the reference reaches; `seen` is told the time
    /// of each, in microseconds.
    pub(super) fn run(
        mut self,
        heartbeat: &Heartbeat<'_>,
        mut seen: impl FnMut(u64),
    ) -> Result<Vec<f64>, MediaError> {
        let mut measure: Option<Measure> = None;
        let (film_base, ..) = self.film.outcome()?;
        let (base, _, rate) = self.reference.outcome()?;
        let frame = match (rate.numerator(), rate.denominator()) {
            (num, den) if num > 0 && den > 0 => i64::from(den) * 1_000_000 / i64::from(num),
            _ => 40_000,
        };
        let at = |frame: &frame::Frame, base| frame.pts().unwrap_or(0).rescale(base, MICROS);
        let mut shown: Option<frame::Frame> = None;
        let mut coming = self.reference.next(heartbeat)?;
        while let Some(picture) = self.film.next(heartbeat)? {
            let now = at(&picture, film_base);
            // The nearest picture of the reference, however the two are numbered.
            while let Some(next) = coming.take_if(|next| at(next, base) <= now + frame / 2) {
                shown = Some(next);
                coming = self.reference.next(heartbeat)?;
            }
            let Some(reference) = &shown else { continue };
            if coming.is_none() && at(reference, base) + frame + frame / 2 <= now {
                break;
            }
            let measure = match &mut measure {
                Some(measure) => measure,
                none => none.insert(Measure::of(reference, self.depth, self.threads)?),
            };
            measure.compare(reference, &picture)?;
            seen(u64::try_from(now).unwrap_or(0));
            heartbeat.beat();
        }
        measure.map_or(Ok(vec![]), Measure::finish)
    }
}

/// The figures of a film, from its pictures'.
pub(super) fn pooled(scores: &[f64]) -> Result<Value, MediaError> {
    if scores.is_empty() {
        return Err(MediaError::input("no two pictures could be compared"));
    }
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = |hundredth: usize| {
        let place = sorted.len().saturating_mul(hundredth).div_ceil(100).max(1);
        rounded(sorted.get(place.saturating_sub(1)).copied().unwrap_or(0.0))
    };
    Ok(json!({
        "model": Vmaf::MODEL,
        "frames": scores.len(),
        "mean": rounded(super::analyze::mean(scores.iter().copied())),
        "harmonic_mean": rounded(harmonic_mean(scores)),
        "min": rank(0),
        "max": rank(100),
        "percentiles": {
            "1": rank(1), "5": rank(5), "10": rank(10), "25": rank(25), "50": rank(50),
        },
    }))
}

/// As libvmaf has it: of scores one higher, so that a 0 does not outweigh everything.
pub(super) fn harmonic_mean(scores: &[f64]) -> f64 {
    1.0 / super::analyze::mean(scores.iter().map(|score| 1.0 / (score + 1.0))) - 1.0
}

pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
