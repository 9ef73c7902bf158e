//! Options and results of encoders.

use std::ffi::{CStr, CString, c_int};

use ffapi_domain::media::Fields;
use ffmpeg_the_third::{codec, ffi, format};

use super::parameters::pixel_traits;

/// The color properties of an encoder's frames.
pub(crate) enum Colors<'a> {
    /// Those of the source.
    As(&'a codec::Parameters),
    /// BT.709, as in high definition television.
    Bt709,
    /// Full range, as in JPEG.
    Jpeg,
}

/// Where an encoder puts its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderPlacement {
    /// Into its packets.
    InPackets,
    /// Into its extra data, from where a muxer puts them into the header of the file.
    Global,
}

/// The pass of an encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EncoderPass {
    Only,
    First,
    Second,
}

/// Sets the options of an encoder that the safe bindings lack; `threads` of 0 lets it choose.
pub(crate) fn prepare_encoder(
    context: &mut codec::Context,
    colors: Option<&Colors<'_>>,
    headers: HeaderPlacement,
    threads: u16,
    pass: EncoderPass,
) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context, and ours alone.
    let raw = unsafe { &mut *raw };
    match colors {
        Some(Colors::As(source)) => {
            // SAFETY: parameters are always allocated; only plain fields are read.
            let source = unsafe { &*source.as_ptr() };
            raw.color_range = source.color_range;
            raw.color_primaries = source.color_primaries;
            raw.color_trc = source.color_trc;
            raw.colorspace = source.color_space;
            // RGB and full range are converted to these before encoding.
            let format = format::Pixel::from(ffi::AVPixelFormat(source.format));
            if pixel_traits(format).is_some_and(|traits| traits.rgb) {
                raw.colorspace = ffi::AVColorSpace::BT709;
                raw.color_range = ffi::AVColorRange::MPEG;
            } else if source.color_range == ffi::AVColorRange::JPEG {
                raw.color_range = ffi::AVColorRange::MPEG;
            }
            raw.chroma_sample_location = source.chroma_location;
        }
        Some(Colors::Bt709) => {
            raw.color_range = ffi::AVColorRange::MPEG;
            raw.color_primaries = ffi::AVColorPrimaries::BT709;
            raw.color_trc = ffi::AVColorTransferCharacteristic::BT709;
            raw.colorspace = ffi::AVColorSpace::BT709;
        }
        Some(Colors::Jpeg) => raw.color_range = ffi::AVColorRange::JPEG,
        None => {}
    }
    let flag = match pass {
        EncoderPass::Only => 0,
        EncoderPass::First => ffi::AV_CODEC_FLAG_PASS1,
        EncoderPass::Second => ffi::AV_CODEC_FLAG_PASS2,
    };
    raw.flags |= c_int::try_from(flag).unwrap_or(0);
    if headers == HeaderPlacement::Global {
        raw.flags |= c_int::try_from(ffi::AV_CODEC_FLAG_GLOBAL_HEADER).unwrap_or(0);
    }
    raw.thread_count = c_int::from(threads);
}

/// Makes an encoder encode interlaced frames with the given field order.
pub(crate) fn set_field_order(context: &mut codec::Context, fields: Fields) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context, and ours alone.
    let raw = unsafe { &mut *raw };
    raw.field_order =
        if fields == Fields::BottomFirst { ffi::AVFieldOrder::BB } else { ffi::AVFieldOrder::TT };
    raw.flags |= c_int::try_from(ffi::AV_CODEC_FLAG_INTERLACED_DCT).unwrap_or(0);
}

/// Limits an encoder's bit rate to `max` bits per second, with a buffer of two seconds.
pub(crate) fn set_max_rate(context: &mut codec::Context, max: u64) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context, and ours alone.
    let raw = unsafe { &mut *raw };
    raw.rc_max_rate = i64::try_from(max).unwrap_or(i64::MAX);
    raw.rc_buffer_size = c_int::try_from(max.saturating_mul(2)).unwrap_or(c_int::MAX);
}

/// Sets a constant quality, for encoders that take a number from 1 (best) to 31.
pub(crate) fn set_fixed_quality(context: &mut codec::Context, quality: u16) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context, and ours alone.
    let raw = unsafe { &mut *raw };
    raw.flags |= c_int::try_from(ffi::AV_CODEC_FLAG_QSCALE).unwrap_or(0);
    raw.global_quality =
        c_int::from(quality).saturating_mul(c_int::try_from(ffi::FF_QP2LAMBDA).unwrap_or(118));
}

/// The statistics of an encoder's first pass, once it is flushed.
pub(crate) fn pass_statistics(encoder: &codec::Context) -> Option<CString> {
    // SAFETY: an open encoder that we borrow.
    let raw = unsafe { encoder.as_ptr() };
    // SAFETY: reads a plain field of it.
    let statistics = unsafe { (*raw).stats_out };
    if statistics.is_null() {
        return None;
    }
    // SAFETY: FFmpeg ends it with NUL, and it lives as long as the encoder.
    Some(unsafe { CStr::from_ptr(statistics) }.to_owned())
}

/// Passes the statistics of the first pass to the second.
pub(crate) fn set_pass_statistics(context: &mut codec::Context, statistics: CString) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // Never freed: FFmpeg reads it for as long as the encoder lives, and the process is short-lived.
    // SAFETY: an allocated, unopened context; FFmpeg only reads the text.
    unsafe { (*raw).stats_in = statistics.into_raw() };
}

/// Sets the number of significant bits of a sample, for sample formats that have more.
pub(crate) fn set_significant_bits(context: &mut codec::Context, bits: u8) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context; a plain field is written.
    unsafe { (*raw).bits_per_raw_sample = c_int::from(bits) };
}

/// The samples per frame that an audio encoder requires; 0 if it takes any number.
pub(crate) fn frame_size(encoder: &codec::Context) -> u32 {
    // SAFETY: an open encoder that we borrow.
    let raw = unsafe { encoder.as_ptr() };
    // SAFETY: reads a plain field of it.
    u32::try_from(unsafe { (*raw).frame_size }).unwrap_or(0)
}

/// The extradata of an encoder.
pub(crate) fn header(encoder: &codec::Context) -> Vec<u8> {
    // SAFETY: an open encoder that we borrow.
    let raw = unsafe { encoder.as_ptr() };
    // SAFETY: only plain fields are read.
    let raw = unsafe { &*raw };
    let (data, Ok(size)) = (raw.extradata, usize::try_from(raw.extradata_size)) else {
        return vec![];
    };
    if data.is_null() {
        return vec![];
    }
    // SAFETY: FFmpeg keeps that many bytes there as long as the encoder lives.
    unsafe { std::slice::from_raw_parts(data, size) }.to_vec()
}
