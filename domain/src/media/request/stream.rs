use serde::{Deserialize, Serialize};

use super::{Metric, Micros, Overwrite, Poster, Sprite};
use crate::{
    Personal,
    location::Location,
    media::{Preset, Role, VideoCodec, codec::words},
};

/// Makes a film ready for adaptive streaming: a ladder of renditions in segments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// Where the bytes come from.
    pub input: Personal<Location>,
    /// The folder where they go.
    pub output: Personal<Location>,
    /// Which manifests.
    pub packaging: Packaging,
    /// What a segment is; MPEG-TS is for HLS alone.
    #[serde(default)]
    pub segments: SegmentFormat,
    /// The ladder; chosen by the film's size when empty.
    #[serde(default)]
    pub variants: Vec<Variant>,
    /// From one segment to the next; six seconds when absent.
    #[serde(default)]
    pub segment_duration: Option<Micros>,
    /// H.264 when absent.
    #[serde(default)]
    pub video_codec: Option<VideoCodec>,
    /// Speed against size.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// Segments encrypted with AES-128, the key beside them.
    #[serde(default)]
    pub encrypted: bool,
    /// What is said, as text.
    #[serde(default)]
    pub captions: Vec<Caption>,
    /// A still beside the manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poster: Option<Poster>,
    /// Small pictures for a time line, beside the manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sprite: Option<Sprite>,
    /// What to find out on the way: the film's own, and the VMAF of each rendition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// If an output's name is taken.
    #[serde(default)]
    pub overwrite: Overwrite,
}

words! {
    /// Which manifests a stream has.
    Packaging {
        /// HTTP Live Streaming.
        Hls = "hls",
        /// MPEG-DASH.
        Dash = "dash",
        /// Both, over one set of segments.
        Cmaf = "cmaf",
    }
}

/// What a segment is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentFormat {
    /// Fragmented MP4.
    #[default]
    Fmp4,
    /// MPEG transport stream.
    Ts,
}

/// One step of the ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Its folder's.
    pub name: String,
    /// Pixels at most.
    #[serde(default)]
    pub width: Option<u32>,
    /// Pixels at most.
    #[serde(default)]
    pub height: Option<u32>,
    /// Bits per second on average.
    #[serde(default)]
    pub video_bitrate: Option<u64>,
    /// Constant quality, below a cap by its size.
    #[serde(default)]
    pub crf: Option<u8>,
    /// Bits per second; the largest of the ladder's counts, as the sound is its own group.
    #[serde(default)]
    pub audio_bitrate: Option<u64>,
}

/// Text in one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caption {
    /// SRT, ASS or `WebVTT`.
    pub input: Personal<Location>,
    /// ISO 639.
    pub language: String,
    /// What a player shows; the language when absent.
    #[serde(default)]
    pub name: Option<String>,
}

impl Stream {
    /// Every file it reads, the job's own first: the plan's numbers.
    pub(super) fn inputs(&self) -> Vec<(&Personal<Location>, Role)> {
        let captions = self.captions.iter().map(|caption| (&caption.input, Role::Subtitle));
        std::iter::once((&self.input, Role::Media)).chain(captions).collect()
    }
}
