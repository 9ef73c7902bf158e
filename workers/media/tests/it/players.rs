//! Streams in independent software: `GStreamer` plays them, and two strict parsers read their
//! manifests.

use std::{fs, path::Path, process::Command};

use ffapi_domain::media::{Packaging, Poster, SegmentFormat, SegmentLayout, Stream};
use hls_m3u8::{MasterPlaylist, MediaPlaylist, tags::VariantStream};

use crate::{
    harness::Slot,
    stream::{clip_slot, make, request, variant},
};

/// Plays a manifest to its end with `GStreamer`; returns the number of frames and of audio samples.
fn played(manifest: &Path) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let (video, audio) = (folder.path().join("video"), folder.path().join("audio"));
    let played = Command::new("timeout")
        .args(["60", "gst-launch-1.0", "-q", "uridecodebin", "name=source"])
        .arg(format!("uri=file://{}", manifest.display()))
        .arg("source.")
        // All renditions are scaled to one size, so that frames can be counted by bytes.
        .args(["!", "queue", "!", "videoconvert", "!", "videoscale", "!"])
        .args(["video/x-raw,format=I420,width=64,height=36", "!", "filesink"])
        .arg(format!("location={}", video.display()))
        .args(["source.", "!", "queue", "!", "audioconvert", "!"])
        .args(["audio/x-raw,format=S16LE,channels=1", "!", "filesink"])
        .arg(format!("location={}", audio.display()))
        .output()
        .unwrap();
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    let bytes = |path: &Path| usize::try_from(fs::metadata(path).unwrap().len()).unwrap();
    (bytes(&video) / (64 * 36 * 3 / 2), bytes(&audio) / 2)
}

/// Asserts that all seven seconds of the clip were played.
fn assert_complete((frames, samples): (usize, usize), what: &str) {
    assert_eq!(frames, 175, "{what}");
    // An encoder's first and last frame may be padded.
    assert!(samples.abs_diff(7 * 48_000) <= 3 * 1_024, "{what}: {samples}");
}

fn ladder(packaging: Packaging) -> Stream {
    Stream { variants: vec![variant("a", 180), variant("b", 90)], ..request(packaging) }
}

#[test]
fn gstreamer_plays_every_kind_of_stream_to_its_end() {
    let slot = clip_slot();
    make(&slot, ladder(Packaging::Cmaf));
    assert_complete(played(&slot.output("master.m3u8")), "HLS, fragmented MP4");
    assert_complete(played(&slot.output("manifest.mpd")), "DASH");
    for (what, change) in [
        (
            "HLS, transport streams",
            Stream { segments: SegmentFormat::Ts, ..ladder(Packaging::Hls) },
        ),
        ("HLS, one file", Stream { layout: SegmentLayout::SingleFile, ..ladder(Packaging::Hls) }),
        (
            "HLS, one file, transport stream",
            Stream {
                segments: SegmentFormat::Ts,
                layout: SegmentLayout::SingleFile,
                ..ladder(Packaging::Hls)
            },
        ),
        (
            "HLS, encrypted",
            Stream { segments: SegmentFormat::Ts, encrypted: true, ..ladder(Packaging::Hls) },
        ),
    ] {
        let slot = clip_slot();
        make(&slot, change);
        assert_complete(played(&slot.output("master.m3u8")), what);
    }
}

#[test]
fn a_rendition_in_a_single_file_is_played_like_one_in_many() {
    let slot = clip_slot();
    let single = Stream { layout: SegmentLayout::SingleFile, ..ladder(Packaging::Cmaf) };
    let files = make(&slot, single);
    let mut media: Vec<&str> =
        files.iter().map(String::as_str).filter(|file| file.contains("/media")).collect();
    media.sort_unstable();
    assert_eq!(media, ["a/media.mp4", "audio-0/media.mp4", "b/media.mp4"]);
    assert!(!files.iter().any(|file| file.contains(".m4s")), "{files:?}");
    assert_complete(played(&slot.output("master.m3u8")), "HLS");
    assert_complete(played(&slot.output("manifest.mpd")), "DASH");
    // The file by itself is a complete MP4 file.
    let count = |name: &str| {
        let counted = "stream=nb_read_packets";
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-count_packets", "-show_entries", counted, "-of", "csv=p=0"])
            .arg(slot.output(name))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().trim_end_matches(',').to_owned()
    };
    assert_eq!((count("a/media.mp4").as_str(), count("b/media.mp4").as_str()), ("175", "175"));
}

fn text(slot: &Slot, name: &str) -> String {
    fs::read_to_string(slot.output(name)).unwrap()
}

#[test]
fn playlists_conform_to_the_hls_standard() {
    let slot = clip_slot();
    let files = make(&slot, Stream { poster: Some(Poster::default()), ..ladder(Packaging::Hls) });
    let master = text(&slot, "master.m3u8");
    let master = MasterPlaylist::try_from(master.as_str()).unwrap();
    let mut listed = 0;
    for variant in &master.variant_streams {
        let (uri, keyframes) = match variant {
            VariantStream::ExtXStreamInf { uri, .. } => (uri, false),
            VariantStream::ExtXIFrame { uri, .. } => (uri, true),
        };
        assert!(files.iter().any(|file| file == uri.as_ref()), "{uri} is not an output");
        let playlist = text(&slot, uri);
        let playlist = MediaPlaylist::try_from(playlist.as_str()).unwrap();
        assert!(playlist.has_end_list, "{uri} is complete");
        assert_eq!(playlist.has_i_frames_only, keyframes, "{uri}");
        let duration: f64 =
            playlist.segments.values().map(|s| s.duration.duration().as_secs_f64()).sum();
        assert!((duration - 7.0).abs() < 0.05, "{uri}: {duration}");
        listed += 1;
    }
    assert_eq!(listed, 4, "two renditions, each with an I-frame playlist");
}

#[test]
fn manifests_conform_to_the_dash_standard() {
    let slot = clip_slot();
    let files = make(&slot, ladder(Packaging::Dash));
    let manifest = dash_mpd::parse(&text(&slot, "manifest.mpd")).unwrap();
    assert_eq!(manifest.mpdtype.as_deref(), Some("static"));
    let duration = manifest.mediaPresentationDuration.unwrap().as_secs_f64();
    assert!((duration - 7.0).abs() < 0.05, "{duration}");
    let [period] = manifest.periods.as_slice() else { panic!("{manifest:?}") };
    let mut segments = 0;
    for set in &period.adaptations {
        for representation in &set.representations {
            let template = representation.SegmentTemplate.as_ref().or(set.SegmentTemplate.as_ref());
            let template = template.unwrap();
            let id = representation.id.as_ref().unwrap();
            let expand = |pattern: &str, number: u64| {
                let name = pattern.replace("$RepresentationID$", id);
                let (before, after) = name.split_once("$Number").unwrap_or((&name, ""));
                match after.split_once('$') {
                    Some((width, after)) => {
                        let wide = width.trim_start_matches("%0").trim_end_matches('d');
                        format!("{before}{number:0>wide$}{after}", wide = wide.parse().unwrap_or(0))
                    }
                    None => name.clone(),
                }
            };
            let initialization = expand(template.initialization.as_ref().unwrap(), 0);
            assert!(files.contains(&initialization), "{initialization}: {files:?}");
            let times = template.SegmentTimeline.as_ref().unwrap();
            let count: i64 = times.segments.iter().map(|s| s.r.unwrap_or(0) + 1).sum();
            let first = template.startNumber.unwrap_or(1);
            for number in first..first + u64::try_from(count).unwrap() {
                let segment = expand(template.media.as_ref().unwrap(), number);
                assert!(files.contains(&segment), "{segment}: {files:?}");
                segments += 1;
            }
        }
    }
    assert_eq!(segments, files.iter().filter(|file| file.contains(".m4s")).count());
}
