//! The frame types (I, P, B) of a video, by `ffprobe`.

use std::{fs, path::Path};

use ffapi_domain::media::{Operation, Packaging, Preset, Stream, Transcode, Trim};
use ffapi_media::protocol::ChildMessage;

use crate::{
    harness::{Slot, ffmpeg, ffprobe, real_video},
    stream::{make, request, variant},
};

/// The types of all frames, one letter each.
fn frame_types(video: &Path) -> String {
    let text = ffprobe(&format!(
        "-allowed_extensions ALL -select_streams v:0 -show_entries frame=pict_type -of csv=p=0 {}",
        video.display()
    ));
    text.chars().filter(char::is_ascii_alphabetic).collect()
}

/// A video with a B frame after every I and P frame, and with these settings in its x264 header.
fn alternating(slot: &Slot, settings: [&str; 2]) {
    let video = slot.input();
    ffmpeg(&format!(
        "-y -i {} -t 4 -an -vf scale=320:180 -c:v libx264 -bf 1 -b_strategy 0 -f mp4 {}",
        real_video().display(),
        video.display()
    ));
    let mut bytes = fs::read(&video).unwrap();
    for (old, new) in ["bframes=1", "b_adapt=0"].into_iter().zip(settings) {
        let at = bytes.windows(old.len()).position(|at| at == old.as_bytes()).unwrap();
        bytes.splice(at..at.saturating_add(old.len()), new.bytes());
    }
    fs::write(video, bytes).unwrap();
}

fn converted(slot: &Slot, transcode: Transcode) -> String {
    converted_by(slot, vec![Operation::Transcode(transcode)])
}

fn converted_by(slot: &Slot, operations: Vec<Operation>) -> String {
    let messages = slot.convert("out.mp4", operations);
    let lines = messages.iter().filter(|message| matches!(message, ChildMessage::Log { .. }));
    assert_eq!(lines.count(), 0, "{messages:?}");
    frame_types(&slot.output("out.mp4"))
}

fn with(preset: Preset) -> Transcode {
    Transcode { preset: Some(preset), ..Transcode::default() }
}

fn veryfast() -> Transcode {
    with(Preset::Veryfast)
}

fn ladder(slot: &Slot, renditions: &[(&str, u32)]) {
    let variants = renditions.iter().map(|(name, height)| variant(name, *height)).collect();
    let preset = Some(Preset::Veryfast);
    make(slot, Stream { variants, preset, ..request(Packaging::Hls) });
}

/// How many of the source's P and B frames have the same type in the output, and their number.
fn kept(slot: &Slot, output: &str) -> (usize, usize) {
    let source = frame_types(&slot.input());
    assert_eq!(source.len(), output.len());
    let pairs = source.chars().zip(output.chars()).filter(|(source, _)| *source != 'I');
    (pairs.clone().filter(|(source, output)| source == output).count(), pairs.count())
}

#[test]
fn frame_types_of_an_encoder_with_our_settings_are_kept() {
    let slot = Slot::new();
    alternating(&slot, ["bframes=3", "b_adapt=1"]);
    let (kept, of) = kept(&slot, &converted(&slot, veryfast()));
    assert!(of > 90, "{of}");
    assert_eq!(kept, of);
}

#[test]
fn requested_keyframes_take_precedence_over_the_sources_frame_types() {
    let slot = Slot::new();
    alternating(&slot, ["bframes=3", "b_adapt=1"]);
    let types = converted(&slot, Transcode { keyframe_interval: Some(9), ..veryfast() });
    let keys = types.chars().enumerate().filter(|(_, kind)| *kind == 'I').map(|(at, _)| at);
    let keys: Vec<usize> = keys.collect();
    assert!(keys.len() > types.len() / 9 && types.len() > 90, "{types}");
    assert!(keys.windows(2).all(|pair| pair[1] - pair[0] <= 9), "{types}");
}

#[test]
fn a_trim_between_keyframes_starts_with_a_keyframe() {
    let slot = Slot::new();
    alternating(&slot, ["bframes=3", "b_adapt=1"]);
    let trim = Trim { start: 40_000, end: Some(1_000_000) };
    let operations = vec![Operation::Trim(trim), Operation::Transcode(veryfast())];
    let types = converted_by(&slot, operations);
    assert!(frame_types(&slot.input()).starts_with("IB"));
    assert!(types.starts_with("IP"), "{types}");
    assert_eq!(types.len(), 24);
}

#[test]
fn frame_types_of_an_encoder_with_other_settings_are_not_kept() {
    let slot = Slot::new();
    let same = ["bframes=3", "b_adapt=1"];
    let baseline = Transcode { profile: Some("baseline".to_owned()), ..veryfast() };
    let two_pass = Transcode { video_bitrate: Some(300_000), two_pass: true, ..veryfast() };
    for (settings, transcode) in [
        (["bframes=2", "b_adapt=1"], veryfast()),
        (["bframes=3", "b_adapt=2"], veryfast()),
        (same, with(Preset::Ultrafast)),
        (same, with(Preset::Slow)),
        (same, baseline),
        (same, two_pass),
    ] {
        alternating(&slot, settings);
        let (kept, of) = kept(&slot, &converted(&slot, transcode));
        assert!(kept < of, "{settings:?}: {kept} of {of}");
    }
}

#[test]
fn every_rendition_keeps_the_sources_frame_types() {
    let slot = Slot::new();
    alternating(&slot, ["bframes=3", "b_adapt=1"]);
    ladder(&slot, &[("low", 90), ("high", 180)]);
    for name in ["low", "high"] {
        let types = frame_types(&slot.output(&format!("{name}/index.m3u8")));
        let (kept, of) = kept(&slot, &types);
        // The second segment starts with a keyframe, and the frame before it cannot be B.
        assert!(of > 90 && of - kept <= 2, "{name}: {kept} of {of}: {types}");
    }
}

#[test]
fn all_renditions_have_the_same_frame_types() {
    let slot = Slot::new();
    fs::copy(real_video(), slot.input()).unwrap();
    ladder(&slot, &[("mid", 240), ("small", 144), ("big", 360)]);
    let [small, mid, big] = ["small", "mid", "big"]
        .map(|name| frame_types(&slot.output(&format!("{name}/index.m3u8"))));
    assert!(['I', 'P', 'B'].iter().all(|kind| small.contains(*kind)), "{small}");
    assert_eq!(mid, small);
    assert_eq!(big, small);
}
