//! Filter graphs and their outputs.

use std::ffi::c_int;

use ffmpeg_the_third::{Rational, ffi, filter, format};

/// The time base of a filter sink's frames.
pub(crate) fn sink_time_base(sink: &filter::Context<'_>) -> Rational {
    // SAFETY: a configured sink of a live graph; the result is a value.
    let sink = unsafe { sink.as_ptr() };
    // SAFETY: only reads it.
    unsafe { ffi::av_buffersink_get_time_base(sink) }.into()
}

/// The pixel aspect ratio of a filter sink's frames.
pub(crate) fn sink_pixel_aspect(sink: &filter::Context<'_>) -> Rational {
    // SAFETY: a configured sink of a live graph; the result is a value.
    let sink = unsafe { sink.as_ptr() };
    // SAFETY: only reads it.
    unsafe { ffi::av_buffersink_get_sample_aspect_ratio(sink) }.into()
}

/// Width, height and pixel format of a filter sink's frames.
pub(crate) fn sink_video_format(sink: &filter::Context<'_>) -> (u32, u32, format::Pixel) {
    // SAFETY: a configured sink of a live graph; the results are values.
    let sink = unsafe { sink.as_ptr() };
    // SAFETY: only reads it.
    let width = unsafe { ffi::av_buffersink_get_w(sink) };
    // SAFETY: only reads it.
    let height = unsafe { ffi::av_buffersink_get_h(sink) };
    // SAFETY: only reads it.
    let format = unsafe { ffi::av_buffersink_get_format(sink) };
    let side = |side: c_int| u32::try_from(side).unwrap_or(0);
    (side(width), side(height), format::Pixel::from(ffi::AVPixelFormat(format)))
}

/// The frame rate of a filter sink; 0 if it is variable.
pub(crate) fn sink_frame_rate(sink: &filter::Context<'_>) -> Rational {
    // SAFETY: a configured sink of a live graph; the result is a value.
    let sink = unsafe { sink.as_ptr() };
    // SAFETY: only reads it.
    unsafe { ffi::av_buffersink_get_frame_rate(sink) }.into()
}

/// Limits a graph to one thread, since the pipeline's stages already run in parallel.
pub(crate) fn limit_to_one_thread(graph: &mut filter::Graph) {
    // SAFETY: an allocated, unconfigured graph that we borrow mutably; a plain field is written.
    let graph = unsafe { graph.as_mut_ptr() };
    // SAFETY: writes a plain field of it.
    unsafe { (*graph).nb_threads = 1 };
}
