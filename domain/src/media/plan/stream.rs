mod check;
mod ladder;

use serde::{Deserialize, Serialize};

use self::{
    check::check,
    ladder::{ladder, rendition},
};
use super::{
    AudioFilter, AudioPlan, CueSource, Draft, PlanRejection, Sound, Source, SubtitlePlan,
    VideoFilter, VideoPlan, picture, refuse, sound, unknown,
};
use crate::media::{
    AudioCodec, Capabilities, Container, MAX_FILES, MediaFacts, Micros, Poster, Sprite, Stream,
    StreamDetail, StreamFacts, Thumbnails, ThumbnailsPlan, Transcode,
    request::{check_metrics, within},
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
    /// The still beside the manifests.
    pub poster: Option<ThumbnailsPlan>,
    /// The small pictures beside them.
    pub sprite: Option<ThumbnailsPlan>,
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

/// Resolves a stream against what is known of its inputs; `None` before anything is. `complexity`
/// is the bits that the film takes beside a usual one, where somebody tried.
pub fn plan_stream(
    request: &Stream,
    inputs: Option<&[MediaFacts]>,
    complexity: Option<f64>,
    capabilities: &Capabilities,
) -> Result<StreamPlan, PlanRejection> {
    let codec = check(request, capabilities)?;
    let own = inputs.and_then(<[_]>::first);
    let mut draft = Draft::begin(inputs);
    super::begin(&mut draft, own.unwrap_or(&unknown()), (codec, AudioCodec::Aac), own.is_some());
    let any = Transcode { preset: request.preset, ..Transcode::default() };
    let settings = picture::Settings { at: 0, container: Container::Mp4, transcode: &any, codec };
    settings.prepare(&mut draft, &[])?;
    let is_late = |stream: &StreamFacts| stream.start.is_some_and(|start| start > 0);
    if let Some(picture) = &mut draft.picture
        && own.and_then(MediaFacts::video).is_some_and(|(stream, _)| is_late(stream))
    {
        // Players take each track's first segment for the beginning of the film.
        let constant = !picture.variable_rate && picture.rate.num > 0;
        picture.filters.push(VideoFilter::FromZero(constant.then_some(picture.rate)));
    }
    let mut renditions = Vec::new();
    if let Some(picture) = draft.picture.take() {
        let known = own.is_some();
        for (variant, cap) in ladder(request, &picture, known, complexity, &mut draft.notes) {
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
    let (poster, sprite) = stills(request, own)?;
    if let Some(film) = own {
        check_metrics(&request.metrics, film)?;
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
        poster,
        sprite,
        notes: draft.notes,
    })
}

type Stills = (Option<ThumbnailsPlan>, Option<ThumbnailsPlan>);

/// When the pictures beside the manifests are taken.
fn stills(request: &Stream, own: Option<&MediaFacts>) -> Result<Stills, PlanRejection> {
    let Some(film) = own else { return Ok((None, None)) };
    let taken = |field: &str, pictures: Option<Thumbnails>| {
        let Some(pictures) = pictures else { return Ok(None) };
        let Some((stream, _)) = film.video() else {
            return refuse(format!("#/{field}"), "the input has no picture to take one of");
        };
        let plan = pictures.plan(stream.duration.or(film.duration));
        plan.map(Some).map_err(|refusal| within(field, refusal))
    };
    let poster = taken("poster", request.poster.as_ref().map(Poster::pictures))?;
    let sprite = taken("sprite", request.sprite.as_ref().map(Sprite::pictures))?;
    Ok((poster, sprite))
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
    if facts.sounds().any(|(stream, _)| stream.start.is_some_and(|start| start > 0)) {
        sound.filters.push(AudioFilter::FromZero);
    }
    let bitrate = request.variants.iter().filter_map(|variant| variant.audio_bitrate).max();
    let codec = AudioCodec::Aac;
    let settings = sound::Settings { at: 0, container: Container::Mp4, codec, bitrate };
    sound::finish(sound, inputs, &settings)
}
