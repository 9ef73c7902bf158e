//! A job that shares the machine with others is given one thread: nothing else about it changes.

use std::fs;

use ffapi_domain::media::{Operation, Preset, Scale, ScaleMode, Transcode, Trim};
use ffapi_media::protocol::Permit;

use crate::harness::{Slot, clip, failure, ffmpeg, probe, report, similarity};

const ONE: Permit = Permit { threads: 1 };

fn operations() -> Vec<Operation> {
    vec![
        Operation::Trim(Trim { start: 1_000_000, end: Some(3_000_000) }),
        Operation::Scale(Scale { width: None, height: Some(180), mode: ScaleMode::Fit }),
        Operation::Transcode(Transcode { preset: Some(Preset::Ultrafast), ..Transcode::default() }),
    ]
}

fn made(slot: &Slot, name: &str, permit: Permit) {
    let talk = slot.run_on(permit, Slot::conversion(name, operations()), name);
    assert_eq!(report(&talk).frames, 50);
}

#[test]
fn one_thread_makes_the_same_film_as_many() {
    let slot = Slot::new();
    clip(&slot.input(), "640x360", 4, &["-f", "mp4"]);
    made(&slot, "one.mp4", ONE);
    made(&slot, "many.mp4", Permit { threads: 2 });
    let sound = |name| {
        let file = slot.output(name);
        ffmpeg(&format!("-i {} -map 0:a -f md5 -", file.display()))
    };
    assert_eq!(sound("one.mp4"), sound("many.mp4"));
    let chain = "trim=1:3,setpts=PTS-STARTPTS,scale=320:180:flags=bicubic";
    for (name, says) in [("one.mp4", " threads=1 "), ("many.mp4", " threads=2 ")] {
        let file = slot.output(name);
        assert_eq!(probe(&file, "v:0", "stream=nb_frames"), "50");
        assert!(similarity(&slot, name, chain) > 0.95, "{name}");
        // x264 writes down how it was told to work.
        let bytes = fs::read(file).unwrap();
        assert!(bytes.windows(says.len()).any(|at| at == says.as_bytes()), "{name}");
    }
}

#[test]
fn on_one_thread_too_a_truncated_film_is_a_failure() {
    let whole = Slot::new();
    clip(&whole.input(), "320x180", 6, &["-movflags", "+faststart", "-f", "mp4"]);
    let bytes = fs::read(whole.input()).unwrap();
    let slot = Slot::with(&bytes[..bytes.len() / 2]);
    let talk = slot.run_on(ONE, Slot::conversion("out.mp4", vec![]), "out.mp4");
    let (code, message) = failure(&talk);
    assert_eq!(code, "invalid_input", "{message}");
    assert!(message.contains("cut off"), "{message}");
}
