use serde::{Deserialize, Serialize};

use super::{Metric, Micros, Overwrite, Poster, Sprite};
use crate::{
    Personal,
    location::Location,
    media::{Preset, Role, VideoCodec, codec::string_enum},
};

/// Prepares a video for adaptive streaming: a ladder of renditions in segments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// Location of the input.
    pub input: Personal<Location>,
    /// Location of the output folder.
    pub output: Personal<Location>,
    /// The kind of manifests.
    pub packaging: Packaging,
    /// Container format of the segments; MPEG-TS only for HLS.
    #[serde(default)]
    pub segments: SegmentFormat,
    /// How segments are stored.
    #[serde(default, skip_serializing_if = "SegmentLayout::is_default")]
    pub layout: SegmentLayout,
    /// The ladder; chosen by the input's size if empty.
    #[serde(default)]
    pub variants: Vec<Variant>,
    /// Duration of a segment; six seconds if absent.
    #[serde(default)]
    pub segment_duration: Option<Micros>,
    /// Video codec; H.264 if absent.
    #[serde(default)]
    pub video_codec: Option<VideoCodec>,
    /// Trade-off between encoding speed and compression.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// True to encrypt segments with AES-128; the key is stored next to them.
    #[serde(default)]
    pub encrypted: bool,
    /// Captions.
    #[serde(default)]
    pub captions: Vec<Caption>,
    /// A poster image next to the manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poster: Option<Poster>,
    /// Sprite sheets for a timeline, next to the manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sprite: Option<Sprite>,
    /// Metrics to measure during the job: those of the input, and the VMAF of each rendition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// What happens if an output name is taken.
    #[serde(default)]
    pub overwrite: Overwrite,
}

string_enum! {
    /// The kind of manifests of a stream.
    Packaging {
        /// HTTP Live Streaming.
        Hls = "hls",
        /// MPEG-DASH.
        Dash = "dash",
        /// Both, over one set of segments.
        Cmaf = "cmaf",
    }
}

/// Container format of segments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentFormat {
    /// Fragmented MP4.
    #[default]
    Fmp4,
    /// MPEG transport stream.
    Ts,
}

/// How segments are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentLayout {
    /// A file for each.
    #[default]
    Files,
    /// One file for all segments of a rendition, which players read in parts.
    SingleFile,
}

impl SegmentLayout {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One step of the ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Name of its folder.
    pub name: String,
    /// Maximum width in pixels.
    #[serde(default)]
    pub width: Option<u32>,
    /// Maximum height in pixels.
    #[serde(default)]
    pub height: Option<u32>,
    /// Average bits per second.
    #[serde(default)]
    pub video_bitrate: Option<u64>,
    /// Constant rate factor, with a bitrate cap that depends on the size.
    #[serde(default)]
    pub crf: Option<u8>,
    /// Audio bits per second; the largest of the ladder is used, as audio is a separate group.
    #[serde(default)]
    pub audio_bitrate: Option<u64>,
}

/// Captions in one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caption {
    /// SRT, ASS or `WebVTT` file.
    pub input: Personal<Location>,
    /// ISO 639 language code.
    pub language: String,
    /// Name as players show it; the language if absent.
    #[serde(default)]
    pub name: Option<String>,
}

impl Stream {
    /// Every file it reads, the job's own input first, in the order in which the plan numbers them.
    pub(super) fn inputs(&self) -> Vec<(&Personal<Location>, Role)> {
        let captions = self.captions.iter().map(|caption| (&caption.input, Role::Subtitle));
        std::iter::once((&self.input, Role::Media)).chain(captions).collect()
    }

    /// Every location that it names.
    pub(super) fn locations_mut(&mut self) -> impl Iterator<Item = &mut Personal<Location>> {
        let captions = self.captions.iter_mut().map(|caption| &mut caption.input);
        [&mut self.input, &mut self.output].into_iter().chain(captions)
    }
}
