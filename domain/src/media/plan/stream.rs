use serde::{Deserialize, Serialize};

use super::{
    AudioPlan, CueSource, Draft, Picture, PlanRejection, Sound, Source, SubtitlePlan, VideoFilter,
    VideoPlan, as_seconds, picture, refuse, sound, unknown,
};
use crate::media::{
    AudioCodec, Capabilities, Container, MAX_FILES, MediaFacts, Micros, Packaging, Scale,
    ScaleMode, SegmentFormat, Stream, StreamDetail, Transcode, Variant, VideoCodec,
    operation::resize,
};

/// Everything the engine needs to know to make a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamPlan {
    /// The ladder, largest first.
    pub renditions: Vec<Rendition>,
    /// The sounds, each once for the whole ladder.
    pub audio: Vec<AudioPlan>,
    /// The texts.
    pub captions: Vec<SubtitlePlan>,
    /// From one segment to the next.
    pub segment: Micros,
    /// How long it will be; none when the input does not say.
    pub duration: Option<Micros>,
    /// What was decided that nobody asked for, in words.
    pub notes: Vec<String>,
}

/// One step of the ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rendition {
    /// Its folder's name.
    pub name: String,
    /// What happens to the picture.
    pub video: VideoPlan,
}

/// The usual ladder: the shorter side, and the cap of its rate for H.264.
const LADDER: [(u32, u64); 7] = [
    (2160, 16_000_000),
    (1440, 9_000_000),
    (1080, 5_000_000),
    (720, 2_800_000),
    (480, 1_400_000),
    (360, 800_000),
    (240, 400_000),
];

/// Resolves a stream against what is known of its inputs; `None` before anything is.
pub fn plan_stream(
    request: &Stream,
    inputs: Option<&[MediaFacts]>,
    capabilities: &Capabilities,
) -> Result<StreamPlan, PlanRejection> {
    let codec = check(request, capabilities)?;
    let own = inputs.and_then(<[_]>::first);
    let mut draft = Draft::begin(inputs);
    super::begin(&mut draft, own.unwrap_or(&unknown()), (codec, AudioCodec::Aac), own.is_some());
    let any = Transcode { preset: request.preset, ..Transcode::default() };
    let settings = picture::Settings { at: 0, container: Container::Mp4, transcode: &any, codec };
    settings.prepare(&mut draft, &[])?;
    let mut renditions = Vec::new();
    if let Some(picture) = draft.picture.take() {
        let known = own.is_some();
        for (variant, cap) in ladder(request, &picture, known, &mut draft.notes) {
            renditions.push(rendition(request, &variant, cap, &picture, codec, own)?);
        }
    }
    let audio = match own {
        Some(facts) => all_sounds(request, facts, inputs)?,
        None => vec![],
    };
    if own.is_some() && renditions.is_empty() && audio.is_empty() {
        return refuse("#/input", "the input has no video and no audio");
    }
    let segment = request.segment_duration.unwrap_or(6_000_000);
    let streams = renditions.len().saturating_add(audio.len()) as u64;
    let files = draft.duration.map_or(0, |lasts| lasts.div_ceil(segment).saturating_mul(streams));
    if files > MAX_FILES {
        let detail = format!(
            "that would be {files} segments, and {MAX_FILES} is the most; make them longer"
        );
        return refuse("#/segment_duration", detail);
    }
    let mut captions = Vec::new();
    for (place, caption) in request.captions.iter().enumerate() {
        let (input, facts) = draft.next_input();
        let text = facts.and_then(|facts| {
            let text = StreamDetail::Subtitle { text: true };
            facts.streams.iter().find(|stream| stream.detail == text)
        });
        if facts.is_some() && text.is_none() {
            let pointer = format!("#/captions/{place}/input");
            return refuse(pointer, "it holds no text; SRT, ASS and WebVTT work");
        }
        let stream = text.map_or(0, |stream| stream.index);
        captions.push(SubtitlePlan {
            source: CueSource { input, stream, edits: vec![] },
            language: Some(caption.language.clone()),
            sidecar: true,
        });
    }
    Ok(StreamPlan {
        renditions,
        audio,
        captions,
        segment,
        duration: draft.duration,
        notes: draft.notes,
    })
}

fn check(request: &Stream, capabilities: &Capabilities) -> Result<VideoCodec, PlanRejection> {
    let codec = request.video_codec.unwrap_or(VideoCodec::H264);
    if !matches!(codec, VideoCodec::H264 | VideoCodec::Hevc) {
        let detail = format!("a stream's video is `h264` or `hevc`, not `{}`", codec.as_str());
        return refuse("#/video_codec", detail);
    }
    if !capabilities.encodes_video(codec) {
        let detail = super::missing(codec.as_str(), &capabilities.video_codecs);
        return refuse("#/video_codec", detail);
    }
    if let Some(segment) = request.segment_duration
        && !(1_000_000..=30_000_000).contains(&segment)
    {
        let detail = format!("a segment lasts 1 to 30 seconds, not {}", as_seconds(segment));
        return refuse("#/segment_duration", detail);
    }
    let hls = request.packaging == Packaging::Hls;
    if request.segments == SegmentFormat::Ts && !hls {
        return refuse("#/segment_format", "`ts` segments are for the type `hls`");
    }
    if request.segments == SegmentFormat::Ts && codec == VideoCodec::Hevc {
        return refuse("#/segment_format", "players take hevc in `fmp4` segments alone");
    }
    if request.encrypted && !hls {
        return refuse("#/encryption", "`aes-128` is for the type `hls`");
    }
    if request.variants.len() > 10 {
        return refuse("#/variants", "a ladder has at most 10 variants");
    }
    for (place, variant) in request.variants.iter().enumerate() {
        check_variant(place, variant, &request.variants)?;
    }
    for (place, caption) in request.captions.iter().enumerate() {
        let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if !(2..=16).contains(&caption.language.len()) || !caption.language.bytes().all(valid) {
            let pointer = format!("#/captions/{place}/language");
            return refuse(pointer, "`language` is a code like `en` or `pt-BR`");
        }
        let clean =
            |name: &String| name.len() <= 64 && !name.chars().any(|c| c.is_control() || c == '"');
        if !caption.name.as_ref().is_none_or(clean) {
            let pointer = format!("#/captions/{place}/name");
            return refuse(pointer, "`name` is up to 64 bytes without quotes or line breaks");
        }
    }
    Ok(codec)
}

fn check_variant(place: usize, variant: &Variant, all: &[Variant]) -> Result<(), PlanRejection> {
    let refuse = |field: &str, detail: &str| refuse(format!("#/variants/{place}/{field}"), detail);
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let name = &variant.name;
    let ours = ["audio", "captions"].iter().any(|ours| name.starts_with(ours));
    if !(1..=32).contains(&name.len()) || !name.bytes().all(valid) || ours {
        let detail = "`name` is 1 to 32 letters, digits, `-` and `_`, and does not begin with \
                      `audio` or `captions`";
        return refuse("name", detail);
    }
    if all.iter().filter(|other| other.name == variant.name).count() > 1 {
        return refuse("name", "two variants have this name");
    }
    if variant.width.is_none() && variant.height.is_none() {
        return refuse("height", "a variant needs a `width`, a `height` or both");
    }
    for (field, side) in [("width", variant.width), ("height", variant.height)] {
        if side.is_some_and(|side| !(64..=super::MAX_SIDE).contains(&side)) {
            return refuse(field, "a side is 64 to 8192 pixels");
        }
    }
    if variant.video_bitrate.is_some() && variant.crf.is_some() {
        return refuse("crf", "give `crf` or `video_bitrate`, not both");
    }
    if variant.video_bitrate.is_some_and(|rate| !(50_000..=200_000_000).contains(&rate)) {
        return refuse("video_bitrate", "`video_bitrate` is 50000 to 200000000");
    }
    if variant.crf.is_some_and(|crf| crf > 51) {
        return refuse("crf", "crf is 0 (best) to 51 (smallest)");
    }
    if variant.audio_bitrate.is_some_and(|rate| !(16_000..=512_000).contains(&rate)) {
        return refuse("audio_bitrate", "`audio_bitrate` is 16000 to 512000");
    }
    Ok(())
}

/// The steps that do not enlarge the film, each with the cap of its rate.
fn ladder(
    request: &Stream,
    picture: &Picture,
    known: bool,
    notes: &mut Vec<String>,
) -> Vec<(Variant, u64)> {
    let (wide, high) = picture.shown_size();
    let upright = high > wide;
    let short = wide.min(high);
    let of_side = |side: u32| {
        let (width, height) = if upright { (Some(side), None) } else { (None, Some(side)) };
        Variant {
            name: format!("{side}p"),
            width,
            height,
            video_bitrate: None,
            crf: None,
            audio_bitrate: None,
        }
    };
    let cap = |side: u32| {
        let step = LADDER.iter().rev().find(|(step, _)| *step >= side);
        step.map_or(24_000_000, |(_, rate)| *rate)
    };
    if request.variants.is_empty() {
        let mut steps: Vec<u32> =
            LADDER.iter().map(|(side, _)| *side).filter(|side| *side <= short).collect();
        if steps.is_empty() {
            steps.push(short - short % 2);
        }
        notes.push(format!(
            "the ladder goes from the film's {short} lines down; each step has constant quality \
             below a cap by its size, so that an easy film takes less"
        ));
        return steps.into_iter().map(|side| (of_side(side), cap(side))).collect();
    }
    let fits = |variant: &&Variant| {
        !known
            || (variant.width.is_none_or(|width| width <= wide)
                && variant.height.is_none_or(|height| height <= high))
    };
    let mut kept: Vec<Variant> = request.variants.iter().filter(fits).cloned().collect();
    let left_out: Vec<&str> = request
        .variants
        .iter()
        .filter(|variant| !fits(variant))
        .map(|variant| variant.name.as_str())
        .collect();
    if !left_out.is_empty() {
        notes.push(format!(
            "larger than the film's {wide}x{high}, and left out: {}",
            left_out.join(", ")
        ));
    }
    if kept.is_empty() {
        kept.extend(request.variants.first().map(|first| Variant {
            width: None,
            height: Some(high - high % 2),
            ..first.clone()
        }));
    }
    kept.into_iter()
        .map(|variant| {
            let scale =
                Scale { width: variant.width, height: variant.height, mode: ScaleMode::Fit };
            let (width, height) = resize(picture, &scale);
            let cap = cap(width.min(height));
            (variant, cap)
        })
        .collect()
}

fn rendition(
    request: &Stream,
    variant: &Variant,
    cap: u64,
    picture: &Picture,
    codec: VideoCodec,
    own: Option<&MediaFacts>,
) -> Result<Rendition, PlanRejection> {
    let mut picture = picture.clone();
    let scale = Scale { width: variant.width, height: variant.height, mode: ScaleMode::Fit };
    let size = resize(&picture, &scale);
    picture.scale_to(size);
    if picture.rate.num > 0 {
        // Segments of all steps begin with the same pictures.
        picture.filters.push(VideoFilter::Rate(picture.rate));
        picture.variable_rate = false;
    }
    // HEVC does with two thirds.
    let cap = if codec == VideoCodec::Hevc { cap / 3 * 2 } else { cap };
    let transcode = Transcode {
        crf: variant.crf,
        video_bitrate: variant.video_bitrate,
        max_bitrate: Some(variant.video_bitrate.map_or(cap, |rate| rate / 2 * 3)),
        preset: request.preset,
        // Longer than any segment: keyframes stand where segments begin.
        keyframe_interval: Some(1_000),
        ..Transcode::default()
    };
    let settings =
        picture::Settings { at: 0, container: Container::Mp4, transcode: &transcode, codec };
    let video = settings.finish(picture, own, &mut vec![])?;
    Ok(Rendition { name: variant.name.clone(), video })
}

/// Every sound of the film: players choose among languages.
fn all_sounds(
    request: &Stream,
    facts: &MediaFacts,
    inputs: Option<&[MediaFacts]>,
) -> Result<Vec<AudioPlan>, PlanRejection> {
    let source = |stream: u32| Source { input: 0, stream };
    let mut sources: Vec<Source> = facts.sounds().map(|(stream, _)| source(stream.index)).collect();
    // The best one comes first, and plays unless another is chosen.
    if let Some((best, _)) = facts.audio() {
        sources.sort_by_key(|source| source.stream != best.index);
    }
    sources.truncate(8);
    let Some(first) = sources.first() else { return Ok(vec![]) };
    let mut sound = Sound::of(*first);
    sound.sources = sources;
    let bitrate = request.variants.iter().filter_map(|variant| variant.audio_bitrate).max();
    let codec = AudioCodec::Aac;
    let settings = sound::Settings { at: 0, container: Container::Mp4, codec, bitrate };
    sound::finish(sound, inputs, &settings)
}
