//! A fuzz target for the probe: damaged files of every kind yield facts or an error with a message.
//! `cargo test` runs it for seconds; for longer, run
//! `cargo bolero test -p ffapi-media fuzz::probing_damaged_files_never_panics`.

use std::{fs, path::Path, process::Command, time::Duration};

use ffapi_domain::media::{CueSource, Role};

use crate::{cues::Cues, open, probe};

const FORMATS: [(&str, &str); 8] = [
    ("mp4", "-c:v mpeg4 -c:a aac"),
    ("mkv", "-c:v libx264 -preset ultrafast -c:a flac"),
    ("ts", "-c:v mpeg2video -c:a mp2"),
    ("avi", "-c:v mjpeg -c:a pcm_s16le"),
    ("ogg", "-vn -c:a libvorbis"),
    ("flv", "-c:v flv -ar 44100 -c:a mp3"),
    ("gif", "-an"),
    ("png", "-an -frames:v 1"),
];

const SUBTITLES: [&str; 2] = [
    "1\n00:00:00,000 --> 00:00:01,000\nHello <i>you</i>\n\n2\n00:00:02,000 --> 00:00:03,000\nBye\n",
    "WEBVTT\n\n00:00.000 --> 00:01.000 align:start\nHello\n\nNOTE nothing\n",
];

/// An intact file of each format, with the role to open it with.
fn seeds(folder: &Path) -> Vec<(Vec<u8>, Role)> {
    let media = FORMATS.iter().map(|(kind, options)| {
        let path = folder.join(format!("seed.{kind}"));
        let source = "-v error -f lavfi -i testsrc2=s=64x48:r=10:d=0.4 -f lavfi -i sine=d=0.4";
        let made = Command::new("ffmpeg")
            .args(source.split(' ').chain(options.split(' ')))
            .arg(&path)
            .status();
        assert!(made.is_ok_and(|status| status.success()), "{kind}");
        let role = if *kind == "png" { Role::Image } else { Role::Media };
        (fs::read(path).unwrap_or_default(), role)
    });
    let subtitles = SUBTITLES.iter().map(|text| (text.as_bytes().to_vec(), Role::Subtitle));
    media.chain(subtitles).collect()
}

/// The index of the seed, the bytes to overwrite (position, value), and the length to truncate to.
type Damage = (u8, Vec<(u16, u8)>, Option<u16>);

#[test]
fn probing_damaged_files_never_panics() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let (seeds, path) = (seeds(folder.path()), folder.path().join("damaged"));
    crate::ffi::capture_log(Box::new(|_, _| {}));
    let check = bolero::check!().with_test_time(Duration::from_secs(5)).with_type::<Damage>();
    check.for_each(|(index, edits, length)| {
        let Some((seed, role)) = seeds.get(usize::from(*index) % seeds.len()) else { return };
        let mut bytes = seed.clone();
        for (position, value) in edits {
            let position = usize::from(*position) % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(position) {
                *byte = *value;
            }
        }
        bytes.truncate(length.map_or(usize::MAX, usize::from));
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("{error}"));
        // Each role reads other parts of a file, so every file is opened in all of them.
        for role in [*role, Role::Media, Role::Subtitle] {
            let Ok(input) = open::made(&path, role) else { continue };
            let probed = match role {
                Role::Media => probe::probe_media(&input),
                Role::Image | Role::Subtitle => Ok(probe::probe(&input)),
            };
            match probed {
                Ok(facts) => assert!(facts.streams.len() <= 1_000, "{facts:?}"),
                Err(error) => assert!(!error.message.is_empty()),
            }
            if role == Role::Subtitle {
                let source = CueSource { input: 0, stream: 0, edits: vec![] };
                let _ = Cues::read(input, &source).map(|cues| cues.to_webvtt());
            }
        }
    });
}
