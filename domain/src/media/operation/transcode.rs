use serde::{Deserialize, Serialize};

use super::{Fps, Scale, ScaleMode};
use crate::media::{
    AudioCodec, Container, PlanRejection, Preset, VideoCodec,
    plan::{OperationPath, PlanBuilder},
};

/// Selects codecs and their settings; absent fields are inferred from the output name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Transcode {
    /// `none` drops video, `copy` keeps its packets.
    #[serde(default)]
    pub video_codec: Option<VideoCodec>,
    /// `none` drops audio, `copy` keeps its packets.
    #[serde(default)]
    pub audio_codec: Option<AudioCodec>,
    /// Constant rate factor, in the codec's range.
    #[serde(default)]
    pub crf: Option<u8>,
    /// Video bits per second.
    #[serde(default)]
    pub video_bitrate: Option<u64>,
    /// Audio bits per second.
    #[serde(default)]
    pub audio_bitrate: Option<u64>,
    /// Trade-off between encoding speed and compression.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// Maximum width in pixels.
    #[serde(default)]
    pub width: Option<u32>,
    /// Maximum height in pixels.
    #[serde(default)]
    pub height: Option<u32>,
    /// Frames per second, in thousandths.
    #[serde(default)]
    pub millifps: Option<u32>,
    /// Maximum number of frames between keyframes.
    #[serde(default)]
    pub keyframe_interval: Option<u32>,
    /// Container; inferred from the output name if absent.
    #[serde(default)]
    pub container: Option<Container>,
    /// Peak bits per second, in addition to `crf` or `video_bitrate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bitrate: Option<u64>,
    /// Analyses the whole video first, so that `video_bitrate` is spent where it is needed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub two_pass: bool,
    /// VMAF score to reach, by trial encodes of samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_vmaf: Option<f64>,
    /// Profile of the codec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// FFmpeg's name of the pixel format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_format: Option<String>,
}

impl Transcode {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        if self.width.is_some() || self.height.is_some() {
            let scale = Scale { width: self.width, height: self.height, mode: ScaleMode::Fit };
            scale.plan(at, builder)?;
        }
        if let Some(millifps) = self.millifps {
            Fps { millifps }.plan(at, builder)?;
        }
        Ok(())
    }

    /// The fields that need video, and whether they are set.
    pub(crate) fn video_fields(&self) -> [(&'static str, bool); 12] {
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
