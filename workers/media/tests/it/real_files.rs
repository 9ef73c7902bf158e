//! What phones, recorders, broadcasters and editors leave: it is converted as a player shows it.

use std::fs;

use ffapi_domain::{
    Personal,
    media::{
        AudioCodec, Concat, ImageFormat, Operation, Pick, ThumbnailMode, Thumbnails, Tracks,
        Transcode, Trim, VideoCodec,
    },
};

use crate::{
    harness::{Slot, clip, failure, ffmpeg, notes, probe, report, run, seconds},
    kinds::{make_thumbnails, thumbnails},
    unusual_inputs::{fast, generate},
};

const SECOND: u64 = 1_000_000;

fn cut(start: u64, end: u64) -> Operation {
    Operation::Trim(Trim { start, end: Some(end) })
}

fn copy() -> Operation {
    Operation::Transcode(Transcode {
        video_codec: Some(VideoCodec::Copy),
        audio_codec: Some(AudioCodec::Copy),
        ..Transcode::default()
    })
}

/// The times in seconds at which the frames of a video are presented.
fn frame_times(slot: &Slot, output: &str) -> Vec<f64> {
    let text = probe(&slot.output(output), "v:0", "frame=best_effort_timestamp_time");
    text.lines().filter_map(|line| line.trim_matches(',').parse().ok()).collect()
}

/// When a beep and a flash at every even second begin, in seconds.
fn beeps(slot: &Slot, output: &str) -> (Vec<f64>, Vec<f64>) {
    let path = slot.output(output).display().to_string();
    let graph =
        ["-lavfi", "[0:v]blackdetect=d=0.01:pix_th=0.5[v];[0:a]silencedetect=n=-30dB:d=0.2[a]"];
    let rest = ["-map", "[v]", "-map", "[a]", "-f", "null", "-"];
    let text = crate::harness::ffmpeg_stderr(&[&["-i", &path], &graph[..], &rest[..]].concat());
    let after = |label: &str| {
        let numbers = text.split(label).skip(1).map(|rest| rest.split_whitespace().next().unwrap());
        numbers.map(|number| number.parse().unwrap()).collect()
    };
    (after("black_end:"), after("silence_end: "))
}

/// Twelve seconds with a flash and a beep at every odd second.
pub(crate) const FLASHES: &str = "-f lavfi -i color=black:s=160x90:r=25:d=12,drawbox=c=white:t=fill:\
     enable=lt(mod(t-1\\,2)\\,0.12)*gte(t\\,1) -f lavfi -i \
     aevalsrc=if(lt(mod(t-1\\,2)\\,0.12)*gte(t\\,1)\\,0.8*sin(2*PI*1000*t)\\,0):s=48000:d=12 \
     -c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p -c:a aac";

#[test]
fn recordings_that_overlap_or_start_again_stay_in_sync() {
    for (name, offset, seconds_of_output) in
        [("overlap", 5.5, 11.5), ("again", 0.0, 12.0), ("hours", 7_200.0, 12.0)]
    {
        let slot = Slot::new();
        let part = |number: u32| slot.output(&format!("part{number}.ts"));
        let all = slot.output("all.ts");
        ffmpeg(&format!("{FLASHES} -f mpegts {}", all.display()));
        for (number, from, to, offset) in [(0, 0, 6, 0.0), (1, 6, 12, offset)] {
            let (all, to_path) = (all.display(), part(number));
            ffmpeg(&format!(
                "-ss {from} -i {all} -t {} -c copy -output_ts_offset {offset} -f mpegts {}",
                to - from,
                to_path.display()
            ));
        }
        let joined = [fs::read(part(0)).unwrap(), fs::read(part(1)).unwrap()].concat();
        fs::write(slot.input(), joined).unwrap();
        slot.clear();
        let messages = slot.convert("o.mp4", vec![fast()]);
        report(&messages);
        let duration = seconds(&slot.output("o.mp4"));
        assert!((duration - seconds_of_output).abs() < 0.3, "{name}: {duration}");
        let (flashes, beeps) = beeps(&slot, "o.mp4");
        assert!(flashes.len() >= 5, "{name}: {flashes:?} {beeps:?}");
        for (flash, beep) in flashes.iter().zip(&beeps) {
            assert!((flash - beep).abs() < 0.05, "{name}: {flashes:?} {beeps:?}");
        }
        assert_eq!(notes(&messages).contains("several recordings"), name != "overlap", "{name}");
    }
}

#[test]
fn a_recording_that_does_not_begin_at_zero_lasts_what_it_lasts() {
    for muxer in ["matroska", "mpegts"] {
        let slot = generate(&format!("{FLASHES} -output_ts_offset 30 -f {muxer}"));
        fs::copy(slot.input(), slot.extra(1)).unwrap();
        let join = Operation::Concat(Concat { inputs: vec![Personal::Erased] });
        report(&slot.convert("o.mp4", vec![join, fast()]));
        let duration = seconds(&slot.output("o.mp4"));
        assert!((duration - 24.0).abs() < 0.2, "{muxer}: {duration}");
    }
}

#[test]
fn a_recording_without_a_length_has_thumbnails_and_can_be_joined() {
    let slot = generate(&format!("{FLASHES} -f matroska -live 1"));
    let request = Thumbnails { count: Some(4), ..thumbnails(ThumbnailMode::Count) };
    assert_eq!(make_thumbnails(&slot, request).len(), 4);
    slot.clear();
    fs::copy(slot.input(), slot.extra(1)).unwrap();
    let join = Operation::Concat(Concat { inputs: vec![Personal::Erased] });
    report(&slot.convert("o.mp4", vec![join, fast()]));
    assert!((seconds(&slot.output("o.mp4")) - 24.0).abs() < 0.2);
}

#[test]
fn the_shape_of_pixels_is_kept_from_streams_of_packets() {
    for muxer in ["mpegts", "mpeg", "flv"] {
        let codec = if muxer == "mpeg" { "mpeg2video" } else { "libx264" };
        let slot = generate(&format!(
            "-f lavfi -i testsrc2=s=360x288:r=25:d=1 -vf setsar=64/45 -c:v {codec} -f {muxer}"
        ));
        report(&slot.convert("o.mp4", vec![fast()]));
        let aspect = probe(&slot.output("o.mp4"), "v:0", "stream=sample_aspect_ratio");
        assert_eq!(aspect, "64:45", "{muxer}");
    }
}

#[test]
fn streams_that_cannot_be_used_do_not_spoil_the_others() {
    let slot = Slot::new();
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=160x90:r=25:d=2 -f lavfi -i sine=f=440:d=2 -f lavfi -i sine=f=880:d=2 \
         -map 0 -map 1 -map 2 -ac:a:1 4 -c:v libx264 -preset ultrafast -c:a:0 aac -c:a:1 pcm_s16be \
         -f mov {}",
        slot.input().display()
    ));
    // The spatial audio of a phone, in a codec that is not known.
    let mut bytes = fs::read(slot.input()).unwrap();
    let at = bytes.windows(4).rposition(|four| four == b"twos").unwrap();
    bytes[at..at + 4].copy_from_slice(b"apac");
    fs::write(slot.input(), bytes).unwrap();
    let messages = slot.convert("o.mp4", vec![fast()]);
    assert!(notes(&messages).contains("stream 2 (audio) cannot be used"), "{}", notes(&messages));
    assert_eq!(probe(&slot.output("o.mp4"), "a", "stream=codec_name"), "aac");
}

#[test]
fn damaged_packets_are_skipped() {
    let slot = generate("-f lavfi -i sine=d=4:r=48000 -ac 2 -c:a ac3 -b:a 192k -f ac3");
    let mut bytes = fs::read(slot.input()).unwrap();
    // A recording begins within a frame, and a part of it is lost.
    let half = bytes.len() / 2;
    bytes[half..half + 1_000].fill(0x55);
    fs::write(slot.input(), &bytes[300..]).unwrap();
    let messages = slot.convert("o.wav", vec![]);
    assert!(notes(&messages).contains("are damaged, and skipped"), "{}", notes(&messages));
    let duration = seconds(&slot.output("o.wav"));
    assert!((3.6..=4.05).contains(&duration), "{duration}");
}

#[test]
fn an_input_of_which_most_is_damaged_fails() {
    let slot = generate(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=4 -c:v libx264 -g 10 -bf 0 -movflags +faststart \
         -f mp4",
    );
    let mut bytes = fs::read(slot.input()).unwrap();
    let length = bytes.len();
    for (index, byte) in bytes.iter_mut().enumerate().skip(length / 8) {
        *byte = u8::try_from(index * 7 % 251).unwrap();
    }
    fs::write(slot.input(), bytes).unwrap();
    let messages = slot.convert("o.mp4", vec![fast()]);
    assert_eq!(failure(&messages).0, "invalid_input", "{}", failure(&messages).1);
}

#[test]
fn encrypted_input_is_named() {
    let slot = generate(
        "-f lavfi -i testsrc2=s=160x90:r=25:d=2 -c:v libx264 -encryption_scheme cenc-aes-ctr \
         -encryption_key 00112233445566778899aabbccddeeff \
         -encryption_kid 00112233445566778899aabbccddeeff -f mp4",
    );
    let messages = slot.convert("o.mp4", vec![fast()]);
    let (code, message) = failure(&messages);
    assert_eq!(code, "unsupported", "{message}");
    assert!(message.contains("encrypted"), "{message}");
}

#[test]
fn a_trim_begins_with_its_frame_wherever_keyframes_are() {
    for (muxer, codec) in [
        ("mpegts", "libx264 -g 1000"),
        ("mxf", "mpeg2video -g 100"),
        ("avi", "mpeg4 -g 100"),
        ("h264", "libx264 -g 1000"),
        ("ogg", "libtheora -g 60"),
    ] {
        let source = "-f lavfi -i testsrc2=s=176x144:r=25:d=12 -pix_fmt yuv420p";
        let slot = generate(&format!("{source} -c:v {codec} -f {muxer}"));
        report(&slot.convert("o.mp4", vec![cut(9 * SECOND, 11 * SECOND), fast()]));
        let output = slot.output("o.mp4");
        assert_eq!(probe(&output, "v:0", "stream=nb_frames"), "50", "{muxer}");
        let similar = crate::harness::similarity(&slot, "o.mp4", "trim=start=9:end=11");
        assert!(similar > 0.8, "{muxer}: {similar}");
    }
}

#[test]
fn a_part_between_two_frames_shows_the_frame_that_is_displayed() {
    let slot = generate("-f lavfi -i testsrc2=s=160x90:r=1:d=10 -c:v libx264 -f mp4");
    for (start, end) in [(3_400_000, 3_600_000), (9_900_000, 10_000_000), (2_500_000, 4_500_000)] {
        report(&slot.convert("o.mp4", vec![cut(start, end), fast()]));
        let times = frame_times(&slot, "o.mp4");
        assert!(times.first().is_some_and(|first| *first < 0.01), "{start}: {times:?}");
        slot.clear();
    }
}

#[test]
fn a_part_without_audio_is_silent_where_there_is_video() {
    let slot = generate(
        "-f lavfi -i testsrc2=s=160x90:r=25:d=6 -f lavfi -i sine=d=2 -c:v libx264 \
         -preset ultrafast -c:a aac -f mp4",
    );
    report(&slot.convert("o.mp4", vec![cut(4 * SECOND, 6 * SECOND), fast()]));
    let output = slot.output("o.mp4");
    let duration: f64 = probe(&output, "a:0", "stream=duration").parse().unwrap();
    assert!((duration - 2.0).abs() < 0.05, "{duration}");
    let peak = crate::harness::ffmpeg_stderr(&[
        "-i",
        output.to_str().unwrap(),
        "-af",
        "volumedetect",
        "-f",
        "null",
        "-",
    ]);
    assert!(crate::harness::number_after(&peak, "max_volume:") < -80.0, "{peak}");
}

#[test]
fn a_copied_part_shows_nothing_after_its_end_and_misses_nothing() {
    let slot = Slot::new();
    clip(
        &slot.input(),
        "160x90",
        10,
        &["-preset", "veryfast", "-bf", "3", "-g", "250", "-f", "mp4"],
    );
    report(&slot.convert("o.mp4", vec![cut(0, 5_800_000), copy()]));
    let times = frame_times(&slot, "o.mp4");
    assert!(times.iter().all(|time| *time < 5.81), "{:?}", times.last());
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] < 0.06), "{times:?}");
    assert!((seconds(&slot.output("o.mp4")) - 5.8).abs() < 0.09);
}

#[test]
fn colours_of_images_are_those_of_the_video() {
    // Bars in BT.709, as an HD video declares them.
    let slot = generate(
        "-f lavfi -i smptehdbars=s=320x180:r=25:d=1 -vf scale=out_color_matrix=bt709,format=yuv420p \
         -colorspace bt709 -color_primaries bt709 -color_trc bt709 -c:v libx264 -qp 4 -f mp4",
    );
    let pixels = |path: &std::path::Path| {
        let path = path.display().to_string();
        let file = slot.output("pixels.rgb").display().to_string();
        run(
            "ffmpeg",
            &[
                "-v",
                "error",
                "-y",
                "-i",
                &path,
                "-frames:v",
                "1",
                "-pix_fmt",
                "rgb24",
                "-f",
                "rawvideo",
                &file,
            ],
        );
        fs::read(file).unwrap()
    };
    let mut expected = None;
    for name in ["o.png", "o.jpg", "o.webp"] {
        report(&slot.convert(name, vec![]));
        let found = pixels(&slot.output(name));
        let expected = expected.get_or_insert_with(|| found.clone());
        // In the middles of the four widest bars.
        for x in [80, 120, 160, 200] {
            let at = (60 * 320 + x) * 3;
            for (one, other) in expected[at..at + 3].iter().zip(&found[at..at + 3]) {
                assert!(one.abs_diff(*other) <= 5, "{name}: {expected:?} at {x}");
            }
        }
    }
}

#[test]
fn a_palette_keeps_its_colours() {
    let slot =
        generate("-f lavfi -i testsrc2=s=64x48 -frames:v 1 -pix_fmt pal8 -c:v png -f image2pipe");
    report(&slot.convert("o.png", vec![]));
    let output = slot.output("o.png");
    assert_eq!(probe(&output, "v:0", "stream=pix_fmt"), "rgb24");
    let difference = crate::harness::compared(&slot.input(), "format=gbrp", &output, "format=gbrp");
    assert!(difference > 40.0, "{difference} dB");
}

#[test]
fn moving_images_are_read() {
    let slot = generate("-f lavfi -i testsrc2=s=160x120:r=10:d=2 -plays 0 -f apng");
    report(&slot.convert("o.mp4", vec![fast()]));
    assert_eq!(probe(&slot.output("o.mp4"), "v:0", "stream=nb_frames"), "20");
    let slot = generate("-f lavfi -i testsrc2=s=160x120:r=10:d=1 -c:v libwebp_anim -f webp");
    let messages = slot.convert("o.mp4", vec![fast()]);
    let (code, message) = failure(&messages);
    assert_eq!(code, "unsupported", "{message}");
    assert!(message.contains("animated WebP"), "{message}");
}

#[test]
fn an_image_has_a_thumbnail() {
    let slot = generate("-f lavfi -i testsrc2=s=640x480 -frames:v 1 -c:v mjpeg -f image2pipe");
    let request =
        Thumbnails { format: Some(ImageFormat::Png), ..thumbnails(ThumbnailMode::Single) };
    let image = make_thumbnails(&slot, request);
    assert_eq!(probe(&slot.output(&image[0]), "v:0", "stream=width"), "320");
}

#[test]
fn the_cover_of_a_song_is_its_thumbnail() {
    let slot = generate(
        "-f lavfi -i sine=d=2 -f lavfi -i testsrc2=s=640x640:r=1:d=1 -map 0 -map 1 -c:v mjpeg \
         -disposition:v attached_pic -c:a libmp3lame -f mp3",
    );
    let image = make_thumbnails(&slot, thumbnails(ThumbnailMode::Single));
    assert_eq!(probe(&slot.output(&image[0]), "v:0", "stream=width,height"), "320\n320");
}

#[test]
fn lossless_audio_keeps_its_channels() {
    let slot = generate("-f lavfi -i aevalsrc=0.1|0.2|0.3|0.4:c=quad:s=48000:d=1 -f wav");
    for name in ["o.wav", "o.flac"] {
        report(&slot.convert(name, vec![]));
        let found = probe(&slot.output(name), "a:0", "stream=channels,channel_layout");
        assert_eq!(found, "4\nquad", "{name}");
    }
}

#[test]
fn slides_keep_their_frames_where_the_rate_is_constant() {
    // Three frames in three seconds, one of them for a twentieth of a second.
    let source = "-f lavfi -i testsrc2=s=160x90:r=20:d=3,select=eq(n\\,0)+eq(n\\,20)+eq(n\\,21)";
    let slot = generate(&format!("{source} -fps_mode vfr -c:v libx264 -bf 0 -f matroska"));
    report(&slot.convert("o.avi", vec![]));
    let output = slot.output("o.avi").display().to_string();
    let frames = run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-i",
            &output,
            "-vf",
            "mpdecimate",
            "-fps_mode",
            "vfr",
            "-f",
            "framemd5",
            "-",
        ],
    );
    assert_eq!(frames.lines().filter(|line| !line.starts_with('#')).count(), 3, "{frames}");
}

#[test]
fn the_audio_of_the_second_input_follows_a_silent_first_one() {
    let slot = generate("-f lavfi -i color=red:s=160x90:r=25:d=2 -c:v libx264 -f mp4");
    ffmpeg(&format!("{FLASHES} -f mp4 {}", slot.extra(1).display()));
    let join = Operation::Concat(Concat { inputs: vec![Personal::Erased] });
    report(&slot.convert("o.mp4", vec![join, fast()]));
    let (_, beeps) = beeps(&slot, "o.mp4");
    assert!((beeps[0] - 3.0).abs() < 0.05, "{beeps:?}");
}

#[test]
fn a_pick_of_audio_counts_the_streams_that_can_be_used() {
    let slot = generate(
        "-f lavfi -i testsrc2=s=160x90:r=25:d=1 -f lavfi -i sine=f=440:d=1 -f lavfi -i sine=f=880:d=1 \
         -map 0 -map 1 -map 2 -c:v libx264 -c:a aac -f mpegts",
    );
    let pick = Tracks { audio: Some(vec![Pick::Index(1)]), subtitles: None };
    report(&slot.convert("o.mp4", vec![Operation::Tracks(pick), fast()]));
    assert_eq!(probe(&slot.output("o.mp4"), "a", "stream=codec_name"), "aac");
}

#[test]
fn raw_dv_keeps_its_frame_rate() {
    let slot = Slot::new();
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=720x576:r=25:d=1 -f lavfi -i sine=r=48000:d=1 -ac 2 -target pal-dv {}",
        slot.input().display()
    ));
    slot.convert("o.mp4", vec![fast()]);
    let shown = probe(&slot.output("o.mp4"), "v", "stream=avg_frame_rate,nb_frames");
    assert_eq!(shown, "25/1\n25");
}

#[test]
fn audio_that_is_shorter_than_one_frame_of_its_codec_is_converted() {
    let slot = Slot::new();
    ffmpeg(&format!("-f lavfi -i sine=r=44100:d=0.01 -f wav {}", slot.input().display()));
    slot.convert("o.m4a", vec![]);
    let duration: f64 = probe(&slot.output("o.m4a"), "a", "stream=duration").parse().unwrap();
    assert!((duration - 0.01).abs() < 0.001, "{duration}");
}

#[test]
fn frames_that_an_empty_packet_repeats_are_no_damage() {
    // Theora encodes a frame like the one before it as an empty packet.
    let slot = generate(&format!("{FLASHES} -c:v libtheora -c:a libvorbis -f ogg"));
    let messages = slot.convert("o.mp4", vec![fast()]);
    report(&messages);
    assert_eq!(notes(&messages), "");
    let duration = seconds(&slot.output("o.mp4"));
    assert!((duration - 12.0).abs() < 0.1, "{duration}");
    let (flashes, beeps) = beeps(&slot, "o.mp4");
    assert!(flashes.len() >= 6, "{flashes:?}");
    for (flash, beep) in flashes.iter().zip(&beeps).take(6) {
        assert!((flash - beep).abs() < 0.02, "{flashes:?} {beeps:?}");
    }
}

#[test]
fn a_clock_that_wraps_amid_the_recording_goes_on() {
    let slot = generate(&format!("{FLASHES} -output_ts_offset 95438 -mpegts_copyts 1 -f mpegts"));
    report(&slot.convert("o.mp4", vec![fast()]));
    let duration = seconds(&slot.output("o.mp4"));
    assert!((duration - 12.0).abs() < 0.1, "{duration}");
}
