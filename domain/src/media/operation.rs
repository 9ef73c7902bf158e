//! The operations of a conversion: one file each, with its fields and its effect on the plan.

mod audio;
mod concat;
mod crop;
mod filter;
mod flip;
mod fps;
mod pad;
mod position;
mod rotate;
mod scale;
mod speed;
mod subtitles;
mod text;
mod tracks;
mod transcode;
mod trim;
mod watermark;

use serde::{Deserialize, Serialize};

pub(super) use self::scale::resize;
pub use self::{
    audio::Audio,
    concat::Concat,
    crop::Crop,
    filter::{Filter, FilterName},
    flip::{Axis, Flip},
    fps::Fps,
    pad::Pad,
    position::{Paint, Position},
    rotate::Rotate,
    scale::{Scale, ScaleMode},
    speed::Speed,
    subtitles::{SubtitleMode, Subtitles},
    text::Text,
    tracks::{Pick, Tracks},
    transcode::Transcode,
    trim::Trim,
    watermark::Watermark,
};
use super::{
    PlanRejection,
    plan::{OperationPath, PlanBuilder},
};
use crate::{Personal, location::Location};

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Keep a part of the duration.
    Trim(Trim),
    /// Change the frame size.
    Scale(Scale),
    /// Choose codecs and their settings.
    Transcode(Transcode),
    /// Keep a rectangle of the frame.
    Crop(Crop),
    /// Add a border.
    Pad(Pad),
    /// Rotate the video.
    Rotate(Rotate),
    /// Mirror the video.
    Flip(Flip),
    /// Change the frame rate.
    Fps(Fps),
    /// Play faster or slower.
    Speed(Speed),
    /// Overlay an image.
    Watermark(Watermark),
    /// Overlay text.
    Text(Text),
    /// Add subtitles.
    Subtitles(Subtitles),
    /// Append other inputs.
    Concat(Concat),
    /// Apply a video filter.
    Filter(Filter),
    /// Change the audio.
    Audio(Audio),
    /// Choose streams.
    Tracks(Tracks),
}

/// How an input other than the first is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A video or audio file.
    Media,
    /// A still image.
    Image,
    /// A subtitle file.
    Subtitle,
}

impl Operation {
    /// Every name in JSON.
    pub const NAMES: [&'static str; 16] = [
        "trim",
        "scale",
        "crop",
        "pad",
        "rotate",
        "flip",
        "fps",
        "speed",
        "watermark",
        "text",
        "subtitles",
        "concat",
        "filter",
        "audio",
        "tracks",
        "transcode",
    ];

    /// The name in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Trim(_) => "trim",
            Self::Scale(_) => "scale",
            Self::Transcode(_) => "transcode",
            Self::Crop(_) => "crop",
            Self::Pad(_) => "pad",
            Self::Rotate(_) => "rotate",
            Self::Flip(_) => "flip",
            Self::Fps(_) => "fps",
            Self::Speed(_) => "speed",
            Self::Watermark(_) => "watermark",
            Self::Text(_) => "text",
            Self::Subtitles(_) => "subtitles",
            Self::Concat(_) => "concat",
            Self::Filter(_) => "filter",
            Self::Audio(_) => "audio",
            Self::Tracks(_) => "tracks",
        }
    }

    /// The files it reads in addition to the job's input, in the order in which the plan numbers
    /// them.
    pub fn inputs(&self) -> Vec<(&Personal<Location>, Role)> {
        match self {
            Self::Watermark(watermark) => vec![(&watermark.image, Role::Image)],
            Self::Subtitles(subtitles) => {
                subtitles.input.iter().map(|input| (input, Role::Subtitle)).collect()
            }
            Self::Concat(concat) => concat.inputs.iter().map(|i| (i, Role::Media)).collect(),
            Self::Audio(audio) => audio.replace.iter().map(|i| (i, Role::Media)).collect(),
            Self::Trim(_)
            | Self::Scale(_)
            | Self::Transcode(_)
            | Self::Crop(_)
            | Self::Pad(_)
            | Self::Rotate(_)
            | Self::Flip(_)
            | Self::Fps(_)
            | Self::Speed(_)
            | Self::Text(_)
            | Self::Filter(_)
            | Self::Tracks(_) => vec![],
        }
    }

    /// Like [`Self::inputs`], to change them.
    pub(super) fn inputs_mut(&mut self) -> Vec<&mut Personal<Location>> {
        match self {
            Self::Watermark(watermark) => vec![&mut watermark.image],
            Self::Subtitles(subtitles) => subtitles.input.iter_mut().collect(),
            Self::Concat(concat) => concat.inputs.iter_mut().collect(),
            Self::Audio(audio) => audio.replace.iter_mut().collect(),
            Self::Trim(_)
            | Self::Scale(_)
            | Self::Transcode(_)
            | Self::Crop(_)
            | Self::Pad(_)
            | Self::Rotate(_)
            | Self::Flip(_)
            | Self::Fps(_)
            | Self::Speed(_)
            | Self::Text(_)
            | Self::Filter(_)
            | Self::Tracks(_) => vec![],
        }
    }

    /// True if it has no effect on copied video packets.
    pub(super) const fn changes_video(&self) -> bool {
        match self {
            Self::Trim(_) | Self::Audio(_) | Self::Tracks(_) => false,
            Self::Transcode(t) => t.width.is_some() || t.height.is_some() || t.millifps.is_some(),
            Self::Subtitles(subtitles) => matches!(subtitles.mode, SubtitleMode::Burn),
            Self::Scale(_)
            | Self::Crop(_)
            | Self::Pad(_)
            | Self::Rotate(_)
            | Self::Flip(_)
            | Self::Fps(_)
            | Self::Speed(_)
            | Self::Watermark(_)
            | Self::Text(_)
            | Self::Concat(_)
            | Self::Filter(_) => true,
        }
    }

    /// True if it has no effect on copied audio packets.
    pub(super) fn changes_audio(&self) -> bool {
        match self {
            Self::Speed(_) | Self::Concat(_) => true,
            Self::Audio(audio) => !audio.remove && !audio.extract,
            Self::Trim(_)
            | Self::Transcode(_)
            | Self::Tracks(_)
            | Self::Subtitles(_)
            | Self::Scale(_)
            | Self::Crop(_)
            | Self::Pad(_)
            | Self::Rotate(_)
            | Self::Flip(_)
            | Self::Fps(_)
            | Self::Watermark(_)
            | Self::Text(_)
            | Self::Filter(_) => false,
        }
    }

    /// Applies the operation to the plan that is being built.
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        match self {
            Self::Trim(trim) => trim.plan(at, builder),
            Self::Scale(scale) => scale.plan(at, builder),
            Self::Transcode(transcode) => transcode.plan(at, builder),
            Self::Crop(crop) => crop.plan(at, builder),
            Self::Pad(pad) => pad.plan(at, builder),
            Self::Rotate(rotate) => rotate.plan(at, builder),
            Self::Flip(flip) => flip.plan(at, builder),
            Self::Fps(fps) => fps.plan(at, builder),
            Self::Speed(speed) => speed.plan(at, builder),
            Self::Watermark(watermark) => watermark.plan(at, builder),
            Self::Text(text) => text.plan(at, builder),
            Self::Subtitles(subtitles) => subtitles.plan(at, builder),
            Self::Concat(concat) => concat.plan(at, builder),
            Self::Filter(filter) => filter.plan(at, builder),
            Self::Audio(audio) => audio.plan(at, builder),
            Self::Tracks(tracks) => tracks.plan(at, builder),
        }
    }
}
