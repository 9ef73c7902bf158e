use ffapi_domain::media::Metric;
use ffmpeg_the_third::frame;
use serde_json::{Value, json};

use super::{super::quality::rounded, number};
use crate::MediaError;

/// What is gathered from frames as they pass.
pub(super) trait Findings: Send {
    fn see(&mut self, frame: &frame::Frame, at: f64);
    /// The findings, once all frames have passed; `duration` in seconds.
    fn tell(&self, duration: Option<f64>) -> Result<Value, MediaError>;
}

/// What fits into a job's result.
const MAX_FRAMES: usize = 100_000;

/// The mean; 0 of nothing.
pub(in crate::engine) fn mean(all: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = all.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    sum / f64::max(count, 1.0)
}

/// Tells the figure of every frame beside those of the film.
pub(super) fn each_frame(
    told: &mut Value,
    each: impl ExactSizeIterator<Item = Value>,
) -> Result<(), MediaError> {
    if each.len() > MAX_FRAMES {
        let detail = format!("`per_frame` tells of at most {MAX_FRAMES} frames; compare a part");
        return Err(MediaError::new(ffapi_domain::job::FailureCode::Unsupported, detail));
    }
    if let Some(fields) = told.as_object_mut() {
        fields.insert("per_frame".to_owned(), each.collect());
    }
    Ok(())
}

/// PSNR or SSIM against a reference.
pub(super) struct Comparison {
    metric: Metric,
    per_frame: bool,
    /// The largest value of a sample.
    peak: f64,
    frames: Vec<[f64; 4]>,
}

impl Comparison {
    pub(super) const fn new(metric: Metric, per_frame: bool, peak: f64) -> Self {
        Self { metric, per_frame, peak, frames: vec![] }
    }

    const fn keys(&self) -> [&'static str; 4] {
        match self.metric {
            Metric::Psnr => {
                ["lavfi.psnr.mse_avg", "lavfi.psnr.mse.y", "lavfi.psnr.mse.u", "lavfi.psnr.mse.v"]
            }
            _ => ["lavfi.ssim.All", "lavfi.ssim.Y", "lavfi.ssim.U", "lavfi.ssim.V"],
        }
    }

    fn figure(&self, value: f64, peak: f64) -> Value {
        if self.metric != Metric::Psnr {
            return json!(rounded(value));
        }
        // Equal pictures have no noise; JSON has no infinity.
        if value <= 0.0 {
            Value::Null
        } else {
            json!(rounded(10.0 * (peak * peak / value).log10()))
        }
    }
}

impl Findings for Comparison {
    fn see(&mut self, frame: &frame::Frame, _: f64) {
        let found = self.keys().map(|key| number(frame, key));
        if let [Some(all), y, u, v] = found {
            self.frames.push([all, y.unwrap_or(all), u.unwrap_or(all), v.unwrap_or(all)]);
        }
    }

    fn tell(&self, _: Option<f64>) -> Result<Value, MediaError> {
        if self.frames.is_empty() {
            return Err(MediaError::input("no two pictures could be compared"));
        }
        let mean =
            |place: usize| mean(self.frames.iter().filter_map(|frame| frame.get(place).copied()));
        let peak = self.peak;
        let worst = self.frames.iter().map(|[all, ..]| *all);
        let worst = match self.metric {
            Metric::Psnr => worst.fold(0.0, f64::max),
            _ => worst.fold(1.0, f64::min),
        };
        let mut told = json!({
            "frames": self.frames.len(),
            "mean": self.figure(mean(0), peak),
            "y": self.figure(mean(1), peak),
            "u": self.figure(mean(2), peak),
            "v": self.figure(mean(3), peak),
            "min": self.figure(worst, peak),
        });
        if self.per_frame {
            each_frame(&mut told, self.frames.iter().map(|[all, ..]| self.figure(*all, peak)))?;
        }
        Ok(told)
    }
}

/// EBU R128.
#[derive(Default)]
pub(super) struct Loudness {
    last: Option<(f64, f64, f64)>,
}

impl Findings for Loudness {
    fn see(&mut self, frame: &frame::Frame, _: f64) {
        let peaks = (0..8).filter_map(|n| number(frame, &format!("lavfi.r128.true_peaks_ch{n}")));
        let peak = peaks.fold(0.0_f64, f64::max);
        let told = (number(frame, "lavfi.r128.I"), number(frame, "lavfi.r128.LRA"));
        if let (Some(integrated), Some(range)) = told {
            self.last = Some((integrated, range, 20.0 * peak.max(1e-9).log10()));
        }
    }

    fn tell(&self, _: Option<f64>) -> Result<Value, MediaError> {
        let (integrated, range, peak) =
            self.last.ok_or_else(|| MediaError::input("the sound is too short to be measured"))?;
        Ok(json!({
            "integrated_lufs": rounded(integrated),
            "range_lu": rounded(range),
            "true_peak_dbtp": (peak * 10.0).round() / 10.0,
        }))
    }
}

/// Cuts from one shot to another.
#[derive(Default)]
pub(super) struct Scenes {
    cuts: Vec<(f64, f64)>,
}

impl Findings for Scenes {
    fn see(&mut self, frame: &frame::Frame, at: f64) {
        if number(frame, "lavfi.scd.time").is_some() {
            self.cuts.push((at, number(frame, "lavfi.scd.score").unwrap_or(0.0)));
        }
    }

    fn tell(&self, _: Option<f64>) -> Result<Value, MediaError> {
        let cuts = self.cuts.iter();
        Ok(json!(
            cuts.map(|(time, score)| json!({ "time": time, "score": score })).collect::<Vec<_>>()
        ))
    }
}

/// Stretches of black or silence.
pub(super) struct Intervals {
    start_key: String,
    end_key: String,
    found: Vec<(f64, Option<f64>)>,
}

impl Intervals {
    pub(super) fn new(prefix: &str) -> Self {
        let (start_key, end_key) = (format!("{prefix}_start"), format!("{prefix}_end"));
        Self { start_key, end_key, found: vec![] }
    }
}

impl Findings for Intervals {
    fn see(&mut self, frame: &frame::Frame, _: f64) {
        if let Some(end) = number(frame, &self.end_key)
            && let Some((_, open)) = self.found.last_mut()
        {
            *open = open.or(Some(end));
        }
        if let Some(start) = number(frame, &self.start_key)
            && self.found.last().is_none_or(|(last, _)| (*last - start).abs() > 1e-6)
        {
            self.found.push((start.max(0.0), None));
        }
    }

    fn tell(&self, duration: Option<f64>) -> Result<Value, MediaError> {
        // What lasts until the end is not ended by any frame.
        let each = self.found.iter().map(|(start, end)| {
            json!({ "start": rounded(*start), "end": end.or(duration).map(rounded) })
        });
        Ok(json!(each.collect::<Vec<_>>()))
    }
}

/// ITU-T P.910: detail within pictures, and change between them.
#[derive(Default)]
pub(super) struct Complexity {
    spatial: Vec<f64>,
    temporal: Vec<f64>,
}

impl Findings for Complexity {
    fn see(&mut self, frame: &frame::Frame, _: f64) {
        self.spatial.extend(number(frame, "lavfi.siti.si"));
        self.temporal.extend(number(frame, "lavfi.siti.ti"));
    }

    fn tell(&self, _: Option<f64>) -> Result<Value, MediaError> {
        let mean = |all: &[f64]| rounded(mean(all.iter().copied()));
        let most = |all: &[f64]| rounded(all.iter().copied().fold(0.0, f64::max));
        Ok(json!({
            "spatial": { "mean": mean(&self.spatial), "max": most(&self.spatial) },
            "temporal": { "mean": mean(&self.temporal), "max": most(&self.temporal) },
        }))
    }
}
