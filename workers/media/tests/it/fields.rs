//! Films whose pictures are two fields each.

use std::path::Path;

use ffapi_domain::{
    Personal,
    media::{Concat, Operation, Packaging, Scale, ScaleMode, Stream, Transcode, VideoCodec},
};

use crate::{
    harness::{compared, ffmpeg, probe, report, run},
    sources::{fast, of},
    stream::{self, whole},
};

#[test]
fn a_ladder_of_an_interlaced_film_that_begins_late_ends_where_it_does() {
    for (muxer, rate) in [("mpegts", "25"), ("matroska", "30000/1001"), ("mp4", "25")] {
        let slot = of(&format!(
            "-f lavfi -i sine=d=4.6 -itsoffset 0.6 -f lavfi -i testsrc2=s=320x180:r={rate}:d=8 \
             -filter_complex [1:v]tinterlace=interleave_top,setfield=tff[v] -t 4.6 \
             -map 0:a -map [v] -c:v libx264 -flags +ilme+ildct -x264-params tff=1 -c:a aac -f {muxer}"
        ));
        // The last picture, by the film's own beginning.
        let last = |path: &Path| -> f64 {
            let begins: f64 = probe(path, "", "format=start_time").parse().unwrap();
            let times = probe(path, "v:0", "packet=pts_time");
            let times = times.lines().map(|line| line.parse::<f64>().unwrap());
            times.fold(0.0, f64::max) - begins
        };
        let variants = vec![stream::variant("a", 180), stream::variant("b", 90)];
        stream::make(&slot, Stream { variants, ..stream::request(Packaging::Hls) });
        for name in ["a", "b"] {
            let whole = whole(&slot, name);
            let (made, was) = (last(&whole), last(&slot.input()));
            assert!((made - was).abs() < 0.15, "{muxer} {name}: {made} s of {was} s");
        }
    }
}

#[test]
fn a_film_for_cutting_keeps_its_fields_and_any_other_is_deinterlaced() {
    for (order, set, word) in [("tff", "setfield=tff", "tt"), ("bff", "setfield=bff", "bb")] {
        let mode = if order == "tff" { "interleave_top" } else { "interleave_bottom" };
        let slot = of(&format!(
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
        let says = |name, entry| probe(&slot.output(name), "v:0", entry);
        assert_eq!(says("fields.mov", "stream=field_order"), word);
        for (name, interlaced) in [("fields.mov", "1"), ("small.mov", "0"), ("out.mov", "0")] {
            let frames = says(name, "frame=interlaced_frame");
            assert!(frames.lines().all(|frame| frame == interlaced), "{name}: {frames}");
        }
        let first = if order == "tff" { "1" } else { "0" };
        let frames = says("fields.mov", "frame=top_field_first");
        assert!(frames.lines().all(|frame| frame == first), "{frames}");
        let (film, made) = (slot.input(), slot.output("fields.mov"));
        let fields = |chain| compared((&film, chain), &made, "format=yuv422p10");
        let (own, mixed) = (fields("scale=interl=1,format=yuv422p10"), fields("format=yuv422p10"));
        assert!(own > 40.0 && own > mixed + 1.0, "{own} dB, {mixed} dB");
    }
}

#[test]
fn whatever_a_file_calls_its_fields_they_come_in_the_order_of_its_pictures() {
    for (order, mode) in [("tff", "interleave_top"), ("bff", "interleave_bottom")] {
        for how in [
            "-c:v prores_ks -flags +ildct -f mov".to_owned(),
            "-c:v mpeg2video -q:v 2 -flags +ilme+ildct -f mov".to_owned(),
            format!("-c:v libx264 -flags +ilme+ildct -x264-params {order}=1 -f matroska"),
        ] {
            let slot = of(&format!(
                "-f lavfi -i testsrc2=s=320x180:r=50:d=1 -vf tinterlace={mode},setfield={order} {how}"
            ));
            let prores = Some(VideoCodec::Prores);
            let prores = Transcode { video_codec: prores, ..Transcode::default() };
            report(&slot.convert("out.mov", vec![Operation::Transcode(prores)]));
            let fields = |path: &Path| probe(path, "v:0", "frame=interlaced_frame,top_field_first");
            let (was, is) = (fields(&slot.input()), fields(&slot.output("out.mov")));
            assert_eq!(was, is, "{order} {how}");
            assert!(was.starts_with(if order == "tff" { "1\n1" } else { "1\n0" }), "{was}");
        }
    }
}

#[test]
fn an_interlaced_film_behind_another_is_deinterlaced() {
    let slot = of("-f lavfi -i testsrc2=s=320x180:r=25:d=1 -c:v libx264 -preset ultrafast -f mp4");
    let second = slot.extra(1);
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=320x180:r=50:d=1 -vf tinterlace=interleave_top,setfield=tff \
         -flags +ilme+ildct -c:v mpeg2video -q:v 2 -f mpeg {}",
        second.display()
    ));
    let concat = Operation::Concat(Concat { inputs: vec![Personal::Erased] });
    report(&slot.convert("out.mp4", vec![concat, fast()]));
    // Lines of two moments one below the other look like nothing else.
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
    let as_one = found.lines().filter(|line| line.contains("single.current_frame=progressive"));
    assert!(as_one.count() >= 18, "{found}");
}
