use std::fs;

use std::time::{Duration, Instant};

use ffapi_domain::{
    Personal,
    media::{MediaRequest, Operation, Preset, Probe, Transcode},
};
use ffapi_media::protocol::{ChildMessage, Task};

use crate::harness::{Slot, Transcript, clip, failure, ffmpeg, report};

#[test]
fn files_that_are_not_media_are_rejected_with_a_message() {
    let zip = b"PK\x03\x04\x14\x00\x00\x00\x08\x00aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (bytes, expected) in [
        (b"".as_slice(), "empty"),
        (b"just some text, not a film\n".as_slice(), "not a media file"),
        (zip.as_slice(), "not a media file"),
    ] {
        let messages = Slot::with(bytes).convert("out.mp4", vec![]);
        let (code, message) = failure(&messages);
        assert_eq!(code, "invalid_input", "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_truncated_input_is_a_failure_and_not_a_shorter_output() {
    let whole = Slot::new();
    clip(&whole.input(), "320x180", 6, &["-movflags", "+faststart", "-f", "mp4"]);
    let bytes = fs::read(whole.input()).unwrap();
    for part in [4, 7, 9] {
        let messages = Slot::with(&bytes[..bytes.len() * part / 10]).convert("out.mp4", vec![]);
        let (code, message) = failure(&messages);
        assert_eq!(code, "invalid_input", "{part}/10: {message}");
        assert!(message.contains("cut off"), "{part}/10: {message}");
    }
}

#[test]
fn a_playlist_as_input_reads_no_other_file() {
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
        let messages = slot.convert("out.mp4", vec![]);
        assert_eq!(failure(&messages).0, "invalid_input", "{playlist}");
    }
}

fn quick() -> Vec<Operation> {
    vec![Operation::Transcode(Transcode {
        preset: Some(Preset::Ultrafast),
        ..Transcode::default()
    })]
}

/// Converts a file and asserts that the child ends in time with a result or an error.
fn converted(bytes: &[u8], what: &str) -> Transcript {
    let slot = Slot::with(bytes);
    let start = Instant::now();
    let messages = slot.convert("out.mp4", quick());
    assert!(start.elapsed() < Duration::from_secs(20), "{what}");
    match messages.last() {
        Some(ChildMessage::Done(_)) => {}
        Some(ChildMessage::Failed { message, .. }) => assert!(!message.is_empty(), "{what}"),
        other => panic!("{what}: the child crashed: {other:?}"),
    }
    messages
}

/// A deterministic random number generator; each call returns a number below its argument.
fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    }
}

fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let formats = [
        ("mp4", "-c:v libx264 -c:a aac -movflags +faststart -f mp4"),
        ("matroska", "-c:v libx264 -c:a flac -f matroska"),
        ("mpegts", "-c:v libx264 -c:a aac -f mpegts"),
        ("webm", "-c:v libvpx-vp9 -deadline realtime -c:a libopus -f webm"),
        ("avi", "-c:v mjpeg -c:a mp3 -f avi"),
        ("gif", "-an -f gif"),
    ];
    let sample = |(name, options): (&'static str, &str)| {
        let slot = Slot::new();
        let input = slot.input();
        ffmpeg(&format!(
            "-f lavfi -i testsrc2=s=160x90:r=10:d=1 -f lavfi -i sine=d=1 -pix_fmt {} {options} {}",
            if name == "gif" { "rgb8" } else { "yuv420p" },
            input.display()
        ));
        (name, fs::read(input).unwrap())
    };
    formats.into_iter().map(sample).collect()
}

#[test]
fn truncated_and_corrupted_files_do_not_crash_the_child() {
    for (format, bytes) in samples() {
        let mut random = random(7);
        for _ in 0..6 {
            let at = random(bytes.len());
            converted(&bytes[..at], &format!("{format} truncated at {at}"));
        }
        for round in 0..6 {
            let mut flipped = bytes.clone();
            // The headers are at the start; later rounds leave them intact.
            let from = if round < 3 { 0 } else { bytes.len() / 4 };
            for _ in 0..(1 << round) {
                let at = from + random(bytes.len() - from);
                flipped[at] ^= 1 << random(8);
            }
            converted(&flipped, &format!("{format} flipped, round {round}"));
        }
    }
}

#[test]
fn only_allowed_decoders_are_opened() {
    let slot = Slot::new();
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=64x64:d=1 -c:v snow -strict -2 -f matroska {}",
        slot.input().display()
    ));
    let messages = slot.convert("out.mp4", quick());
    let (code, message) = failure(&messages);
    assert_eq!(code, "unsupported", "{message}");
    assert!(message.contains("the codec `snow` is not supported"), "{message}");
}

#[test]
fn images_of_absurd_size_are_rejected_before_they_are_decoded() {
    // A PNG that states 60000 pixels of width and height, and has a few bytes.
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
    let messages = converted(&bytes, "png bomb");
    let (code, _) = failure(&messages);
    assert!(matches!(code, "invalid_input" | "unsupported"), "{code}");
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[test]
fn files_with_too_many_streams_are_rejected() {
    let slot = Slot::new();
    let maps = "-map 0 ".repeat(80);
    ffmpeg(&format!(
        "-f lavfi -i sine=d=0.1 {maps} -c:a pcm_s16le -f matroska {}",
        slot.input().display()
    ));
    let messages = slot.convert("out.mp4", quick());
    assert_eq!(failure(&messages).0, "invalid_input");
}

#[test]
fn formats_are_detected_by_content_and_a_polyglot_is_only_its_media() {
    let slot = Slot::new();
    clip(&slot.input(), "160x90", 1, &["-f", "matroska"]);
    let video = fs::read(slot.input()).unwrap();
    report(&converted(&video, "matroska without a name"));
    let polyglot = [&video[..], b"PK\x03\x04#EXTM3U\nfile:///etc/passwd\n"].concat();
    report(&converted(&polyglot, "video and archive"));
    let polyglot = [b"#EXTM3U\n", &video[..]].concat();
    failure(&converted(&polyglot, "playlist and video"));
}

#[test]
fn metadata_is_not_interpreted() {
    let slot = Slot::new();
    let tag = "title=%s%n'\"\\;rm,[in];movie=/etc/passwd";
    let input = slot.input();
    let arguments = [
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=64x64:d=0.2",
        "-metadata",
        tag,
        "-c:v",
        "libx264",
        "-f",
        "mp4",
        input.to_str().unwrap(),
    ];
    crate::harness::run("ffmpeg", &arguments);
    let messages = slot.run(MediaRequest::Probe(Probe { input: Personal::Erased }), "output.");
    assert_eq!(
        format!(
            "title={}",
            report(&messages).result.as_ref().unwrap()["tags"]["title"].as_str().unwrap()
        ),
        tag
    );
    report(&slot.convert("out.mp4", quick()));
}

#[test]
fn hostile_subtitles_do_not_crash_or_stall_the_child() {
    let slot = Slot::new();
    clip(&slot.input(), "160x90", 1, &["-f", "mp4"]);
    let subtitles = "[Script Info]\n[Fonts]\nfontname: ../../etc/passwd\n!!!\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\nStyle: Default,/etc/passwd,9999999\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\nDialogue: 0,0:00:00.00,9:59:59.00,Default,,0,0,0,,{\\p1}m 0 0 l 99999999 0{\\p0}{\\fs99999}x\n";
    fs::write(slot.extra(1), subtitles).unwrap();
    let burn = Operation::Subtitles(ffapi_domain::media::Subtitles {
        input: Some(Personal::Erased),
        mode: ffapi_domain::media::SubtitleMode::Burn,
        language: None,
    });
    let start = Instant::now();
    let messages = slot.convert("out.mp4", [vec![burn], quick()].concat());
    assert!(
        matches!(messages.last(), Some(ChildMessage::Done(_) | ChildMessage::Failed { .. })),
        "{:?}",
        messages.last()
    );
    assert!(start.elapsed() < Duration::from_mins(1));
}

#[test]
fn tags_that_are_not_utf8_are_made_readable() {
    let slot = Slot::new();
    clip(&slot.input(), "160x90", 1, &["-metadata", "title=QQQQ", "-an", "-f", "avi"]);
    let mut bytes = fs::read(slot.input()).unwrap();
    let at = bytes.windows(4).position(|four| four == b"QQQQ").unwrap();
    bytes[at..at + 4].copy_from_slice(&[b'C', 0xe9, 0xff, b'!']);
    fs::write(slot.input(), bytes).unwrap();
    let messages = slot.task(&Task::Facts);
    let Some(ChildMessage::Facts(facts)) = messages.last() else { panic!("{messages:?}") };
    assert_eq!(facts.tags["title"], "C\u{fffd}\u{fffd}!");
}

#[test]
fn a_probe_result_has_a_limited_size_and_says_what_was_left_out() {
    let slot = Slot::new();
    let folder = tempfile::tempdir().unwrap();
    let metadata = folder.path().join("metadata");
    let title = "x".repeat(1_000);
    let chapters = (0..1_000).map(|n| {
        format!("[CHAPTER]\nTIMEBASE=1/1000\nSTART={n}\nEND={}\ntitle={n}{title}\n", n + 1)
    });
    let text: String = std::iter::once(";FFMETADATA1\n".to_owned()).chain(chapters).collect();
    fs::write(&metadata, text).unwrap();
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=160x90:r=25:d=1 -i {} -map_metadata 1 -map_chapters 1 -c:v libx264 -f matroska {}",
        metadata.display(),
        slot.input().display()
    ));
    let messages = slot.run(MediaRequest::Probe(Probe { input: Personal::Erased }), "output.");
    let result = report(&messages).result.clone().unwrap();
    let kept = result["chapters"].as_array().unwrap().len();
    assert!((50..70).contains(&kept), "{kept}");
    assert!(result.to_string().len() < 80_000, "{}", result.to_string().len());
    let note = format!("left out because there are too many: {} chapters", 1_000 - kept);
    assert_eq!(result["notes"], serde_json::json!([note]));
    // The facts of an upload as well.
    let messages = slot.task(&Task::Facts);
    let Some(ChildMessage::Facts(facts)) = messages.last() else { panic!("{messages:?}") };
    assert!(!facts.chapters.is_empty() && !facts.notes.is_empty());
    assert!(facts.shown().to_string().len() <= 64 * 1024);
}
