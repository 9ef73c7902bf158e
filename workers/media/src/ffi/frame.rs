use std::ffi::c_int;

use ffapi_domain::media::Matrix;
use ffmpeg_the_third::{self as ffmpeg, Rational, Rescale, ffi, format, frame};

/// An empty frame, for video or audio.
pub(crate) fn empty_frame() -> frame::Frame {
    // SAFETY: allocates a frame without data, which is valid for every receiver.
    unsafe { frame::Frame::empty() }
}

/// The frame's C struct; none only if its allocation failed.
fn fields(frame: &frame::Frame) -> Option<&ffi::AVFrame> {
    // SAFETY: the frame is allocated as long as it is borrowed, and only plain fields are read.
    unsafe { frame.as_ref() }
}

/// The frame's C struct; none only if its allocation failed.
fn fields_mut(frame: &mut frame::Frame) -> Option<&mut ffi::AVFrame> {
    // SAFETY: the frame is allocated as long as it is borrowed, and ours alone.
    unsafe { frame.as_mut() }
}

/// Another reference to the same frame data.
pub(crate) fn share(frame: &frame::Frame) -> Result<frame::Frame, ffmpeg::Error> {
    let mut shared = empty_frame();
    let (Some(to), Some(from)) = (fields_mut(&mut shared), fields(frame)) else {
        return Err(ffmpeg::Error::Other { errno: nix::libc::ENOMEM });
    };
    // SAFETY: both frames are allocated; the new one is empty, as FFmpeg requires.
    let outcome = unsafe { ffi::av_frame_ref(to, from) };
    if outcome < 0 { Err(outcome.into()) } else { Ok(shared) }
}

/// Width, height and pixel format of a video frame.
pub(crate) fn frame_shape(frame: &frame::Frame) -> (u32, u32, format::Pixel) {
    let Some(raw) = fields(frame) else { return (0, 0, format::Pixel::None) };
    let side = |side: c_int| u32::try_from(side).unwrap_or(0);
    (side(raw.width), side(raw.height), format::Pixel::from(ffi::AVPixelFormat(raw.format)))
}

/// Sample rate, sample format and channel layout of an audio frame.
pub(crate) fn audio_shape(
    frame: &frame::Frame,
) -> Option<(u32, format::Sample, ffmpeg::ChannelLayout<'_>)> {
    let raw = fields(frame)?;
    Some((
        u32::try_from(raw.sample_rate).unwrap_or(0),
        format::Sample::from(ffi::AVSampleFormat(raw.format)),
        ffmpeg::ChannelLayout::from(&raw.ch_layout),
    ))
}

/// Samples per channel of an audio frame.
pub(crate) fn samples(frame: &frame::Frame) -> usize {
    fields(frame).and_then(|raw| usize::try_from(raw.nb_samples).ok()).unwrap_or(0)
}

/// The duration of a frame in a time base; none if it is unknown.
pub(crate) fn lasts(frame: &frame::Frame, time_base: Rational) -> Option<i64> {
    let raw = fields(frame)?;
    if raw.nb_samples > 0 && raw.sample_rate > 0 {
        return Some(i64::from(raw.nb_samples).rescale(Rational(1, raw.sample_rate), time_base));
    }
    Some(duration(raw)).filter(|duration| *duration > 0)
}

/// Converts the duration of a video frame to another time base.
pub(crate) fn rescale_duration(frame: &mut frame::Frame, from: Rational, to: Rational) {
    if let Some(raw) = fields_mut(frame) {
        set_duration(raw, duration(raw).rescale(from, to));
    }
}

#[cfg(ffmpeg_6_0)]
const fn duration(frame: &ffi::AVFrame) -> i64 {
    frame.duration
}

#[cfg(not(ffmpeg_6_0))]
const fn duration(frame: &ffi::AVFrame) -> i64 {
    frame.pkt_duration
}

#[cfg(ffmpeg_6_0)]
const fn set_duration(frame: &mut ffi::AVFrame, duration: i64) {
    frame.duration = duration;
}

#[cfg(not(ffmpeg_6_0))]
const fn set_duration(frame: &mut ffi::AVFrame, duration: i64) {
    frame.pkt_duration = duration;
}

/// Declares the matrix of a frame that declares none.
pub(crate) fn assume_matrix(frame: &mut frame::Frame, matrix: Matrix) {
    let Some(raw) = fields_mut(frame) else { return };
    if raw.colorspace == ffi::AVColorSpace::UNSPECIFIED {
        raw.colorspace = color_space(matrix);
    }
}

/// FFmpeg's constant of a matrix.
pub(super) const fn color_space(matrix: Matrix) -> ffi::AVColorSpace {
    match matrix {
        Matrix::Bt601 => ffi::AVColorSpace::SMPTE170M,
        Matrix::Bt709 => ffi::AVColorSpace::BT709,
        Matrix::Bt2020 => ffi::AVColorSpace::BT2020_NCL,
    }
}

/// Sets the type (I, P or B) that an encoder must give to a frame.
pub(crate) fn set_frame_type(frame: &mut frame::Frame, kind: ffmpeg::picture::Type) {
    if let Some(raw) = fields_mut(frame) {
        raw.pict_type = kind.into();
    }
}

/// The type (I, P or B) that a frame had in its source.
pub(crate) fn frame_type(frame: &frame::Frame) -> ffmpeg::picture::Type {
    fields(frame).map_or(ffmpeg::picture::Type::None, |raw| raw.pict_type.into())
}

/// Fills an audio frame with silence.
pub(crate) fn silence(frame: &mut frame::Audio) {
    let (samples, channels) = (frame.samples(), frame.ch_layout().channels());
    let (samples, channels) = (c_int::try_from(samples), c_int::try_from(channels));
    let format = frame.format();
    let Some(raw) = fields_mut(frame) else { return };
    if let (Ok(samples), Ok(channels)) = (samples, channels) {
        // SAFETY: the frame has that many samples of that format in every plane.
        unsafe {
            ffi::av_samples_set_silence(raw.extended_data, 0, samples, channels, format.into())
        };
    }
}

/// The lines of a video frame's first plane, from top to bottom.
pub(crate) fn first_plane(frame: &frame::Frame) -> impl Iterator<Item = &[u8]> {
    let raw = fields(frame).filter(|raw| raw.data.first().is_some_and(|data| !data.is_null()));
    let data = raw.and_then(|raw| raw.data.first()).copied();
    let stride = raw.and_then(|raw| raw.linesize.first()).copied().unwrap_or(0);
    let (width, height) = raw.map_or((0, 0), |raw| (raw.width, raw.height));
    let format = ffi::AVPixelFormat(raw.map_or(-1, |raw| raw.format));
    // SAFETY: only looks the format up, which may be an unknown one.
    let length = unsafe { ffi::av_image_get_linesize(format, width, 0) };
    let length = usize::try_from(length).unwrap_or(0);
    (0..height).filter_map(move |line| {
        let from = isize::try_from(line.checked_mul(stride)?).ok()?;
        // SAFETY: the plane has `height` lines, `stride` bytes from each to the next, which is
        // negative if the frame is stored upside down.
        let line = unsafe { data?.offset(from) };
        // SAFETY: a line has as many bytes as FFmpeg states, and lives as long as the frame.
        Some(unsafe { std::slice::from_raw_parts(line, length) })
    })
}

/// Bits per pixel in memory, over all planes; 32 for formats without a layout.
pub(crate) fn bits_per_pixel(format: format::Pixel) -> usize {
    // SAFETY: returns a constant of the library, or null for an unknown format.
    let descriptor = unsafe { ffi::av_pix_fmt_desc_get(format.into()) };
    if descriptor.is_null() {
        return 32;
    }
    // SAFETY: a constant of the library.
    let bits = unsafe { ffi::av_get_padded_bits_per_pixel(descriptor) };
    usize::try_from(bits).ok().filter(|bits| *bits > 0).unwrap_or(32)
}
