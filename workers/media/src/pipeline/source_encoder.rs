//! What the encoder of an input decided.

use ffmpeg_the_third::{
    frame::{self, side_data},
    picture,
};

use crate::ffi;

/// The settings by which x264 uses up to three B frames in a row, decides adaptively, and detects
/// scene cuts: those of its presets from superfast to medium, which are used here too.
const COMPATIBLE_SETTINGS: [&str; 3] = ["bframes=3", "b_adapt=1", "scenecut=40"];

/// Bytes of the UUID at the start of such an SEI message: ITU-T H.264, D.1.7.
const UUID_LENGTH: usize = 16;

/// What is known of the encoder that produced a stream.
#[derive(Default)]
pub(crate) struct SourceEncoder {
    compatible: bool,
}

impl SourceEncoder {
    /// Clears the frame type of a decoded frame, unless its encoder decided by the same method as
    /// ours.
    pub(crate) fn inspect(&mut self, frame: &mut frame::Frame) {
        if let Some(note) = frame.side_data(side_data::Type::SEI_UNREGISTERED) {
            self.compatible = note.data().get(UUID_LENGTH..).is_some_and(is_compatible);
        }
        if !self.compatible {
            ffi::set_frame_type(frame, picture::Type::None);
        }
    }
}

/// True if the SEI message, in which x264 states its settings, has the compatible ones.
fn is_compatible(note: &[u8]) -> bool {
    let Ok(note) = std::str::from_utf8(note) else { return false };
    let note = note.trim_end_matches('\0');
    note.starts_with("x264 - core ")
        && COMPATIBLE_SETTINGS
            .iter()
            .all(|setting| note.split_ascii_whitespace().any(|word| word == *setting))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_types_by_x264_with_compatible_settings_are_reused() {
        let note = |settings: &str| format!("x264 - core 164 r3095 - options: {settings} rc=crf\0");
        let settings = "bframes=3 b_pyramid=2 b_adapt=1 open_gop=0 scenecut=40";
        assert!(is_compatible(note(settings).as_bytes()));
        for other in ["bframes=30", "b_adapt=2", "scenecut=0"] {
            let (name, _) = other.split_once('=').unwrap();
            let ours =
                COMPATIBLE_SETTINGS.iter().find(|setting| setting.starts_with(name)).unwrap();
            assert!(!is_compatible(note(&settings.replace(ours, other)).as_bytes()), "{other}");
        }
        assert!(!is_compatible(note("bframes=0").as_bytes()));
        assert!(!is_compatible(format!("another {settings}").as_bytes()));
        assert!(!is_compatible([b"x264 - core \xff ", settings.as_bytes()].concat().as_slice()));
    }
}
