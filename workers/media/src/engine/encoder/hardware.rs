use ffapi_domain::media::{Placed, Pool, Preset, VideoCodec, VideoPlan};
use ffmpeg_the_third::{self as ffmpeg, Dictionary, codec, encoder, format::Pixel};

use super::{EncoderSettings, all_understood, broken};
use crate::{
    MediaError,
    ffi::{self, Colors},
};

/// Opens the encoder of a picture on the hardware that it is placed on.
pub(super) fn open(
    plan: &VideoPlan,
    placed: &Placed,
    canvas: &EncoderSettings<'_>,
) -> Result<encoder::Encoder, MediaError> {
    let codec = placed.pool.encoder(plan.codec).and_then(encoder::find_by_name);
    let codec = codec.ok_or_else(|| broken(ffmpeg::Error::EncoderNotFound))?;
    let mut context = codec::Context::new_with_codec(codec);
    let colors = if plan.tonemapped { Colors::Bt709 } else { Colors::As(canvas.source) };
    ffi::prepare_encoder(&mut context, Some(&colors), canvas.global_header, 1, canvas.pass);
    if let Some(max) = plan.quality.max_bitrate {
        ffi::cap_rate(&mut context, max);
    }
    let mut video = context.encoder().video().map_err(broken)?;
    video.set_width(plan.width);
    video.set_height(plan.height);
    video.set_time_base(canvas.time_base);
    video.set_frame_rate(canvas.rate);
    video.set_aspect_ratio(canvas.aspect);
    if let Some(interval) = plan.keyframe_interval {
        video.set_gop(interval);
    }
    if let Some(bitrate) = plan.quality.bitrate {
        video.set_bit_rate(usize::try_from(bitrate).unwrap_or(usize::MAX));
    }
    match &canvas.frames {
        Some(frames) => frames.give_to(&mut video),
        None if placed.pool == Pool::Qsv => video.set_format(Pixel::NV12),
        None => video.set_format(Pixel::YUV420P),
    }
    let options = settings(plan, placed.pool);
    let mut left = options;
    let opened = video.open_as_with(codec, left.as_mut()).map_err(broken)?;
    all_understood(&left)?;
    Ok(opened.0.0)
}

/// Constant quality in each interface's own words; a rate needs none.
fn settings(plan: &VideoPlan, pool: Pool) -> Dictionary {
    let mut options = Dictionary::new();
    if let Some(crf) = plan.quality.crf {
        match (pool, plan.codec) {
            (Pool::Nvenc, _) => {
                options.set("rc", "vbr");
                options.set("cq", crf.to_string());
            }
            (Pool::Qsv, _) => options.set("global_quality", crf.to_string()),
            // Their scale of quantizers goes to 255, not to 63.
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

/// NVIDIA's own words for our presets.
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
