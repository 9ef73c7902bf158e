use ffapi_domain::media::{AssignedDevice, RateControl, VideoPlan};
use poem_openapi::Object;

use super::{
    filter::VideoFilterBody,
    parts::{RatioBody, SourceBody},
};
use crate::media::value::name_of;

/// How a video stream is made.
#[derive(Debug, Object)]
#[oai(rename = "PlanVideo", skip_serializing_if_is_none)]
pub(crate) struct VideoBody {
    /// The stream that it comes from.
    source: SourceBody,
    /// The codec of the encoder, or `copy`.
    codec: String,
    /// The filters, in order.
    filters: Vec<VideoFilterBody>,
    /// Pixels.
    width: u32,
    /// Pixels.
    height: u32,
    /// FFmpeg's name of the pixel format.
    pixel_format: String,
    /// Frames per second.
    rate: RatioBody,
    /// True if the frame rate is constant.
    constant_rate: bool,
    /// Rate control.
    quality: QualityBody,
    /// `ultrafast`, `superfast`, `veryfast`, `faster`, `fast`, `medium`, `slow`, `slower` or `veryslow`.
    preset: String,
    /// The profile of the codec.
    profile: Option<String>,
    /// Maximum number of frames between two keyframes; the encoder's default if absent.
    keyframe_interval: Option<u32>,
    /// True if it is tone-mapped from high dynamic range.
    tonemapped: bool,
    /// If it stays interlaced, the field that is shown first: `top_first` or `bottom_first`.
    fields: Option<String>,
    /// The hardware that encodes it; the CPU if absent.
    placed: Option<DeviceBody>,
}

/// Rate control of a video stream.
#[derive(Debug, Object)]
#[oai(rename = "PlanQuality", skip_serializing_if_is_none)]
pub(crate) struct QualityBody {
    /// Constant quality; with `target_vmaf` what was found.
    crf: Option<u8>,
    /// Bits per second on average.
    bitrate: Option<u64>,
    /// Bits per second at most.
    max_bitrate: Option<u64>,
    /// True if the whole video is analysed in a first pass.
    two_pass: bool,
    /// The VMAF to reach.
    target_vmaf: Option<f64>,
}

/// A hardware encoder.
#[derive(Debug, Object)]
#[oai(rename = "PlanDevice")]
pub(crate) struct DeviceBody {
    /// `vaapi`, `nvenc` or `qsv`.
    pool: String,
    /// Its path or number.
    device: String,
}

impl From<&VideoPlan> for VideoBody {
    fn from(video: &VideoPlan) -> Self {
        Self {
            source: video.source.into(),
            codec: video.codec.as_str().to_owned(),
            filters: video.filters.iter().map(VideoFilterBody::from).collect(),
            width: video.width,
            height: video.height,
            pixel_format: video.pixel_format.clone(),
            rate: video.rate.into(),
            constant_rate: video.constant_rate,
            quality: video.quality.into(),
            preset: video.preset.as_str().to_owned(),
            profile: video.profile.clone(),
            keyframe_interval: video.keyframe_interval,
            tonemapped: video.tonemapped,
            fields: video.fields.as_ref().map(name_of),
            placed: video.assigned.as_ref().map(DeviceBody::from),
        }
    }
}

impl From<RateControl> for QualityBody {
    fn from(quality: RateControl) -> Self {
        let RateControl { crf, bitrate, max_bitrate, two_pass, target_vmaf } = quality;
        Self { crf, bitrate, max_bitrate, two_pass, target_vmaf }
    }
}

impl From<&AssignedDevice> for DeviceBody {
    fn from(assigned: &AssignedDevice) -> Self {
        Self { pool: assigned.pool.as_str().to_owned(), device: assigned.device.clone() }
    }
}
