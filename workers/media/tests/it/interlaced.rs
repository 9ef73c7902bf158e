//! Interlaced video.

use std::path::Path;

use ffapi_domain::{
    Personal,
    media::{Concat, Operation, Packaging, Scale, ScaleMode, Stream, Transcode, VideoCodec},
};

use crate::{
    harness::{compared, ffmpeg, probe, report, run},
    stream::{self, remuxed},
    unusual_inputs::{fast, generate},
};

#[test]
fn a_ladder_of_an_interlaced_video_with_a_late_start_ends_at_its_end() {
    for (muxer, rate) in [("mpegts", "25"), ("matroska", "30000/1001"), ("mp4", "25")] {
        let slot = generate(&format!(
            "-f lavfi -i sine=d=4.6 -itsoffset 0.6 -f lavfi -i testsrc2=s=320x180:r={rate}:d=8 \
             -filter_complex [1:v]tinterlace=interleave_top,setfield=tff[v] -t 4.6 \
             -map 0:a -map [v] -c:v libx264 -flags +ilme+ildct -x264-params tff=1 -c:a aac -f {muxer}"
        ));
        // The time of the last frame, relative to the start of the file.
        let last = |path: &Path| -> f64 {
            let start: f64 = probe(path, "", "format=start_time").parse().unwrap();
            let times = probe(path, "v:0", "packet=pts_time");
            let times = times.lines().map(|line| line.parse::<f64>().unwrap());
            times.fold(0.0, f64::max) - start
        };
        let variants = vec![stream::variant("a", 180), stream::variant("b", 90)];
        stream::make(&slot, Stream { variants, ..stream::request(Packaging::Hls) });
        for name in ["a", "b"] {
            let rendition = remuxed(&slot, name);
            let (found, expected) = (last(&rendition), last(&slot.input()));
            assert!((found - expected).abs() < 0.15, "{muxer} {name}: {found} s of {expected} s");
        }
    }
}

#[test]
fn prores_keeps_its_fields_and_other_outputs_are_deinterlaced() {
    for (order, set, name) in [("tff", "setfield=tff", "tt"), ("bff", "setfield=bff", "bb")] {
        let mode = if order == "tff" { "interleave_top" } else { "interleave_bottom" };
        let slot = generate(&format!(
            "-f lavfi -i testsrc2=s=320x180:r=50:d=1 -vf tinterlace={mode},{set} -c:v libx264 \
             -flags +ilme+ildct -x264-params {order}=1 -pix_fmt yuv420p -f mp4"
        ));
        report(&slot.convert("out.mov", vec![]));
        let prores = Transcode { video_codec: Some(VideoCodec::Prores), ..Transcode::default() };
        let prores = || Operation::Transcode(prores.clone());
        report(&slot.convert("fields.mov", vec![prores()]));
        let smaller =
            Operation::Scale(Scale { width: None, height: Some(90), mode: ScaleMode::Fit });
        report(&slot.convert("small.mov", vec![smaller, prores()]));
        let probed = |file, entry| probe(&slot.output(file), "v:0", entry);
        assert_eq!(probed("fields.mov", "stream=field_order"), name);
        for (name, interlaced) in [("fields.mov", "1"), ("small.mov", "0"), ("out.mov", "0")] {
            let frames = probed(name, "frame=interlaced_frame");
            assert!(frames.lines().all(|frame| frame == interlaced), "{name}: {frames}");
        }
        let first = if order == "tff" { "1" } else { "0" };
        let frames = probed("fields.mov", "frame=top_field_first");
        assert!(frames.lines().all(|frame| frame == first), "{frames}");
        let (input, output) = (slot.input(), slot.output("fields.mov"));
        let psnr = |chain| compared(&input, chain, &output, "format=yuv422p10");
        let (by_field, by_frame) =
            (psnr("scale=interl=1,format=yuv422p10"), psnr("format=yuv422p10"));
        assert!(by_field > 40.0 && by_field > by_frame + 1.0, "{by_field} dB, {by_frame} dB");
    }
}

#[test]
fn field_order_is_kept_whatever_the_file_states() {
    for (order, mode) in [("tff", "interleave_top"), ("bff", "interleave_bottom")] {
        for options in [
            "-c:v prores_ks -flags +ildct -f mov".to_owned(),
            "-c:v mpeg2video -q:v 2 -flags +ilme+ildct -f mov".to_owned(),
            format!("-c:v libx264 -flags +ilme+ildct -x264-params {order}=1 -f matroska"),
        ] {
            let slot = generate(&format!(
                "-f lavfi -i testsrc2=s=320x180:r=50:d=1 -vf tinterlace={mode},setfield={order} {options}"
            ));
            let prores = Some(VideoCodec::Prores);
            let prores = Transcode { video_codec: prores, ..Transcode::default() };
            report(&slot.convert("out.mov", vec![Operation::Transcode(prores)]));
            let fields = |path: &Path| probe(path, "v:0", "frame=interlaced_frame,top_field_first");
            let (source, output) = (fields(&slot.input()), fields(&slot.output("out.mov")));
            assert_eq!(source, output, "{order} {options}");
            assert!(source.starts_with(if order == "tff" { "1\n1" } else { "1\n0" }), "{source}");
        }
    }
}

#[test]
fn an_interlaced_video_in_a_concatenation_is_deinterlaced() {
    let slot =
        generate("-f lavfi -i testsrc2=s=320x180:r=25:d=1 -c:v libx264 -preset ultrafast -f mp4");
    let second = slot.extra(1);
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=320x180:r=50:d=1 -vf tinterlace=interleave_top,setfield=tff \
         -flags +ilme+ildct -c:v mpeg2video -q:v 2 -f mpeg {}",
        second.display()
    ));
    let concat = Operation::Concat(Concat { inputs: vec![Personal::Erased] });
    report(&slot.convert("out.mp4", vec![concat, fast()]));
    // The idet filter recognizes frames whose lines are from two instants.
    let output = slot.output("out.mp4").display().to_string();
    let found = run(
        "ffmpeg",
        &[
            "-v",
            "info",
            "-nostats",
            "-i",
            &output,
            "-vf",
            "trim=start=1.1,idet,metadata=print:file=-",
            "-f",
            "null",
            "-",
        ],
    );
    let progressive =
        found.lines().filter(|line| line.contains("single.current_frame=progressive"));
    assert!(progressive.count() >= 18, "{found}");
}
