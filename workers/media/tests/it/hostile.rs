use std::fs;

use std::time::{Duration, Instant};

use ffapi_domain::{
    Personal,
    media::{MediaRequest, Operation, Preset, Probe, Transcode},
};
use ffapi_media::protocol::{ChildMessage, Task};

use crate::harness::{Slot, Transcript, clip, failure, ffmpeg, report};

#[test]
fn what_is_no_media_is_refused_in_words() {
    let zip = b"PK\x03\x04\x14\x00\x00\x00\x08\x00aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (bytes, says) in [
        (b"".as_slice(), "empty"),
        (b"just some text, not a film\n".as_slice(), "not a media file"),
        (zip.as_slice(), "not a media file"),
    ] {
        let talk = Slot::with(bytes).convert("out.mp4", vec![]);
        let (code, message) = failure(&talk);
        assert_eq!(code, "invalid_input", "{message}");
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn a_truncated_film_is_a_failure_and_never_a_shorter_success() {
    let whole = Slot::new();
    clip(&whole.input(), "320x180", 6, &["-movflags", "+faststart", "-f", "mp4"]);
    let bytes = fs::read(whole.input()).unwrap();
    for part in [4, 7, 9] {
        let talk = Slot::with(&bytes[..bytes.len() * part / 10]).convert("out.mp4", vec![]);
        let (code, message) = failure(&talk);
        assert_eq!(code, "invalid_input", "{part}/10: {message}");
        assert!(message.contains("cut off"), "{part}/10: {message}");
    }
}

#[test]
fn a_disguised_playlist_reads_nothing() {
    let slot = Slot::new();
    let secret = slot.output("secret.ts");
    clip(&secret, "320x180", 1, &["-f", "mpegts"]);
    let at = secret.display();
    for playlist in [
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\nfile://{at}\n#EXT-X-ENDLIST\n"),
        format!("ffconcat version 1.0\nfile '{at}'\n"),
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\n{at}\n#EXT-X-ENDLIST\n"),
    ] {
        fs::write(slot.input(), &playlist).unwrap();
        let talk = slot.convert("out.mp4", vec![]);
        assert_eq!(failure(&talk).0, "invalid_input", "{playlist}");
    }
}

fn quick() -> Vec<Operation> {
    vec![Operation::Transcode(Transcode {
        preset: Some(Preset::Ultrafast),
        ..Transcode::default()
    })]
}

/// Every file ends in an answer, soon, and with nothing left outside `out/`.
fn answers(bytes: &[u8], what: &str) -> Transcript {
    let slot = Slot::with(bytes);
    let start = Instant::now();
    let talk = slot.convert("out.mp4", quick());
    assert!(start.elapsed() < Duration::from_secs(20), "{what}");
    match talk.last() {
        Some(ChildMessage::Done(_)) => {}
        Some(ChildMessage::Failed { message, .. }) => assert!(!message.is_empty(), "{what}"),
        other => panic!("{what}: the child was lost: {other:?}"),
    }
    talk
}

/// Numbers that look like chance and are the same each time.
fn chance(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    }
}

fn films() -> Vec<(&'static str, Vec<u8>)> {
    let formats = [
        ("mp4", "-c:v libx264 -c:a aac -movflags +faststart -f mp4"),
        ("matroska", "-c:v libx264 -c:a flac -f matroska"),
        ("mpegts", "-c:v libx264 -c:a aac -f mpegts"),
        ("webm", "-c:v libvpx-vp9 -deadline realtime -c:a libopus -f webm"),
        ("avi", "-c:v mjpeg -c:a mp3 -f avi"),
        ("gif", "-an -f gif"),
    ];
    let film = |(name, how): (&'static str, &str)| {
        let slot = Slot::new();
        let input = slot.input();
        ffmpeg(&format!(
            "-f lavfi -i testsrc2=s=160x90:r=10:d=1 -f lavfi -i sine=d=1 -pix_fmt {} {how} {}",
            if name == "gif" { "rgb8" } else { "yuv420p" },
            input.display()
        ));
        (name, fs::read(input).unwrap())
    };
    formats.into_iter().map(film).collect()
}

#[test]
fn cut_and_flipped_films_are_answered_and_never_take_the_child_along() {
    for (format, bytes) in films() {
        let mut chance = chance(7);
        for _ in 0..6 {
            let at = chance(bytes.len());
            answers(&bytes[..at], &format!("{format} cut at {at}"));
        }
        for round in 0..6 {
            let mut flipped = bytes.clone();
            // The beginning holds the structures; later rounds spare it.
            let from = if round < 3 { 0 } else { bytes.len() / 4 };
            for _ in 0..(1 << round) {
                let at = from + chance(bytes.len() - from);
                flipped[at] ^= 1 << chance(8);
            }
            answers(&flipped, &format!("{format} flipped, round {round}"));
        }
    }
}

#[test]
fn only_decoders_that_are_offered_are_opened() {
    let slot = Slot::new();
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=64x64:d=1 -c:v snow -strict -2 -f matroska {}",
        slot.input().display()
    ));
    let talk = slot.convert("out.mp4", quick());
    let (code, message) = failure(&talk);
    assert_eq!(code, "unsupported", "{message}");
    assert!(message.contains("`snow`, which is not decoded here"), "{message}");
}

#[test]
fn pictures_of_absurd_size_are_refused_before_they_are_unpacked() {
    // A PNG that says it is 60000 pixels wide and high, and holds a few bytes.
    let slot = Slot::new();
    ffmpeg(&format!(
        "-f lavfi -i color=s=16x16 -frames:v 1 -c:v png -f image2 {}",
        slot.input().display()
    ));
    let mut bytes = fs::read(slot.input()).unwrap();
    let side = 60_000_u32.to_be_bytes();
    bytes[16..20].copy_from_slice(&side);
    bytes[20..24].copy_from_slice(&side);
    let start = Instant::now();
    let talk = answers(&bytes, "png bomb");
    let (code, _) = failure(&talk);
    assert!(matches!(code, "invalid_input" | "unsupported"), "{code}");
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[test]
fn more_streams_than_anybody_has_are_refused() {
    let slot = Slot::new();
    let maps = "-map 0 ".repeat(80);
    ffmpeg(&format!(
        "-f lavfi -i sine=d=0.1 {maps} -c:a pcm_s16le -f matroska {}",
        slot.input().display()
    ));
    let talk = slot.convert("out.mp4", quick());
    assert_eq!(failure(&talk).0, "invalid_input");
}

#[test]
fn a_film_under_another_name_is_what_it_is_and_a_polyglot_is_only_its_film() {
    let slot = Slot::new();
    clip(&slot.input(), "160x90", 1, &["-f", "matroska"]);
    let film = fs::read(slot.input()).unwrap();
    report(&answers(&film, "matroska without a name"));
    let both = [&film[..], b"PK\x03\x04#EXTM3U\nfile:///etc/passwd\n"].concat();
    report(&answers(&both, "film and archive"));
    let other = [b"#EXTM3U\n", &film[..]].concat();
    failure(&answers(&other, "playlist and film"));
}

#[test]
fn names_and_words_in_a_file_stay_words() {
    let slot = Slot::new();
    let wild = "title=%s%n'\"\\;rm,[in];movie=/etc/passwd";
    let input = slot.input();
    let arguments = [
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=64x64:d=0.2",
        "-metadata",
        wild,
        "-c:v",
        "libx264",
        "-f",
        "mp4",
        input.to_str().unwrap(),
    ];
    crate::harness::run("ffmpeg", &arguments);
    let talk = slot.run(MediaRequest::Probe(Probe { input: Personal::Erased }), "output.");
    assert_eq!(
        format!(
            "title={}",
            report(&talk).result.as_ref().unwrap()["tags"]["title"].as_str().unwrap()
        ),
        wild
    );
    report(&slot.convert("out.mp4", quick()));
}

#[test]
fn subtitles_that_name_files_and_sizes_beyond_all_are_answered_in_time() {
    let slot = Slot::new();
    clip(&slot.input(), "160x90", 1, &["-f", "mp4"]);
    let words = "[Script Info]\n[Fonts]\nfontname: ../../etc/passwd\n!!!\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\nStyle: Default,/etc/passwd,9999999\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\nDialogue: 0,0:00:00.00,9:59:59.00,Default,,0,0,0,,{\\p1}m 0 0 l 99999999 0{\\p0}{\\fs99999}x\n";
    fs::write(slot.extra(1), words).unwrap();
    let burn = Operation::Subtitles(ffapi_domain::media::Subtitles {
        input: Some(Personal::Erased),
        mode: ffapi_domain::media::SubtitleMode::Burn,
        language: None,
    });
    let start = Instant::now();
    let talk = slot.convert("out.mp4", [vec![burn], quick()].concat());
    assert!(
        matches!(talk.last(), Some(ChildMessage::Done(_) | ChildMessage::Failed { .. })),
        "{:?}",
        talk.last()
    );
    assert!(start.elapsed() < Duration::from_mins(1));
}

#[test]
fn tags_that_are_no_text_are_made_readable() {
    let slot = Slot::new();
    clip(&slot.input(), "160x90", 1, &["-metadata", "title=QQQQ", "-an", "-f", "avi"]);
    let mut bytes = fs::read(slot.input()).unwrap();
    let at = bytes.windows(4).position(|four| four == b"QQQQ").unwrap();
    bytes[at..at + 4].copy_from_slice(&[b'C', 0xe9, 0xff, b'!']);
    fs::write(slot.input(), bytes).unwrap();
    let talk = slot.task(&Task::Facts);
    let Some(ChildMessage::Facts(facts)) = talk.last() else { panic!("{talk:?}") };
    assert_eq!(facts.tags["title"], "C\u{fffd}\u{fffd}!");
}
