use serde::{Deserialize, Serialize};

use super::{AudioCodec, Container, Preset, VideoCodec};
use crate::{Personal, location::Location};

/// Media time in microseconds.
pub type Micros = u64;

/// One job's media work. Names and fields are the storage format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaRequest {
    /// One file in, one file out.
    Convert(Convert),
}

impl MediaRequest {
    /// The kind as written in JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Convert(_) => "convert",
        }
    }

    /// Where the bytes come from.
    pub const fn input(&self) -> &Personal<Location> {
        match self {
            Self::Convert(convert) => &convert.input,
        }
    }

    /// Where they go.
    pub const fn output(&self) -> &Personal<Location> {
        match self {
            Self::Convert(convert) => &convert.output,
        }
    }
}

/// One file in, one file out, operations in order between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Convert {
    /// Where the bytes come from.
    pub input: Personal<Location>,
    /// Where they go.
    pub output: Personal<Location>,
    /// In this order.
    #[serde(default)]
    pub operations: Vec<Operation>,
    /// If the output name is taken.
    #[serde(default)]
    pub overwrite: Overwrite,
}

/// If the output name is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overwrite {
    /// Fail, and leave what stands there.
    #[default]
    Fail,
    /// Put the new bytes in its place.
    Replace,
}

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
}

/// Keeps `start..end` of what came before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trim {
    /// First instant kept.
    #[serde(default)]
    pub start: Micros,
    /// First instant not kept; none for the rest.
    #[serde(default)]
    pub end: Option<Micros>,
}

/// Changes the picture's size; one missing side follows the aspect ratio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// Pixels.
    #[serde(default)]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(default)]
    pub height: Option<u32>,
    /// When both are given.
    #[serde(default)]
    pub mode: ScaleMode,
}

/// How a picture goes into a given box.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleMode {
    /// Wholly inside, aspect ratio kept.
    #[default]
    Fit,
    /// Covering it, aspect ratio kept, the rest cut off.
    Fill,
    /// Exactly it, aspect ratio lost.
    Stretch,
}

/// Chooses codecs and their settings; what is absent is inferred from the output name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcode {
    /// `none` drops video.
    #[serde(default)]
    pub video_codec: Option<VideoCodec>,
    /// `none` drops audio.
    #[serde(default)]
    pub audio_codec: Option<AudioCodec>,
    /// Constant quality, 0..=51.
    #[serde(default)]
    pub crf: Option<u8>,
    /// Bits per second.
    #[serde(default)]
    pub video_bitrate: Option<u64>,
    /// Bits per second.
    #[serde(default)]
    pub audio_bitrate: Option<u64>,
    /// Speed against size.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// Pixels.
    #[serde(default)]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(default)]
    pub height: Option<u32>,
    /// Frames per second, in thousandths.
    #[serde(default)]
    pub millifps: Option<u32>,
    /// Frames from one keyframe to the next, at most.
    #[serde(default)]
    pub keyframe_interval: Option<u32>,
    /// Instead of the output name's.
    #[serde(default)]
    pub container: Option<Container>,
}
