//! Kinds of errors of FFmpeg.

use ffmpeg_the_third as ffmpeg;
use nix::libc;

/// True for `EAGAIN`: the codec or filter needs more input, or its output must be read first.
pub(crate) const fn is_eagain(error: ffmpeg::Error) -> bool {
    matches!(error, ffmpeg::Error::Other { errno: libc::EAGAIN })
}
