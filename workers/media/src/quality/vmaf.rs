//! The quality of a video compared to its reference, by VMAF.

use std::num::NonZero;

use ffmpeg_the_third::{Rescale, frame};
use serde_json::{Value, json};

use super::measure::Measure;
use crate::{
    MediaError,
    ffi::Vmaf,
    heartbeat::Heartbeat,
    pipeline::filtering::{Filtering, OutputTiming},
    statistics::{mean, rounded},
    units::MICROS,
};

/// Two videos of the same size, frame rate and bit depth, each starting at 0, to be compared.
pub(crate) struct SideBySide<'env> {
    pub(crate) distorted: Filtering<'env>,
    pub(crate) reference: Filtering<'env>,
    /// Bits per sample.
    pub(crate) depth: u32,
    /// Threads of VMAF, in addition to the calling one.
    pub(crate) threads: u32,
}

/// The number of available processor cores; 1 if it is unknown.
pub(crate) fn core_count() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    u32::try_from(cores).unwrap_or(1)
}

impl SideBySide<'_> {
    /// The score of each frame of the distorted video, up to the end of the reference. `on_frame`
    /// is called with the time of each, in microseconds.
    pub(crate) fn run(
        mut self,
        heartbeat: &Heartbeat<'_>,
        mut on_frame: impl FnMut(u64),
    ) -> Result<Vec<f64>, MediaError> {
        let mut measure: Option<Measure> = None;
        let distorted_base = self.distorted.output_timing()?.time_base;
        let OutputTiming { time_base: base, rate, .. } = self.reference.output_timing()?;
        let frame_duration = match (rate.numerator(), rate.denominator()) {
            (num, den) if num > 0 && den > 0 => i64::from(den) * 1_000_000 / i64::from(num),
            _ => 40_000,
        };
        let at = |frame: &frame::Frame, base| frame.pts().unwrap_or(0).rescale(base, MICROS);
        let mut current: Option<frame::Frame> = None;
        let mut following = self.reference.next(heartbeat)?;
        while let Some(distorted) = self.distorted.next(heartbeat)? {
            let now = at(&distorted, distorted_base);
            // The nearest frame of the reference by time, since frames may be missing in either.
            while let Some(next) =
                following.take_if(|next| at(next, base) <= now + frame_duration / 2)
            {
                current = Some(next);
                following = self.reference.next(heartbeat)?;
            }
            let Some(reference) = &current else { continue };
            if following.is_none()
                && at(reference, base) + frame_duration + frame_duration / 2 <= now
            {
                break;
            }
            let measure = match &mut measure {
                Some(measure) => measure,
                none => none.insert(Measure::of(reference, self.depth, self.threads)?),
            };
            measure.compare(reference, &distorted)?;
            on_frame(u64::try_from(now).unwrap_or(0));
            heartbeat.beat();
        }
        measure.map_or(Ok(vec![]), Measure::finish)
    }
}

/// The statistics of a video from the scores of its frames.
pub(crate) fn pooled(scores: &[f64]) -> Result<Value, MediaError> {
    if scores.is_empty() {
        return Err(MediaError::input("no frames could be compared"));
    }
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let percentile = |percent: usize| {
        let position = sorted.len().saturating_mul(percent).div_ceil(100).max(1);
        rounded(sorted.get(position.saturating_sub(1)).copied().unwrap_or(0.0))
    };
    Ok(json!({
        "model": Vmaf::MODEL,
        "frames": scores.len(),
        "mean": rounded(mean(scores.iter().copied())),
        "harmonic_mean": rounded(harmonic_mean(scores)),
        "min": percentile(0),
        "max": percentile(100),
        "percentiles": {
            "1": percentile(1),
            "5": percentile(5),
            "10": percentile(10),
            "25": percentile(25),
            "50": percentile(50),
        },
    }))
}

/// The harmonic mean as defined by libvmaf: of scores plus one, so that a 0 does not dominate.
pub(crate) fn harmonic_mean(scores: &[f64]) -> f64 {
    1.0 / mean(scores.iter().map(|score| 1.0 / (score + 1.0))) - 1.0
}
