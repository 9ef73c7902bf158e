//! VMAF, compared with the scores of an independent build of libvmaf.

use std::{fs, path::Path, process::Command};

use ffapi_domain::{
    Personal,
    media::{
        Concat, FilterName, Metric, Operation, Position, Preset, Text, Transcode, Trim, VideoCodec,
    },
};
use serde_json::Value;

use crate::{
    harness::{Slot, clip, ffmpeg, project_tool, real_video},
    kinds::{analyze, result},
    operations::filter,
};

/// The VMAF scores of `distorted` against `reference` by another FFmpeg's libvmaf: mean, harmonic
/// mean, minimum, and each frame's. `align` are filters to apply to the distorted video first.
pub(crate) fn independent_vmaf(
    distorted: &Path,
    reference: &Path,
    align: &str,
) -> (f64, f64, f64, Vec<f64>) {
    let folder = tempfile::tempdir().unwrap();
    let graph = format!(
        "[0:v]{align}settb=AVTB,setpts=PTS-STARTPTS[a];[1:v]settb=AVTB,setpts=PTS-STARTPTS[b];\
         [a][b]libvmaf=log_fmt=json:log_path=vmaf.json:shortest=1"
    );
    let output = Command::new(project_tool("bin/ffmpeg-judge"))
        .current_dir(folder.path())
        .args(["-v", "error", "-i"])
        .arg(distorted)
        .arg("-i")
        .arg(reference)
        .args(["-lavfi", &graph, "-f", "null", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let log: Value =
        serde_json::from_slice(&fs::read(folder.path().join("vmaf.json")).unwrap()).unwrap();
    let pooled = |name: &str| log.pointer(&format!("/pooled_metrics/vmaf/{name}"));
    let pooled = |name: &str| pooled(name).and_then(Value::as_f64).unwrap();
    let frames = log.get("frames").and_then(Value::as_array).unwrap().iter();
    let score = |frame: &Value| frame.pointer("/metrics/vmaf").and_then(Value::as_f64).unwrap();
    let frames = frames.map(score).collect();
    (pooled("mean"), pooled("harmonic_mean"), pooled("min"), frames)
}

#[test]
fn vmaf_matches_an_independent_build_on_a_real_video() {
    let slot = Slot::new();
    ffmpeg(&format!(
        "-i {} -t 2 -an -c:v libx264 -qp 1 -f mp4 {}",
        real_video().display(),
        slot.extra(1).display()
    ));
    ffmpeg(&format!(
        "-i {} -c:v libx264 -crf 36 -preset veryfast -f mp4 {}",
        slot.extra(1).display(),
        slot.input().display()
    ));
    let found = &analyze(&slot, &[Metric::Vmaf], true)["vmaf"];
    let (mean, harmonic, min, frames) = independent_vmaf(&slot.input(), &slot.extra(1), "");
    let ours: Vec<f64> =
        found["per_frame"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    assert_eq!(ours.len(), frames.len());
    for (ours, theirs) in ours.iter().zip(&frames) {
        assert!((ours - theirs).abs() < 0.001, "{ours} {theirs}");
    }
    for (field, theirs) in [("mean", mean), ("harmonic_mean", harmonic), ("min", min)] {
        let ours = found[field].as_f64().unwrap();
        assert!((ours - theirs).abs() < 0.001, "{field}: {ours} {theirs}");
    }
    assert_eq!(found["model"], "vmaf_v0.6.1");
    // A tenth of the frames have at most the score of the tenth percentile.
    let tenth = found["percentiles"]["10"].as_f64().unwrap();
    let below = frames.iter().filter(|score| **score <= tenth + 0.001).count();
    assert_eq!(below, frames.len().div_ceil(10));
    assert!(mean < 95.0, "the quality must be low enough to compare: {mean}");
}

#[test]
fn a_smaller_video_is_compared_at_its_references_size_and_rate() {
    let slot = Slot::new();
    clip(&slot.extra(1), "640x360", 2, &["-crf", "5", "-an", "-f", "mp4"]);
    ffmpeg(&format!(
        "-i {} -vf scale=320:180,fps=12.5 -c:v libx264 -crf 20 -f mp4 {}",
        slot.extra(1).display(),
        slot.input().display()
    ));
    let found = &analyze(&slot, &[Metric::Vmaf], true)["vmaf"];
    let (mean, ..) =
        independent_vmaf(&slot.input(), &slot.extra(1), "fps=25,scale=640:360:flags=bicubic,");
    let ours = found["mean"].as_f64().unwrap();
    assert!((ours - mean).abs() < 1.0, "{ours} {mean}");
}

#[test]
fn a_ten_bit_video_compared_with_itself_scores_high() {
    let slot = Slot::new();
    let arguments = ["-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-an", "-f", "mp4"];
    let quiet = ["-x265-params", "log-level=none"];
    clip(&slot.input(), "320x180", 1, &[&arguments[..], &quiet[..]].concat());
    fs::copy(slot.input(), slot.extra(1)).unwrap();
    let found = &analyze(&slot, &[Metric::Vmaf, Metric::Psnr], true);
    assert!(found["vmaf"]["min"].as_f64().unwrap() > 97.0, "{found}");
    assert_eq!((&found["vmaf"]["frames"], &found["psnr"]["frames"]), (&25.into(), &25.into()));
}

#[test]
fn a_target_is_reached_and_not_overshot() {
    let slot = Slot::new();
    ffmpeg(&format!(
        "-i {} -an -vf scale=640:360 -c:v libx264 -crf 8 -f mp4 {}",
        real_video().display(),
        slot.input().display()
    ));
    let transcode = Transcode {
        target_vmaf: Some(90.0),
        preset: Some(Preset::Veryfast),
        ..Transcode::default()
    };
    let messages = slot.convert("out.mp4", vec![Operation::Transcode(transcode)]);
    let found = result(&messages).get("quality").unwrap().clone();
    let (mean, ..) = independent_vmaf(&slot.output("out.mp4"), &slot.input(), "");
    assert!((90.0..92.0).contains(&mean), "{mean} {found}");
    let reported = found.get("vmaf").and_then(Value::as_f64).unwrap();
    assert!((reported - mean).abs() < 0.1, "{reported} {mean}");
    assert_eq!(found.get("reached"), Some(&true.into()));
    assert!(found.get("tried").and_then(Value::as_array).unwrap().len() <= 8, "{found}");
}

#[test]
fn the_target_of_a_long_video_is_searched_by_samples_of_its_trim() {
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 40, &["-an", "-f", "mp4"]);
    let transcode = Transcode {
        video_codec: Some(VideoCodec::Vp9),
        target_vmaf: Some(85.0),
        preset: Some(Preset::Ultrafast),
        ..Transcode::default()
    };
    let trim = Trim { start: 5_000_000, end: Some(30_000_000) };
    let messages =
        slot.convert("out.webm", vec![Operation::Trim(trim), Operation::Transcode(transcode)]);
    let found = result(&messages).get("quality").unwrap().clone();
    assert_eq!(found.get("samples"), Some(&3.into()), "{found}");
    assert_eq!(found.get("sampled_seconds"), Some(&6.0.into()), "{found}");
    assert_eq!(found.get("reached"), Some(&true.into()), "{found}");
}

#[test]
fn a_target_is_reached_with_operations_that_need_the_whole_video() {
    let slot = Slot::new();
    clip(&slot.input(), "320x180", 6, &["-an", "-f", "mp4"]);
    fs::copy(slot.input(), slot.extra(1)).unwrap();
    let stabilize = filter(FilterName::Stabilize);
    let text = Text {
        text: Personal::Clear("words".to_owned()),
        position: Position::Bottom,
        size: None,
        color: None,
        margin: None,
        start: None,
        end: None,
    };
    let transcode = Transcode {
        target_vmaf: Some(80.0),
        preset: Some(Preset::Ultrafast),
        ..Transcode::default()
    };
    let operations = vec![
        Operation::Filter(stabilize),
        Operation::Concat(Concat { inputs: vec![Personal::Erased] }),
        Operation::Text(text),
        Operation::Transcode(transcode),
    ];
    let found = result(&slot.convert("out.mp4", operations)).get("quality").unwrap().clone();
    assert_eq!(found.get("reached"), Some(&true.into()), "{found}");
}
