use ffapi_domain::media::{AudioCodec, Container, Preset, Transcode, VideoCodec};
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::Value;

use crate::{media::value, problem::Problem};

/// Chooses codecs and their settings; what is absent is inferred from the output name.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Transcode", skip_serializing_if_is_none)]
pub(crate) struct TranscodeBody {
    /// `h264`, `hevc`, `vp8`, `vp9`, `av1`, `prores`, `gif`, `mjpeg`, `png`, `webp`, `copy` or
    /// `none`.
    video_codec: Option<String>,
    /// `aac`, `mp3`, `opus`, `vorbis`, `ac3`, `flac`, `pcm`, `copy` or `none`.
    audio_codec: Option<String>,
    /// Constant quality, 0 is best; up to 51 for h264 and hevc, up to 63 for vp8, vp9 and av1.
    crf: Option<u8>,
    /// Bits per second on average, like 2500000 or "2.5M".
    video_bitrate: Option<Any<Value>>,
    /// A cap in addition to `crf` or `video_bitrate`.
    max_bitrate: Option<Any<Value>>,
    audio_bitrate: Option<Any<Value>>,
    /// Encode in two passes; needs `video_bitrate`.
    two_pass: Option<bool>,
    /// The VMAF to reach, 30 to 99, instead of `crf`: values of `crf` are tried on samples of the
    /// video.
    target_vmaf: Option<f64>,
    /// `ultrafast`, `superfast`, `veryfast`, `faster`, `fast`, `medium`, `slow`, `slower` or `veryslow`: slower
    /// ones compress better.
    preset: Option<String>,
    /// The codec's profile, like `high` for h264.
    profile: Option<String>,
    /// FFmpeg's name, like `yuv420p10le`.
    pixel_format: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    fps: Option<f64>,
    /// The maximum number of frames between two keyframes.
    keyframe_interval: Option<u32>,
    /// Overrides the container that the output name implies.
    container: Option<String>,
}

impl From<&Transcode> for TranscodeBody {
    fn from(transcode: &Transcode) -> Self {
        Self {
            video_codec: transcode.video_codec.map(|codec| codec.as_str().to_owned()),
            audio_codec: transcode.audio_codec.map(|codec| codec.as_str().to_owned()),
            crf: transcode.crf,
            video_bitrate: transcode.video_bitrate.map(value::bits),
            max_bitrate: transcode.max_bitrate.map(value::bits),
            audio_bitrate: transcode.audio_bitrate.map(value::bits),
            two_pass: transcode.two_pass.then_some(true),
            target_vmaf: transcode.target_vmaf,
            preset: transcode.preset.map(|preset| preset.as_str().to_owned()),
            profile: transcode.profile.clone(),
            pixel_format: transcode.pixel_format.clone(),
            width: transcode.width,
            height: transcode.height,
            fps: transcode.millifps.map(value::fps),
            keyframe_interval: transcode.keyframe_interval,
            container: transcode.container.map(|container| container.as_str().to_owned()),
        }
    }
}

impl TranscodeBody {
    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Transcode, Problem> {
        Ok(Transcode {
            video_codec: value::word::<VideoCodec>(self.video_codec, &at("video_codec"))?,
            audio_codec: value::word::<AudioCodec>(self.audio_codec, &at("audio_codec"))?,
            crf: self.crf,
            video_bitrate: value::bitrate(self.video_bitrate, &at("video_bitrate"))?,
            audio_bitrate: value::bitrate(self.audio_bitrate, &at("audio_bitrate"))?,
            preset: value::word::<Preset>(self.preset, &at("preset"))?,
            width: self.width,
            height: self.height,
            millifps: self.fps.map(value::millifps),
            keyframe_interval: self.keyframe_interval,
            container: value::word::<Container>(self.container, &at("container"))?,
            max_bitrate: value::bitrate(self.max_bitrate, &at("max_bitrate"))?,
            two_pass: self.two_pass.unwrap_or(false),
            target_vmaf: self.target_vmaf,
            profile: self.profile,
            pixel_format: self.pixel_format,
        })
    }
}
