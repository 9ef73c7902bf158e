use std::path::Path;

use ffapi_domain::media::{Preset, RateControl, VideoCodec, VideoPlan};
use ffmpeg_the_third::{self as ffmpeg, Dictionary, codec, encoder, format};

use super::{EncoderSettings, broken, check_all_consumed, hardware};
use crate::{
    MediaError,
    ffi::{self, Colors, EncoderPass},
};

/// Opens a video encoder.
pub(crate) fn open(
    plan: &VideoPlan,
    settings: EncoderSettings<'_>,
) -> Result<encoder::Encoder, MediaError> {
    if let Some(device) = &plan.assigned {
        return hardware::open(plan, device, &settings);
    }
    let codec = plan.codec.encoder().and_then(encoder::find_by_name);
    let codec = codec.ok_or_else(|| broken(ffmpeg::Error::EncoderNotFound))?;
    let mut context = codec::Context::new_with_codec(codec);
    let colors = if plan.pixel_format.starts_with("yuvj") {
        Colors::Jpeg
    } else if plan.tonemapped {
        Colors::Bt709
    } else {
        Colors::As(settings.source)
    };
    let colors = Some(colors).filter(|_| !matches!(plan.codec, VideoCodec::Png | VideoCodec::Gif));
    ffi::prepare_encoder(
        &mut context,
        colors.as_ref(),
        settings.headers,
        settings.threads,
        settings.pass,
    );
    if let Some(fields) = plan.fields {
        ffi::set_field_order(&mut context, fields);
    }
    if plan.codec == VideoCodec::Mjpeg {
        ffi::set_fixed_quality(&mut context, JPEG_QUALITY);
    }
    if let Some(max) = plan.quality.max_bitrate {
        ffi::set_max_rate(&mut context, max);
    }
    if let Some(statistics) = settings.statistics {
        ffi::set_pass_statistics(&mut context, statistics);
    }
    let format: format::Pixel = plan
        .pixel_format
        .parse()
        .map_err(|_| MediaError::internal("unknown pixel format", &plan.pixel_format))?;
    let mut video = context.encoder().video().map_err(broken)?;
    video.set_width(plan.width);
    video.set_height(plan.height);
    video.set_format(format);
    video.set_time_base(settings.time_base);
    video.set_frame_rate(settings.rate);
    video.set_aspect_ratio(settings.aspect);
    if let Some(interval) = plan.keyframe_interval {
        video.set_gop(interval);
    }
    if let Some(bitrate) = bitrate(plan) {
        video.set_bit_rate(usize::try_from(bitrate).unwrap_or(usize::MAX));
    }
    let mut options = encoder_options(plan, settings.pass, settings.scratch);
    if settings.forced_keyframes {
        options.set("forced-idr", "1");
        match plan.codec {
            VideoCodec::H264 => options.set("sc_threshold", "0"),
            _ => options.set("x265-params", "log-level=none:scenecut=0:open-gop=0"),
        }
    }
    let opened = video.open_as_with(codec, options.as_mut()).map_err(broken)?;
    check_all_consumed(&options)?;
    Ok(opened.0.0)
}

/// High visual quality, on a scale of 1 (best) to 31.
const JPEG_QUALITY: u16 = 3;

/// The average bitrate in bits per second; for VP8 and VP9, constant quality needs an upper bound
/// here.
fn bitrate(plan: &VideoPlan) -> Option<u64> {
    const UNBOUNDED: u64 = 100_000_000;
    let RateControl { bitrate, max_bitrate, .. } = plan.quality;
    match plan.codec {
        VideoCodec::Vp8 => bitrate.or(max_bitrate).or(Some(UNBOUNDED)),
        // Constant quality with a maximum bitrate.
        VideoCodec::Vp9 => bitrate.or(max_bitrate),
        _ => bitrate,
    }
}

/// The options of the encoder.
fn encoder_options(plan: &VideoPlan, pass: EncoderPass, scratch: &Path) -> Dictionary {
    let mut options = Dictionary::new();
    let statistics = scratch.join("encoder.stats").display().to_string();
    if let Some(crf) = plan.quality.crf {
        options.set("crf", crf.to_string());
    }
    match plan.codec {
        VideoCodec::H264 => {
            options.set("preset", plan.preset.as_str());
            if pass != EncoderPass::Only {
                options.set("passlogfile", statistics);
            }
        }
        VideoCodec::Hevc => {
            options.set("preset", plan.preset.as_str());
            let number = match pass {
                EncoderPass::Only => None,
                EncoderPass::First => Some(1),
                EncoderPass::Second => Some(2),
            };
            let pass = number.map(|number| format!(":pass={number}:stats={statistics}"));
            options.set("x265-params", format!("log-level=none{}", pass.unwrap_or_default()));
        }
        VideoCodec::Vp8 | VideoCodec::Vp9 => {
            let (deadline, speed) = match vpx_speed(plan.preset) {
                // The realtime mode has no lookahead, which two passes need.
                ("realtime", _) if pass != EncoderPass::Only => ("good", 5),
                speed => speed,
            };
            options.set("deadline", deadline);
            options.set("cpu-used", speed.to_string());
            if plan.codec == VideoCodec::Vp9 {
                options.set("row-mt", "1");
            }
            if plan.pixel_format.starts_with("yuva") {
                options.set("auto-alt-ref", "0");
            }
        }
        VideoCodec::Av1 => options.set("preset", svt_speed(plan.preset).to_string()),
        VideoCodec::Prores => {
            options.set("vendor", "apl0");
            let profile = if plan.pixel_format.contains("444") { "4444" } else { "hq" };
            options.set("profile", plan.profile.as_deref().unwrap_or(profile));
        }
        VideoCodec::Webp => options.set("quality", "80"),
        VideoCodec::Gif
        | VideoCodec::Mjpeg
        | VideoCodec::Png
        | VideoCodec::Copy
        | VideoCodec::None => {}
    }
    if let (VideoCodec::H264 | VideoCodec::Hevc, Some(profile)) = (plan.codec, &plan.profile) {
        options.set("profile", profile);
    }
    options
}

/// libvpx's deadline and `cpu-used` of a preset.
const fn vpx_speed(preset: Preset) -> (&'static str, u8) {
    match preset {
        Preset::Ultrafast => ("realtime", 8),
        Preset::Superfast => ("realtime", 7),
        Preset::Veryfast => ("realtime", 6),
        Preset::Faster => ("good", 5),
        Preset::Fast => ("good", 4),
        Preset::Medium => ("good", 3),
        Preset::Slow => ("good", 2),
        Preset::Slower => ("good", 1),
        Preset::Veryslow => ("good", 0),
    }
}

/// SVT-AV1's number of a preset.
const fn svt_speed(preset: Preset) -> u8 {
    match preset {
        Preset::Ultrafast => 12,
        Preset::Superfast => 11,
        Preset::Veryfast => 10,
        Preset::Faster => 9,
        Preset::Fast => 8,
        Preset::Medium => 7,
        Preset::Slow => 5,
        Preset::Slower => 4,
        Preset::Veryslow => 3,
    }
}
