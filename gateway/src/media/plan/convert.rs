use std::collections::BTreeMap;

use ffapi_domain::media::{Chapter, CueSource, Plan, SubtitlePlan, TimeEdit};
use poem_openapi::Object;

use super::{audio::AudioBody, parts::WindowBody, video::VideoBody};
use crate::media::value::micros_as_seconds;

/// The plan of a `convert` job.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct ConvertPlan {
    /// The container format of the output.
    container: String,
    /// True if every frame becomes a numbered file.
    sequence: bool,
    /// The video stream of the output.
    video: Option<VideoBody>,
    /// The audio streams of the output, in order.
    audio: Vec<AudioBody>,
    /// The subtitles that become streams or files.
    subtitles: Vec<SubtitlesBody>,
    /// The subtitles that are burned into the video.
    cues: Vec<CuesBody>,
    /// Where reading the job's input begins, in seconds.
    seek: f64,
    /// Duration of the output in seconds; absent if the input does not state its own.
    duration: Option<f64>,
    /// True if `duration` is only an estimate.
    duration_is_estimate: bool,
    /// Seconds of the job's input that are decoded from `seek` on.
    decoded: Option<f64>,
    /// The chapters of the output.
    chapters: Vec<ChapterBody>,
    /// The tags of the output.
    tags: BTreeMap<String, String>,
    /// Decisions that the request did not ask for, as sentences.
    notes: Vec<String>,
}

/// Subtitles of an input.
#[derive(Debug, Object)]
#[oai(rename = "PlanCues")]
pub(crate) struct CuesBody {
    /// Index of the input; 0 is the job's own.
    input: usize,
    /// Index of the stream in the input.
    stream: u32,
    /// Changes of their times, in order.
    edits: Vec<TimeEditBody>,
}

/// A change of times: it has one of the fields.
#[derive(Debug, Default, Object)]
#[oai(rename = "PlanTimeEdit", skip_serializing_if_is_none)]
pub(crate) struct TimeEditBody {
    /// The part that is kept.
    trim: Option<WindowBody>,
    /// How much faster it plays.
    speed: Option<f64>,
}

/// Subtitles of the output.
#[derive(Debug, Object)]
#[oai(rename = "PlanSubtitles", skip_serializing_if_is_none)]
pub(crate) struct SubtitlesBody {
    /// Where they come from.
    source: CuesBody,
    /// ISO 639 language code.
    language: Option<String>,
    /// True for a file next to the output.
    sidecar: bool,
}

/// A chapter of the output.
#[derive(Debug, Object)]
#[oai(rename = "PlanChapter", skip_serializing_if_is_none)]
pub(crate) struct ChapterBody {
    /// Seconds, inclusive.
    start: f64,
    /// Seconds, exclusive.
    end: f64,
    /// The title that a player shows.
    title: Option<String>,
}

impl From<&Plan> for ConvertPlan {
    fn from(plan: &Plan) -> Self {
        Self {
            container: plan.container.as_str().to_owned(),
            sequence: plan.sequence,
            video: plan.video.as_ref().map(VideoBody::from),
            audio: plan.audio.iter().map(AudioBody::from).collect(),
            subtitles: plan.subtitles.iter().map(SubtitlesBody::from).collect(),
            cues: plan.cues.iter().map(CuesBody::from).collect(),
            seek: micros_as_seconds(plan.seek),
            duration: plan.duration.map(micros_as_seconds),
            duration_is_estimate: plan.duration_is_estimate,
            decoded: plan.decoded.map(micros_as_seconds),
            chapters: plan.chapters.iter().map(ChapterBody::from).collect(),
            tags: plan.tags.clone(),
            notes: plan.notes.clone(),
        }
    }
}

impl From<&CueSource> for CuesBody {
    fn from(cues: &CueSource) -> Self {
        let edits = cues.edits.iter().map(TimeEditBody::from).collect();
        Self { input: cues.input, stream: cues.stream, edits }
    }
}

impl From<&TimeEdit> for TimeEditBody {
    fn from(edit: &TimeEdit) -> Self {
        match *edit {
            TimeEdit::Trim(window) => Self { trim: Some(window.into()), ..Self::default() },
            TimeEdit::Speed(factor) => Self { speed: Some(factor), ..Self::default() },
        }
    }
}

impl From<&SubtitlePlan> for SubtitlesBody {
    fn from(subtitles: &SubtitlePlan) -> Self {
        Self {
            source: CuesBody::from(&subtitles.source),
            language: subtitles.language.clone(),
            sidecar: subtitles.sidecar,
        }
    }
}

impl From<&Chapter> for ChapterBody {
    fn from(chapter: &Chapter) -> Self {
        Self {
            start: micros_as_seconds(chapter.start),
            end: micros_as_seconds(chapter.end),
            title: chapter.title.clone(),
        }
    }
}
