//! Probe, analyze and thumbnail jobs, compared with FFmpeg's own tools.

use std::{fs, path::Path};

use ffapi_domain::{
    Personal,
    media::{
        Analyze, ImageFormat, MediaRequest, Metric, Overwrite, Probe, ThumbnailMode, Thumbnails,
    },
};
use serde_json::Value;

use crate::harness::{
    Slot, Transcript, clip, failure, ffmpeg, ffmpeg_stderr, ffprobe, loudness, number_after, probe,
    report,
};

pub(crate) fn result(messages: &Transcript) -> &Value {
    report(messages).result.as_ref().unwrap()
}

pub(crate) fn analyze(slot: &Slot, metrics: &[Metric], with_reference: bool) -> Value {
    let request = MediaRequest::Analyze(Analyze {
        input: Personal::Erased,
        reference: with_reference.then_some(Personal::Erased),
        metrics: metrics.to_vec(),
        per_frame: with_reference,
    });
    result(&slot.run(request, "output.")).clone()
}

#[test]
fn a_probe_reports_the_same_as_ffprobe() {
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 4, &["-g", "25", "-metadata", "title=A film", "-f", "mp4"]);
    let messages = slot.run(MediaRequest::Probe(Probe { input: Personal::Erased }), "output.");
    let found = result(&messages);
    assert_eq!(found["duration"], 4.0);
    assert_eq!(found["size"], fs::metadata(slot.input()).unwrap().len());
    assert_eq!(found["tags"]["title"], "A film");
    let video = &found["streams"][0];
    assert_eq!(video["kind"], "video");
    for field in ["codec_name", "width", "height", "pix_fmt", "profile", "nb_frames"] {
        let ours = match field {
            "codec_name" => &video["codec"],
            "pix_fmt" => &video["pixel_format"],
            "nb_frames" => &video["packets"],
            same => &video[same],
        };
        let ours = ours.as_str().map_or_else(|| ours.to_string(), str::to_owned);
        assert_eq!(ours, probe(&slot.input(), "v:0", &format!("stream={field}")), "{field}");
    }
    assert_eq!(video["keyframe_interval"], 1.0);
    assert_eq!(video["frame_rate"]["num"], 25);
    let audio = &found["streams"][1];
    assert_eq!((&audio["kind"], &audio["sample_rate"]), (&"audio".into(), &48_000.into()));
}

/// The value that ffmpeg prints at the end of a comparison.
fn reference(slot: &Slot, filter: &str, name: &str) -> f64 {
    let (a, b) = (slot.extra(0), slot.extra(1));
    let graph = format!(
        "[0:v]scale=320:180:flags=bicubic,format=yuv420p[a];[1:v]format=yuv420p[b];[a][b]{filter}"
    );
    let inputs = ["-i", a.to_str().unwrap(), "-i", b.to_str().unwrap()];
    let rest = ["-lavfi", &graph, "-f", "null", "-"];
    number_after(&ffmpeg_stderr(&[&inputs[..], &rest].concat()), name)
}

#[test]
fn comparisons_give_the_same_values_as_ffmpeg() {
    let slot = Slot::new();
    clip(&slot.extra(1), "320x180", 2, &["-crf", "5", "-f", "mp4"]);
    // Of another size and lower quality.
    ffmpeg(&format!(
        "-i {} -vf scale=160:90 -c:v libx264 -crf 35 -f mp4 {}",
        slot.extra(1).display(),
        slot.input().display()
    ));
    let found = analyze(&slot, &[Metric::Psnr, Metric::Ssim], true);
    let (psnr, ssim) = (reference(&slot, "psnr", "average:"), reference(&slot, "ssim", "All:"));
    assert!((found["psnr"]["mean"].as_f64().unwrap() - psnr).abs() < 0.01, "{found} {psnr}");
    assert!((found["ssim"]["mean"].as_f64().unwrap() - ssim).abs() < 0.0005, "{found} {ssim}");
    assert_eq!(found["psnr"]["frames"], 50);
    assert_eq!(found["ssim"]["per_frame"].as_array().unwrap().len(), 50);
    // A video is equal to itself.
    fs::copy(slot.extra(1), slot.input()).unwrap();
    let same = analyze(&slot, &[Metric::Psnr, Metric::Ssim], true);
    assert_eq!((&same["psnr"]["mean"], &same["ssim"]["min"]), (&Value::Null, &1.0.into()));
}

#[test]
fn a_comparison_ends_with_the_shorter_video() {
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 1, &["-f", "mp4"]);
    clip(&slot.extra(1), "320x180", 2, &["-f", "mp4"]);
    let found = analyze(&slot, &[Metric::Ssim], true);
    assert_eq!(found["ssim"]["frames"], 25);
    assert!(found["ssim"]["min"].as_f64().unwrap() > 0.9);
}

#[test]
fn loudness_is_the_same_as_by_ffmpegs_meter() {
    let slot = Slot::new();
    ffmpeg(&format!(
        "-f lavfi -i anoisesrc=c=pink:a=0.3:d=8:seed=1 -c:a flac -f flac {}",
        slot.input().display()
    ));
    let found = analyze(&slot, &[Metric::Loudness], false);
    let (integrated, peak) = loudness(&slot.input());
    let assert_close = |field: &str, expected: f64| {
        let found = found["loudness"][field].as_f64().unwrap();
        // Both are rounded to tenths.
        assert!((found - expected).abs() < 0.15, "{field}: {found} {expected}");
    };
    assert_close("integrated_lufs", integrated);
    assert_close("true_peak_dbtp", peak);
}

#[test]
fn cuts_black_and_silence_are_found_where_they_are() {
    let slot = Slot::new();
    let graph = "testsrc2=s=320x180:r=25:d=2[a];color=black:s=320x180:r=25:d=1[b];mandelbrot=s=320x180:r=25,trim=duration=2[c];color=black:s=320x180:r=25:d=1[d];\
                [a][b][c][d]concat=n=4[v];sine=d=2[x];anullsrc=cl=mono:r=44100,atrim=duration=2[y];sine=d=2[z];[x][y][z]concat=n=3:v=0:a=1[s]";
    ffmpeg(&format!(
        "-filter_complex {graph} -map [v] -map [s] -c:v libx264 -pix_fmt yuv420p -c:a flac -f matroska {}",
        slot.input().display()
    ));
    let found = analyze(&slot, &[Metric::Scenes, Metric::Black, Metric::Silence], false);
    let assert_near = |value: &Value, expected: f64| {
        let value = value.as_f64().unwrap();
        assert!((value - expected).abs() < 0.1, "{value} {expected}: {found}");
    };
    assert_near(&found["black"][0]["start"], 2.0);
    assert_near(&found["black"][0]["end"], 3.0);
    assert_near(&found["black"][1]["start"], 5.0);
    assert_near(&found["black"][1]["end"], 6.0);
    assert_eq!(found["silence"].as_array().unwrap().len(), 1);
    assert_near(&found["silence"][0]["start"], 2.0);
    assert_near(&found["silence"][0]["end"], 4.0);
    let cuts = found["scenes"].as_array().unwrap();
    assert!(cuts.iter().any(|cut| (cut["time"].as_f64().unwrap() - 2.0).abs() < 0.1), "{found}");
}

#[test]
fn complexity_bitrate_and_keyframes_are_measured() {
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 3, &["-g", "25", "-f", "mp4"]);
    let moving = analyze(&slot, &[Metric::Complexity, Metric::Bitrate, Metric::Keyframes], false);
    assert_eq!(moving["keyframes"]["times"], serde_json::json!([0.0, 1.0, 2.0]));
    assert_eq!(moving["bitrate"]["per_second"].as_array().unwrap().len(), 3);
    let expected: f64 = probe(&slot.input(), "", "format=bit_rate").parse().unwrap();
    let mean = moving["bitrate"]["average"].as_f64().unwrap();
    assert!((mean / expected - 1.0).abs() < 0.1, "{mean} {expected}");
    ffmpeg(&format!(
        "-y -f lavfi -i color=gray:s=320x180:d=1 -c:v libx264 -f mp4 {}",
        slot.input().display()
    ));
    let still = analyze(&slot, &[Metric::Complexity], false);
    let temporal = |found: &Value| found["complexity"]["temporal"]["mean"].as_f64().unwrap();
    assert!(temporal(&moving) > 1.0 && temporal(&still) < 0.1);
}

#[test]
fn metrics_of_a_missing_track_are_refused() {
    let slot = Slot::new();
    clip(&slot.input(), "160x90", 1, &["-an", "-f", "mp4"]);
    let request = MediaRequest::Analyze(Analyze {
        input: Personal::Erased,
        reference: None,
        metrics: vec![Metric::Loudness],
        per_frame: false,
    });
    let messages = slot.run(request, "output.");
    let (code, message) = failure(&messages);
    assert_eq!(code, "unsupported");
    assert!(message.contains("loudness"), "{message}");
}

pub(crate) fn thumbnails(mode: ThumbnailMode) -> Thumbnails {
    Thumbnails {
        input: Personal::Erased,
        output: Personal::Erased,
        mode,
        timestamp: None,
        interval: None,
        count: None,
        width: None,
        height: None,
        format: None,
        columns: None,
        overwrite: Overwrite::Fail,
    }
}

pub(crate) fn make_thumbnails(slot: &Slot, request: Thumbnails) -> Vec<String> {
    let messages = slot.run(MediaRequest::Thumbnails(request), "output.");
    report(&messages).files.iter().map(|file| file.name.clone()).collect()
}

/// The structural similarity of an image and of the input's frame that is displayed at a time in
/// seconds.
pub(crate) fn similarity_at(slot: &Slot, image: &Path, at: &str) -> f64 {
    let graph = format!(
        "[0:v]trim=end={at},reverse,trim=end_frame=1,setpts=0,scale=320:180,format=yuv420p[a];[1:v]setpts=0,scale=320:180,format=yuv420p[b];[a][b]ssim=stats_file=-"
    );
    let stats = ffmpeg(&format!(
        "-i {} -i {} -lavfi {graph} -f null -",
        slot.input().display(),
        image.display()
    ));
    stats.split("All:").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_thumbnail_is_the_frame_displayed_at_its_timestamp() {
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 8, &["-f", "mp4"]);
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Webp] {
        let request = Thumbnails {
            timestamp: Some(5_510_000),
            format: Some(format),
            ..thumbnails(ThumbnailMode::Single)
        };
        let name = format!("thumbnail.{}", format.extension());
        assert_eq!(make_thumbnails(&slot, request), [name.as_str()]);
        let image = slot.output(&name);
        // The frame at 5.48 is displayed until 5.52.
        let expected = similarity_at(&slot, &image, "5.515");
        assert!(expected > 0.93, "{name}: {expected}");
        assert!(similarity_at(&slot, &image, "5.47") < expected);
        assert!(similarity_at(&slot, &image, "5.55") < expected);
    }
}

#[test]
fn thumbnails_are_spread_over_the_video() {
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 8, &["-f", "mp4"]);
    let four = Thumbnails { count: Some(4), width: Some(160), ..thumbnails(ThumbnailMode::Count) };
    let names = make_thumbnails(&slot, four);
    assert_eq!(names.len(), 4);
    assert_eq!(names[1], "thumbnail-0002.jpg");
    assert_eq!(probe(&slot.output(&names[1]), "v:0", "stream=width,height"), "160\n90");
    assert!(similarity_at(&slot, &slot.output(&names[1]), "3.01") > 0.8);
    let every = Thumbnails { interval: Some(2_000_000), ..thumbnails(ThumbnailMode::Interval) };
    assert_eq!(make_thumbnails(&slot, every).len(), 4);
}

#[test]
fn a_grid_and_a_sprite_have_every_thumbnail_at_its_position() {
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 12, &["-f", "mp4"]);
    let grid = Thumbnails {
        count: Some(6),
        columns: Some(3),
        width: Some(96),
        ..thumbnails(ThumbnailMode::Grid)
    };
    assert_eq!(make_thumbnails(&slot, grid), ["grid.jpg"]);
    assert_eq!(probe(&slot.output("grid.jpg"), "v:0", "stream=width,height"), "288\n108");
    let sprite = Thumbnails {
        interval: Some(100_000),
        width: Some(96),
        ..thumbnails(ThumbnailMode::Sprite)
    };
    assert_eq!(make_thumbnails(&slot, sprite), ["sprite-1.jpg", "sprite-2.jpg", "sprite.vtt"]);
    assert_eq!(probe(&slot.output("sprite-1.jpg"), "v:0", "stream=width,height"), "960\n540");
    let text = fs::read_to_string(slot.output("sprite.vtt")).unwrap();
    assert!(
        text.contains("\n00:00:01.100 --> 00:00:01.200\nsprite-1.jpg#xywh=96,54,96,54\n"),
        "{text}"
    );
    assert!(
        text.contains("\n00:00:10.000 --> 00:00:10.100\nsprite-2.jpg#xywh=0,0,96,54\n"),
        "{text}"
    );
    assert_eq!(text.matches("-->").count(), 120);
}

#[test]
fn a_thumbnail_without_a_timestamp_is_not_a_black_frame() {
    let slot = Slot::new();
    let graph =
        "color=black:s=320x180:r=25:d=3[a];testsrc2=s=320x180:r=25:d=7[b];[a][b]concat=n=2[v]";
    ffmpeg(&format!(
        "-filter_complex {graph} -map [v] -c:v libx264 -pix_fmt yuv420p -f mp4 {}",
        slot.input().display()
    ));
    let peak_luma = |name: &str| {
        let graph = format!("movie={},signalstats", slot.output(name).display());
        let text = ffprobe(&format!(
            "-f lavfi -i {graph} -show_entries frame_tags=lavfi.signalstats.YMAX -of default=nw=1:nk=1"
        ));
        text.trim().parse::<f64>().unwrap()
    };
    make_thumbnails(&slot, thumbnails(ThumbnailMode::Single));
    assert!(peak_luma("thumbnail.jpg") > 100.0);
    // A requested timestamp is used even if its frame is black.
    let black = Thumbnails { timestamp: Some(1_000_000), ..thumbnails(ThumbnailMode::Single) };
    make_thumbnails(&slot, black);
    assert!(peak_luma("thumbnail.jpg") < 40.0);
}

#[test]
fn a_preview_is_animated() {
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 5, &["-f", "mp4"]);
    let webp = Thumbnails { width: Some(160), ..thumbnails(ThumbnailMode::Animated) };
    assert_eq!(make_thumbnails(&slot, webp), ["preview.webp"]);
    let bytes = fs::read(slot.output("preview.webp")).unwrap();
    assert_eq!(bytes.windows(4).filter(|four| four == b"ANMF").count(), 30);
    let gif = Thumbnails {
        timestamp: Some(0),
        format: Some(ImageFormat::Gif),
        ..thumbnails(ThumbnailMode::Animated)
    };
    assert_eq!(make_thumbnails(&slot, gif), ["preview.gif"]);
    assert_eq!(probe(&slot.output("preview.gif"), "v:0", "stream=codec_name,width"), "gif\n320");
}
