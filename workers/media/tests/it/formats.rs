//! Every container and codec, as ffprobe sees it.

use std::path::Path;

use ffapi_domain::media::{
    AudioCodec, Operation, Pick, Preset, Tracks, Transcode, Trim, VideoCodec,
};

use crate::harness::{
    Slot, clip, ffmpeg, ffmpeg_stderr, ffprobe, number_after, probe, report, run, seconds,
    similarity,
};

fn clip_slot() -> Slot {
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 2, &["-f", "mp4"]);
    slot
}

fn quick(change: impl FnOnce(&mut Transcode)) -> Operation {
    let mut transcode = Transcode::default();
    change(&mut transcode);
    Operation::Transcode(transcode)
}

/// Asserts that the output is as loud as the input, over all and in a narrow band around its tone.
fn assert_same_loudness(slot: &Slot, output: &str) {
    let level = |path: &Path, filter: &str| {
        let meter = ["-i", path.to_str().unwrap(), "-af", filter, "-f", "null", "-"];
        number_after(&ffmpeg_stderr(&meter), "mean_volume:")
    };
    for filter in ["volumedetect", "bandpass=f=440:width_type=q:w=20,volumedetect"] {
        let (input, found) = (level(&slot.input(), filter), level(&slot.output(output), filter));
        assert!((input - found).abs() < 1.0, "{output}: {found} dB, not {input}, by {filter}");
    }
}

#[test]
fn every_container_has_its_default_codecs() {
    let slot = clip_slot();
    for (name, format, video, audio) in [
        ("o.mp4", "mov", "h264", "aac"),
        ("o.mov", "mov", "h264", "aac"),
        ("o.mkv", "matroska", "h264", "aac"),
        ("o.webm", "matroska", "vp9", "opus"),
        ("o.avi", "avi", "h264", "mp3"),
        ("o.ts", "mpegts", "h264", "aac"),
        ("o.flv", "flv", "h264", "aac"),
        ("o.gif", "gif", "gif", ""),
        ("o.mp3", "mp3", "", "mp3"),
        ("o.m4a", "mov", "", "aac"),
        ("o.aac", "aac", "", "aac"),
        ("o.ogg", "ogg", "", "vorbis"),
        ("o.opus", "ogg", "", "opus"),
        ("o.wav", "wav", "", "pcm_s16le"),
        ("o.flac", "flac", "", "flac"),
    ] {
        let is_video = !video.is_empty() && video != "gif";
        let operations =
            if is_video { vec![quick(|t| t.preset = Some(Preset::Ultrafast))] } else { vec![] };
        let messages = slot.convert(name, operations);
        let duration = report(&messages).files[0].duration.unwrap();
        let path = slot.output(name);
        assert!(probe(&path, "", "format=format_name").contains(format), "{name}");
        assert_eq!(
            probe(&path, "v:0", "stream=codec_name").lines().next().unwrap_or(""),
            video,
            "{name}"
        );
        assert_eq!(
            probe(&path, "a:0", "stream=codec_name").lines().next().unwrap_or(""),
            audio,
            "{name}"
        );
        assert!((duration - 2.0).abs() < 0.13, "{name}: {duration}");
        if !video.is_empty() {
            let frames = ffprobe(&format!(
                "-count_frames -select_streams v:0 -show_entries stream=nb_read_frames -of default=nw=1:nk=1 {}",
                path.display()
            ));
            assert_eq!(frames.lines().next().unwrap().trim(), "50", "{name}");
            let similarity = similarity(&slot, name, "null");
            // A palette of 256 colours loses detail.
            let min = if video == "gif" { 0.75 } else { 0.9 };
            assert!(similarity > min, "{name}: {similarity}");
        }
        if !audio.is_empty() {
            assert_same_loudness(&slot, name);
        }
    }
}

#[test]
fn every_codec_is_encoded() {
    let slot = clip_slot();
    for (name, video, audio, expected) in [
        ("o.mkv", VideoCodec::Vp8, AudioCodec::Vorbis, "vp8 vorbis"),
        ("o.mkv", VideoCodec::Av1, AudioCodec::Flac, "av1 flac"),
        ("o.mov", VideoCodec::Prores, AudioCodec::Pcm, "prores pcm_s16le"),
        ("o.mkv", VideoCodec::Mjpeg, AudioCodec::Ac3, "mjpeg ac3"),
        ("o.mkv", VideoCodec::Png, AudioCodec::Mp3, "png mp3"),
        ("o.mp4", VideoCodec::Hevc, AudioCodec::Opus, "hevc opus"),
        ("o.mp4", VideoCodec::Av1, AudioCodec::Aac, "av1 aac"),
    ] {
        let transcode = quick(|t| {
            t.video_codec = Some(video);
            t.audio_codec = Some(audio);
            t.preset = video.is_inter().then_some(Preset::Ultrafast);
        });
        report(&slot.convert(name, vec![transcode]));
        let codecs = probe(&slot.output(name), "", "stream=codec_name").replace('\n', " ");
        assert_eq!(codecs, expected, "{name}");
        let similarity = similarity(&slot, name, "null");
        assert!(similarity > 0.9, "{expected}: {similarity}");
        assert_same_loudness(&slot, name);
    }
    let hevc = quick(|t| {
        t.video_codec = Some(VideoCodec::Hevc);
        t.preset = Some(Preset::Ultrafast);
    });
    report(&slot.convert("apple.mp4", vec![hevc]));
    assert_eq!(probe(&slot.output("apple.mp4"), "v:0", "stream=codec_tag_string"), "hvc1");
}

#[test]
fn image_outputs_are_a_numbered_sequence_or_one_file() {
    let slot = clip_slot();
    let trim = || Operation::Trim(Trim { start: 0, end: Some(200_000) });
    let messages = slot.convert("output.png", vec![trim()]);
    assert_eq!(report(&messages).files.len(), 1);
    let request = |name: &str| {
        ffapi_domain::media::MediaRequest::Convert(ffapi_domain::media::Convert {
            input: ffapi_domain::Personal::Erased,
            output: ffapi_domain::Personal::Clear(name.parse().unwrap()),
            operations: vec![trim()],
            overwrite: ffapi_domain::media::Overwrite::Fail,
        })
    };
    let messages = slot.run(request("frame-%03d.jpg"), "output.jpg");
    let names: Vec<&str> = report(&messages).files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names.len(), 5);
    assert_eq!(names[0], "output-000001.jpg");
    assert_eq!(probe(&slot.output(names[4]), "v:0", "stream=codec_name,width"), "mjpeg\n320");
}

#[test]
fn animated_webp_has_all_its_frames() {
    let slot = clip_slot();
    let cut = Operation::Trim(Trim { start: 0, end: Some(400_000) });
    report(&slot.convert("o.webp", vec![cut]));
    let bytes = std::fs::read(slot.output("o.webp")).unwrap();
    assert_eq!(bytes.windows(4).filter(|four| four == b"ANMF").count(), 10);
    // Video that starts late, and of variable frame rate with a long last frame.
    for arguments in [
        "-f lavfi -i sine=d=2 -itsoffset 0.6 -f lavfi -i testsrc2=s=160x90:r=25:d=1.4 -c:a aac -f mpegts",
        "-f lavfi -i testsrc2=s=160x90:r=10:d=1 -final_delay 300 -f gif",
        "-f lavfi -i testsrc2=s=160x90:r=25:d=4 -vf select='not(between(n,30,60))' -vsync passthrough \
         -c:v libx264 -f matroska",
    ] {
        let slot = Slot::new();
        ffmpeg(&format!("{arguments} {}", slot.input().display()));
        report(&slot.convert("o.webp", vec![]));
    }
}

#[test]
fn copied_packets_are_unchanged() {
    let slot = clip_slot();
    let copy = || {
        quick(|t| (t.video_codec, t.audio_codec) = (Some(VideoCodec::Copy), Some(AudioCodec::Copy)))
    };
    let hashes = |path: &Path| {
        let text = ffmpeg(&format!(
            "-i {} -map 0:v -map 0:a -c copy -bsf:v h264_mp4toannexb -f streamhash -",
            path.display()
        ));
        text.lines().map(|line| line.rsplit('=').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for name in ["o.mp4", "o.mkv"] {
        report(&slot.convert(name, vec![copy()]));
        assert_eq!(hashes(&slot.output(name)), hashes(&slot.input()), "{name}");
    }
    // A cut between keyframes: a player still starts exactly there.
    let cut = Operation::Trim(Trim { start: 520_000, end: Some(1_520_000) });
    report(&slot.convert("cut.mp4", vec![copy(), cut]));
    let path = slot.output("cut.mp4");
    assert!((seconds(&path) - 1.0).abs() < 0.05, "{}", seconds(&path));
    let shown = ffmpeg(&format!("-i {} -frames:v 1 -map 0:v -f framemd5 -", path.display()));
    let expected = ffmpeg(&format!(
        "-i {} -vf trim=start=0.52,setpts=PTS-STARTPTS -frames:v 1 -map 0:v -f framemd5 -",
        slot.input().display()
    ));
    let hash = |text: &str| text.lines().last().unwrap().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(hash(&shown), hash(&expected));
}

/// A video with two audio tracks, subtitles, chapters and a title.
fn tagged_video() -> Slot {
    let slot = Slot::new();
    let subtitles = slot.output("w.srt");
    let metadata = slot.output("meta.txt");
    std::fs::write(&subtitles, "1\n00:00:01,000 --> 00:00:02,000\nHello\n").unwrap();
    std::fs::write(&metadata, ";FFMETADATA1\ntitle=A film\nartist=Nobody\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=2000\ntitle=One\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=2000\nEND=4000\ntitle=Two\n").unwrap();
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=160x90:r=25:d=4 -f lavfi -i sine=f=440:d=4 -f lavfi -i sine=f=880:d=4 -i {} -i {} -map 0 -map 1 -map 2 -map 3 -map_metadata 4 -map_chapters 4 -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu -metadata:s:s:0 language=fra -c:v libx264 -c:a aac -c:s srt -f matroska {}",
        subtitles.display(),
        metadata.display(),
        slot.input().display()
    ));
    slot
}

#[test]
fn chapters_titles_and_languages_are_kept() {
    let slot = tagged_video();
    let tracks = Operation::Tracks(Tracks {
        audio: Some(vec![Pick::Language("de".to_owned()), Pick::Index(0)]),
        subtitles: Some(vec![Pick::Language("all".to_owned())]),
    });
    let cut = Operation::Trim(Trim { start: 1_000_000, end: None });
    report(
        &slot.convert("o.mp4", vec![tracks, cut, quick(|t| t.preset = Some(Preset::Ultrafast))]),
    );
    let path = slot.output("o.mp4");
    assert_eq!(probe(&path, "a", "stream_tags=language"), "deu\neng");
    assert_eq!(probe(&path, "s", "stream_tags=language"), "fra");
    assert_eq!(probe(&path, "", "format_tags=title,artist"), "A film\nNobody");
    let chapters = ffprobe(&format!(
        "-show_chapters -show_entries chapter=start_time,end_time:chapter_tags=title -of csv=p=0 {}",
        path.display()
    ));
    assert_eq!(chapters.trim(), "0.000000,1.000000,One\n1.000000,3.000000,Two");
}

#[test]
fn alpha_is_kept() {
    let slot = Slot::new();
    ffmpeg(&format!(
        "-f lavfi -i color=red@0.5:s=64x64:d=0.4:r=10,format=yuva420p -c:v libvpx-vp9 -auto-alt-ref 0 -f webm {}",
        slot.input().display()
    ));
    report(&slot.convert("o.webm", vec![]));
    assert_eq!(probe(&slot.output("o.webm"), "v:0", "stream_tags=alpha_mode"), "1");
    report(&slot.convert("o.png", vec![]));
    assert_eq!(probe(&slot.output("o.png"), "v:0", "stream=pix_fmt"), "rgba");
    let pixel = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            &format!("movie={},alphaextract,signalstats", slot.output("o.png").display()),
            "-show_entries",
            "frame_tags=lavfi.signalstats.YAVG",
            "-of",
            "default=nw=1:nk=1",
        ],
    );
    let opacity: f64 = pixel.trim().parse().unwrap();
    assert!((opacity - 127.0).abs() < 10.0, "{opacity}");
}

#[test]
fn unusual_videos_keep_all_their_frames() {
    let source = "-f lavfi -i testsrc2=s=320x180";
    let codec = "-c:v libx264 -pix_fmt yuv420p";
    let cases = [
        (
            "odd sides",
            "-f lavfi -i testsrc2=s=321x181:d=1 -c:v libx264 -pix_fmt yuv444p -f mp4".to_owned(),
        ),
        ("4:2:2, ten bits", format!("{source}:d=1 -c:v libx264 -pix_fmt yuv422p10le -f matroska")),
        (
            "interlaced",
            format!("{source}:r=50:d=1,interlace,fieldorder=tff -flags +ilme+ildct {codec} -f mp4"),
        ),
        (
            "variable rate",
            format!("{source}:d=2,select='not(mod(n,3))+lt(n,10)' -vsync vfr {codec} -f mp4"),
        ),
        ("late start", format!("{source}:d=1 -output_ts_offset 7 {codec} -f mpegts")),
        ("no timestamps", format!("{source}:d=1 {codec} -f h264")),
    ];
    for (name, arguments) in cases {
        let slot = Slot::new();
        let input = slot.input();
        ffmpeg(&format!("{arguments} {}", input.display()));
        let count_frames = |path: &Path| {
            let text = ffprobe(&format!(
                "-count_frames -select_streams v:0 -show_entries stream=nb_read_frames -of default=nw=1:nk=1 {}",
                path.display()
            ));
            text.lines().next().unwrap().trim().parse::<u64>().unwrap()
        };
        let expected = count_frames(&input);
        report(&slot.convert("o.mp4", vec![quick(|t| t.preset = Some(Preset::Ultrafast))]));
        assert_eq!(count_frames(&slot.output("o.mp4")), expected, "{name}");
    }
}

#[test]
fn surround_is_kept_or_mixed_down() {
    let slot = Slot::new();
    ffmpeg(&format!(
        "-f lavfi -i sine=d=1,pan=7.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0|c6=c0|c7=c0 -c:a flac -f flac {}",
        slot.input().display()
    ));
    for (name, channels) in [("o.m4a", 2), ("o.flac", 8), ("o.wav", 8), ("o.mp3", 2)] {
        report(&slot.convert(name, vec![]));
        assert_eq!(
            probe(&slot.output(name), "a:0", "stream=channels"),
            channels.to_string(),
            "{name}"
        );
    }
    let surround = || {
        Operation::Audio(ffapi_domain::media::Audio {
            channels: Some(6),
            ..ffapi_domain::media::Audio::default()
        })
    };
    for name in ["s.mp4", "s.opus", "s.ogg"] {
        report(&slot.convert(name, vec![surround()]));
        assert_eq!(probe(&slot.output(name), "a:0", "stream=channels"), "6", "{name}");
    }
}
