use ffapi_domain::media::Metric;
use ffmpeg_the_third::frame;
use serde_json::{Value, json};

use crate::{
    MediaError,
    statistics::{mean, rounded},
};

/// A number in the metadata that a filter added to a frame.
fn metadata_number(frame: &frame::Frame, key: &str) -> Option<f64> {
    frame.metadata().get(key).and_then(|text| text.trim().parse().ok())
}

/// Collects the values of a metric from frames.
pub(super) trait Findings: Send {
    /// Records a frame; `at` is its time in seconds.
    fn record(&mut self, frame: &frame::Frame, at: f64);
    /// The result after all frames; `duration` in seconds.
    fn result(&self, duration: Option<f64>) -> Result<Value, MediaError>;
}

/// The maximum number of per-frame values in a job's result.
const MAX_FRAMES: usize = 100_000;

/// Adds `per_frame`, the value of each frame, to a result.
pub(super) fn add_per_frame(
    result: &mut Value,
    values: impl ExactSizeIterator<Item = Value>,
) -> Result<(), MediaError> {
    if values.len() > MAX_FRAMES {
        let detail = format!("`per_frame` supports at most {MAX_FRAMES} frames; compare a part");
        return Err(MediaError::new(ffapi_domain::job::FailureCode::Unsupported, detail));
    }
    if let Some(fields) = result.as_object_mut() {
        fields.insert("per_frame".to_owned(), values.collect());
    }
    Ok(())
}

/// PSNR or SSIM against a reference.
pub(super) struct Comparison {
    metric: Metric,
    per_frame: bool,
    /// The maximum value of a sample.
    peak: f64,
    /// Values of each frame: all planes, then Y, U and V.
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

    fn value(&self, value: f64, peak: f64) -> Value {
        if self.metric != Metric::Psnr {
            return json!(rounded(value));
        }
        // Equal frames have an infinite PSNR, which JSON cannot represent.
        if value <= 0.0 {
            Value::Null
        } else {
            json!(rounded(10.0 * (peak * peak / value).log10()))
        }
    }
}

impl Findings for Comparison {
    fn record(&mut self, frame: &frame::Frame, _: f64) {
        let values = self.keys().map(|key| metadata_number(frame, key));
        if let [Some(all), y, u, v] = values {
            self.frames.push([all, y.unwrap_or(all), u.unwrap_or(all), v.unwrap_or(all)]);
        }
    }

    fn result(&self, _: Option<f64>) -> Result<Value, MediaError> {
        if self.frames.is_empty() {
            return Err(MediaError::input("no frames could be compared"));
        }
        let mean =
            |plane: usize| mean(self.frames.iter().filter_map(|frame| frame.get(plane).copied()));
        let peak = self.peak;
        let worst = self.frames.iter().map(|[all, ..]| *all);
        let worst = match self.metric {
            Metric::Psnr => worst.fold(0.0, f64::max),
            _ => worst.fold(1.0, f64::min),
        };
        let mut result = json!({
            "frames": self.frames.len(),
            "mean": self.value(mean(0), peak),
            "y": self.value(mean(1), peak),
            "u": self.value(mean(2), peak),
            "v": self.value(mean(3), peak),
            "min": self.value(worst, peak),
        });
        if self.per_frame {
            add_per_frame(&mut result, self.frames.iter().map(|[all, ..]| self.value(*all, peak)))?;
        }
        Ok(result)
    }
}

/// Loudness by EBU R128.
#[derive(Default)]
pub(super) struct Loudness {
    /// The newest values: integrated loudness (LUFS), range (LU), true peak (dBTP).
    last: Option<(f64, f64, f64)>,
}

impl Findings for Loudness {
    fn record(&mut self, frame: &frame::Frame, _: f64) {
        let peaks =
            (0..8).filter_map(|n| metadata_number(frame, &format!("lavfi.r128.true_peaks_ch{n}")));
        let peak = peaks.fold(0.0_f64, f64::max);
        let values =
            (metadata_number(frame, "lavfi.r128.I"), metadata_number(frame, "lavfi.r128.LRA"));
        if let (Some(integrated), Some(range)) = values {
            self.last = Some((integrated, range, 20.0 * peak.max(1e-9).log10()));
        }
    }

    fn result(&self, _: Option<f64>) -> Result<Value, MediaError> {
        let (integrated, range, peak) =
            self.last.ok_or_else(|| MediaError::input("the audio is too short to be measured"))?;
        Ok(json!({
            "integrated_lufs": rounded(integrated),
            "range_lu": rounded(range),
            "true_peak_dbtp": (peak * 10.0).round() / 10.0,
        }))
    }
}

/// Scene cuts.
#[derive(Default)]
pub(super) struct Scenes {
    /// Time in seconds, and score, of each cut.
    cuts: Vec<(f64, f64)>,
}

impl Findings for Scenes {
    fn record(&mut self, frame: &frame::Frame, at: f64) {
        if metadata_number(frame, "lavfi.scd.time").is_some() {
            self.cuts.push((at, metadata_number(frame, "lavfi.scd.score").unwrap_or(0.0)));
        }
    }

    fn result(&self, _: Option<f64>) -> Result<Value, MediaError> {
        let cuts = self.cuts.iter();
        Ok(json!(
            cuts.map(|(time, score)| json!({ "time": time, "score": score })).collect::<Vec<_>>()
        ))
    }
}

/// Intervals of black or silence.
pub(super) struct Intervals {
    start_key: String,
    end_key: String,
    /// Start and end, in seconds; no end if the interval is still open.
    found: Vec<(f64, Option<f64>)>,
}

impl Intervals {
    pub(super) fn new(prefix: &str) -> Self {
        let (start_key, end_key) = (format!("{prefix}_start"), format!("{prefix}_end"));
        Self { start_key, end_key, found: vec![] }
    }
}

impl Findings for Intervals {
    fn record(&mut self, frame: &frame::Frame, _: f64) {
        if let Some(end) = metadata_number(frame, &self.end_key)
            && let Some((_, open)) = self.found.last_mut()
        {
            *open = open.or(Some(end));
        }
        if let Some(start) = metadata_number(frame, &self.start_key)
            && self.found.last().is_none_or(|(last, _)| (*last - start).abs() > 1e-6)
        {
            self.found.push((start.max(0.0), None));
        }
    }

    fn result(&self, duration: Option<f64>) -> Result<Value, MediaError> {
        // An interval that lasts until the end has no frame that ends it.
        let each = self.found.iter().map(|(start, end)| {
            json!({ "start": rounded(*start), "end": end.or(duration).map(rounded) })
        });
        Ok(json!(each.collect::<Vec<_>>()))
    }
}

/// Spatial and temporal information by ITU-T P.910.
#[derive(Default)]
pub(super) struct Complexity {
    spatial: Vec<f64>,
    temporal: Vec<f64>,
}

impl Findings for Complexity {
    fn record(&mut self, frame: &frame::Frame, _: f64) {
        self.spatial.extend(metadata_number(frame, "lavfi.siti.si"));
        self.temporal.extend(metadata_number(frame, "lavfi.siti.ti"));
    }

    fn result(&self, _: Option<f64>) -> Result<Value, MediaError> {
        let mean = |all: &[f64]| rounded(mean(all.iter().copied()));
        let max = |all: &[f64]| rounded(all.iter().copied().fold(0.0, f64::max));
        Ok(json!({
            "spatial": { "mean": mean(&self.spatial), "max": max(&self.spatial) },
            "temporal": { "mean": mean(&self.temporal), "max": max(&self.temporal) },
        }))
    }
}
