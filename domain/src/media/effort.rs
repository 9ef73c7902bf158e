//! How much work a job is, and what past jobs say of how long that takes.

use serde::{Deserialize, Serialize};

use super::{
    Analyze, AudioCodec, AudioPlan, MediaFacts, Micros, Plan, Preset, StreamPlan, Thumbnails,
    ThumbnailsPlan, VideoCodec, VideoPlan,
};

/// How much work a job is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// Jobs of one class take about as long for as much.
    pub class: String,
    /// How much: millions of pixels where pictures are coded or looked at.
    pub amount: f64,
    /// Seconds that one of it takes where nobody has learned better.
    pub usual: f64,
    /// Bits of all outputs, as far as a plan can tell.
    pub bits: f64,
    /// Media time that is charged: of the output, or what is decoded for it if that is more.
    pub charged: Micros,
}

/// What a job took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// How much it was.
    pub effort: Effort,
    /// Wall time of the media work.
    pub seconds: f64,
    /// Of all outputs.
    pub bytes: u64,
}

impl Spent {
    /// False of what cannot have been: it comes from a process that read a stranger's file.
    pub fn is_plausible(&self) -> bool {
        let Self { effort, seconds, .. } = self;
        let within = |number: f64, least: f64, most: f64| (least..=most).contains(&number);
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-+_".contains(c);
        within(*seconds, 0.0, LONGEST)
            && within(effort.amount, f64::MIN_POSITIVE, MOST)
            && within(effort.bits, 0.0, MOST)
            && !effort.class.is_empty()
            && effort.class.len() <= CLASS
            && effort.class.chars().all(named)
    }
}

/// Seconds: no job takes longer than a week.
const LONGEST: f64 = 7.0 * 24.0 * 3_600.0;
/// More pixels in millions, or bits, than a job of that length can have.
const MOST: f64 = 1e15;
/// Characters of a class's name.
const CLASS: usize = 300;

/// What the jobs of a class took: the newer, the more they count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// Seconds for each of the amount.
    pub seconds: f64,
    /// Bytes that came out for each that the plan expected.
    pub bytes: f64,
    /// How many have been learned from.
    pub jobs: u64,
}

/// What a job will take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Wall time of the media work, once a worker has it.
    pub seconds: f64,
    /// Of all outputs together.
    pub bytes: u64,
    /// Media time that is charged, in minutes.
    pub minutes_charged: f64,
    /// How many past jobs it was learned from; 0 is a rule of thumb.
    pub learned_from: u64,
}

/// Jobs of one's own that say more than those of everybody.
const ENOUGH: u64 = 5;
/// How far from the rule of thumb an estimate goes, whatever was learned.
const FAR: f64 = 50.0;

/// The median; of two in the middle, what lies between them by their ratio.
fn middle(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let low = *values.get(values.len().checked_sub(1)? / 2)?;
    let high = *values.get(values.len() / 2)?;
    Some(if values.len() % 2 == 1 { low } else { (low * high).max(0.0).sqrt() })
}

/// How much a new job changes what is known.
const WEIGHT: f64 = 0.2;

impl Pace {
    /// Learns from one more job.
    #[must_use]
    pub fn learn(known: Option<Self>, spent: &Spent) -> Self {
        let Spent { effort, seconds, bytes } = spent;
        let seconds = seconds / effort.amount;
        let expected = effort.bits / 8.0;
        let bytes = if expected > 0.0 { count(*bytes) / expected } else { 1.0 };
        let Some(known) = known else { return Self { seconds, bytes, jobs: 1 } };
        let blend = |old: f64, new: f64| old + WEIGHT * (new - old);
        Self {
            seconds: blend(known.seconds, seconds),
            bytes: blend(known.bytes, bytes),
            jobs: known.jobs.saturating_add(1),
        }
    }

    /// What to believe of what the jobs of each tenant took, one's own among them: one's own once there
    /// are enough of them, else the middle of all, which no single tenant moves far.
    pub fn of_many(own: Option<Self>, all: &[Self]) -> Option<Self> {
        if let Some(own) = own.filter(|own| own.jobs >= ENOUGH) {
            return Some(own);
        }
        let jobs = all.iter().map(|pace| pace.jobs).fold(0, u64::saturating_add);
        let seconds = middle(all.iter().map(|pace| pace.seconds))?;
        let bytes = middle(all.iter().map(|pace| pace.bytes))?;
        Some(Self { seconds, bytes, jobs })
    }
}

impl Effort {
    /// What it will take, by what past jobs of its class took.
    pub fn estimate(&self, pace: Option<Pace>) -> Estimate {
        let (seconds, bytes) = pace.map_or((self.usual, 1.0), |pace| {
            let usual = self.usual.max(0.0);
            (pace.seconds.clamp(usual / FAR, usual * FAR), pace.bytes.clamp(1.0 / FAR, FAR))
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
            minutes_charged: round(count(self.charged) / 60_000_000.0, 100.0),
            learned_from: pace.map_or(0, |pace| pace.jobs),
        }
    }

    /// Of a conversion.
    pub fn of_plan(plan: &Plan, facts: Option<&MediaFacts>) -> Self {
        let lasts = plan.duration.unwrap_or(0);
        // What is decoded and not kept is work as well.
        let charged = lasts.max(plan.decoded.unwrap_or(0));
        let lasts = seconds(lasts);
        let sound: f64 = plan.audio.iter().map(|audio| audio_bits(audio, facts) * lasts).sum();
        let Some(video) = &plan.video else {
            let codec = plan.audio.first().map_or("none", |audio| audio.codec.as_str());
            let class = format!("sound-{codec}");
            return Self { class, amount: lasts, usual: 0.01, bits: sound, charged };
        };
        if video.codec == VideoCodec::Copy {
            let bits = video_bits(video, lasts, facts) + sound;
            let class = "copy".to_owned();
            return Self { class, amount: bits / 8e6, usual: 0.005, bits, charged };
        }
        let mut class = format!("{}-{}", video.codec.as_str(), video.preset.as_str());
        let mut usual = usual_seconds(video.codec, video.preset);
        for (asked, name, times) in [
            (video.quality.two_pass, "two-pass", 1.6),
            (video.quality.target_vmaf.is_some(), "target", 4.0),
        ] {
            if asked {
                class = format!("{class}-{name}");
                usual *= times;
            }
        }
        let amount = megapixels(video, lasts);
        let bits = video_bits(video, lasts, facts) + sound;
        Self { class, amount, usual, bits, charged }
    }

    /// Of a stream.
    pub fn of_stream(plan: &StreamPlan, facts: Option<&MediaFacts>) -> Self {
        let charged = plan.duration.unwrap_or(0);
        let lasts = seconds(charged);
        let sound: f64 = plan.audio.iter().map(|audio| audio_bits(audio, facts) * lasts).sum();
        let videos = || plan.renditions.iter().map(|rendition| &rendition.video);
        let Some(first) = videos().next() else {
            let class = "stream-sound".to_owned();
            return Self { class, amount: lasts, usual: 0.01, bits: sound, charged };
        };
        Self {
            class: format!("stream-{}-{}", first.codec.as_str(), first.preset.as_str()),
            amount: videos().map(|video| megapixels(video, lasts)).sum(),
            usual: usual_seconds(first.codec, first.preset),
            bits: videos().map(|video| video_bits(video, lasts, facts)).sum::<f64>() + sound,
            charged,
        }
    }

    /// Of taking pictures.
    pub fn of_thumbnails(request: &Thumbnails, plan: &ThumbnailsPlan) -> Self {
        let pixels = f64::from(request.width.unwrap_or(320)).powi(2) * 9.0 / 16.0;
        let pictures = count(plan.times.len() as u64);
        Self {
            class: format!("thumbnails-{}", request.mode.as_str()),
            amount: pictures,
            usual: 0.05,
            bits: pictures * pixels * 1.2,
            charged: 0,
        }
    }

    /// Of measuring.
    pub fn of_analysis(request: &Analyze, facts: &MediaFacts) -> Self {
        let mut names: Vec<&str> = request.metrics.iter().map(|metric| metric.as_str()).collect();
        names.sort_unstable();
        let charged = facts.duration.unwrap_or(0);
        let lasts = seconds(charged);
        let looks = request.metrics.iter().any(|metric| metric.of_picture());
        let amount = match facts.video() {
            Some((_, video)) if looks => {
                let each = f64::from(video.width) * f64::from(video.height) / 1e6;
                each * video.frame_rate.as_f64() * lasts
            }
            _ => lasts,
        };
        let class = format!("analyze-{}", names.join("+"));
        Self { class, amount, usual: 0.02, bits: 0.0, charged }
    }

    /// Of looking at what a file is.
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

fn megapixels(video: &VideoPlan, lasts: f64) -> f64 {
    f64::from(video.width) * f64::from(video.height) / 1e6 * pictures(video, lasts)
}

fn pictures(video: &VideoPlan, lasts: f64) -> f64 {
    let rate = video.rate.as_f64();
    (lasts * if rate > 0.0 { rate } else { 25.0 }).max(1.0)
}

/// Bits of a picture stream: as asked, or by constant quality's rule of thumb, half for every six
/// steps; a film that took little already takes no more.
fn video_bits(video: &VideoPlan, lasts: f64, facts: Option<&MediaFacts>) -> f64 {
    let source = facts.and_then(|facts| facts.video().map(|(stream, _)| stream.bitrate));
    let source = source.flatten().or_else(|| facts.and_then(|facts| facts.bitrate));
    let source = source.map(|rate| count(rate) * lasts);
    if video.codec == VideoCodec::Copy {
        return source.unwrap_or(0.0);
    }
    if let Some(rate) = video.quality.bitrate {
        return count(rate) * lasts;
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
    let usual = f64::from(video.codec.usual_crf());
    let steps = video.quality.crf.map_or(0.0, |crf| usual - f64::from(crf));
    let bits = pixel * (steps / 6.0).exp2() * megapixels(video, lasts) * 1e6;
    let capped = video.quality.max_bitrate.map_or(bits, |most| bits.min(count(most) * lasts));
    match source.filter(|_| video.codec.is_inter()) {
        Some(source) => capped.min(source * 1.5),
        None => capped,
    }
}

/// Bits a second of a sound.
fn audio_bits(audio: &AudioPlan, facts: Option<&MediaFacts>) -> f64 {
    let samples = f64::from(audio.sample_rate) * f64::from(audio.channels);
    let raw = samples * f64::from(audio.bits.max(16));
    match (audio.codec, audio.bitrate) {
        (AudioCodec::Copy, _) => {
            let sounds = facts.into_iter().flat_map(MediaFacts::sounds);
            let mut own = sounds.filter(|(stream, _)| stream.index == audio.source.stream);
            own.next().and_then(|(stream, _)| stream.bitrate).map_or(128_000.0, count)
        }
        (_, Some(rate)) => count(rate),
        (AudioCodec::Flac, None) => raw * 0.6,
        (AudioCodec::Pcm, None) => raw,
        (_, None) => 0.0,
    }
}

/// Seconds for a million pixels on two cores of a server: a rule of thumb until jobs teach better.
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
