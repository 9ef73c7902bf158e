mod check;
mod ladder;

use serde::{Deserialize, Serialize};

use self::{
    check::check,
    ladder::{ladder, rendition},
};
use super::{
    AudioFilter, AudioPlan, AudioTrack, CueSource, PlanBuilder, PlanRejection, Source,
    SubtitlePlan, VideoFilter, VideoPlan, audio, placeholder_facts, refuse, video,
};
use crate::media::{
    AudioCodec, Capabilities, Container, MAX_FILES, MediaFacts, Micros, Poster, SegmentLayout,
    Sprite, Stream, StreamDetail, StreamFacts, Thumbnails, ThumbnailsPlan, Transcode,
    request::{check_metrics, within},
};

/// Duration of a segment if the request states none.
const DEFAULT_SEGMENT: Micros = 6_000_000;

/// Everything that the engine needs to know to make a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamPlan {
    /// The ladder, largest first.
    pub renditions: Vec<Rendition>,
    /// The audio streams, shared by the whole ladder.
    pub audio: Vec<AudioPlan>,
    /// The captions.
    pub captions: Vec<SubtitlePlan>,
    /// Duration of a segment.
    pub segment: Micros,
    /// Duration of the stream; `None` if the input does not state it.
    pub duration: Option<Micros>,
    /// The poster image next to the manifests.
    pub poster: Option<ThumbnailsPlan>,
    /// The sprite sheets next to the manifests.
    pub sprite: Option<ThumbnailsPlan>,
    /// Decisions that the request did not ask for, as sentences.
    pub notes: Vec<String>,
}

/// One step of the ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rendition {
    /// Name of its folder.
    pub name: String,
    /// The plan for its video.
    pub video: VideoPlan,
}

/// Resolves a stream request against the facts of its inputs; `None` before they are probed.
/// `complexity` is the ratio of the video's bits to those of a typical video, if it was measured.
pub fn plan_stream(
    request: &Stream,
    inputs: Option<&[MediaFacts]>,
    complexity: Option<f64>,
    capabilities: &Capabilities,
) -> Result<StreamPlan, PlanRejection> {
    let codec = check(request, capabilities)?;
    let own = inputs.and_then(<[_]>::first);
    let mut builder = PlanBuilder::new(inputs);
    super::select_tracks(
        &mut builder,
        own.unwrap_or(&placeholder_facts()),
        (codec, AudioCodec::Aac),
        own.is_some(),
    );
    let defaults = Transcode { preset: request.preset, ..Transcode::default() };
    let settings =
        video::Settings { at: 0, container: Container::Mp4, transcode: &defaults, codec };
    settings.prepare(&mut builder, &[])?;
    let is_late = |stream: &StreamFacts| stream.start.is_some_and(|start| start > 0);
    if let Some(track) = &mut builder.video
        && own.and_then(MediaFacts::video).is_some_and(|(stream, _)| is_late(stream))
    {
        // Players assume that each track's first segment is the start of the video.
        let constant = !track.variable_rate && track.rate.num > 0;
        track.filters.push(VideoFilter::FromZero(constant.then_some(track.rate)));
    }
    let duration = builder.duration();
    let mut renditions = Vec::new();
    if let Some(track) = builder.video.take() {
        let known = own.is_some();
        for (variant, cap) in ladder(request, &track, known, complexity, &mut builder.notes) {
            renditions.push(rendition(request, &variant, cap, &track, codec, own)?);
        }
    }
    let audio = match own {
        Some(facts) => plan_audio(request, facts, inputs)?,
        None => vec![],
    };
    if own.is_some() && renditions.is_empty() && audio.is_empty() {
        return refuse("#/input", "the input has no video and no audio");
    }
    let (poster, sprite) = stills(request, own)?;
    if let Some(facts) = own {
        check_metrics(&request.metrics, facts)?;
    }
    let segment = request.segment_duration.unwrap_or(DEFAULT_SEGMENT);
    let streams = renditions.len().saturating_add(audio.len());
    check_segments(request, duration, streams)?;
    let mut captions = Vec::new();
    for (index, caption) in request.captions.iter().enumerate() {
        let (input, facts) = builder.next_input();
        let text = facts.and_then(|facts| {
            let text = StreamDetail::Subtitle { text: true };
            facts.streams.iter().find(|stream| stream.detail == text)
        });
        if facts.is_some() && text.is_none() {
            let pointer = format!("#/captions/{index}/input");
            return refuse(pointer, "it holds no text subtitles; SRT, ASS and WebVTT work");
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
        duration,
        poster,
        sprite,
        notes: builder.notes,
    })
}

/// Checks that the segments of so many streams are not too many files.
pub fn check_segments(
    request: &Stream,
    duration: Option<Micros>,
    streams: usize,
) -> Result<(), PlanRejection> {
    let segment = request.segment_duration.unwrap_or(DEFAULT_SEGMENT);
    let count = duration.map_or(0, |duration| duration.div_ceil(segment.max(1)));
    let files = count.saturating_mul(streams as u64);
    if files <= MAX_FILES || request.layout == SegmentLayout::SingleFile {
        return Ok(());
    }
    let detail = format!(
        "that would be {files} files of segments, and at most {MAX_FILES} are allowed; store them in \
         one file for each rendition, by `\"segments\": \"single_file\"`, or make them longer"
    );
    refuse("#/segments", detail)
}

type Stills = (Option<ThumbnailsPlan>, Option<ThumbnailsPlan>);

/// Plans the images next to the manifests.
fn stills(request: &Stream, own: Option<&MediaFacts>) -> Result<Stills, PlanRejection> {
    let Some(facts) = own else { return Ok((None, None)) };
    let plan_stills = |field: &str, thumbnails: Option<Thumbnails>| {
        let Some(thumbnails) = thumbnails else { return Ok(None) };
        let Some((stream, _)) = facts.video() else {
            return refuse(format!("#/{field}"), "the input has no video to take an image of");
        };
        let plan = thumbnails.plan(stream.duration.or(facts.duration));
        plan.map(Some).map_err(|refusal| within(field, refusal))
    };
    let poster = plan_stills("poster", request.poster.as_ref().map(Poster::pictures))?;
    let sprite = plan_stills("sprite", request.sprite.as_ref().map(Sprite::pictures))?;
    Ok((poster, sprite))
}

/// Every audio stream of the input: players choose among languages.
fn plan_audio(
    request: &Stream,
    facts: &MediaFacts,
    inputs: Option<&[MediaFacts]>,
) -> Result<Vec<AudioPlan>, PlanRejection> {
    let source = |stream: u32| Source { input: 0, stream };
    let mut sources: Vec<Source> =
        facts.audio_streams().map(|(stream, _)| source(stream.index)).collect();
    // The best one comes first, and plays by default.
    if let Some((best, _)) = facts.audio() {
        sources.sort_by_key(|source| source.stream != best.index);
    }
    sources.truncate(8);
    let Some(first) = sources.first() else { return Ok(vec![]) };
    let mut track = AudioTrack::of(*first);
    track.sources = sources;
    if facts.audio_streams().any(|(stream, _)| stream.start.is_some_and(|start| start > 0)) {
        track.filters.push(AudioFilter::FromZero);
    }
    let bitrate = request.variants.iter().filter_map(|variant| variant.audio_bitrate).max();
    let codec = AudioCodec::Aac;
    let settings = audio::Settings { at: 0, container: Container::Mp4, codec, bitrate };
    audio::finish(track, inputs, &settings)
}
