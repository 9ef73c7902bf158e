//! A job that shares its machine with others may use one thread; its output must not differ.

use std::fs;

use ffapi_domain::media::{Operation, Preset, Scale, ScaleMode, Transcode, Trim};
use ffapi_media::protocol::Permit;

use crate::harness::{Slot, clip, failure, ffmpeg, probe, report, similarity};

const ONE_THREAD: Permit = Permit { threads: 1 };

fn operations() -> Vec<Operation> {
    vec![
        Operation::Trim(Trim { start: 1_000_000, end: Some(3_000_000) }),
        Operation::Scale(Scale { width: None, height: Some(180), mode: ScaleMode::Fit }),
        Operation::Transcode(Transcode { preset: Some(Preset::Ultrafast), ..Transcode::default() }),
    ]
}

fn convert(slot: &Slot, name: &str, permit: Permit) {
    let messages = slot.run_on(permit, Slot::conversion(name, operations()), name);
    assert_eq!(report(&messages).frames, 50);
}

#[test]
fn one_thread_produces_the_same_output_as_many() {
    let slot = Slot::new();
    clip(&slot.input(), "640x360", 4, &["-f", "mp4"]);
    convert(&slot, "one.mp4", ONE_THREAD);
    convert(&slot, "many.mp4", Permit { threads: 2 });
    let audio_hash = |name| {
        let file = slot.output(name);
        ffmpeg(&format!("-i {} -map 0:a -f md5 -", file.display()))
    };
    assert_eq!(audio_hash("one.mp4"), audio_hash("many.mp4"));
    let chain = "trim=1:3,setpts=PTS-STARTPTS,scale=320:180:flags=bicubic";
    for (name, setting) in [("one.mp4", " threads=1 "), ("many.mp4", " threads=2 ")] {
        let file = slot.output(name);
        assert_eq!(probe(&file, "v:0", "stream=nb_frames"), "50");
        assert!(similarity(&slot, name, chain) > 0.95, "{name}");
        // x264 writes its settings into the stream.
        let bytes = fs::read(file).unwrap();
        assert!(bytes.windows(setting.len()).any(|at| at == setting.as_bytes()), "{name}");
    }
}

#[test]
fn a_truncated_input_is_a_failure_on_one_thread_as_well() {
    let whole = Slot::new();
    clip(&whole.input(), "320x180", 6, &["-movflags", "+faststart", "-f", "mp4"]);
    let bytes = fs::read(whole.input()).unwrap();
    let slot = Slot::with(&bytes[..bytes.len() / 2]);
    let messages = slot.run_on(ONE_THREAD, Slot::conversion("out.mp4", vec![]), "out.mp4");
    let (code, message) = failure(&messages);
    assert_eq!(code, "invalid_input", "{message}");
    assert!(message.contains("cut off"), "{message}");
}
