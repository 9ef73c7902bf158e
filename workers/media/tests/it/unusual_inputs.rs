//! Unusual inputs: their outputs must match what a player shows of the inputs.

use std::{fs, path::Path};

use ffapi_domain::{
    Personal,
    media::{
        Concat, ImageFormat, Metric, Operation, Packaging, Position, Preset, Stream, SubtitleMode,
        Subtitles, ThumbnailMode, Thumbnails, Transcode, Trim, VideoCodec, Watermark,
    },
};

use crate::{
    harness::{Slot, compared, ffmpeg, probe, psnr, report, seconds, similarity},
    kinds::{analyze, make_thumbnails, similarity_at, thumbnails},
    stream,
};

pub(crate) fn fast() -> Operation {
    Operation::Transcode(Transcode { preset: Some(Preset::Ultrafast), ..Transcode::default() })
}

/// A slot whose input ffmpeg generates with these arguments, which the output's path follows.
pub(crate) fn generate(arguments: &str) -> Slot {
    let slot = Slot::new();
    ffmpeg(&format!("{arguments} {}", slot.input().display()));
    slot
}

/// The peak signal-to-noise ratio in dB of two videos as displayed, in RGB.
fn psnr_as_displayed(first: &Path, second: &Path) -> f64 {
    compared(first, "format=gbrp", second, "format=gbrp")
}

#[test]
fn full_range_and_rgb_are_converted_to_limited_range_yuv() {
    for (name, source) in [
        ("full", "-pix_fmt yuvj420p -c:v libx264 -qp 4 -f mp4"),
        (
            "full, by the range tag",
            "-vf scale=out_range=pc,format=yuvj444p -c:v mjpeg -q:v 1 -f matroska",
        ),
        ("rgb", "-c:v libx264rgb -qp 4 -f matroska"),
    ] {
        let slot = generate(&format!("-f lavfi -i testsrc2=s=320x180:r=25:d=1 {source}"));
        slot.convert("out.mp4", vec![fast()]);
        let output = slot.output("out.mp4");
        assert_ne!(probe(&output, "v:0", "stream=color_range"), "pc", "{name}");
        let psnr = psnr_as_displayed(&slot.input(), &output);
        assert!(psnr > 26.0, "{name}: {psnr} dB");
    }
}

#[test]
fn a_trim_of_a_transport_stream_starts_with_its_frame() {
    let slot = generate(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=30 -f lavfi -i sine=d=30 \
                   -c:v libx264 -preset ultrafast -g 250 -sc_threshold 0 -c:a aac -f mpegts",
    );
    let cut = Operation::Trim(Trim { start: 16_000_000, end: Some(18_000_000) });
    slot.convert("out.mp4", vec![cut, fast()]);
    assert_eq!(probe(&slot.output("out.mp4"), "v:0", "stream=nb_frames"), "50");
    let similar = similarity(&slot, "out.mp4", "trim=start=16:end=18");
    assert!(similar > 0.9, "{similar}");
    let thumbnail = Thumbnails {
        timestamp: Some(16_000_000),
        format: Some(ImageFormat::Png),
        ..thumbnails(ThumbnailMode::Single)
    };
    let image = slot.output(&make_thumbnails(&slot, thumbnail)[0]);
    let similar = similarity_at(&slot, &image, "16.001");
    assert!(similar > 0.93, "{similar}");
}

#[test]
fn a_last_segment_of_one_frame_has_its_duration() {
    let slot = generate("-f lavfi -i testsrc2=s=320x180:r=25:d=6.04 -c:v libx264 -f mp4");
    let request = Stream {
        variants: vec![stream::variant("a", 180)],
        segment_duration: Some(6_000_000),
        ..stream::request(Packaging::Cmaf)
    };
    stream::make(&slot, request);
    let playlist = fs::read_to_string(slot.output("a/index.m3u8")).unwrap();
    let durations: Vec<f64> = playlist
        .lines()
        .filter_map(|line| line.strip_prefix("#EXTINF:")?.trim_end_matches(',').parse().ok())
        .collect();
    assert_eq!(durations, [6.0, 0.04], "{playlist}");
    let manifest = fs::read_to_string(slot.output("manifest.mpd")).unwrap();
    assert!(manifest.contains("mediaPresentationDuration=\"PT6.040S\""), "{manifest}");
    // The bandwidth is not that of the segment of 0.04 seconds.
    let master = fs::read_to_string(slot.output("master.m3u8")).unwrap();
    let attribute = |name: &str| -> f64 {
        let after = master.split(name).nth(1).unwrap();
        after.split(',').next().unwrap().parse().unwrap()
    };
    assert!(attribute(":BANDWIDTH=") < attribute("AVERAGE-BANDWIDTH=") * 1.5, "{master}");
}

#[test]
fn an_hdr_ladder_states_its_video_range() {
    let slot = generate(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=2 -pix_fmt yuv420p10le -c:v libx265 \
                   -x265-params log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc \
                   -f matroska",
    );
    let request = Stream {
        variants: vec![stream::variant("a", 180)],
        video_codec: Some(VideoCodec::Hevc),
        ..stream::request(Packaging::Cmaf)
    };
    stream::make(&slot, request);
    let master = fs::read_to_string(slot.output("master.m3u8")).unwrap();
    assert!(master.contains("VIDEO-RANGE=PQ"), "{master}");
    let manifest = fs::read_to_string(slot.output("manifest.mpd")).unwrap();
    assert!(manifest.contains("cicp:TransferCharacteristics\" value=\"16\""), "{manifest}");
}

#[test]
fn every_rendition_of_a_ladder_is_rotated_and_tone_mapped() {
    let slot = Slot::new();
    let unrotated = slot.output("unrotated.mp4");
    let transfer = "color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc";
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=2,format=yuv420p10le,setparams={transfer} -c:v libx265 \
         -x265-params log-level=none:crf=4:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc {}",
        unrotated.display()
    ));
    ffmpeg(&format!(
        "-i {} -c copy -metadata:s:v:0 rotate=90 -f mp4 {}",
        unrotated.display(),
        slot.input().display()
    ));
    let renditions = [("large", "180:320"), ("small", "90:160")];
    let variants = renditions.map(|(name, size)| {
        stream::variant(name, size.split(':').nth(1).unwrap().parse().unwrap())
    });
    stream::make(&slot, Stream { variants: variants.to_vec(), ..stream::request(Packaging::Hls) });
    for (name, size) in renditions {
        stream::remuxed(&slot, name);
        // The ffmpeg command line rotates it automatically.
        let tonemap = "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,\
                     tonemap=hable:desat=0:peak=4.9261,zscale=t=bt709:m=bt709:r=tv,format=yuv420p";
        let similar = similarity(&slot, &format!("{name}.mkv"), &format!("{tonemap},scale={size}"));
        assert!(similar > 0.93, "{name}: {similar}");
        let untouched = similarity(&slot, &format!("{name}.mkv"), &format!("scale={size}"));
        assert!(untouched < 0.9, "{name}: {untouched}");
    }
}

#[test]
fn a_track_with_a_late_start_keeps_its_end() {
    let slot = generate(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=4 -itsoffset 1 -f lavfi -i sine=d=4 \
                   -c:v libx264 -preset ultrafast -c:a aac -f mp4",
    );
    for output in ["out.mp4", "out.m4a"] {
        report(&slot.convert(output, vec![]));
        assert!((seconds(&slot.output(output)) - 5.0).abs() < 0.1, "{output}");
    }
}

#[test]
fn a_long_last_frame_keeps_its_duration() {
    let slot = generate("-f lavfi -i testsrc2=s=160x90:r=10:d=2 -final_delay 300 -f gif");
    report(&slot.convert("out.mp4", vec![fast()]));
    let duration = seconds(&slot.output("out.mp4"));
    assert!((duration - 4.9).abs() < 0.2, "{duration}");
}

#[test]
fn an_estimated_duration_is_not_used() {
    let slot = generate(
        "-f lavfi -i aevalsrc='if(lt(t,20),0,random(0)-0.5)':s=44100:d=40 \
                   -c:a libmp3lame -q:a 2 -write_xing 0 -f mp3",
    );
    report(&slot.convert("out.m4a", vec![]));
    assert!((seconds(&slot.output("out.m4a")) - 40.0).abs() < 0.2);
}

#[test]
fn subtitles_after_the_end_do_not_lengthen_a_video() {
    let slot = generate("-f lavfi -i testsrc2=s=160x90:r=25:d=3 -c:v libx264 -f mp4");
    let subtitles = "1\n00:00:01,000 --> 00:00:02,000\nfirst\n\n2\n00:00:02,500 --> 00:00:08,000\nlast\n\n\
                 3\n00:00:09,000 --> 00:00:10,000\nnever\n";
    fs::write(slot.extra(1), subtitles).unwrap();
    let embed = || {
        Operation::Subtitles(Subtitles {
            input: Some(Personal::Erased),
            mode: SubtitleMode::Embed,
            language: None,
        })
    };
    for output in ["out.mp4", "out.mkv"] {
        report(&slot.convert(output, vec![embed(), fast()]));
        assert!((seconds(&slot.output(output)) - 3.0).abs() < 0.05, "{output}");
        assert!(probe(&slot.output(output), "s:0", "packet=pts_time").contains("2.5"), "{output}");
    }
}

#[test]
fn audio_of_low_sample_rates_is_encoded_to_vorbis() {
    for rate in [8_000, 11_025, 16_000, 22_050, 24_000] {
        for channels in [1, 2] {
            let slot = generate(&format!("-f lavfi -i sine=r={rate}:d=2 -ac {channels} -f wav"));
            report(&slot.convert("out.ogg", vec![]));
            let found = probe(&slot.output("out.ogg"), "a:0", "stream=codec_name,channels");
            assert_eq!(found, format!("vorbis\n{channels}"), "{rate}");
        }
    }
}

#[test]
fn audio_that_does_not_state_its_channels_keeps_them() {
    for (channels, layout) in [(1_u16, "mono"), (2, "stereo"), (3, "2.1"), (6, "5.1")] {
        let slot = Slot::new();
        // A WAV file as most programs write it: without a channel mask.
        let (frames, size) = (48_000_u32, u32::from(channels) * 2);
        let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0".to_vec();
        file.extend_from_slice(&channels.to_le_bytes());
        for field in [48_000_u32, 48_000 * size] {
            file.extend_from_slice(&field.to_le_bytes());
        }
        file.extend_from_slice(&u16::try_from(size).unwrap().to_le_bytes());
        file.extend_from_slice(b"\x10\0data");
        file.extend_from_slice(&(frames * size).to_le_bytes());
        file.resize(file.len() + usize::try_from(frames * size).unwrap(), 7);
        let riff = u32::try_from(file.len() - 8).unwrap().to_le_bytes();
        file[4..8].copy_from_slice(&riff);
        fs::write(slot.input(), file).unwrap();
        for output in ["out.wav", "out.flac"] {
            report(&slot.convert(output, vec![]));
            let found = probe(&slot.output(output), "a:0", "stream=channels,channel_layout");
            let expected = [format!("{channels}\n{layout}"), format!("{channels}\nunknown")];
            assert!(expected.contains(&found), "{output}: {found}");
        }
    }
}

#[test]
fn a_gif_of_a_video_with_a_high_frame_rate_keeps_its_duration() {
    let slot = generate("-f lavfi -i testsrc2=s=160x90:r=120:d=1 -c:v libx264 -f mp4");
    report(&slot.convert("out.gif", vec![]));
    let output = slot.output("out.gif");
    assert!((seconds(&output) - 1.0).abs() < 0.05);
    assert_eq!(probe(&output, "v:0", "stream=avg_frame_rate"), "50/1");
}

#[test]
fn copied_hevc_has_the_codec_tag_of_apples_players() {
    let slot = generate(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=1 -c:v libx265 -x265-params log-level=none \
                   -f matroska",
    );
    let copy = Transcode { video_codec: Some(VideoCodec::Copy), ..Transcode::default() };
    report(&slot.convert("out.mp4", vec![Operation::Transcode(copy)]));
    assert_eq!(probe(&slot.output("out.mp4"), "v:0", "stream=codec_tag_string"), "hvc1");
}

#[test]
fn ten_bit_videos_are_compared_in_ten_bits() {
    let slot = generate(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=1 -pix_fmt yuv420p10le -c:v libx265 \
                   -x265-params log-level=none -crf 35 -f matroska",
    );
    let reference = slot.extra(1);
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=1 -pix_fmt yuv420p10le -c:v ffv1 -f matroska {}",
        reference.display()
    ));
    let found = analyze(&slot, &[Metric::Psnr], true);
    let chain = "format=yuv420p10le";
    let expected = compared(&slot.input(), chain, &reference, chain);
    let found = found["psnr"]["mean"].as_f64().unwrap();
    assert!((found - expected).abs() < 0.01, "{found} and {expected}");
}

/// Adds an Exif orientation to a JPEG file.
fn set_orientation(image: &Path, orientation: u8) {
    let tiff = [
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(),
        &[orientation, 0, 0, 0, 0, 0, 0, 0],
    ];
    let exif = [b"Exif\0\0".as_slice(), &tiff.concat()].concat();
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    let jpeg = fs::read(image).unwrap();
    let (start, rest) = jpeg.split_at(2);
    fs::write(image, [start, b"\xff\xe1", &length, &exif, rest].concat()).unwrap();
}

#[test]
fn images_are_rotated_by_their_exif_orientation() {
    let slot = Slot::new();
    let upright = slot.output("upright.png");
    ffmpeg(&format!("-f lavfi -i testsrc2=s=320x180 -frames:v 1 {}", upright.display()));
    for (orientation, stored) in [
        (1, "null"),
        (2, "hflip"),
        (3, "hflip,vflip"),
        (4, "vflip"),
        (5, "transpose=cclock_flip"),
        (6, "transpose=cclock"),
        (7, "transpose=clock_flip"),
        (8, "transpose=clock"),
    ] {
        let photograph = slot.input();
        ffmpeg(&format!(
            "-y -i {} -vf {stored} -q:v 1 -f image2 -c:v mjpeg {}",
            upright.display(),
            photograph.display()
        ));
        set_orientation(&photograph, orientation);
        report(&slot.convert("out.png", vec![]));
        let psnr = psnr(&upright, &slot.output("out.png"));
        assert!(psnr > 30.0, "{orientation}: {psnr} dB");
    }
    // The last one, as a watermark on a video of its own size.
    fs::rename(slot.input(), slot.extra(1)).unwrap();
    ffmpeg(&format!(
        "-f lavfi -i color=black:s=320x180:r=25:d=1 -c:v libx264 -f mp4 {}",
        slot.input().display()
    ));
    let watermark = Operation::Watermark(Watermark {
        image: Personal::Erased,
        position: Position::TopLeft,
        opacity: None,
        scale: None,
        margin: Some(0),
        start: None,
        end: None,
    });
    let trim = Operation::Trim(Trim { start: 0, end: Some(40_000) });
    report(&slot.convert("marked.png", vec![watermark, trim]));
    let psnr = psnr(&upright, &slot.output("marked.png"));
    assert!(psnr > 30.0, "{psnr} dB");
}

#[test]
fn a_mirrored_video_is_mirrored() {
    let slot =
        generate("-f lavfi -i testsrc2=s=320x180:r=25:d=1 -c:v libx264 -preset ultrafast -f mp4");
    let mut bytes = fs::read(slot.input()).unwrap();
    let header = bytes.windows(4).position(|name| name == b"tkhd").unwrap();
    for (name, offset, flip) in [("across", 40, "hflip"), ("upside down", 56, "vflip")] {
        let original = slot.output("original.mp4");
        fs::write(&original, &bytes).unwrap();
        let position = header + 4 + offset;
        let before = bytes[position..position + 4].to_vec();
        // Minus one as a 16.16 fixed-point number.
        bytes[position..position + 4].copy_from_slice(&(-65_536_i32).to_be_bytes());
        fs::write(slot.input(), &bytes).unwrap();
        bytes[position..position + 4].copy_from_slice(&before);
        report(&slot.convert("out.mp4", vec![fast()]));
        let expected = slot.output("expected.mkv");
        let to = expected.display();
        ffmpeg(&format!("-y -i {} -vf {flip} -c:v ffv1 {to}", original.display()));
        assert!(psnr(&slot.output("out.mp4"), &expected) > 25.0, "{name}");
        fs::remove_file(slot.output("out.mp4")).unwrap();
    }
}

#[test]
fn concatenated_videos_with_a_late_start_stay_in_sync() {
    let late = "-f lavfi -i sine=d=3 -itsoffset 0.6 -f lavfi -i testsrc2=s=160x90:r=25:d=2.4 \
                -map 1:v -map 0:a -c:v libx264 -preset ultrafast -c:a aac -f mp4";
    let slot = generate(late);
    for number in 1..=3 {
        fs::copy(slot.input(), slot.extra(number)).unwrap();
    }
    let concat = Operation::Concat(Concat { inputs: vec![Personal::Erased; 3] });
    report(&slot.convert("out.mp4", vec![concat, fast()]));
    let duration = |stream: &str| -> f64 {
        probe(&slot.output("out.mp4"), stream, "stream=duration").parse().unwrap()
    };
    assert!((duration("v:0") - 12.0).abs() < 0.1, "{}", duration("v:0"));
    assert!((duration("v:0") - duration("a:0")).abs() < 0.1);
    // The last frame is at its time, and not earlier by the three late starts.
    let graph = "[0:v]select='gte(t,2.9)',setpts=N/TB,trim=end_frame=1[a];\
                 [1:v]select='gte(t,11.9)',setpts=N/TB,trim=end_frame=1[b];[a][b]ssim=stats_file=-";
    let (input, output) = (slot.input(), slot.output("out.mp4"));
    let stats =
        ffmpeg(&format!("-i {} -i {} -lavfi {graph} -f null -", input.display(), output.display()));
    let similar: f64 =
        stats.split("All:").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(similar > 0.9, "{stats}");
}

#[test]
fn every_track_of_a_stream_starts_at_zero() {
    for late in [
        "-f lavfi -i testsrc2=s=160x90:r=25:d=5 -itsoffset 0.8 -f lavfi -i sine=d=4.2",
        "-f lavfi -i sine=d=5 -itsoffset 0.8 -f lavfi -i testsrc2=s=160x90:r=25:d=4.2",
    ] {
        let slot = generate(&format!("{late} -c:v libx264 -preset ultrafast -c:a aac -f mp4"));
        let request =
            Stream { variants: vec![stream::variant("a", 90)], ..stream::request(Packaging::Cmaf) };
        let names = stream::make(&slot, request);
        let lists = names.iter().filter(|name| name.ends_with("/index.m3u8"));
        let lists: Vec<_> = lists.map(|name| slot.output(name)).collect();
        assert_eq!(lists.len(), 2, "{names:?}");
        for list in lists {
            // As read by a player that ignores edit lists.
            let folder = list.parent().unwrap();
            let mut parts: Vec<_> =
                fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            parts.retain(|part| part.extension().is_some_and(|end| end == "m4s"));
            parts.sort();
            parts.insert(0, folder.join("init.mp4"));
            let whole = folder.join("whole.mp4");
            let bytes: Vec<Vec<u8>> = parts.iter().map(|part| fs::read(part).unwrap()).collect();
            fs::write(&whole, bytes.concat()).unwrap();
            let text = ffmpeg(&format!(
                "-ignore_editlist 1 -i {} -map 0 -c copy -copyts -f framecrc -",
                whole.display()
            ));
            let pts = |line: &str| line.split(',').nth(2)?.trim().parse::<f64>().ok();
            let base: f64 =
                text.lines().find_map(|line| line.strip_prefix("#tb 0: 1/")?.parse().ok()).unwrap();
            let all: Vec<f64> =
                text.lines().filter(|line| !line.starts_with('#')).filter_map(pts).collect();
            let (first, last) = (all[0] / base, all.iter().copied().fold(0.0, f64::max) / base);
            assert!(first.abs() < 0.1, "{}: starts at {first}", list.display());
            assert!((last - 5.0).abs() < 0.2, "{}: ends at {last}", list.display());
        }
    }
}
