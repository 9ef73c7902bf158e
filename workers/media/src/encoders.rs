//! Encoders, opened with the settings of a plan, and the tracks of outputs that they encode.

mod audio;
pub(crate) mod copy;
pub(crate) mod frame_types;
mod hardware;
pub(crate) mod hardware_probe;
mod settings;
pub(crate) mod track;
mod video;

use ffmpeg_the_third::{self as ffmpeg, Dictionary};

pub(crate) use self::{
    audio::{AudioEncoder, open as open_audio},
    settings::EncoderSettings,
    video::open as open_video,
};
use crate::MediaError;

/// Fails if FFmpeg left an option in `options`, because it did not recognize it: no option may be
/// ignored silently.
fn check_all_consumed(options: &Dictionary) -> Result<(), MediaError> {
    match options.iter().next() {
        Some((name, _)) => Err(MediaError::internal("the encoder does not know", name)),
        None => Ok(()),
    }
}

fn broken(error: ffmpeg::Error) -> MediaError {
    MediaError::internal("the encoder does not open", error)
}
