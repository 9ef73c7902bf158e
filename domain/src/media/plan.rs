//! From a request and an input's facts to exactly what the engine will do.
//!
//! Called twice: by the gateway without facts, to refuse what can never work; by the worker with
//! them, to run. The same code, so the two cannot disagree.

use serde::{Deserialize, Serialize};

use super::{
    AudioCodec, AudioFacts, Capabilities, Container, Convert, MediaFacts, Micros, Operation,
    Preset, Rational, Scale, ScaleMode, Transcode, Trim, VideoCodec, VideoFacts,
};

/// Everything the engine needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The file around the streams.
    pub container: Container,
    /// The picture, if any.
    pub video: Option<VideoPlan>,
    /// The sound, if any.
    pub audio: Option<AudioPlan>,
    /// First instant of the input that is needed: where to seek to.
    pub seek: Micros,
    /// How long the output will be; none when the input does not say.
    pub duration: Option<Micros>,
}

/// What happens to the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoPlan {
    /// Its encoder's codec.
    pub codec: VideoCodec,
    /// In this order.
    pub filters: Vec<VideoFilter>,
    /// Pixels of the output.
    pub width: u32,
    /// Pixels of the output.
    pub height: u32,
    /// Quality or size.
    pub rate: RateControl,
    /// Speed against size.
    pub preset: Preset,
    /// Frames from one keyframe to the next, at most; none leaves it to the encoder.
    pub keyframe_interval: Option<u32>,
}

/// One picture filter, typed: never text from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VideoFilter {
    /// Turns clockwise by 90, 180 or 270 degrees.
    Rotate(u16),
    /// Keeps a part and starts it at 0.
    Trim {
        /// First instant kept.
        start: Micros,
        /// First instant not kept.
        end: Option<Micros>,
    },
    /// Resizes.
    Scale {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// Keeps the middle.
    CropCentre {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// Constant frame rate, in thousandths of a frame per second.
    Fps(u32),
}

/// Quality or size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateControl {
    /// Constant quality.
    Crf(u8),
    /// Bits per second on average.
    Bitrate(u64),
}

/// What happens to the sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioPlan {
    /// Its encoder's codec.
    pub codec: AudioCodec,
    /// In this order.
    pub filters: Vec<AudioFilter>,
    /// Bits per second; none for a lossless codec.
    pub bitrate: Option<u64>,
    /// Count.
    pub channels: u32,
    /// Hertz.
    pub sample_rate: u32,
}

/// One sound filter, typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AudioFilter {
    /// Keeps a part and starts it at 0.
    Trim {
        /// First instant kept.
        start: Micros,
        /// First instant not kept.
        end: Option<Micros>,
    },
}

/// Why a request can never work, and what would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct PlanRejection {
    /// JSON pointer to the field, `#/…`.
    pub pointer: String,
    /// A sentence that says what would work.
    pub detail: String,
}

fn refuse<T>(pointer: impl Into<String>, detail: impl Into<String>) -> Result<T, PlanRejection> {
    Err(PlanRejection { pointer: pointer.into(), detail: detail.into() })
}

const MAX_SIDE: u32 = 8192;
const MAX_CHANNELS: u32 = 2;

/// Resolves a request against what is known of its input; `None` before anything is.
pub fn plan(
    request: &Convert,
    facts: Option<&MediaFacts>,
    capabilities: &Capabilities,
) -> Result<Plan, PlanRejection> {
    let (at, transcode) = the_transcode(&request.operations)?;
    let container = container(request, &transcode, at)?;
    let video_codec = transcode.video_codec.unwrap_or(VideoCodec::H264);
    let audio_codec = transcode.audio_codec.unwrap_or(AudioCodec::Aac);
    check_codecs(at, container, video_codec, audio_codec, capabilities)?;
    check_settings(at, &transcode, video_codec)?;

    let video = facts.map_or(Some(&SOME_VIDEO), |f| f.video.as_ref());
    let audio = facts.map_or(Some(&SOME_AUDIO), |f| f.audio.as_ref());
    let length = facts.and_then(|facts| length(facts, video_codec, audio_codec));
    let window = window(&request.operations, length)?;

    let video = match video {
        Some(video) if video_codec != VideoCodec::None => {
            Some(plan_video(request, video, &transcode, video_codec)?)
        }
        Some(_) | None => None,
    };
    let audio = audio
        .filter(|_| audio_codec != AudioCodec::None)
        .map(|audio| plan_audio(&request.operations, audio, &transcode, audio_codec));
    if video.is_none() && audio.is_none() {
        return refuse("#/operations", "nothing is left: the output has no video and no audio");
    }
    let duration = window.end.map(|end| end.saturating_sub(window.start));
    Ok(Plan { container, video, audio, seek: window.start, duration })
}

/// Stands for an input nobody has opened yet.
static SOME_VIDEO: VideoFacts = VideoFacts {
    codec: String::new(),
    width: 1920,
    height: 1080,
    pixel_aspect: Rational { num: 1, den: 1 },
    frame_rate: Rational { num: 25, den: 1 },
    rotation: 0,
    duration: None,
};
static SOME_AUDIO: AudioFacts =
    AudioFacts { codec: String::new(), channels: 2, sample_rate: 48_000, duration: None };

fn the_transcode(operations: &[Operation]) -> Result<(usize, Transcode), PlanRejection> {
    let mut found = None;
    for (index, operation) in operations.iter().enumerate() {
        let Operation::Transcode(transcode) = operation else { continue };
        if found.is_some() {
            return refuse(
                format!("#/operations/{index}"),
                "there can be one `transcode` only; merge its fields into the first",
            );
        }
        found = Some((index, transcode.clone()));
    }
    Ok(found.unwrap_or_default())
}

fn container(
    request: &Convert,
    transcode: &Transcode,
    at: usize,
) -> Result<Container, PlanRejection> {
    if let Some(container) = transcode.container {
        return Ok(container);
    }
    let extension = request.output.as_ref().and_then(crate::location::Location::extension);
    let Some(extension) = extension else {
        return refuse(
            "#/output",
            format!(
                "the output name has no extension; end it in .mp4, .mov or .mkv, or set \
                 `container` in `/operations/{at}`"
            ),
        );
    };
    Container::from_extension(&extension).map_or_else(
        || refuse("#/output", format!("`.{extension}` cannot be made; .mp4, .mov and .mkv can")),
        Ok,
    )
}

fn check_codecs(
    at: usize,
    container: Container,
    video: VideoCodec,
    audio: AudioCodec,
    capabilities: &Capabilities,
) -> Result<(), PlanRejection> {
    let pointer = |field: &str| format!("#/operations/{at}/{field}");
    if !capabilities.containers.contains(&container) {
        return refuse(pointer("container"), missing(container.as_str(), &capabilities.containers));
    }
    if video != VideoCodec::None && !capabilities.video_codecs.contains(&video) {
        return refuse(pointer("video_codec"), missing(video.as_str(), &capabilities.video_codecs));
    }
    if audio != AudioCodec::None && !capabilities.audio_codecs.contains(&audio) {
        return refuse(pointer("audio_codec"), missing(audio.as_str(), &capabilities.audio_codecs));
    }
    if !container.holds_audio(audio) {
        return refuse(
            pointer("audio_codec"),
            format!("{} does not go into {}; `aac` does", audio.as_str(), container.as_str()),
        );
    }
    Ok(())
}

fn missing<T: Serialize>(wanted: &str, have: &std::collections::BTreeSet<T>) -> String {
    let have = serde_json::to_string(have).unwrap_or_default();
    format!("no worker can make `{wanted}`; they can make {have}")
}

fn check_settings(at: usize, t: &Transcode, codec: VideoCodec) -> Result<(), PlanRejection> {
    let pointer = |field: &str| format!("#/operations/{at}/{field}");
    if t.crf.is_some() && t.video_bitrate.is_some() {
        return refuse(pointer("video_bitrate"), "give `crf` or `video_bitrate`, not both");
    }
    if t.crf.is_some_and(|crf| crf > 51) {
        return refuse(pointer("crf"), "crf is 0 (best) to 51 (smallest)");
    }
    for (field, value, range) in [
        ("video_bitrate", t.video_bitrate, 10_000..=200_000_000_u64),
        ("audio_bitrate", t.audio_bitrate, 8_000..=512_000),
        ("keyframe_interval", t.keyframe_interval.map(u64::from), 1..=1_000),
    ] {
        if value.is_some_and(|v| !range.contains(&v)) {
            return refuse(
                pointer(field),
                format!("{field} is {} to {}", range.start(), range.end()),
            );
        }
    }
    if t.millifps.is_some_and(|fps| !(1_000..=240_000).contains(&fps)) {
        return refuse(pointer("fps"), "fps is 1 to 240");
    }
    if codec == VideoCodec::None {
        let unused = [
            ("crf", t.crf.is_some()),
            ("video_bitrate", t.video_bitrate.is_some()),
            ("preset", t.preset.is_some()),
            ("width", t.width.is_some()),
            ("height", t.height.is_some()),
            ("fps", t.millifps.is_some()),
            ("keyframe_interval", t.keyframe_interval.is_some()),
        ];
        if let Some((field, _)) = unused.iter().find(|(_, given)| *given) {
            return refuse(pointer(field), format!("`{field}` has no effect without video"));
        }
    }
    if t.audio_codec == Some(AudioCodec::None) && t.audio_bitrate.is_some() {
        return refuse(pointer("audio_bitrate"), "`audio_bitrate` has no effect without audio");
    }
    Ok(())
}

/// How long what is kept lasts: a container is as long as its longest stream, kept or not.
fn length(facts: &MediaFacts, video: VideoCodec, audio: AudioCodec) -> Option<Micros> {
    let video = facts.video.as_ref().filter(|_| video != VideoCodec::None);
    let audio = facts.audio.as_ref().filter(|_| audio != AudioCodec::None);
    let kept = [video.map(|video| video.duration), audio.map(|audio| audio.duration)];
    let kept: Option<Vec<Micros>> = kept.into_iter().flatten().collect();
    kept.and_then(|kept| kept.into_iter().max()).or(facts.duration)
}

struct Window {
    start: Micros,
    end: Option<Micros>,
}

/// The trims together, as a part of the input.
fn window(operations: &[Operation], duration: Option<Micros>) -> Result<Window, PlanRejection> {
    let mut window = Window { start: 0, end: duration };
    for (index, operation) in operations.iter().enumerate() {
        let Operation::Trim(Trim { start, end }) = operation else { continue };
        let pointer = format!("#/operations/{index}/start");
        if end.is_some_and(|end| end <= *start) {
            return refuse(pointer, "`trim` keeps nothing: its end is not after its start");
        }
        let shifted = window.start.saturating_add(*start);
        if window.end.is_some_and(|end| shifted >= end) {
            let seconds = as_seconds(window.end.unwrap_or_default().saturating_sub(window.start));
            return refuse(
                pointer,
                format!("`start` is at or after the end: the input lasts {seconds} s here"),
            );
        }
        let end = end.map(|end| window.start.saturating_add(end));
        window = Window {
            start: shifted,
            end: match (window.end, end) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        };
    }
    Ok(window)
}

fn as_seconds(micros: Micros) -> String {
    format!("{}.{:03}", micros / 1_000_000, micros / 1_000 % 1_000)
}

fn plan_video(
    request: &Convert,
    facts: &VideoFacts,
    transcode: &Transcode,
    codec: VideoCodec,
) -> Result<VideoPlan, PlanRejection> {
    let mut filters = Vec::new();
    let (mut width, mut height) = (facts.width, facts.height);
    if facts.rotation != 0 {
        filters.push(VideoFilter::Rotate(facts.rotation));
        if !facts.rotation.is_multiple_of(180) {
            (width, height) = (height, width);
        }
    }
    for (index, operation) in request.operations.iter().enumerate() {
        let pointer = |field: &str| format!("#/operations/{index}/{field}");
        match operation {
            Operation::Trim(trim) => {
                filters.push(VideoFilter::Trim { start: trim.start, end: trim.end });
            }
            Operation::Scale(scale) => {
                (width, height) = resize(scale, (width, height), &mut filters, pointer)?;
            }
            Operation::Transcode(t) => {
                if t.width.is_some() || t.height.is_some() {
                    let scale = Scale { width: t.width, height: t.height, mode: ScaleMode::Fit };
                    (width, height) = resize(&scale, (width, height), &mut filters, pointer)?;
                }
                if let Some(millifps) = t.millifps {
                    filters.push(VideoFilter::Fps(millifps));
                }
            }
        }
    }
    // 4:2:0 needs even sides; one pixel less is better than a refusal late.
    let even = (even(width), even(height));
    if even != (width, height) {
        (width, height) = even;
        filters.push(VideoFilter::Scale { width, height });
    }
    let rate = match (transcode.crf, transcode.video_bitrate) {
        (Some(crf), _) => RateControl::Crf(crf),
        (None, Some(bitrate)) => RateControl::Bitrate(bitrate),
        (None, None) => RateControl::Crf(23),
    };
    Ok(VideoPlan {
        codec,
        filters,
        width,
        height,
        rate,
        preset: transcode.preset.unwrap_or(Preset::Medium),
        keyframe_interval: transcode.keyframe_interval,
    })
}

const fn even(side: u32) -> u32 {
    if side < 2 { 2 } else { side - side % 2 }
}

fn resize(
    scale: &Scale,
    (width, height): (u32, u32),
    filters: &mut Vec<VideoFilter>,
    pointer: impl Fn(&str) -> String,
) -> Result<(u32, u32), PlanRejection> {
    for (field, side) in [("width", scale.width), ("height", scale.height)] {
        if side.is_some_and(|side| !(16..=MAX_SIDE).contains(&side)) {
            return refuse(pointer(field), format!("{field} is 16 to {MAX_SIDE} pixels"));
        }
    }
    let follow = |side: u32, num: u32, den: u32| {
        let exact = u64::from(side) * u64::from(num) / u64::from(den.max(1));
        even(u32::try_from(exact).unwrap_or(MAX_SIDE))
    };
    let size = match (scale.width, scale.height) {
        (None, None) => {
            return refuse(pointer("width"), "`scale` needs `width`, `height` or both");
        }
        (Some(w), None) => (even(w), follow(w, height, width)),
        (None, Some(h)) => (follow(h, width, height), even(h)),
        (Some(w), Some(h)) if scale.mode == ScaleMode::Stretch => (even(w), even(h)),
        (Some(w), Some(h)) => {
            // Which side decides: for `fit` the tighter one, for `fill` the looser one.
            let wide = u64::from(width) * u64::from(h) >= u64::from(height) * u64::from(w);
            if wide == (scale.mode == ScaleMode::Fit) {
                (even(w), follow(w, height, width))
            } else {
                (follow(h, width, height), even(h))
            }
        }
    };
    if size.0 > MAX_SIDE || size.1 > MAX_SIDE {
        return refuse(pointer("width"), format!("the picture would be over {MAX_SIDE} pixels"));
    }
    if size != (width, height) {
        filters.push(VideoFilter::Scale { width: size.0, height: size.1 });
    }
    match (scale.mode, scale.width, scale.height) {
        (ScaleMode::Fill, Some(w), Some(h)) => {
            let cut = (even(w), even(h));
            if cut != size {
                filters.push(VideoFilter::CropCentre { width: cut.0, height: cut.1 });
            }
            Ok(cut)
        }
        _ => Ok(size),
    }
}

fn plan_audio(
    operations: &[Operation],
    facts: &AudioFacts,
    transcode: &Transcode,
    codec: AudioCodec,
) -> AudioPlan {
    let filters = operations
        .iter()
        .filter_map(|operation| match operation {
            Operation::Trim(trim) => Some(AudioFilter::Trim { start: trim.start, end: trim.end }),
            Operation::Scale(_) | Operation::Transcode(_) => None,
        })
        .collect();
    let bitrate = match codec {
        AudioCodec::Flac | AudioCodec::None => None,
        AudioCodec::Aac | AudioCodec::Opus => Some(transcode.audio_bitrate.unwrap_or(128_000)),
    };
    let sample_rate = match codec {
        // Opus knows 48 kHz only.
        AudioCodec::Opus => 48_000,
        AudioCodec::Aac | AudioCodec::Flac | AudioCodec::None => facts.sample_rate.min(96_000),
    };
    AudioPlan { codec, filters, bitrate, channels: facts.channels.min(MAX_CHANNELS), sample_rate }
}
