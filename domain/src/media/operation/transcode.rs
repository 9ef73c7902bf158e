use serde::{Deserialize, Serialize};

use super::{Fps, Scale, ScaleMode};
use crate::media::{
    AudioCodec, Container, PlanRejection, Preset, VideoCodec,
    plan::{Draft, Place},
};

/// Chooses codecs and their settings; what is absent is inferred from the output name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Transcode {
    /// `none` drops video, `copy` keeps its packets.
    #[serde(default)]
    pub video_codec: Option<VideoCodec>,
    /// `none` drops audio, `copy` keeps its packets.
    #[serde(default)]
    pub audio_codec: Option<AudioCodec>,
    /// Constant quality; its range is the codec's.
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
    /// Bits per second that are never exceeded for long, beside `crf` or `video_bitrate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bitrate: Option<u64>,
    /// Look at the whole film first, so that `video_bitrate` is spent where it is needed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub two_pass: bool,
    /// The quality to reach by VMAF, found by trying on samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_vmaf: Option<f64>,
    /// The codec's profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// FFmpeg's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_format: Option<String>,
}

impl Transcode {
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        if self.width.is_some() || self.height.is_some() {
            let scale = Scale { width: self.width, height: self.height, mode: ScaleMode::Fit };
            scale.plan(at, draft)?;
        }
        if let Some(millifps) = self.millifps {
            Fps { millifps }.plan(at, draft)?;
        }
        Ok(())
    }

    /// The fields that need a picture, and whether they are given.
    pub(crate) fn of_picture(&self) -> [(&'static str, bool); 12] {
        [
            ("crf", self.crf.is_some()),
            ("video_bitrate", self.video_bitrate.is_some()),
            ("max_bitrate", self.max_bitrate.is_some()),
            ("two_pass", self.two_pass),
            ("target_vmaf", self.target_vmaf.is_some()),
            ("preset", self.preset.is_some()),
            ("profile", self.profile.is_some()),
            ("pixel_format", self.pixel_format.is_some()),
            ("width", self.width.is_some()),
            ("height", self.height.is_some()),
            ("fps", self.millifps.is_some()),
            ("keyframe_interval", self.keyframe_interval.is_some()),
        ]
    }
}
