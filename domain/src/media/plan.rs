//! Resolves a request and the facts of its inputs into exactly what the engine will do.
//!
//! Called twice: by the gateway without facts, to reject what can never work, and by the worker
//! with facts, to run it. Both use the same code, so they cannot disagree.

mod audio;
mod builder;
mod filter;
mod job;
mod stream;
mod video;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    audio::AudioPlan,
    builder::Source,
    filter::{Adjust, AudioFilter, AudioSegment, Segment, TimeEdit, VideoFilter, Window},
    job::{AnalyzePlan, DryRun, JobPlan, ProbePlan},
    stream::{Rendition, StreamPlan, check_segments, plan_stream},
    video::{Fields, RateControl, VideoPlan},
};
pub(crate) use self::{
    builder::{AudioTrack, Levels, MAX_SIDE, OperationPath, PlanBuilder, VideoTrack, even},
    filter::stretched,
};
use super::{
    AudioCodec, AudioFacts, Capabilities, Chapter, Container, Convert, MAX_FILES, MediaFacts,
    Micros, Numbered, Operation, StreamDetail, StreamFacts, Transcode, VideoCodec, VideoFacts,
    facts::{Chroma, Color, Rational},
};

/// Everything that the engine needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Container format of the output.
    pub container: Container,
    /// True if every frame becomes a numbered file.
    pub sequence: bool,
    /// The video stream, if any.
    pub video: Option<VideoPlan>,
    /// The audio streams, in output order.
    pub audio: Vec<AudioPlan>,
    /// Subtitles that become streams or files.
    pub subtitles: Vec<SubtitlePlan>,
    /// Subtitles that are burned into the video.
    pub cues: Vec<CueSource>,
    /// Start of the needed part of the job's input: the seek target.
    pub seek: Micros,
    /// Duration of the output; `None` if the input does not state its duration.
    pub duration: Option<Micros>,
    /// True if `duration` is only an estimate, by the duration of the container or the end of a
    /// `trim`: a stream that is kept does not state when it ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duration_is_estimate: bool,
    /// How much of the job's input is decoded from `seek` on; `None` if the input does not state
    /// its duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoded: Option<Micros>,
    /// Chapters of the output.
    pub chapters: Vec<Chapter>,
    /// Tags of the output.
    pub tags: BTreeMap<String, String>,
    /// Decisions that the request did not ask for, as sentences.
    pub notes: Vec<String>,
}

impl Plan {
    /// The needed part of the job's input.
    pub fn part(&self) -> Window {
        let end = self.decoded.map(|decoded| self.seek.saturating_add(decoded));
        Window { start: self.seek, end }
    }
}

/// Subtitles of an input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CueSource {
    /// Index of the input.
    pub input: usize,
    /// Index of the stream in the input.
    pub stream: u32,
    /// Changes of its timing, in order.
    pub edits: Vec<TimeEdit>,
}

/// Subtitles of the output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubtitlePlan {
    /// Where they come from.
    pub source: CueSource,
    /// ISO 639 language code, if given.
    pub language: Option<String>,
    /// True for a separate file next to the output.
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

/// Resolves a request against the facts of its inputs, the job's own first; `None` before the
/// inputs are probed.
pub fn plan(
    request: &Convert,
    inputs: Option<&[MediaFacts]>,
    capabilities: &Capabilities,
) -> Result<Plan, PlanRejection> {
    let (at, transcode) = find_transcode(&request.operations)?;
    let container = container(request, &transcode, at)?;
    let codecs = codecs(at, container, &transcode, capabilities)?;
    check_sizes(at, &transcode)?;
    check_copies(&request.operations, container, codecs)?;

    let own = inputs.and_then(<[_]>::first);
    let mut builder = PlanBuilder::new(inputs);
    select_tracks(&mut builder, own.unwrap_or(&placeholder_facts()), codecs, own.is_some());
    let settings = video::Settings { at, container, transcode: &transcode, codec: codecs.0 };
    settings.prepare(&mut builder, &request.operations)?;
    for (index, operation) in request.operations.iter().enumerate() {
        operation.plan(&OperationPath(index), &mut builder)?;
    }
    let (duration, duration_is_estimate) = (builder.duration(), builder.last_end().is_none());
    let video = match builder.video.take() {
        Some(track) => Some(settings.finish(track, own, &mut builder.notes)?),
        None => None,
    };
    let video = video.map(|video| video::without_coarse_rate(video, duration));
    let audio = match builder.audio.take() {
        Some(track) => audio::finish(
            track,
            inputs,
            &audio::Settings { at, container, codec: codecs.1, bitrate: transcode.audio_bitrate },
        )?,
        None => vec![],
    };
    if video.is_none() && audio.is_empty() {
        return refuse("#/operations", "nothing is left: the output has no video and no audio");
    }
    if builder.subtitles.iter().any(|s| !s.sidecar) && container.subtitles().is_none() {
        let detail = format!(
            "{} holds no subtitles; mp4, mov, mkv and webm do, or use the mode `sidecar`",
            container.as_str()
        );
        return refuse("#/operations", detail);
    }
    for plan in &audio {
        builder.notes.extend(audio::mixed_down(plan, inputs));
    }
    let named = request.output.as_ref().and_then(crate::location::Location::file_name);
    let sequence = container.is_images() && named.and_then(Numbered::parse).is_some();
    check_count(sequence, duration, video.as_ref())?;
    let chapters = own.map(|facts| chapters(facts, &builder.edits)).unwrap_or_default();
    let decoded = builder.decoded(own.and_then(|facts| facts.duration));
    Ok(Plan {
        container,
        sequence,
        video,
        audio,
        subtitles: builder.subtitles,
        cues: builder.cues,
        seek: builder.seek,
        duration,
        duration_is_estimate,
        decoded,
        chapters,
        tags: own.map(kept_tags).unwrap_or_default(),
        notes: builder.notes,
    })
}

/// One file per frame soon exceeds what a job can list.
fn check_count(
    sequence: bool,
    duration: Option<Micros>,
    video: Option<&VideoPlan>,
) -> Result<(), PlanRejection> {
    let (true, Some(lasts), Some(video)) = (sequence, duration, video) else { return Ok(()) };
    let Rational { num, den } = video.rate;
    let frames = lasts.saturating_mul(u64::from(num)) / u64::from(den.max(1)) / 1_000_000;
    if frames <= MAX_FILES {
        return Ok(());
    }
    let detail = format!(
        "that would be about {frames} files, and at most {MAX_FILES} are allowed; trim it or lower \
         its `fps`"
    );
    refuse("#/output", detail)
}

/// Placeholder facts for an input that has not been probed.
fn placeholder_facts() -> MediaFacts {
    let stream = |index, detail| StreamFacts {
        index,
        codec: String::new(),
        profile: None,
        language: None,
        title: None,
        dispositions: vec![],
        program: None,
        duration: None,
        start: None,
        bitrate: None,
        packets: None,
        unusable: None,
        detail,
    };
    let video = VideoFacts {
        width: 1920,
        height: 1080,
        pixel_aspect: Rational::ONE,
        frame_rate: Rational { num: 25, den: 1 },
        variable_rate: false,
        base_rate: None,
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

fn select_tracks(
    builder: &mut PlanBuilder<'_>,
    facts: &MediaFacts,
    (video, audio): Codecs,
    known: bool,
) {
    let video_stream = facts.video().filter(|_| video != VideoCodec::None);
    let audio_stream = facts.audio().filter(|_| audio != AudioCodec::None);
    if known {
        builder.container_duration = facts.duration;
        builder.notes.extend(facts.unusable_streams());
    }
    if facts.joined {
        let note = "the input consists of several recordings; they follow each other";
        builder.notes.push(note.to_owned());
    }
    builder.may_add_audio = audio != AudioCodec::None && audio_stream.is_none();
    builder.video = video_stream
        .map(|(stream, video)| VideoTrack { end: stream.end(), ..VideoTrack::of(video) });
    builder.audio = audio_stream.map(|(stream, _)| AudioTrack {
        end: stream.end(),
        ..AudioTrack::of(Source { input: 0, stream: stream.index })
    });
}

fn find_transcode(operations: &[Operation]) -> Result<(usize, Transcode), PlanRejection> {
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
            let detail = format!(
                "`.{extension}` is not a supported format; supported are {}",
                Container::extensions()
            );
            refuse("#/output", detail)
        },
        Ok,
    )
}

/// The requested codecs, or the container's defaults.
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
            let fits = list_codecs(container.video().iter().map(|codec| codec.as_str()));
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
            let fits = list_codecs(container.audio().iter().map(|codec| codec.as_str()));
            let detail = format!("{} does not go into {name}; {fits}", audio.as_str());
            return refuse(pointer("audio_codec"), detail);
        }
    }
    if video == VideoCodec::Copy && container.video().is_empty() {
        return refuse(pointer("video_codec"), format!("{name} holds no video; use `none`"));
    }
    if audio == AudioCodec::Copy && container.audio().is_empty() {
        return refuse(pointer("audio_codec"), format!("{name} holds no audio; use `none`"));
    }
    if video == VideoCodec::None
        && let Some((field, _)) = transcode.video_fields().iter().find(|(_, given)| *given)
    {
        return refuse(pointer(field), format!("`{field}` has no effect without video"));
    }
    if audio.is_lossless() && transcode.audio_bitrate.is_some() {
        let detail = format!("`audio_bitrate` has no effect with `{}`", audio.as_str());
        return refuse(pointer("audio_bitrate"), detail);
    }
    Ok((video, audio))
}

fn list_codecs<'a>(fits: impl Iterator<Item = &'a str>) -> String {
    let fits: Vec<String> = fits.map(|word| format!("`{word}`")).collect();
    match fits.len() {
        0 => "`none` does".to_owned(),
        1 => format!("{} does", fits.join("")),
        _ => format!("{} do", fits.join(", ")),
    }
}

fn missing<T: Serialize>(wanted: &str, have: &std::collections::BTreeSet<T>) -> String {
    let have = serde_json::to_string(have).unwrap_or_default();
    format!("no worker supports `{wanted}`; supported are {have}")
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

/// Copied packets cannot be changed.
fn check_copies(
    operations: &[Operation],
    container: Container,
    (video, audio): Codecs,
) -> Result<(), PlanRejection> {
    for (index, operation) in operations.iter().enumerate() {
        let pointer = format!("#/operations/{index}");
        let name = operation.name();
        if video == VideoCodec::Copy && operation.changes_video() {
            let detail = format!("`{name}` needs the video decoded; choose a codec, not `copy`");
            return refuse(pointer, detail);
        }
        if audio == AudioCodec::Copy && operation.changes_audio() {
            let detail = format!("`{name}` needs the audio decoded; choose a codec, not `copy`");
            return refuse(pointer, detail);
        }
        let cut = matches!(operation, Operation::Trim(trim) if trim.start > 0);
        if cut && video == VideoCodec::Copy && !container.has_edit_list() {
            let detail = format!(
                "copied video can only be cut exactly in mp4 and mov, not in {}; use one of \
                 them, or choose a codec",
                container.as_str()
            );
            return refuse(pointer, detail);
        }
    }
    Ok(())
}

fn chapters(facts: &MediaFacts, edits: &[TimeEdit]) -> Vec<Chapter> {
    let move_chapter = |chapter: &Chapter| {
        let span = (chapter.start, chapter.end);
        let (start, end) = edits.iter().try_fold(span, |span, edit| edit.apply(span))?;
        Some(Chapter { start, end, title: chapter.title.clone() })
    };
    facts.chapters.iter().filter_map(move_chapter).collect()
}

/// Tags that a person wrote; the others describe the input file.
fn kept_tags(facts: &MediaFacts) -> BTreeMap<String, String> {
    const FILE_TAGS: [&str; 8] = [
        "encoder",
        "major_brand",
        "minor_version",
        "compatible_brands",
        "duration",
        "handler_name",
        "vendor_id",
        "isft",
    ];
    let kept = facts.tags.iter().filter(|(name, _)| !FILE_TAGS.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Formats microseconds as seconds, for messages.
pub(crate) fn as_seconds(micros: Micros) -> String {
    format!("{}.{:03}", micros / 1_000_000, micros % 1_000_000 / 1_000)
}
