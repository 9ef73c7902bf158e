//! Which pictures of a film are I, P or B, as `ffprobe` sees it.

use std::{fs, path::Path};

use ffapi_domain::media::{Operation, Packaging, Preset, Stream, Transcode, Trim};
use ffapi_media::protocol::ChildMessage;

use crate::{
    harness::{Slot, ffmpeg, ffprobe, real_film},
    stream::{make, request, variant},
};

fn kinds(film: &Path) -> String {
    let said = ffprobe(&format!(
        "-allowed_extensions ALL -select_streams v:0 -show_entries frame=pict_type -of csv=p=0 {}",
        film.display()
    ));
    said.chars().filter(char::is_ascii_alphabetic).collect()
}

/// A film whose every other picture is B, and what its encoder says of how it chose that.
fn every_other(slot: &Slot, settings: [&str; 2]) {
    let film = slot.input();
    ffmpeg(&format!(
        "-y -i {} -t 4 -an -vf scale=320:180 -c:v libx264 -bf 1 -b_strategy 0 -f mp4 {}",
        real_film().display(),
        film.display()
    ));
    let mut bytes = fs::read(&film).unwrap();
    for (was, says) in ["bframes=1", "b_adapt=0"].into_iter().zip(settings) {
        let at = bytes.windows(was.len()).position(|at| at == was.as_bytes()).unwrap();
        bytes.splice(at..at.saturating_add(was.len()), says.bytes());
    }
    fs::write(film, bytes).unwrap();
}

fn converted(slot: &Slot, transcode: Transcode) -> String {
    made(slot, vec![Operation::Transcode(transcode)])
}

fn made(slot: &Slot, operations: Vec<Operation>) -> String {
    let talk = slot.convert("out.mp4", operations);
    let lines = talk.iter().filter(|said| matches!(said, ChildMessage::Log { .. }));
    assert_eq!(lines.count(), 0, "{talk:?}");
    kinds(&slot.output("out.mp4"))
}

fn with(preset: Preset) -> Transcode {
    Transcode { preset: Some(preset), ..Transcode::default() }
}

fn veryfast() -> Transcode {
    with(Preset::Veryfast)
}

fn ladder(slot: &Slot, rungs: &[(&str, u32)]) {
    let variants = rungs.iter().map(|(name, height)| variant(name, *height)).collect();
    let preset = Some(Preset::Veryfast);
    make(slot, Stream { variants, preset, ..request(Packaging::Hls) });
}

/// How many of the source's P and B pictures are so here, and how many there are.
fn kept(slot: &Slot, made: &str) -> (usize, usize) {
    let source = kinds(&slot.input());
    assert_eq!(source.len(), made.len());
    let of = source.chars().zip(made.chars()).filter(|(was, _)| *was != 'I');
    (of.clone().filter(|(was, is)| was == is).count(), of.count())
}

#[test]
fn pictures_stay_of_the_kind_that_an_encoder_like_ours_chose() {
    let slot = Slot::new();
    every_other(&slot, ["bframes=3", "b_adapt=1"]);
    let (kept, of) = kept(&slot, &converted(&slot, veryfast()));
    assert!(of > 90, "{of}");
    assert_eq!(kept, of);
}

#[test]
fn keyframes_stand_where_they_are_asked_for_whatever_the_source_had_there() {
    let slot = Slot::new();
    every_other(&slot, ["bframes=3", "b_adapt=1"]);
    let made = converted(&slot, Transcode { keyframe_interval: Some(9), ..veryfast() });
    let keys = made.chars().enumerate().filter(|(_, kind)| *kind == 'I').map(|(at, _)| at);
    let keys: Vec<usize> = keys.collect();
    assert!(keys.len() > made.len() / 9 && made.len() > 90, "{made}");
    assert!(keys.windows(2).all(|pair| pair[1] - pair[0] <= 9), "{made}");
}

#[test]
fn a_part_that_begins_in_between_begins_with_a_keyframe() {
    let slot = Slot::new();
    every_other(&slot, ["bframes=3", "b_adapt=1"]);
    let trim = Trim { start: 40_000, end: Some(1_000_000) };
    let made = made(&slot, vec![Operation::Trim(trim), Operation::Transcode(veryfast())]);
    assert!(kinds(&slot.input()).starts_with("IB"));
    assert!(made.starts_with("IP"), "{made}");
    assert_eq!(made.len(), 24);
}

#[test]
fn what_chose_in_another_way_is_not_heeded() {
    let slot = Slot::new();
    let alike = ["bframes=3", "b_adapt=1"];
    let baseline = Transcode { profile: Some("baseline".to_owned()), ..veryfast() };
    let two_pass = Transcode { video_bitrate: Some(300_000), two_pass: true, ..veryfast() };
    for (settings, transcode) in [
        (["bframes=2", "b_adapt=1"], veryfast()),
        (["bframes=3", "b_adapt=2"], veryfast()),
        (alike, with(Preset::Ultrafast)),
        (alike, with(Preset::Slow)),
        (alike, baseline),
        (alike, two_pass),
    ] {
        every_other(&slot, settings);
        let (kept, of) = kept(&slot, &converted(&slot, transcode));
        assert!(kept < of, "{settings:?}: {kept} of {of}");
    }
}

#[test]
fn every_rendition_has_its_pictures_of_the_kinds_that_the_source_has() {
    let slot = Slot::new();
    every_other(&slot, ["bframes=3", "b_adapt=1"]);
    ladder(&slot, &[("low", 90), ("high", 180)]);
    for name in ["low", "high"] {
        let made = kinds(&slot.output(&format!("{name}/index.m3u8")));
        let (kept, of) = kept(&slot, &made);
        // A keyframe begins the second segment, and what stands before it cannot be B.
        assert!(of > 90 && of - kept <= 2, "{name}: {kept} of {of}: {made}");
    }
}

#[test]
fn a_ladder_of_another_film_has_its_kinds_of_pictures_at_the_same_instants() {
    let slot = Slot::new();
    fs::copy(real_film(), slot.input()).unwrap();
    ladder(&slot, &[("mid", 240), ("small", 144), ("big", 360)]);
    let [small, mid, big] =
        ["small", "mid", "big"].map(|name| kinds(&slot.output(&format!("{name}/index.m3u8"))));
    assert!(['I', 'P', 'B'].iter().all(|kind| small.contains(*kind)), "{small}");
    assert_eq!(mid, small);
    assert_eq!(big, small);
}
