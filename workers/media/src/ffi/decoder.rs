//! Options of decoders.

use std::ffi::{CString, c_int};

use ffmpeg_the_third::{self as ffmpeg, Rational, codec, ffi};

use crate::decoders::DECODERS;

/// Sets the options of a decoder that the safe bindings lack; `threads` of 0 lets it choose.
///
/// # Errors
/// When there is no memory for the list of allowed decoders.
pub(crate) fn prepare_decoder(
    context: &mut codec::Context,
    time_base: Rational,
    threads: u16,
) -> Result<(), ffmpeg::Error> {
    const MAX_PIXELS: i64 = 8192 * 8192;
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context, and ours alone.
    let raw = unsafe { &mut *raw };
    raw.pkt_timebase = time_base.into();
    raw.max_pixels = MAX_PIXELS;
    raw.thread_type = c_int::try_from(ffi::FF_THREAD_FRAME | ffi::FF_THREAD_SLICE).unwrap_or(0);
    raw.thread_count = c_int::from(threads);
    let decoders = CString::new(DECODERS).unwrap_or_default();
    let raw: *mut ffi::AVCodecContext = raw;
    // SAFETY: a context starts with its class, which has this option; the text is copied.
    let outcome =
        unsafe { ffi::av_opt_set(raw.cast(), c"codec_whitelist".as_ptr(), decoders.as_ptr(), 0) };
    if outcome < 0 { Err(outcome.into()) } else { Ok(()) }
}

/// Makes a decoder skip the loop filter, to verify faster: errors show without it as well.
pub(crate) fn skip_loop_filter(context: &mut codec::Context) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context; a plain field is written.
    unsafe { (*raw).skip_loop_filter = ffi::AVDiscard::ALL };
}

/// The ASS header of a subtitle decoder, with the styles of what it decodes.
pub(crate) fn subtitle_header(context: &codec::Context) -> Vec<u8> {
    // SAFETY: an open decoder that we borrow.
    let raw = unsafe { context.as_ptr() };
    // SAFETY: an open decoder; only plain fields are read.
    let raw = unsafe { &*raw };
    let (header, size) = (raw.subtitle_header, raw.subtitle_header_size);
    let Ok(size) = usize::try_from(size) else { return vec![] };
    if header.is_null() {
        return vec![];
    }
    // SAFETY: FFmpeg keeps that many bytes there as long as the decoder lives.
    unsafe { std::slice::from_raw_parts(header, size) }.to_vec()
}
