//! The steps of a conversion: one file each, with its fields and what it does to the plan.

mod audio;
mod concat;
mod crop;
mod filter;
mod flip;
mod fps;
mod pad;
mod place;
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
    place::{Paint, Position},
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
    plan::{Draft, Place},
};
use crate::{Personal, location::Location};

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Keep a part.
    Trim(Trim),
    /// Change the picture's size.
    Scale(Scale),
    /// Choose codecs and their settings.
    Transcode(Transcode),
    /// Keep a rectangle.
    Crop(Crop),
    /// Add a border.
    Pad(Pad),
    /// Turn the picture.
    Rotate(Rotate),
    /// Mirror the picture.
    Flip(Flip),
    /// Change the frame rate.
    Fps(Fps),
    /// Play faster or slower.
    Speed(Speed),
    /// Lay a picture over it.
    Watermark(Watermark),
    /// Write on it.
    Text(Text),
    /// Show what is said.
    Subtitles(Subtitles),
    /// Put other films behind it.
    Concat(Concat),
    /// Change how the picture looks.
    Filter(Filter),
    /// Change the sound.
    Audio(Audio),
    /// Choose streams.
    Tracks(Tracks),
}

/// What an input besides the first is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A film or a sound.
    Media,
    /// A still picture.
    Image,
    /// Text with times.
    Subtitle,
}

impl Operation {
    /// Every word as written in JSON.
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

    /// The word as written in JSON.
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

    /// The files it reads besides the job's input, in the order in which the plan numbers them.
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

    /// True if copied picture packets would not show it.
    pub(super) const fn changes_picture(&self) -> bool {
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

    /// True if copied sound packets would not show it.
    pub(super) fn changes_sound(&self) -> bool {
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

    /// Does to the draft what it will do to the film.
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        match self {
            Self::Trim(trim) => trim.plan(at, draft),
            Self::Scale(scale) => scale.plan(at, draft),
            Self::Transcode(transcode) => transcode.plan(at, draft),
            Self::Crop(crop) => crop.plan(at, draft),
            Self::Pad(pad) => pad.plan(at, draft),
            Self::Rotate(rotate) => rotate.plan(at, draft),
            Self::Flip(flip) => flip.plan(at, draft),
            Self::Fps(fps) => fps.plan(at, draft),
            Self::Speed(speed) => speed.plan(at, draft),
            Self::Watermark(watermark) => watermark.plan(at, draft),
            Self::Text(text) => text.plan(at, draft),
            Self::Subtitles(subtitles) => subtitles.plan(at, draft),
            Self::Concat(concat) => concat.plan(at, draft),
            Self::Filter(filter) => filter.plan(at, draft),
            Self::Audio(audio) => audio.plan(at, draft),
            Self::Tracks(tracks) => tracks.plan(at, draft),
        }
    }
}
