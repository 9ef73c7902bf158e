//! From a request and its inputs' facts to exactly what the engine will do.
//!
//! Called twice: by the gateway without facts, to refuse what can never work; by the worker with
//! them, to run. The same code, so the two cannot disagree.

mod draft;
mod filter;
mod picture;
mod sound;
mod stream;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    draft::Source,
    filter::{Adjust, AudioFilter, Segment, SoundSegment, TimeEdit, VideoFilter, Window},
    picture::{Fields, RateControl, VideoPlan},
    sound::AudioPlan,
    stream::{Rendition, StreamPlan, plan_stream},
};
pub(crate) use self::{
    draft::{Draft, Levels, MAX_SIDE, Picture, Place, Sound, even},
    filter::stretched,
};
use super::{
    AudioCodec, AudioFacts, Capabilities, Chapter, Container, Convert, MAX_FILES, MediaFacts,
    Micros, Numbered, Operation, StreamDetail, StreamFacts, Transcode, VideoCodec, VideoFacts,
    facts::{Chroma, Color, Rational},
};

/// Everything the engine needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The file around the streams.
    pub container: Container,
    /// True if every picture becomes a numbered file.
    pub sequence: bool,
    /// The picture, if any.
    pub video: Option<VideoPlan>,
    /// The sounds, in the output's order.
    pub audio: Vec<AudioPlan>,
    /// The subtitles that become streams or files.
    pub subtitles: Vec<SubtitlePlan>,
    /// The subtitles that are drawn on the picture.
    pub cues: Vec<CueSource>,
    /// First instant of the job's input that is needed: where to seek to.
    pub seek: Micros,
    /// How long the output will be; none when the input does not say.
    pub duration: Option<Micros>,
    /// How much of the job's input is decoded, from `seek` on; none when the input does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoded: Option<Micros>,
    /// The output's.
    pub chapters: Vec<Chapter>,
    /// The output's.
    pub tags: BTreeMap<String, String>,
    /// What was decided that nobody asked for, in words.
    pub notes: Vec<String>,
}

/// Subtitles of an input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CueSource {
    /// Which input.
    pub input: usize,
    /// Which of its streams.
    pub stream: u32,
    /// What happened to its times, in order.
    pub edits: Vec<TimeEdit>,
}

/// Subtitles of the output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubtitlePlan {
    /// Where they come from.
    pub source: CueSource,
    /// ISO 639, if said.
    pub language: Option<String>,
    /// True for a file beside the output.
    pub sidecar: bool,
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

impl PlanRejection {
    pub(crate) fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

fn refuse<T>(pointer: impl Into<String>, detail: impl Into<String>) -> Result<T, PlanRejection> {
    Err(PlanRejection::at(pointer, detail))
}

/// Resolves a request against what is known of its inputs, the job's own first; `None` before
/// anything is.
pub fn plan(
    request: &Convert,
    inputs: Option<&[MediaFacts]>,
    capabilities: &Capabilities,
) -> Result<Plan, PlanRejection> {
    let (at, transcode) = the_transcode(&request.operations)?;
    let container = container(request, &transcode, at)?;
    let codecs = codecs(at, container, &transcode, capabilities)?;
    check_sizes(at, &transcode)?;
    check_copies(&request.operations, container, codecs)?;

    let own = inputs.and_then(<[_]>::first);
    let mut draft = Draft::begin(inputs);
    begin(&mut draft, own.unwrap_or(&unknown()), codecs, own.is_some());
    let settings = picture::Settings { at, container, transcode: &transcode, codec: codecs.0 };
    settings.prepare(&mut draft, &request.operations)?;
    for (index, operation) in request.operations.iter().enumerate() {
        operation.plan(&Place(index), &mut draft)?;
    }
    let video = match draft.picture.take() {
        Some(picture) => Some(settings.finish(picture, own, &mut draft.notes)?),
        None => None,
    };
    let audio = match draft.sound.take() {
        Some(sound) => sound::finish(
            sound,
            inputs,
            &sound::Settings { at, container, codec: codecs.1, bitrate: transcode.audio_bitrate },
        )?,
        None => vec![],
    };
    if video.is_none() && audio.is_empty() {
        return refuse("#/operations", "nothing is left: the output has no video and no audio");
    }
    if draft.subtitles.iter().any(|s| !s.sidecar) && container.subtitles().is_none() {
        let detail = format!(
            "{} holds no subtitles; mp4, mov, mkv and webm do, or use the mode `sidecar`",
            container.as_str()
        );
        return refuse("#/operations", detail);
    }
    let named = request.output.as_ref().and_then(crate::location::Location::file_name);
    let sequence = container.is_images() && named.and_then(Numbered::parse).is_some();
    check_count(sequence, draft.duration, video.as_ref())?;
    let chapters = own.map(|facts| chapters(facts, &draft.edits)).unwrap_or_default();
    let decoded = draft.decoded(own.and_then(|facts| facts.duration));
    Ok(Plan {
        container,
        sequence,
        video,
        audio,
        subtitles: draft.subtitles,
        cues: draft.cues,
        seek: draft.seek,
        duration: draft.duration,
        decoded,
        chapters,
        tags: own.map(kept_tags).unwrap_or_default(),
        notes: draft.notes,
    })
}

/// A file for every picture is soon more than a job can list.
fn check_count(
    sequence: bool,
    duration: Option<Micros>,
    video: Option<&VideoPlan>,
) -> Result<(), PlanRejection> {
    let (true, Some(lasts), Some(video)) = (sequence, duration, video) else { return Ok(()) };
    let Rational { num, den } = video.rate;
    let pictures = lasts.saturating_mul(u64::from(num)) / u64::from(den.max(1)) / 1_000_000;
    if pictures <= MAX_FILES {
        return Ok(());
    }
    let detail = format!(
        "that would be about {pictures} pictures, and {MAX_FILES} is the most; trim it or lower \
         its `fps`"
    );
    refuse("#/output", detail)
}

/// Stands for an input nobody has opened yet.
fn unknown() -> MediaFacts {
    let stream = |index, detail| StreamFacts {
        index,
        codec: String::new(),
        profile: None,
        language: None,
        title: None,
        dispositions: vec![],
        duration: None,
        start: None,
        bitrate: None,
        packets: None,
        detail,
    };
    let video = VideoFacts {
        width: 1920,
        height: 1080,
        pixel_aspect: Rational::ONE,
        frame_rate: Rational { num: 25, den: 1 },
        variable_rate: false,
        rotation: 0,
        mirrored: false,
        pixel_format: "yuv420p".to_owned(),
        bit_depth: 8,
        chroma: Chroma::Quarter,
        alpha: false,
        interlaced: false,
        bottom_first: false,
        color: Color::default(),
        keyframe_interval: None,
    };
    let audio = AudioFacts {
        channels: 2,
        layout: "stereo".to_owned(),
        sample_rate: 48_000,
        sample_format: "fltp".to_owned(),
        bit_depth: None,
    };
    let streams = vec![
        stream(0, StreamDetail::Video(Box::new(video))),
        stream(1, StreamDetail::Audio(audio)),
    ];
    MediaFacts { streams, ..MediaFacts::default() }
}

type Codecs = (VideoCodec, AudioCodec);

fn begin(draft: &mut Draft<'_>, facts: &MediaFacts, (video, audio): Codecs, known: bool) {
    let picture = facts.video().filter(|_| video != VideoCodec::None);
    let sound = facts.audio().filter(|_| audio != AudioCodec::None);
    if known {
        // A container is as long as its longest stream, kept or not.
        let kept = [picture.map(|(stream, _)| stream), sound.map(|(stream, _)| stream)];
        let kept: Option<Vec<Micros>> = kept.into_iter().flatten().map(StreamFacts::end).collect();
        draft.duration = kept.and_then(|kept| kept.into_iter().max()).or(facts.duration);
    }
    draft.picture = picture.map(|(_, video)| Picture::of(video));
    let source = |stream: &StreamFacts| Source { input: 0, stream: stream.index };
    draft.sound = sound.map(|(stream, _)| Sound::of(source(stream)));
}

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
                "the output name has no extension; end it in one of {}, or set `container` in \
                 `/operations/{at}`",
                Container::extensions()
            ),
        );
    };
    Container::from_extension(&extension).map_or_else(
        || {
            let detail = format!("`.{extension}` cannot be made; {} can", Container::extensions());
            refuse("#/output", detail)
        },
        Ok,
    )
}

/// The codecs that are asked for, or that the container usually holds.
fn codecs(
    at: usize,
    container: Container,
    transcode: &Transcode,
    capabilities: &Capabilities,
) -> Result<Codecs, PlanRejection> {
    let pointer = |field: &str| format!("#/operations/{at}/{field}");
    let usual_video = container.video().iter().copied().find(|c| capabilities.encodes_video(*c));
    let usual_audio = container.audio().iter().copied().find(|c| capabilities.encodes_audio(*c));
    let video = transcode.video_codec.or(usual_video).unwrap_or(VideoCodec::None);
    let audio = transcode.audio_codec.or(usual_audio).unwrap_or(AudioCodec::None);
    if !capabilities.containers.contains(&container) {
        return refuse(pointer("container"), missing(container.as_str(), &capabilities.containers));
    }
    let name = container.as_str();
    if !matches!(video, VideoCodec::Copy | VideoCodec::None) {
        if !capabilities.encodes_video(video) {
            let detail = missing(video.as_str(), &capabilities.video_codecs);
            return refuse(pointer("video_codec"), detail);
        }
        if !container.video().contains(&video) {
            let fits = words(container.video().iter().map(|codec| codec.as_str()));
            let detail = format!("{} does not go into {name}; {fits}", video.as_str());
            return refuse(pointer("video_codec"), detail);
        }
    }
    if !matches!(audio, AudioCodec::Copy | AudioCodec::None) {
        if !capabilities.encodes_audio(audio) {
            let detail = missing(audio.as_str(), &capabilities.audio_codecs);
            return refuse(pointer("audio_codec"), detail);
        }
        if !container.audio().contains(&audio) {
            let fits = words(container.audio().iter().map(|codec| codec.as_str()));
            let detail = format!("{} does not go into {name}; {fits}", audio.as_str());
            return refuse(pointer("audio_codec"), detail);
        }
    }
    if video == VideoCodec::Copy && container.video().is_empty() {
        return refuse(pointer("video_codec"), format!("{name} holds no video; use `none`"));
    }
    if audio == AudioCodec::Copy && container.audio().is_empty() {
        return refuse(pointer("audio_codec"), format!("{name} holds no sound; use `none`"));
    }
    if video == VideoCodec::None
        && let Some((field, _)) = transcode.of_picture().iter().find(|(_, given)| *given)
    {
        return refuse(pointer(field), format!("`{field}` has no effect without video"));
    }
    if audio.is_lossless() && transcode.audio_bitrate.is_some() {
        let detail = format!("`audio_bitrate` has no effect with `{}`", audio.as_str());
        return refuse(pointer("audio_bitrate"), detail);
    }
    Ok((video, audio))
}

fn words<'a>(fits: impl Iterator<Item = &'a str>) -> String {
    let fits: Vec<String> = fits.map(|word| format!("`{word}`")).collect();
    match fits.len() {
        0 => "`none` does".to_owned(),
        1 => format!("{} does", fits.join("")),
        _ => format!("{} do", fits.join(", ")),
    }
}

fn missing<T: Serialize>(wanted: &str, have: &std::collections::BTreeSet<T>) -> String {
    let have = serde_json::to_string(have).unwrap_or_default();
    format!("no worker can make `{wanted}`; they can make {have}")
}

fn check_sizes(at: usize, t: &Transcode) -> Result<(), PlanRejection> {
    for (field, value, range) in [
        ("video_bitrate", t.video_bitrate, 10_000..=400_000_000_u64),
        ("max_bitrate", t.max_bitrate, 10_000..=400_000_000),
        ("audio_bitrate", t.audio_bitrate, 8_000..=1_024_000),
        ("keyframe_interval", t.keyframe_interval.map(u64::from), 1..=1_000),
    ] {
        if value.is_some_and(|v| !range.contains(&v)) {
            return refuse(
                format!("#/operations/{at}/{field}"),
                format!("{field} is {} to {}", range.start(), range.end()),
            );
        }
    }
    Ok(())
}

/// Packets that are copied cannot be changed.
fn check_copies(
    operations: &[Operation],
    container: Container,
    (video, audio): Codecs,
) -> Result<(), PlanRejection> {
    for (index, operation) in operations.iter().enumerate() {
        let pointer = format!("#/operations/{index}");
        let name = operation.name();
        if video == VideoCodec::Copy && operation.changes_picture() {
            let detail = format!("`{name}` needs the picture decoded; choose a codec, not `copy`");
            return refuse(pointer, detail);
        }
        if audio == AudioCodec::Copy && operation.changes_sound() {
            let detail = format!("`{name}` needs the sound decoded; choose a codec, not `copy`");
            return refuse(pointer, detail);
        }
        let cut = matches!(operation, Operation::Trim(trim) if trim.start > 0);
        if cut && video == VideoCodec::Copy && !container.has_edit_list() {
            let detail = format!(
                "a copied picture can only be cut exactly in mp4 and mov, not in {}; use one of \
                 them, or choose a codec",
                container.as_str()
            );
            return refuse(pointer, detail);
        }
    }
    Ok(())
}

fn chapters(facts: &MediaFacts, edits: &[TimeEdit]) -> Vec<Chapter> {
    let moved = |chapter: &Chapter| {
        let span = (chapter.start, chapter.end);
        let (start, end) = edits.iter().try_fold(span, |span, edit| edit.apply(span))?;
        Some(Chapter { start, end, title: chapter.title.clone() })
    };
    facts.chapters.iter().filter_map(moved).collect()
}

/// What a person wrote; the rest is about the file that was.
fn kept_tags(facts: &MediaFacts) -> BTreeMap<String, String> {
    const OF_THE_FILE: [&str; 8] = [
        "encoder",
        "major_brand",
        "minor_version",
        "compatible_brands",
        "duration",
        "handler_name",
        "vendor_id",
        "isft",
    ];
    let kept = facts.tags.iter().filter(|(name, _)| !OF_THE_FILE.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Seconds, for a sentence.
pub(crate) fn as_seconds(micros: Micros) -> String {
    format!("{}.{:03}", micros / 1_000_000, micros % 1_000_000 / 1_000)
}
