use ffapi_domain::media::{AudioCodec, AudioPlan};
use ffmpeg_the_third::{
    self as ffmpeg, ChannelLayout, Dictionary, Rational, codec, encoder,
    format::{Sample, sample::Type},
};

use super::{broken, check_all_consumed};
use crate::{
    MediaError,
    ffi::{self, EncoderPass, HeaderPlacement},
};

/// The name of FFmpeg's encoder for an audio track, and its sample format.
pub(crate) struct AudioEncoder {
    name: &'static str,
    pub(crate) format: Sample,
}

impl AudioEncoder {
    pub(crate) fn of(plan: &AudioPlan) -> Self {
        let deep = plan.bits > 16;
        let (name, format) = match plan.codec {
            AudioCodec::Opus => ("libopus", Sample::F32(Type::Packed)),
            AudioCodec::Pcm if deep => ("pcm_s24le", Sample::I32(Type::Packed)),
            AudioCodec::Pcm => ("pcm_s16le", Sample::I16(Type::Packed)),
            AudioCodec::Flac if deep => ("flac", Sample::I32(Type::Packed)),
            AudioCodec::Flac => ("flac", Sample::I16(Type::Packed)),
            other => (other.encoder().unwrap_or("none"), Sample::F32(Type::Planar)),
        };
        Self { name, format }
    }
}

/// Opens an audio encoder.
pub(crate) fn open(
    plan: &AudioPlan,
    headers: HeaderPlacement,
) -> Result<encoder::Encoder, MediaError> {
    let encoder = AudioEncoder::of(plan);
    let codec = encoder::find_by_name(encoder.name);
    let codec = codec.ok_or_else(|| broken(ffmpeg::Error::EncoderNotFound))?;
    let mut context = codec::Context::new_with_codec(codec);
    ffi::prepare_encoder(&mut context, None, headers, 1, EncoderPass::Only);
    if plan.codec == AudioCodec::Flac && plan.bits > 16 {
        ffi::set_significant_bits(&mut context, plan.bits);
    }
    let mut audio = context.encoder().audio().map_err(broken)?;
    let rate = i32::try_from(plan.sample_rate).unwrap_or(48_000);
    audio.set_rate(rate);
    audio.set_format(encoder.format);
    let layout = plan.layout.as_deref().and_then(ChannelLayout::from_string);
    let usual = || ChannelLayout::default_for_channels(plan.channels);
    audio.set_ch_layout(layout.unwrap_or_else(usual));
    audio.set_time_base(Rational(1, rate));
    if let Some(bitrate) = plan.bitrate {
        audio.set_bit_rate(usize::try_from(bitrate).unwrap_or(usize::MAX));
    }
    let mut options = Dictionary::new();
    let opened = audio.open_as_with(codec, options.as_mut()).map_err(broken)?;
    check_all_consumed(&options)?;
    Ok(opened.0.0)
}
