//! Encoders, opened as a plan wants them.

mod hardware;
mod picture;
mod sound;

use ffmpeg_the_third::{self as ffmpeg, Dictionary};

pub(super) use self::{
    picture::{EncoderSettings, open as open_picture},
    sound::{Kind, open as open_sound},
};
use crate::MediaError;

/// FFmpeg leaves what it did not understand: a setting must never be dropped in silence.
fn all_understood(options: &Dictionary) -> Result<(), MediaError> {
    match options.iter().next() {
        Some((name, _)) => Err(MediaError::internal("the encoder does not know", name)),
        None => Ok(()),
    }
}

fn broken(error: ffmpeg::Error) -> MediaError {
    MediaError::internal("the encoder does not open", error)
}
