//! Estimates how much work a job is, and how long that takes according to past jobs.

use serde::{Deserialize, Serialize};

use super::{
    Analyze, AudioCodec, AudioPlan, MediaFacts, Micros, Plan, Preset, StreamPlan, Thumbnails,
    ThumbnailsPlan, VideoCodec, VideoPlan,
};
use crate::quota::minutes;

/// The amount of work of a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// Jobs of one class take about the same time per unit of work.
    pub class: String,
    /// Units of work: megapixels where frames are encoded or analysed.
    pub amount: f64,
    /// Seconds per unit, unless measured otherwise.
    pub usual: f64,
    /// Bits of all outputs, as far as the plan determines them.
    pub bits: f64,
    /// Media time that is charged: the output's duration, or the decoded duration if that is
    /// longer.
    pub charged: Micros,
}

/// What a job took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// The amount of work.
    pub effort: Effort,
    /// Wall time of the media work, in seconds.
    pub seconds: f64,
    /// Total size of all outputs.
    pub bytes: u64,
    /// CPU time of the media process over all its threads, in seconds; not recorded by early versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
}

impl Spent {
    /// False for impossible values: they come from a process that has read an untrusted file.
    pub fn is_plausible(&self) -> bool {
        let Self { effort, seconds, .. } = self;
        let in_range = |number: f64, min: f64, max: f64| (min..=max).contains(&number);
        let is_allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-+_".contains(c);
        in_range(*seconds, 0.0, MAX_JOB_SECONDS)
            && in_range(effort.amount, f64::MIN_POSITIVE, MAX_AMOUNT)
            && in_range(effort.bits, 0.0, MAX_AMOUNT)
            && !effort.class.is_empty()
            && effort.class.len() <= MAX_CLASS_LENGTH
            && effort.class.chars().all(is_allowed)
    }
}

/// No job takes longer than a week, in seconds.
const MAX_JOB_SECONDS: f64 = 7.0 * 24.0 * 3_600.0;
/// More megapixels, or bits, than a job of that duration can have.
const MAX_AMOUNT: f64 = 1e15;
/// Maximum length of a class name in bytes.
const MAX_CLASS_LENGTH: usize = 300;

/// Moving average over the jobs of a class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// Seconds per unit of work.
    pub seconds: f64,
    /// Ratio of actual to expected output bytes.
    pub bytes: f64,
    /// Number of jobs it was learned from.
    pub jobs: u64,
}

/// The estimate for a job.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Wall time of the media work in seconds, once a worker has started it.
    pub seconds: f64,
    /// Total size of all outputs.
    pub bytes: u64,
    /// Media time that is charged, in minutes.
    pub minutes_charged: f64,
    /// Number of past jobs it was learned from; 0 if only the default rates were used.
    pub learned_from: u64,
}

/// Number of a tenant's own jobs from which they outweigh those of all tenants.
const MIN_OWN_JOBS: u64 = 5;
/// Maximum factor by which learned rates deviate from the default ones.
const MAX_DEVIATION: f64 = 50.0;

/// The median; for an even count, the geometric mean of the two median values.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let low = *values.get(values.len().checked_sub(1)? / 2)?;
    let high = *values.get(values.len() / 2)?;
    Some(if values.len() % 2 == 1 { low } else { (low * high).max(0.0).sqrt() })
}

/// Weight of a new job in the moving average.
const SMOOTHING: f64 = 0.2;

impl Pace {
    /// Updates the average with one more job.
    #[must_use]
    pub fn learn(known: Option<Self>, spent: &Spent) -> Self {
        let Spent { effort, seconds, bytes, .. } = spent;
        let seconds = seconds / effort.amount;
        let expected = effort.bits / 8.0;
        let bytes = if expected > 0.0 { count(*bytes) / expected } else { 1.0 };
        let Some(known) = known else { return Self { seconds, bytes, jobs: 1 } };
        let blend = |old: f64, new: f64| old + SMOOTHING * (new - old);
        Self {
            seconds: blend(known.seconds, seconds),
            bytes: blend(known.bytes, bytes),
            jobs: known.jobs.saturating_add(1),
        }
    }

    /// The average to use, given those of all tenants including the own one: the own one if it is
    /// based on enough jobs, else the median of all, which no single tenant can move far.
    pub fn of_many(own: Option<Self>, all: &[Self]) -> Option<Self> {
        if let Some(own) = own.filter(|own| own.jobs >= MIN_OWN_JOBS) {
            return Some(own);
        }
        let jobs = all.iter().map(|pace| pace.jobs).fold(0, u64::saturating_add);
        let seconds = median(all.iter().map(|pace| pace.seconds))?;
        let bytes = median(all.iter().map(|pace| pace.bytes))?;
        Some(Self { seconds, bytes, jobs })
    }
}

impl Effort {
    /// Estimates the job from past jobs of its class.
    pub fn estimate(&self, pace: Option<Pace>) -> Estimate {
        let (seconds, bytes) = pace.map_or((self.usual, 1.0), |pace| {
            let usual = self.usual.max(0.0);
            (
                pace.seconds.clamp(usual / MAX_DEVIATION, usual * MAX_DEVIATION),
                pace.bytes.clamp(1.0 / MAX_DEVIATION, MAX_DEVIATION),
            )
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate, and never below 0"
        )]
        let bytes = (self.bits / 8.0 * bytes).round().max(0.0) as u64;
        Estimate {
            seconds: round(self.amount * seconds, 1_000.0),
            bytes,
            minutes_charged: round(minutes(self.charged), 100.0),
            learned_from: pace.map_or(0, |pace| pace.jobs),
        }
    }

    /// The work of a conversion.
    pub fn of_plan(plan: &Plan, facts: Option<&MediaFacts>) -> Self {
        let duration = plan.duration.unwrap_or(0);
        // Input that is decoded but not kept is charged as well.
        let charged = duration.max(plan.decoded.unwrap_or(0));
        let duration = seconds(duration);
        let audio_bits_total: f64 =
            plan.audio.iter().map(|audio| audio_bits(audio, facts) * duration).sum();
        let Some(video) = &plan.video else {
            let codec = plan.audio.first().map_or("none", |audio| audio.codec.as_str());
            let class = format!("sound-{codec}");
            return Self { class, amount: duration, usual: 0.01, bits: audio_bits_total, charged };
        };
        if video.codec == VideoCodec::Copy {
            let bits = video_bits(video, duration, facts) + audio_bits_total;
            let class = "copy".to_owned();
            return Self { class, amount: bits / 8e6, usual: 0.005, bits, charged };
        }
        let mut class = format!("{}-{}", video.codec.as_str(), video.preset.as_str());
        let mut usual = usual_seconds(video.codec, video.preset);
        for (enabled, name, factor) in [
            (video.quality.two_pass, "two-pass", 1.6),
            (video.quality.target_vmaf.is_some(), "target", 4.0),
        ] {
            if enabled {
                class = format!("{class}-{name}");
                usual *= factor;
            }
        }
        let amount = megapixels(video, duration);
        let bits = video_bits(video, duration, facts) + audio_bits_total;
        Self { class, amount, usual, bits, charged }
    }

    /// The work of a stream.
    pub fn of_stream(plan: &StreamPlan, facts: Option<&MediaFacts>) -> Self {
        let charged = plan.duration.unwrap_or(0);
        let duration = seconds(charged);
        let audio_bits_total: f64 =
            plan.audio.iter().map(|audio| audio_bits(audio, facts) * duration).sum();
        let videos = || plan.renditions.iter().map(|rendition| &rendition.video);
        let Some(first) = videos().next() else {
            let class = "stream-sound".to_owned();
            return Self { class, amount: duration, usual: 0.01, bits: audio_bits_total, charged };
        };
        Self {
            class: format!("stream-{}-{}", first.codec.as_str(), first.preset.as_str()),
            amount: videos().map(|video| megapixels(video, duration)).sum(),
            usual: usual_seconds(first.codec, first.preset),
            bits: videos().map(|video| video_bits(video, duration, facts)).sum::<f64>()
                + audio_bits_total,
            charged,
        }
    }

    /// The work of thumbnails.
    pub fn of_thumbnails(request: &Thumbnails, plan: &ThumbnailsPlan) -> Self {
        let pixels = f64::from(request.width.unwrap_or(320)).powi(2) * 9.0 / 16.0;
        let frames = count(plan.times.len() as u64);
        Self {
            class: format!("thumbnails-{}", request.mode.as_str()),
            amount: frames,
            usual: 0.05,
            bits: frames * pixels * 1.2,
            charged: 0,
        }
    }

    /// The work of an analysis.
    pub fn of_analysis(request: &Analyze, facts: &MediaFacts) -> Self {
        let mut names: Vec<&str> = request.metrics.iter().map(|metric| metric.as_str()).collect();
        names.sort_unstable();
        let charged = facts.duration.unwrap_or(0);
        let duration = seconds(charged);
        let video_metrics = request.metrics.iter().any(|metric| metric.needs_video());
        let amount = match facts.video() {
            Some((_, video)) if video_metrics => {
                let each = f64::from(video.width) * f64::from(video.height) / 1e6;
                each * video.frame_rate.as_f64() * duration
            }
            _ => duration,
        };
        let class = format!("analyze-{}", names.join("+"));
        Self { class, amount, usual: 0.02, bits: 0.0, charged }
    }

    /// The work of a probe.
    pub fn of_probe() -> Self {
        Self { class: "probe".to_owned(), amount: 1.0, usual: 0.1, bits: 0.0, charged: 0 }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far from what a float cannot count")]
const fn count(n: u64) -> f64 {
    n as f64
}

fn seconds(micros: Micros) -> f64 {
    count(micros) / 1e6
}

fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

fn megapixels(video: &VideoPlan, duration: f64) -> f64 {
    f64::from(video.width) * f64::from(video.height) / 1e6 * frames(video, duration)
}

fn frames(video: &VideoPlan, duration: f64) -> f64 {
    let rate = video.rate.as_f64();
    (duration * if rate > 0.0 { rate } else { 25.0 }).max(1.0)
}

/// Bits of a video stream: from the requested bitrate, or by a rule of thumb for constant quality,
/// where six steps halve the bits; at most 1.5 times the source's.
fn video_bits(video: &VideoPlan, duration: f64, facts: Option<&MediaFacts>) -> f64 {
    let source = facts.and_then(|facts| facts.video().map(|(stream, _)| stream.bitrate));
    let source = source.flatten().or_else(|| facts.and_then(|facts| facts.bitrate));
    let source = source.map(|rate| count(rate) * duration);
    if video.codec == VideoCodec::Copy {
        return source.unwrap_or(0.0);
    }
    if let Some(rate) = video.quality.bitrate {
        return count(rate) * duration;
    }
    let pixel = match video.codec {
        VideoCodec::H264 => 0.10,
        VideoCodec::Hevc => 0.055,
        VideoCodec::Vp9 => 0.06,
        VideoCodec::Av1 => 0.045,
        VideoCodec::Vp8 => 0.12,
        VideoCodec::Prores => 4.5,
        VideoCodec::Gif => 2.5,
        VideoCodec::Mjpeg | VideoCodec::Webp => 1.2,
        VideoCodec::Png => 10.0,
        VideoCodec::Copy | VideoCodec::None => 0.0,
    };
    let usual = f64::from(video.codec.default_crf());
    let steps = video.quality.crf.map_or(0.0, |crf| usual - f64::from(crf));
    let bits = pixel * (steps / 6.0).exp2() * megapixels(video, duration) * 1e6;
    let capped = video.quality.max_bitrate.map_or(bits, |max| bits.min(count(max) * duration));
    match source.filter(|_| video.codec.is_inter()) {
        Some(source) => capped.min(source * 1.5),
        None => capped,
    }
}

/// Bits per second of an audio stream.
fn audio_bits(audio: &AudioPlan, facts: Option<&MediaFacts>) -> f64 {
    let samples = f64::from(audio.sample_rate) * f64::from(audio.channels);
    let raw = samples * f64::from(audio.bits.max(16));
    match (audio.codec, audio.bitrate) {
        (AudioCodec::Copy, _) => {
            let streams = facts.into_iter().flat_map(MediaFacts::audio_streams);
            let mut own = streams.filter(|(stream, _)| stream.index == audio.source.stream);
            own.next().and_then(|(stream, _)| stream.bitrate).map_or(128_000.0, count)
        }
        (_, Some(rate)) => count(rate),
        (AudioCodec::Flac, None) => raw * 0.6,
        (AudioCodec::Pcm, None) => raw,
        (_, None) => 0.0,
    }
}

/// Default seconds per megapixel on two server cores, until past jobs provide better rates.
const fn usual_seconds(codec: VideoCodec, preset: Preset) -> f64 {
    let codec = match codec {
        VideoCodec::H264 => 0.025,
        VideoCodec::Hevc => 0.08,
        VideoCodec::Vp9 => 0.12,
        VideoCodec::Vp8 => 0.04,
        VideoCodec::Av1 => 0.06,
        VideoCodec::Prores
        | VideoCodec::Gif
        | VideoCodec::Mjpeg
        | VideoCodec::Png
        | VideoCodec::Webp
        | VideoCodec::Copy
        | VideoCodec::None => 0.012,
    };
    codec
        * match preset {
            Preset::Ultrafast => 0.3,
            Preset::Superfast => 0.4,
            Preset::Veryfast => 0.5,
            Preset::Faster => 0.7,
            Preset::Fast => 0.85,
            Preset::Medium => 1.0,
            Preset::Slow => 1.7,
            Preset::Slower => 3.0,
            Preset::Veryslow => 6.0,
        }
}
