use ffapi_domain::media::{MediaFacts, Preset, VideoCodec, VideoFilter, VideoPlan};
use ffmpeg_the_third::{
    frame::{self, side_data},
    picture,
};

use crate::ffi;

/// How x264 says that it may put three B pictures in a row, compares neighbours to choose, and looks
/// for cuts: what its presets from superfast to medium do, and so what it is asked to do here.
const ALIKE: [&str; 3] = ["bframes=3", "b_adapt=1", "scenecut=40"];

/// Whose words follow in such a note: ITU-T H.264, D.1.7.
const UUID: usize = 16;

/// Whether an encoder may heed what kinds of pictures a source has: if it would look for that in the
/// way that the source's own encoder did, and gets the same pictures.
pub(in crate::engine) fn is_heeded(video: &VideoPlan, facts: &[MediaFacts]) -> bool {
    let own = facts.get(video.source.input).and_then(MediaFacts::video);
    let alike = matches!(
        video.preset,
        Preset::Superfast | Preset::Veryfast | Preset::Faster | Preset::Fast | Preset::Medium
    );
    let same_pictures = own.is_some_and(|(_, own)| own.frame_rate == video.rate)
        && !video.filters.iter().any(|filter| matches!(filter, VideoFilter::Speed(_)));
    video.codec == VideoCodec::H264
        && video.placed.is_none()
        && video.profile.as_deref() != Some("baseline")
        && !video.quality.two_pass
        && alike
        && same_pictures
}

/// Whether a line of the log only tells that a picture could not be what its source had there:
/// nothing that a user asked for.
pub(crate) fn is_of_a_hint(line: &str) -> bool {
    line.contains("] forced frame type (") || line.contains("] specified frame type (")
}

/// What is known of the encoder that a stream comes from.
#[derive(Default)]
pub(in crate::engine) struct Author {
    chose_alike: bool,
}

impl Author {
    /// Leaves a decoded picture the kind that it had only if its encoder chose as ours would.
    pub(in crate::engine) fn look(&mut self, frame: &mut frame::Frame) {
        if let Some(note) = frame.side_data(side_data::Type::SEI_UNREGISTERED) {
            self.chose_alike = note.data().get(UUID..).is_some_and(chose_alike);
        }
        if !self.chose_alike {
            ffi::set_picture_kind(frame, picture::Type::None);
        }
    }
}

/// x264 writes how it was set into a film's first picture.
fn chose_alike(note: &[u8]) -> bool {
    let Ok(note) = std::str::from_utf8(note) else { return false };
    let note = note.trim_end_matches('\0');
    note.starts_with("x264 - core ")
        && ALIKE.iter().all(|setting| note.split_ascii_whitespace().any(|word| word == *setting))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_x264_chose_in_our_way_is_heeded() {
        let note = |settings: &str| format!("x264 - core 164 r3095 - options: {settings} rc=crf\0");
        let alike = "bframes=3 b_pyramid=2 b_adapt=1 open_gop=0 scenecut=40";
        assert!(chose_alike(note(alike).as_bytes()));
        for other in ["bframes=30", "b_adapt=2", "scenecut=0"] {
            let (name, _) = other.split_once('=').unwrap();
            let ours = ALIKE.iter().find(|setting| setting.starts_with(name)).unwrap();
            assert!(!chose_alike(note(&alike.replace(ours, other)).as_bytes()), "{other}");
        }
        assert!(!chose_alike(note("bframes=0").as_bytes()));
        assert!(!chose_alike(format!("another {alike}").as_bytes()));
        assert!(!chose_alike([b"x264 - core \xff ", alike.as_bytes()].concat().as_slice()));
    }
}
