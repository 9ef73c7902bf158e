//! Each operation, compared with the same filters of the ffmpeg command line.

use std::fs;

use ffapi_domain::{
    Personal,
    media::{
        Axis, Concat, Container, Crop, Filter, FilterName, Flip, Fps, Operation, Pad, Position,
        Preset, Rotate, Scale, ScaleMode, Speed, SubtitleMode, Subtitles, Text, Transcode, Trim,
        VideoCodec, Watermark,
    },
};

use crate::harness::{
    Slot, clip, failure, ffmpeg, ffmpeg_stderr, ffprobe, number_after, probe, report, seconds,
    similarity,
};

pub(crate) fn fast() -> Operation {
    let crf = Some(12);
    let preset = Some(Preset::Ultrafast);
    Operation::Transcode(Transcode { preset, crf, ..Transcode::default() })
}

pub(crate) fn filter(name: FilterName) -> Filter {
    let none = None;
    Filter { name, strength: none, brightness: none, contrast: none, saturation: none, gamma: none }
}

pub(crate) fn clip_slot(size: &str, seconds: u32) -> Slot {
    let slot = Slot::new();
    clip(&slot.input(), size, seconds, &["-f", "mp4"]);
    slot
}

fn size(slot: &Slot, output: &str) -> String {
    probe(&slot.output(output), "v:0", "stream=width,height").replace('\n', "x")
}

#[test]
fn video_operations_match_the_ffmpeg_command_line() {
    let cases: Vec<(&str, Operation, &str, &str)> = vec![
        (
            "crop",
            Operation::Crop(Crop { x: 11, y: 20, width: 200, height: 100 }),
            "200x100",
            "crop=200:100:11:20:exact=1",
        ),
        (
            "pad",
            Operation::Pad(Pad { width: 400, height: 240, color: Some("red".parse().unwrap()) }),
            "400x240",
            "pad=400:240:(ow-iw)/2:(oh-ih)/2:red",
        ),
        ("turn", Operation::Rotate(Rotate { degrees: -90.0 }), "180x320", "transpose=cclock"),
        ("over", Operation::Rotate(Rotate { degrees: 180.0 }), "320x180", "hflip,vflip"),
        ("mirror", Operation::Flip(Flip { axis: Axis::Horizontal }), "320x180", "hflip"),
        ("fps", Operation::Fps(Fps { millifps: 50_000 }), "320x180", "fps=50"),
        (
            "tilt",
            Operation::Rotate(Rotate { degrees: 30.0 }),
            "368x316",
            "rotate=PI/6:ow=368:oh=316:c=black",
        ),
        (
            "fill",
            Operation::Scale(Scale { width: Some(100), height: Some(100), mode: ScaleMode::Fill }),
            "100x100",
            "scale=178:100:flags=bicubic,crop=100:100:39:0:exact=1",
        ),
        (
            "stretch",
            Operation::Scale(Scale {
                width: Some(100),
                height: Some(100),
                mode: ScaleMode::Stretch,
            }),
            "100x100",
            "scale=100:100:flags=bicubic",
        ),
        ("faster", Operation::Speed(Speed { factor: 2.0 }), "320x180", "setpts=PTS/2,fps=25"),
        (
            "denoise",
            Operation::Filter(filter(FilterName::Denoise)),
            "320x180",
            "hqdn3d=luma_spatial=5.25",
        ),
        ("sharpen", Operation::Filter(filter(FilterName::Sharpen)), "320x180", "unsharp=5:5:1.5"),
        ("blur", Operation::Filter(filter(FilterName::Blur)), "320x180", "gblur=10"),
        ("hue", Operation::Filter(filter(FilterName::Hue)), "320x180", "hue=h=90"),
        (
            "bright",
            Operation::Filter(Filter { strength: Some(0.2), ..filter(FilterName::Brightness) }),
            "320x180",
            "eq=brightness=0.2",
        ),
        (
            "contrast",
            Operation::Filter(Filter { strength: Some(1.6), ..filter(FilterName::Contrast) }),
            "320x180",
            "eq=contrast=1.6",
        ),
        (
            "saturation",
            Operation::Filter(Filter { strength: Some(0.3), ..filter(FilterName::Saturation) }),
            "320x180",
            "eq=saturation=0.3",
        ),
        (
            "eq",
            Operation::Filter(Filter {
                saturation: Some(0.0),
                gamma: Some(1.5),
                ..filter(FilterName::Eq)
            }),
            "320x180",
            "eq=saturation=0:gamma=1.5",
        ),
        (
            "deinterlace",
            Operation::Filter(filter(FilterName::Deinterlace)),
            "320x180",
            "bwdif=mode=send_frame:deint=all",
        ),
    ];
    let slot = clip_slot("320x180", 1);
    for (name, operation, expected, chain) in cases {
        let output = format!("{name}.mp4");
        report(&slot.convert(&output, vec![operation, fast()]));
        assert_eq!(size(&slot, &output), expected, "{name}");
        let similar = similarity(&slot, &output, chain);
        assert!(similar > 0.96, "{name}: {similar}");
        let negative = similarity(&slot, &output, &format!("{chain},negate"));
        assert!(negative < 0.9, "{name}: the comparison finds no difference ({negative})");
        if expected == "320x180" {
            let untouched = similarity(&slot, &output, "null");
            assert!(untouched < similar, "{name}: {untouched} unchanged, {similar} changed");
        }
    }
}

#[test]
fn operations_apply_in_the_order_of_the_request() {
    let slot = clip_slot("320x180", 1);
    let crop = || Operation::Crop(Crop { x: 0, y: 0, width: 100, height: 100 });
    let turn = || Operation::Rotate(Rotate { degrees: 90.0 });
    report(&slot.convert("a.mp4", vec![crop(), turn(), fast()]));
    report(&slot.convert("b.mp4", vec![turn(), crop(), fast()]));
    assert!(similarity(&slot, "a.mp4", "crop=100:100:0:0,transpose=clock") > 0.96);
    assert!(similarity(&slot, "b.mp4", "transpose=clock,crop=100:100:0:0") > 0.96);
    assert!(similarity(&slot, "b.mp4", "crop=100:100:0:0,transpose=clock") < 0.9);
}

#[test]
fn speed_changes_the_duration_of_video_and_audio_and_keeps_the_pitch() {
    let slot = clip_slot("320x180", 4);
    for (factor, duration) in [(2.0, 2.0), (0.4, 10.0)] {
        report(&slot.convert("o.mp4", vec![Operation::Speed(Speed { factor }), fast()]));
        let output = slot.output("o.mp4");
        assert!((seconds(&output) - duration).abs() < 0.1, "{}", seconds(&output));
        // The tone is still at 440 Hz, as narrow filters show.
        let level = |hertz: u32| {
            let chain = format!("bandpass=f={hertz}:width_type=q:w=20,volumedetect");
            let path = output.to_str().unwrap();
            let text = ffmpeg_stderr(&["-i", path, "-af", &chain, "-f", "null", "-"]);
            number_after(&text, "mean_volume:")
        };
        assert!(level(440) > level(880) + 10.0 && level(440) > level(220) + 10.0);
    }
}

#[test]
fn a_watermark_has_the_requested_position_and_time() {
    let slot = clip_slot("320x180", 2);
    let logo = slot.extra(1);
    ffmpeg(&format!(
        "-f lavfi -i color=red:s=60x30 -frames:v 1 -f image2 -c:v png {}",
        logo.display()
    ));
    let watermark = Operation::Watermark(Watermark {
        image: Personal::Erased,
        position: Position::TopRight,
        opacity: None,
        scale: Some(0.25),
        margin: Some(10),
        start: Some(1_000_000),
        end: None,
    });
    report(&slot.convert("o.mp4", vec![watermark, fast()]));
    let chain = "drawbox=x=320-80-10:y=10:w=80:h=40:color=red:t=fill:enable='gte(t,1)'";
    let similar = similarity(&slot, "o.mp4", chain);
    assert!(similar > 0.95, "{similar}");
    assert!(similarity(&slot, "o.mp4", "null") < similar - 0.02);
}

/// The highest luma value in a part of one frame.
fn brightness(slot: &Slot, output: &str, at: &str, part: &str) -> f64 {
    let path = slot.output(output);
    let filter = format!("movie={},select='gte(t,{at})',crop={part},signalstats", path.display());
    let text = ffprobe(&format!(
        "-f lavfi -i {filter} -read_intervals %+#1 -show_entries frame_tags=lavfi.signalstats.YMAX -of default=nw=1:nk=1"
    ));
    text.lines().next().unwrap().parse().unwrap()
}

fn black_slot(seconds: u32) -> Slot {
    let slot = Slot::new();
    let source = format!("color=black:s=320x180:r=25:d={seconds}");
    ffmpeg(&format!("-f lavfi -i {source} -c:v libx264 -f mp4 {}", slot.input().display()));
    slot
}

#[test]
fn special_characters_in_text_are_not_interpreted() {
    let slot = black_slot(2);
    let text = Operation::Text(Text {
        text: Personal::Clear("50% 'off': \\ %{pts} [x];,\nsecond line".to_owned()),
        position: Position::Bottom,
        size: Some(24),
        color: None,
        margin: None,
        start: None,
        end: Some(1_000_000),
    });
    report(&slot.convert("o.mp4", vec![text, fast()]));
    assert!(brightness(&slot, "o.mp4", "0.5", "320:80:0:100") > 200.0);
    assert!(brightness(&slot, "o.mp4", "0.5", "320:80:0:0") < 40.0, "the upper part is black");
    assert!(brightness(&slot, "o.mp4", "1.5", "320:80:0:100") < 40.0, "the text ends");
}

const SRT: &str = "1\n00:00:00,500 --> 00:00:01,500\n<i>Hello</i> there\n\n2\n00:00:02,000 --> 00:00:03,000\nBye\n";
const VTT: &str =
    "WEBVTT\n\n00:00.500 --> 00:01.500\n<i>Hello</i> there\n\n00:02.000 --> 00:03.000\nBye\n";
const ASS: &str = "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize, PrimaryColour\nStyle: Default,DejaVu Sans,20,&H00FFFFFF\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\nDialogue: 0,0:00:00.50,0:00:01.50,Default,,0,0,0,,{\\i1}Hello{\\i0} there\nDialogue: 0,0:00:02.00,0:00:03.00,Default,,0,0,0,,Bye\n";

fn subtitles(mode: SubtitleMode) -> Operation {
    let language = Some("eng".to_owned());
    Operation::Subtitles(Subtitles { input: Some(Personal::Erased), mode, language })
}

#[test]
fn subtitles_of_each_format_are_burned_in_at_their_times() {
    for text in [SRT, VTT, ASS] {
        let slot = black_slot(4);
        fs::write(slot.extra(1), text).unwrap();
        report(&slot.convert("o.mp4", vec![subtitles(SubtitleMode::Burn), fast()]));
        let lower = "320:80:0:100";
        assert!(brightness(&slot, "o.mp4", "0.2", lower) < 40.0, "{text}");
        assert!(brightness(&slot, "o.mp4", "1.0", lower) > 150.0, "{text}");
        assert!(brightness(&slot, "o.mp4", "1.7", lower) < 40.0, "{text}");
        assert!(brightness(&slot, "o.mp4", "2.5", lower) > 150.0, "{text}");
    }
}

#[test]
fn embedded_subtitles_are_trimmed_with_the_video() {
    let cut = || Operation::Trim(Trim { start: 1_000_000, end: None });
    for (output, codec) in [("o.mp4", "mov_text"), ("o.mkv", "ass"), ("o.webm", "webvtt")] {
        let slot = clip_slot("160x90", 4);
        fs::write(slot.extra(1), SRT).unwrap();
        let container = output.rsplit('.').next().and_then(Container::from_extension);
        let quick = Operation::Transcode(Transcode {
            container,
            preset: Some(Preset::Ultrafast),
            ..Transcode::default()
        });
        report(&slot.convert(output, vec![subtitles(SubtitleMode::Embed), cut(), quick]));
        let path = slot.output(output);
        assert_eq!(
            probe(&path, "s:0", "stream=codec_name:stream_tags=language"),
            format!("{codec}\neng")
        );
        let text = ffmpeg(&format!("-i {} -map 0:s:0 -f srt -", path.display()));
        // Matroska delays everything by the padding before the audio's first sample.
        let delay = if output == "o.mp4" { 0 } else { 30 };
        let times: Vec<u32> = text
            .lines()
            .filter_map(|line| line.split_once(" --> "))
            .flat_map(|(a, b)| [a, b])
            .map(|time| {
                let (seconds, millis) = time[6..].split_once(',').unwrap();
                seconds.parse::<u32>().unwrap() * 1000 + millis.parse::<u32>().unwrap()
            })
            .collect();
        assert_eq!(times.len(), 4, "{text}");
        for (found, expected) in times.iter().zip([0, 500, 1000, 2000]) {
            assert!((expected..=expected + delay).contains(found), "{output}: {text}");
        }
        assert!(text.contains("there") && text.contains("Bye"), "{output}: {text}");
    }
}

#[test]
fn sidecar_subtitles_are_webvtt() {
    let slot = clip_slot("160x90", 4);
    fs::write(slot.extra(1), ASS).unwrap();
    let messages = slot.convert("output.mp4", vec![subtitles(SubtitleMode::Sidecar), fast()]);
    let names: Vec<&str> = report(&messages).files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["output.mp4", "output.eng.vtt"]);
    let text = fs::read_to_string(slot.output("output.eng.vtt")).unwrap();
    assert_eq!(
        text,
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\n<i>Hello</i> there\n\n00:00:02.000 --> 00:00:03.000\nBye\n"
    );
}

#[test]
fn concatenated_videos_have_one_size_rate_and_audio_format() {
    let slot = clip_slot("320x180", 2);
    clip(&slot.extra(1), "180x320", 1, &["-r", "50", "-ar", "22050", "-ac", "2", "-f", "mp4"]);
    clip(&slot.extra(2), "320x180", 1, &["-an", "-f", "mp4"]);
    let inputs = vec![Personal::Erased, Personal::Erased];
    let after = Operation::Trim(Trim { start: 500_000, end: None });
    report(&slot.convert("o.mp4", vec![Operation::Concat(Concat { inputs }), after, fast()]));
    let output = slot.output("o.mp4");
    assert_eq!(probe(&output, "v:0", "stream=width,height,nb_frames"), "320\n180\n87");
    assert!((seconds(&output) - 3.5).abs() < 0.05, "{}", seconds(&output));
    // The second video is upright with bars at its sides; the third has no audio.
    assert!(brightness(&slot, "o.mp4", "2.0", "60:180:0:0") < 40.0);
}

#[test]
fn a_shaky_video_is_stabilized() {
    let slot = Slot::new();
    let shaky =
        "testsrc2=s=480x360:r=25:d=2,noise=alls=20,crop=320:240:80+12*sin(n*2):60+12*cos(n*3)";
    ffmpeg(&format!(
        "-f lavfi -i {shaky} -c:v libx264 -pix_fmt yuv420p -f mp4 {}",
        slot.input().display()
    ));
    let stabilize = Filter { strength: Some(1.0), ..filter(FilterName::Stabilize) };
    report(&slot.convert("o.mp4", vec![Operation::Filter(stabilize), fast()]));
    // Consecutive frames differ less than before.
    let temporal_information = |path: &std::path::Path| {
        let graph = format!("movie={},crop=200:120,siti", path.display());
        let text = ffprobe(&format!(
            "-f lavfi -i {graph} -show_entries frame_tags=lavfi.siti.ti -of default=nw=1:nk=1"
        ));
        let all: Vec<f64> = text.lines().skip(1).map(|line| line.parse().unwrap()).collect();
        all.iter().sum::<f64>() / f64::from(u32::try_from(all.len()).unwrap())
    };
    let before = temporal_information(&slot.input());
    let after = temporal_information(&slot.output("o.mp4"));
    assert!(after < before * 0.8, "{before} {after}");
}

#[test]
fn hdr_video_is_converted_to_bt709() {
    let slot = Slot::new();
    let tagged = "gradients=s=320x180:d=1:r=25:c0=black:c1=white,format=yuv420p10le,setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc";
    ffmpeg(&format!(
        "-f lavfi -i {tagged} -c:v libx265 -x265-params log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc -f mp4 {}",
        slot.input().display()
    ));
    report(&slot.convert("o.mp4", vec![fast()]));
    let output = slot.output("o.mp4");
    assert_eq!(
        probe(&output, "v:0", "stream=pix_fmt,color_space,color_transfer,color_primaries"),
        "yuv420p\nbt709\nbt709\nbt709"
    );
    assert!(brightness(&slot, "o.mp4", "0", "320:180:0:0") > 180.0);
}

#[test]
fn tone_mapping_matches_the_ffmpeg_command_line() {
    for (name, transfer, peak) in [("pq", "smpte2084", 1_000.0), ("hlg", "arib-std-b67", 1_000.0)] {
        let slot = Slot::new();
        let tags = format!("color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc");
        ffmpeg(&format!(
            "-f lavfi -i testsrc2=s=320x180:d=1:r=25,format=yuv420p10le,setparams={tags} -c:v libx265 \
             -x265-params log-level=none:crf=4:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc \
             -f mp4 {}",
            slot.input().display()
        ));
        let tonemap = Operation::Filter(filter(FilterName::Tonemap));
        report(&slot.convert("explicit.mp4", vec![tonemap, fast()]));
        report(&slot.convert("default.mp4", vec![fast()]));
        // The reference white is 203 cd/m² (BT.2408).
        let chain = format!(
            "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,\
             tonemap=hable:desat=0:peak={:.4},zscale=t=bt709:m=bt709:r=tv",
            peak / 203.0
        );
        for output in ["explicit.mp4", "default.mp4"] {
            let similar = similarity(&slot, output, &chain);
            let untouched = similarity(&slot, output, "null");
            assert!(similar > 0.96 && untouched < 0.9, "{name} {output}: {similar} {untouched}");
        }
    }
}

#[test]
fn two_passes_reach_the_requested_bitrate() {
    let slot = Slot::new();
    let source = "mandelbrot=s=320x180:r=25,noise=alls=8:allf=t";
    ffmpeg(&format!(
        "-f lavfi -i {source} -t 4 -c:v libx264 -crf 10 -pix_fmt yuv420p -f mp4 {}",
        slot.input().display()
    ));
    for (output, codec) in
        [("a.mp4", VideoCodec::H264), ("b.mp4", VideoCodec::Hevc), ("c.webm", VideoCodec::Vp9)]
    {
        let two_pass = Operation::Transcode(Transcode {
            video_codec: Some(codec),
            video_bitrate: Some(400_000),
            two_pass: true,
            preset: Some(Preset::Veryfast),
            ..Transcode::default()
        });
        report(&slot.convert(output, vec![two_pass]));
        let path = slot.output(output);
        let bytes = u32::try_from(fs::metadata(&path).unwrap().len()).unwrap();
        let bits = f64::from(bytes) * 8.0 / seconds(&path);
        assert!((bits - 400_000.0).abs() < 60_000.0, "{output}: {bits}");
    }
}

#[test]
fn an_input_of_the_wrong_type_is_named() {
    let slot = clip_slot("160x90", 1);
    fs::write(slot.extra(1), "not an image").unwrap();
    let watermark = Operation::Watermark(Watermark {
        image: Personal::Erased,
        position: Position::Center,
        opacity: None,
        scale: None,
        margin: None,
        start: None,
        end: None,
    });
    let messages = slot.convert("o.mp4", vec![watermark]);
    let (code, message) = failure(&messages);
    assert_eq!(code, "invalid_input");
    assert!(message.contains("image") && message.contains('1'), "{message}");
}
