//! Streams, played by FFmpeg's HLS and DASH demuxers, which share no code with our packaging.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use ffapi_domain::{
    Personal,
    media::{
        Caption, JobPlan, MediaRequest, Metric, Overwrite, Packaging, Poster, Preset,
        SegmentFormat, SegmentLayout, Sprite, Stream, Variant, VideoCodec,
    },
};
use ffapi_media::protocol::ChildMessage;
use serde_json::Value;

use crate::{
    harness::{
        Slot, clip, failure, ffmpeg, ffmpeg_stderr, ffprobe, loudness, number_after, probe, psnr,
        real_video, report, stages,
    },
    quality::independent_vmaf,
};

pub(crate) fn request(packaging: Packaging) -> Stream {
    Stream {
        input: Personal::Erased,
        output: Personal::Erased,
        packaging,
        segments: SegmentFormat::Fmp4,
        layout: SegmentLayout::Files,
        variants: vec![],
        segment_duration: Some(2_000_000),
        video_codec: None,
        preset: Some(Preset::Ultrafast),
        encrypted: false,
        captions: vec![],
        poster: None,
        sprite: None,
        metrics: vec![],
        overwrite: Overwrite::Fail,
    }
}

pub(crate) fn variant(name: &str, height: u32) -> Variant {
    Variant {
        name: name.to_owned(),
        width: None,
        height: Some(height),
        video_bitrate: None,
        crf: None,
        audio_bitrate: None,
    }
}

pub(crate) fn clip_slot() -> Slot {
    let slot = Slot::new();
    clip(&slot.input(), "640x360", 7, &["-f", "mp4"]);
    slot
}

/// A rendition as one file.
pub(crate) fn remuxed(slot: &Slot, rendition: &str) -> PathBuf {
    let file = slot.output(&format!("{rendition}.mkv"));
    let playlist = slot.output(&format!("{rendition}/index.m3u8"));
    let (from, to) = (playlist.display(), file.display());
    ffmpeg(&format!("-y -allowed_extensions ALL -i {from} -c copy {to}"));
    file
}

pub(crate) fn make(slot: &Slot, request: Stream) -> Vec<String> {
    let messages = slot.run(MediaRequest::Stream(request), "output.");
    assert_eq!(stages(&messages), ["encoding", "verifying"]);
    report(&messages).files.iter().map(|file| file.name.clone()).collect()
}

fn read(slot: &Slot, name: &str) -> String {
    fs::read_to_string(slot.output(name)).unwrap()
}

/// The attributes of one line of a playlist, by name.
fn attributes(line: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = line.split_once(':').unwrap().1;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap(),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        found.insert(name.to_owned(), value.to_owned());
        rest = next.trim_start_matches(',');
    }
    found
}

/// The number of frames that a player decodes of a playlist, manifest or file.
fn frames(path: &str) -> u64 {
    let option = if path.contains(".m3u8") { "-allowed_extensions ALL" } else { "" };
    let text = ffprobe(&format!(
        "{option} -count_frames -select_streams v:0 -show_entries stream=nb_read_frames -of default=nw=1:nk=1 {path}"
    ));
    text.lines().next().unwrap().trim().parse().unwrap()
}

#[test]
fn every_rendition_of_a_ladder_plays() {
    let slot = clip_slot();
    let names = make(
        &slot,
        Stream {
            variants: vec![variant("big", 360), variant("mid", 240), variant("small", 144)],
            ..request(Packaging::Hls)
        },
    );
    assert_eq!(names.last().unwrap(), "master.m3u8", "the master playlist is the last file");
    let master = read(&slot, "master.m3u8");
    let renditions: Vec<_> = master
        .lines()
        .filter(|line| line.starts_with("#EXT-X-STREAM-INF"))
        .map(attributes)
        .collect();
    assert_eq!(renditions.len(), 3);
    for (rendition, (name, size)) in
        renditions.iter().zip([("big", "640x360"), ("mid", "426x240"), ("small", "256x144")])
    {
        assert_eq!(
            (
                rendition["RESOLUTION"].as_str(),
                rendition["FRAME-RATE"].as_str(),
                rendition["AUDIO"].as_str()
            ),
            (size, "25.000", "audio")
        );
        let playlist = slot.output(&format!("{name}/index.m3u8"));
        assert_eq!(frames(&playlist.display().to_string()), 175, "{name}");
        // The stated codec is that of the segments.
        let whole = slot.output("whole.mp4");
        ffmpeg(&format!(
            "-y -allowed_extensions ALL -i {} -c copy {}",
            playlist.display(),
            whole.display()
        ));
        let profile = probe(&whole, "v:0", "stream=profile,level");
        let (profile, level) = profile.split_once('\n').unwrap();
        let profile = match profile {
            "Constrained Baseline" => "42c0",
            "High" => "6400",
            other => panic!("{other}"),
        };
        let level: u8 = level.parse().unwrap();
        assert_eq!(rendition["CODECS"], format!("avc1.{profile}{level:02x},mp4a.40.2"));
        // The stated bandwidth suffices for the largest segment.
        let bandwidth: u64 = rendition["BANDWIDTH"].parse().unwrap();
        let max = (1..=4)
            .map(|n| fs::metadata(slot.output(&format!("{name}/{n:05}.m4s"))).unwrap().len())
            .take(3)
            .max()
            .unwrap();
        assert!(bandwidth >= max * 8 / 2, "{bandwidth} {max}");
        // Every segment starts with a keyframe, at the same times in all renditions.
        let keys = probe(&whole, "v:0", "packet=pts_time,flags");
        let keys: Vec<f64> = keys
            .lines()
            .collect::<Vec<_>>()
            .chunks(2)
            .filter(|pair| pair[1].starts_with('K'))
            .map(|pair| pair[0].parse().unwrap())
            .collect();
        assert_eq!(keys.len(), 4, "{name}: {keys:?}");
        assert!(
            keys.iter()
                .zip([0.0, 2.0, 4.0, 6.0])
                .all(|(found, start)| (found - keys[0] - start).abs() < 0.001),
            "{keys:?}"
        );
    }
    // The master playlist offers the audio once, for all renditions.
    let streams = ffprobe(&format!(
        "-allowed_extensions ALL -show_entries stream=index,codec_type -of csv=p=0 {}",
        slot.output("master.m3u8").display()
    ));
    // ffprobe lists each stream again in its programs.
    let streams: std::collections::BTreeSet<&str> = streams.lines().collect();
    assert_eq!(streams.iter().filter(|line| line.contains("video")).count(), 3, "{streams:?}");
    assert_eq!(streams.iter().filter(|line| line.contains("audio")).count(), 1, "{streams:?}");
}

#[test]
fn the_default_ladder_never_upscales() {
    let slot = clip_slot();
    make(&slot, request(Packaging::Hls));
    let master = read(&slot, "master.m3u8");
    assert!(
        master.contains("RESOLUTION=640x360") && master.contains("RESOLUTION=426x240"),
        "{master}"
    );
    assert_eq!(master.matches("#EXT-X-STREAM-INF").count(), 2);
    let slot = Slot::new();
    clip(&slot.input(), "160x90", 2, &["-f", "mp4"]);
    make(&slot, Stream { variants: vec![variant("hd", 720)], ..request(Packaging::Hls) });
    assert!(read(&slot, "master.m3u8").contains("RESOLUTION=160x90"));
}

#[test]
fn i_frame_playlists_can_be_played() {
    let slot = clip_slot();
    make(&slot, Stream { variants: vec![variant("v", 180)], ..request(Packaging::Hls) });
    let list = read(&slot, "v/iframes.m3u8");
    let ranges: Vec<(usize, &str)> = list
        .split("#EXT-X-BYTERANGE:")
        .skip(1)
        .map(|part| {
            let (length, rest) = part.split_once("@0\n").unwrap();
            (length.parse().unwrap(), rest.lines().next().unwrap())
        })
        .collect();
    assert_eq!(ranges.len(), 4, "{list}");
    let init = fs::read(slot.output("v/init.mp4")).unwrap();
    for (length, name) in ranges {
        // A player fetches the init segment and the range, which contain one complete frame.
        let segment = fs::read(slot.output(&format!("v/{name}"))).unwrap();
        assert!(length < segment.len());
        let fetched = slot.output("fetched.mp4");
        fs::write(&fetched, [&init, &segment[..length]].concat()).unwrap();
        assert_eq!(frames(&fetched.display().to_string()), 1, "{name}");
    }
}

#[test]
fn one_set_of_segments_has_both_manifests() {
    let slot = clip_slot();
    let names = make(
        &slot,
        Stream { variants: vec![variant("a", 180), variant("b", 90)], ..request(Packaging::Cmaf) },
    );
    assert!(
        names.contains(&"manifest.mpd".to_owned()) && names.contains(&"master.m3u8".to_owned())
    );
    let manifest = slot.output("manifest.mpd").display().to_string();
    assert_eq!(frames(&manifest), 175);
    let streams = ffprobe(&format!("-show_entries stream=codec_type,width -of csv=p=0 {manifest}"));
    assert!(
        streams.contains("video,320") && streams.contains("video,160") && streams.contains("audio"),
        "{streams}"
    );
    assert_eq!(frames(&slot.output("a/index.m3u8").display().to_string()), 175);
    let dash = clip_slot();
    let names =
        make(&dash, Stream { variants: vec![variant("a", 180)], ..request(Packaging::Dash) });
    assert!(!names.iter().any(|name| name.contains(".m3u8")), "{names:?}");
}

#[test]
fn video_and_audio_are_in_sync() {
    // A flash and a beep at the same time.
    let slot = Slot::new();
    ffmpeg(&format!(
        "-f lavfi -i color=black:s=160x90:r=25:d=6,drawbox=c=white:t=fill:enable='between(t,3,3.5)' -f lavfi -i sine=f=1000:r=48000:d=6,volume='between(t,3,3.5)':eval=frame -c:v libx264 -bf 2 -pix_fmt yuv420p -c:a aac -f mp4 {}",
        slot.input().display()
    ));
    for segments in [SegmentFormat::Fmp4, SegmentFormat::Ts] {
        make(&slot, Stream { segments, preset: Some(Preset::Medium), ..request(Packaging::Hls) });
        let whole = slot.output("whole.mkv");
        ffmpeg(&format!(
            "-y -allowed_extensions ALL -i {} -c copy {}",
            slot.output("master.m3u8").display(),
            whole.display()
        ));
        let time_of = |filter: &str, label: &str| {
            let path = whole.to_str().unwrap();
            let text = ffmpeg_stderr(&["-i", path, "-filter_complex", filter, "-f", "null", "-"]);
            number_after(&text, label)
        };
        let flash = time_of("[0:v]blackdetect=d=0.5", "black_end:");
        let beep = time_of("[0:a]silencedetect=n=-40dB:d=0.5", "silence_end:");
        assert!((flash - beep).abs() < 0.06, "{segments:?}: {flash} {beep}");
        slot.clear();
    }
}

#[test]
fn transport_stream_segments_play_alone_and_together() {
    let slot = clip_slot();
    let names = make(
        &slot,
        Stream {
            segments: SegmentFormat::Ts,
            variants: vec![variant("v", 180)],
            ..request(Packaging::Hls)
        },
    );
    assert!(names.contains(&"v/00001.ts".to_owned()), "{names:?}");
    assert_eq!(frames(&slot.output("v/index.m3u8").display().to_string()), 175);
    // Each segment has the headers that it needs.
    assert_eq!(
        probe(&slot.output("v/00002.ts"), "v:0", "stream=codec_name").lines().next(),
        Some("h264")
    );
}

#[test]
fn encrypted_segments_play_only_with_their_key() {
    let slot = clip_slot();
    let names = make(
        &slot,
        Stream { encrypted: true, variants: vec![variant("v", 180)], ..request(Packaging::Hls) },
    );
    assert!(names.contains(&"key.bin".to_owned()));
    assert_eq!(fs::read(slot.output("key.bin")).unwrap().len(), 16);
    let list = slot.output("v/index.m3u8").display().to_string();
    assert_eq!(frames(&list), 175);
    let clear = fs::read(slot.output("v/00001.m4s")).unwrap();
    assert!(!clear.windows(4).any(|four| four == b"moof"), "no box is in plain text");
    fs::write(slot.output("key.bin"), [7; 16]).unwrap();
    let read =
        ["-v", "error", "-allowed_extensions", "ALL", "-xerror", "-i", &list, "-f", "null", "-"];
    assert!(!Command::new("ffmpeg").args(read).output().unwrap().status.success());
}

#[test]
fn languages_and_captions_are_listed() {
    let slot = Slot::new();
    fs::write(slot.extra(1), "1\n00:00:01,000 --> 00:00:02,000\nHello\n").unwrap();
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=160x90:r=25:d=4 -f lavfi -i sine=d=4 -f lavfi -i sine=f=880:d=4 -map 0 -map 1 -map 2 -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu -c:v libx264 -pix_fmt yuv420p -c:a aac -f mp4 {}",
        slot.input().display()
    ));
    let captions = vec![Caption {
        input: Personal::Erased,
        language: "en".to_owned(),
        name: Some("English".to_owned()),
    }];
    make(&slot, Stream { captions, ..request(Packaging::Cmaf) });
    let master = read(&slot, "master.m3u8");
    let media: Vec<_> =
        master.lines().filter(|line| line.starts_with("#EXT-X-MEDIA:")).map(attributes).collect();
    let tracks: Vec<_> = media
        .iter()
        .map(|m| (m["TYPE"].as_str(), m["LANGUAGE"].as_str(), m["DEFAULT"].as_str()))
        .collect();
    let expected = [("AUDIO", "eng", "YES"), ("AUDIO", "deu", "NO"), ("SUBTITLES", "en", "NO")];
    assert_eq!(tracks, expected);
    let text = read(&slot, "captions-0/captions.vtt");
    assert!(text.contains("X-TIMESTAMP-MAP") && text.contains("Hello"), "{text}");
    let shown = ffmpeg(&format!(
        "-allowed_extensions ALL -i {} -f srt -",
        slot.output("captions-0/index.m3u8").display()
    ));
    assert!(shown.contains("Hello"), "{shown}");
    // Players begin with the main track.
    let manifest = read(&slot, "manifest.mpd");
    let roles =
        manifest.split("<AdaptationSet").filter(|set| set.contains("contentType=\"audio\""));
    let roles: Vec<(bool, bool)> = roles
        .map(|set| (set.contains("lang=\"eng\""), set.contains("role:2011\" value=\"main\"")))
        .collect();
    assert_eq!(roles, [(true, true), (false, false)], "{manifest}");
    assert!(manifest.contains("lang=\"deu\""));
}

#[test]
fn hevc_and_audio_only_inputs_are_streamed() {
    let slot = clip_slot();
    make(
        &slot,
        Stream {
            video_codec: Some(VideoCodec::Hevc),
            variants: vec![variant("v", 180)],
            ..request(Packaging::Cmaf)
        },
    );
    assert!(read(&slot, "master.m3u8").contains("CODECS=\"hvc1.1."));
    assert_eq!(frames(&slot.output("v/index.m3u8").display().to_string()), 175);
    let slot = Slot::new();
    clip(&slot.input(), "160x90", 5, &["-vn", "-f", "mp4"]);
    make(&slot, request(Packaging::Cmaf));
    let shown = ffprobe(&format!(
        "-allowed_extensions ALL -show_entries stream=codec_name -of csv=p=0 {}",
        slot.output("master.m3u8").display()
    ));
    assert!(shown.contains("aac"), "{shown}");
}

#[test]
fn a_truncated_input_is_not_streamed() {
    let whole = clip_slot();
    let bytes = fs::read(whole.input()).unwrap();
    let slot = Slot::with(&bytes[..bytes.len() / 2]);
    let messages = slot.run(MediaRequest::Stream(request(Packaging::Hls)), "output.");
    assert_eq!(failure(&messages).0, "invalid_input");
}

#[test]
fn poster_sprite_and_metrics_are_part_of_the_stream() {
    let slot = Slot::new();
    fs::copy(real_video(), slot.input()).unwrap();
    let messages = slot.run(
        MediaRequest::Stream(Stream {
            variants: vec![variant("sd", 180), variant("hd", 360)],
            poster: Some(Poster { timestamp: Some(3_000_000), ..Poster::default() }),
            sprite: Some(Sprite { interval: Some(500_000), ..Sprite::default() }),
            metrics: vec![Metric::Vmaf, Metric::Loudness],
            ..request(Packaging::Hls)
        }),
        "output.",
    );
    let files: Vec<String> = report(&messages).files.iter().map(|file| file.name.clone()).collect();
    let result = report(&messages).result.clone().unwrap();
    // The progress of each rendition is reported up to its end.
    let last = messages.iter().rev().find_map(|message| match message {
        ChildMessage::Progress(progress) => Some(progress.outputs.clone()),
        _ => None,
    });
    let last = last.unwrap();
    assert_eq!(last.keys().collect::<Vec<_>>(), ["audio-0", "hd", "sd"]);
    assert!(last.values().all(|done| (5_100_000..5_400_000).contains(done)), "{last:?}");
    // Manifests are still the last files.
    assert_eq!(files.last().unwrap(), "master.m3u8");
    for name in ["poster.jpg", "sprite-1.jpg", "sprite.vtt"] {
        assert!(files.iter().any(|file| file == name), "{name}: {files:?}");
    }
    // The poster is the frame at that time.
    let expected = slot.output("expected.png");
    ffmpeg(&format!("-ss 3 -i {} -frames:v 1 {}", real_video().display(), expected.display()));
    assert!(psnr(&slot.output("poster.jpg"), &expected) > 30.0);
    let sheet = ffprobe(&format!(
        "-show_entries stream=width,height -of csv=p=0 {}",
        slot.output("sprite-1.jpg").display()
    ));
    assert_eq!(sheet.trim(), "1600,180", "eleven thumbnails of 160x90, ten per row");
    assert_eq!(read(&slot, "sprite.vtt").matches("-->").count(), 11);
    // The score of the rendition by an independent build of libvmaf.
    let whole = slot.output("whole.mp4");
    ffmpeg(&format!("-i {} -c copy {}", slot.output("hd/index.m3u8").display(), whole.display()));
    ffmpeg(&format!(
        "-i {} -an -vf scale=640:360:flags=bicubic -c:v libx264 -qp 1 -f mp4 {}",
        real_video().display(),
        slot.extra(1).display()
    ));
    let (mean, ..) = independent_vmaf(&whole, &slot.extra(1), "");
    let reported = |rendition: &str| {
        let mean = result.pointer(&format!("/metrics/vmaf/{rendition}/mean"));
        mean.and_then(Value::as_f64).unwrap()
    };
    assert!((reported("hd") - mean).abs() < 1.5, "{} {mean}", reported("hd"));
    // Scaled to the largest size, the smaller rendition is worse.
    assert!(reported("sd") < reported("hd") - 5.0, "{result}");
    let measured = result.pointer("/metrics/loudness/integrated_lufs").and_then(Value::as_f64);
    let (integrated, _) = loudness(&real_video());
    assert!((measured.unwrap() - integrated).abs() < 0.2, "{measured:?} {integrated}");
}

#[test]
fn the_ladder_follows_the_complexity_of_the_video() {
    let caps = |slot: &Slot| {
        let messages = slot.run(MediaRequest::Stream(request(Packaging::Hls)), "output.");
        let Some(JobPlan::Stream(plan)) = report(&messages).plan.clone() else {
            panic!("a stream has the plan of a stream")
        };
        (plan.renditions[0].video.quality.max_bitrate.unwrap(), plan.renditions.len(), plan.notes)
    };
    // One colour throughout is the easiest to encode, and noise the hardest.
    let easy = Slot::new();
    ffmpeg(&format!(
        "-f lavfi -i color=navy:s=1280x720:d=3 -c:v libx264 -f mp4 {}",
        easy.input().display()
    ));
    let hard = Slot::new();
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=1280x720:d=2,noise=alls=60:allf=t -c:v libx264 -preset ultrafast \
         -f mp4 {}",
        hard.input().display()
    ));
    let (easy_bitrate, easy_count, notes) = caps(&easy);
    let (hard_bitrate, hard_count, _) = caps(&hard);
    assert_eq!((easy_bitrate, easy_count), (980_000, 2), "{notes:?}");
    assert_eq!((hard_bitrate, hard_count), (4_480_000, 4));
    assert!(notes.iter().any(|note| note.contains("typical video's bits")), "{notes:?}");
}

#[test]
fn video_that_ends_before_the_audio_is_streamed() {
    let slot = Slot::new();
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=4 -f lavfi -i sine=d=5 -c:v libx264 -preset ultrafast \
         -c:a aac -f mp4 {}",
        slot.input().display()
    ));
    make(&slot, Stream { variants: vec![variant("v", 180)], ..request(Packaging::Hls) });
    let duration = |file: &PathBuf| probe(file, "", "format=duration").parse::<f64>().unwrap();
    assert!((duration(&remuxed(&slot, "v")) - 4.0).abs() < 0.1);
    assert!((duration(&remuxed(&slot, "audio-0")) - 5.0).abs() < 0.1);
}
