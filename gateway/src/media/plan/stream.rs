use ffapi_domain::media::{self, Rendition};
use poem_openapi::Object;

use super::{audio::AudioBody, convert::SubtitlesBody, stills::ThumbnailsPlan, video::VideoBody};
use crate::media::value::micros_as_seconds;

/// The plan of a `stream` job.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct StreamPlan {
    /// The ladder, largest first.
    renditions: Vec<RenditionBody>,
    /// The audio streams, which all renditions share.
    audio: Vec<AudioBody>,
    /// The captions.
    captions: Vec<SubtitlesBody>,
    /// Duration of a segment in seconds.
    segment: f64,
    /// Duration of the stream in seconds; absent if the input does not state its own.
    duration: Option<f64>,
    /// The poster next to the manifests.
    poster: Option<ThumbnailsPlan>,
    /// The thumbnails for a seek bar next to the manifests.
    sprite: Option<ThumbnailsPlan>,
    /// Decisions that the request did not ask for, as sentences.
    notes: Vec<String>,
}

/// One step of the ladder.
#[derive(Debug, Object)]
#[oai(rename = "PlanRendition")]
pub(crate) struct RenditionBody {
    /// The name of its folder.
    name: String,
    /// How its video is made.
    video: VideoBody,
}

impl From<&media::StreamPlan> for StreamPlan {
    fn from(plan: &media::StreamPlan) -> Self {
        Self {
            renditions: plan.renditions.iter().map(RenditionBody::from).collect(),
            audio: plan.audio.iter().map(AudioBody::from).collect(),
            captions: plan.captions.iter().map(SubtitlesBody::from).collect(),
            segment: micros_as_seconds(plan.segment),
            duration: plan.duration.map(micros_as_seconds),
            poster: plan.poster.as_ref().map(ThumbnailsPlan::from),
            sprite: plan.sprite.as_ref().map(ThumbnailsPlan::from),
            notes: plan.notes.clone(),
        }
    }
}

impl From<&Rendition> for RenditionBody {
    fn from(rendition: &Rendition) -> Self {
        Self { name: rendition.name.clone(), video: VideoBody::from(&rendition.video) }
    }
}
