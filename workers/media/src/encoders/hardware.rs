use ffapi_domain::media::{AssignedDevice, Pool, Preset, VideoCodec, VideoPlan};
use ffmpeg_the_third::{self as ffmpeg, Dictionary, codec, encoder, format::Pixel};

use super::{EncoderSettings, broken, check_all_consumed};
use crate::{
    MediaError,
    ffi::{self, Colors},
};

/// Opens a video encoder on the device that the plan is assigned to.
pub(super) fn open(
    plan: &VideoPlan,
    device: &AssignedDevice,
    settings: &EncoderSettings<'_>,
) -> Result<encoder::Encoder, MediaError> {
    let codec = device.pool.encoder(plan.codec).and_then(encoder::find_by_name);
    let codec = codec.ok_or_else(|| broken(ffmpeg::Error::EncoderNotFound))?;
    let mut context = codec::Context::new_with_codec(codec);
    let colors = if plan.tonemapped { Colors::Bt709 } else { Colors::As(settings.source) };
    ffi::prepare_encoder(&mut context, Some(&colors), settings.headers, 1, settings.pass);
    if let Some(max) = plan.quality.max_bitrate {
        ffi::set_max_rate(&mut context, max);
    }
    let mut video = context.encoder().video().map_err(broken)?;
    video.set_width(plan.width);
    video.set_height(plan.height);
    video.set_time_base(settings.time_base);
    video.set_frame_rate(settings.rate);
    video.set_aspect_ratio(settings.aspect);
    if let Some(interval) = plan.keyframe_interval {
        video.set_gop(interval);
    }
    if let Some(bitrate) = plan.quality.bitrate {
        video.set_bit_rate(usize::try_from(bitrate).unwrap_or(usize::MAX));
    }
    match &settings.frames {
        Some(frames) => frames.attach_to(&mut video),
        None if device.pool == Pool::Qsv => video.set_format(Pixel::NV12),
        None => video.set_format(Pixel::YUV420P),
    }
    let mut options = encoder_options(plan, device.pool);
    let opened = video.open_as_with(codec, options.as_mut()).map_err(broken)?;
    check_all_consumed(&options)?;
    Ok(opened.0.0)
}

/// The options for constant quality in each interface; a bitrate needs none.
fn encoder_options(plan: &VideoPlan, pool: Pool) -> Dictionary {
    let mut options = Dictionary::new();
    if let Some(crf) = plan.quality.crf {
        match (pool, plan.codec) {
            (Pool::Nvenc, _) => {
                options.set("rc", "vbr");
                options.set("cq", crf.to_string());
            }
            (Pool::Qsv, _) => options.set("global_quality", crf.to_string()),
            // The quantizer scale of these codecs ends at 255, not at 63.
            (_, VideoCodec::Vp8 | VideoCodec::Vp9 | VideoCodec::Av1) => {
                options.set("global_quality", (u32::from(crf) * 4).to_string());
            }
            _ => options.set("qp", crf.to_string()),
        }
    }
    if pool == Pool::Nvenc {
        options.set("preset", nvidia_preset(plan.preset));
    }
    options
}

/// NVENC's name of a preset.
const fn nvidia_preset(preset: Preset) -> &'static str {
    match preset {
        Preset::Ultrafast | Preset::Superfast => "p1",
        Preset::Veryfast => "p2",
        Preset::Faster | Preset::Fast => "p3",
        Preset::Medium => "p4",
        Preset::Slow => "p5",
        Preset::Slower => "p6",
        Preset::Veryslow => "p7",
    }
}
