use ffapi_domain::media::{
    AudioCodec, Capabilities, Operation, Preset, Scale, ScaleMode, Transcode, Trim, VideoCodec,
};
use ffapi_media::protocol::{ChildMessage, Task};

use crate::harness::{Slot, clip, ffmpeg, probe, report, seconds, stages};

fn fast() -> Operation {
    Operation::Transcode(Transcode { preset: Some(Preset::Ultrafast), ..Transcode::default() })
}

fn trim(start: u64, end: u64) -> Operation {
    Operation::Trim(Trim { start, end: Some(end) })
}

fn to_height(height: u32) -> Operation {
    Operation::Scale(Scale { width: None, height: Some(height), mode: ScaleMode::Fit })
}

#[test]
fn trim_scale_and_transcode_produce_the_requested_output() {
    let slot = Slot::new();
    clip(&slot.input(), "640x360", 4, &["-f", "mp4"]);
    let operations = vec![trim(1_000_000, 3_000_000), to_height(180), fast()];
    let messages = slot.convert("out.mp4", operations);
    let report = report(&messages);
    let output = slot.output("out.mp4");
    assert_eq!(probe(&output, "v:0", "stream=codec_name,width,height"), "h264\n320\n180");
    assert_eq!(probe(&output, "a:0", "stream=codec_name,channels"), "aac\n1");
    assert!((seconds(&output) - 2.0).abs() < 0.05, "{}", seconds(&output));
    assert_eq!(probe(&output, "v:0", "stream=nb_frames"), "50");
    assert_eq!(report.frames, 50);
    assert!((report.files[0].duration.unwrap() - seconds(&output)).abs() < 0.001);
}

#[test]
fn a_trim_starts_at_exactly_the_requested_frame() {
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 4, &["-f", "mp4"]);
    slot.convert("out.mp4", vec![trim(1_480_000, 2_480_000), fast()]);
    // Compares our frames with frames 37 to 61 of the source by ffmpeg.
    let graph = "[0:v]trim=start_frame=37:end_frame=62,setpts=PTS-STARTPTS[a];\
                 [1:v]setpts=PTS-STARTPTS[b];[a][b]psnr=stats_file=-";
    let (input, output) = (slot.input(), slot.output("out.mp4"));
    let stats =
        ffmpeg(&format!("-i {} -i {} -lavfi {graph} -f null -", input.display(), output.display()));
    let psnr: Vec<f64> = stats
        .lines()
        .filter_map(|line| line.split("psnr_avg:").nth(1)?.split(' ').next()?.parse().ok())
        .collect();
    assert_eq!(psnr.len(), 25, "{stats}");
    assert!(psnr.iter().all(|value| *value > 30.0), "{psnr:?}");
}

#[test]
fn video_quality_matches_the_ffmpeg_command_line() {
    let slot = Slot::new();
    clip(&slot.input(), "640x360", 3, &["-f", "mp4"]);
    slot.convert("out.mp4", vec![to_height(180), fast()]);
    let (input, output) = (slot.input(), slot.output("out.mp4"));
    let stats = ffmpeg(&format!(
        "-i {} -i {} -lavfi [0:v]scale=320:180:flags=bicubic[a];[a][1:v]ssim=stats_file=- -f null -",
        input.display(),
        output.display()
    ));
    let worst = stats
        .lines()
        .filter_map(|line| line.split("All:").nth(1)?.split(' ').next()?.parse().ok())
        .fold(1.0_f64, f64::min);
    assert!(worst > 0.95, "{worst}\n{stats}");
}

#[test]
fn requested_codecs_and_container_are_used() {
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 1, &["-f", "mp4"]);
    let transcode = Operation::Transcode(Transcode {
        video_codec: Some(VideoCodec::Hevc),
        audio_codec: Some(AudioCodec::Opus),
        preset: Some(Preset::Ultrafast),
        crf: Some(30),
        ..Transcode::default()
    });
    report(&slot.convert("out.mkv", vec![transcode]));
    let output = slot.output("out.mkv");
    assert_eq!(probe(&output, "v:0", "stream=codec_name"), "hevc");
    assert_eq!(probe(&output, "a:0", "stream=codec_name"), "opus");
    assert_eq!(probe(&output, "", "format=format_name"), "matroska,webm");
}

#[test]
fn every_setting_reaches_the_encoder() {
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 2, &["-f", "mp4"]);
    let transcode = Operation::Transcode(Transcode {
        preset: Some(Preset::Ultrafast),
        video_bitrate: Some(400_000),
        audio_bitrate: Some(64_000),
        millifps: Some(10_000),
        keyframe_interval: Some(5),
        ..Transcode::default()
    });
    report(&slot.convert("out.mp4", vec![transcode]));
    let output = slot.output("out.mp4");
    assert_eq!(probe(&output, "v:0", "stream=avg_frame_rate,nb_frames"), "10/1\n20");
    let keys = probe(&output, "v:0", "packet=flags");
    assert_eq!(keys.lines().filter(|flags| flags.starts_with('K')).count(), 4, "{keys}");
    let video: u64 = probe(&output, "v:0", "stream=bit_rate").parse().unwrap();
    assert!((200_000..600_000).contains(&video), "{video}");
    let audio: u64 = probe(&output, "a:0", "stream=bit_rate").parse().unwrap();
    assert!((40_000..90_000).contains(&audio), "{audio}");
}

#[test]
fn audio_only_and_video_only_inputs_are_converted() {
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 1, &["-vn", "-f", "mp4"]);
    let messages = slot.convert("out.mp4", vec![]);
    assert_eq!(report(&messages).files[0].streams.len(), 1);
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 1, &["-an", "-f", "mp4"]);
    let messages = slot.convert("out.mp4", vec![fast()]);
    assert_eq!(report(&messages).files[0].streams[0].kind, "video");
}

#[test]
fn a_rotated_video_is_converted_upright() {
    let slot = Slot::new();
    let plain = slot.output("plain.mp4");
    clip(&plain, "320x180", 1, &["-f", "mp4"]);
    ffmpeg(&format!(
        "-i {} -c copy -metadata:s:v:0 rotate=90 -f mp4 {}",
        plain.display(),
        slot.input().display()
    ));
    report(&slot.convert("out.mp4", vec![fast()]));
    let output = slot.output("out.mp4");
    assert_eq!(probe(&output, "v:0", "stream=width,height"), "180\n320");
    let rotated = slot.input();
    let stats = ffmpeg(&format!(
        "-i {} -i {} -lavfi [0:v][1:v]psnr=stats_file=- -f null -",
        rotated.display(),
        output.display()
    ));
    let first = stats.lines().next().unwrap().split("psnr_avg:").nth(1).unwrap();
    let first: f64 = first.split(' ').next().unwrap().parse().unwrap();
    assert!(first > 28.0, "{first}");
}

#[test]
fn progress_is_monotonic() {
    let slot = Slot::new();
    clip(&slot.input(), "1280x720", 6, &["-f", "mp4"]);
    let messages = slot.convert("out.mp4", vec![]);
    report(&messages);
    let done: Vec<u64> = messages
        .iter()
        .filter_map(|message| match message {
            ChildMessage::Progress(progress) => Some(progress.done),
            _ => None,
        })
        .collect();
    assert!(done.len() > 2, "{done:?}");
    assert!(done.is_sorted(), "{done:?}");
    // The output is verified before it is reported.
    assert_eq!(stages(&messages), ["encoding", "verifying"]);
}

#[test]
fn a_video_of_low_frame_rate_and_one_with_longer_audio_are_complete() {
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 6, &["-r", "1", "-f", "mp4"]);
    let messages = slot.convert("out.mp4", vec![fast()]);
    let frames: u64 = probe(&slot.input(), "v:0", "stream=nb_frames").parse().unwrap();
    assert_eq!(report(&messages).frames, frames);
    let slot = Slot::new();
    let input = slot.input();
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=2 -f lavfi -i sine=d=4 -c:v libx264 -c:a aac -f mp4 {}",
        input.display()
    ));
    let mute = Operation::Transcode(Transcode {
        audio_codec: Some(AudioCodec::None),
        preset: Some(Preset::Ultrafast),
        ..Transcode::default()
    });
    let messages = slot.convert("out.mp4", vec![mute]);
    assert!((report(&messages).files[0].duration.unwrap() - 2.0).abs() < 0.05);
}

#[test]
fn capabilities_are_detected_by_encoding() {
    let slot = Slot::new();
    match slot.task(&Task::Capabilities).last() {
        Some(ChildMessage::Capabilities(found)) => {
            // Debian's FFmpeg has them all; in another build, some might be missing.
            let everything = Capabilities::everything();
            assert_eq!(found.video_codecs, everything.video_codecs);
            assert_eq!(found.audio_codecs, everything.audio_codecs);
            assert_eq!(found.containers, everything.containers);
        }
        other => panic!("{other:?}"),
    }
}
