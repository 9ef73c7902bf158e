//! Inputs whose streams do not end together, or end before the end that their container states.

use std::fs;

use ffapi_domain::media::{
    Audio, AudioCodec, MediaRequest, Operation, Packaging, Preset, Transcode, Trim, VideoCodec,
};

use crate::{
    harness::{Slot, clip, failure, ffprobe, probe, report, seconds},
    stream,
    unusual_inputs::{fast, generate},
};

/// A container, and whether it states the end of each stream.
const CONTAINERS: [&str; 4] = ["mp4", "matroska", "flv", "mpegts"];

fn streams_of(video: u32, audio: u32, container: &str) -> Slot {
    generate(&format!(
        "-f lavfi -i testsrc2=s=160x90:r=25:d={video} -f lavfi -i sine=r=44100:d={audio} \
         -c:v libx264 -preset ultrafast -g 25 -c:a aac -f {container}"
    ))
}

fn duration_of(slot: &Slot, output: &str, operations: Vec<Operation>) -> f64 {
    slot.clear();
    report(&slot.convert(output, operations));
    seconds(&slot.output(output))
}

#[test]
fn an_output_lasts_as_long_as_the_streams_that_it_keeps() {
    let removed = || Operation::Audio(Audio { remove: true, ..Audio::default() });
    let extracted = || Operation::Audio(Audio { extract: true, ..Audio::default() });
    for container in CONTAINERS {
        for (video, audio) in [(2_u32, 5_u32), (5, 2)] {
            let slot = streams_of(video, audio, container);
            let expected = [
                ("o.mp4", vec![fast()], video.max(audio)),
                ("o.mp4", vec![removed(), fast()], video),
                ("o.gif", vec![], video),
                ("o.mp4", vec![extracted()], audio),
                ("o.mp3", vec![], audio),
            ];
            for (output, operations, expected) in expected {
                let found = duration_of(&slot, output, operations);
                let case = format!("{container} {video} {audio} {output}");
                assert!((found - f64::from(expected)).abs() < 0.2, "{case}: {found}");
            }
        }
    }
}

#[test]
fn each_stream_of_a_stream_output_ends_where_its_source_does() {
    for container in CONTAINERS {
        for (video, audio) in [(3_u32, 6_u32), (6, 3)] {
            let slot = streams_of(video, audio, container);
            let mut request = stream::request(Packaging::Hls);
            request.variants = vec![stream::variant("low", 90)];
            report(&slot.run(MediaRequest::Stream(request), "output."));
            for (rendition, expected) in [("low", video), ("audio-0", audio)] {
                let found = seconds(&stream::remuxed(&slot, rendition));
                let case = format!("{container} {video} {audio} {rendition}");
                assert!((found - f64::from(expected)).abs() < 0.2, "{case}: {found}");
            }
        }
    }
}

#[test]
fn an_input_that_ends_before_its_stated_end_is_rejected_whichever_streams_are_kept() {
    let whole = Slot::new();
    clip(&whole.input(), "320x180", 6, &["-f", "matroska"]);
    let bytes = fs::read(whole.input()).unwrap();
    let cut_off = Slot::with(&bytes[..bytes.len() * 6 / 10]);
    let copy = || {
        Operation::Transcode(Transcode {
            video_codec: Some(VideoCodec::Copy),
            audio_codec: Some(AudioCodec::Copy),
            ..Transcode::default()
        })
    };
    for (output, operations) in
        [("o.mp4", vec![fast()]), ("o.mkv", vec![copy()]), ("o.gif", vec![]), ("o.mp3", vec![])]
    {
        cut_off.clear();
        let messages = cut_off.convert(output, operations);
        let (code, message) = failure(&messages);
        assert_eq!(code, "invalid_input", "{output}: {message}");
        assert!(message.contains("cut off"), "{output}: {message}");
    }
    // What is needed of it is there.
    let start = Operation::Trim(Trim { start: 0, end: Some(1_000_000) });
    assert!((duration_of(&cut_off, "o.mp4", vec![start, fast()]) - 1.0).abs() < 0.1);
}

#[test]
fn an_input_that_is_longer_than_its_container_states_is_converted_whole() {
    let slot = crate::charge::false_duration(4);
    assert!((duration_of(&slot, "o.mp4", vec![fast()]) - 4.0).abs() < 0.1);
}

/// A Matroska file whose last but one audio packet has a timestamp that is this much earlier.
fn stepping_back(milliseconds: i16) -> Slot {
    let slot = streams_of(4, 4, "matroska");
    let mut bytes = fs::read(slot.input()).unwrap();
    // A SimpleBlock of the second track: its number, its time in the cluster, its flags.
    let time_of = |bytes: &[u8]| match bytes {
        [0x82, high, low, 0x80] => Some(i16::from_be_bytes([*high, *low])),
        _ => None,
    };
    let blocks = bytes.windows(4).enumerate().filter_map(|(at, bytes)| Some((at, time_of(bytes)?)));
    let (at, time) = blocks.collect::<Vec<_>>().into_iter().rev().nth(1).unwrap();
    let time = (time - milliseconds).to_be_bytes();
    bytes.get_mut(at + 1..at + 3).unwrap().copy_from_slice(&time);
    fs::write(slot.input(), bytes).unwrap();
    let times = ffprobe(&format!(
        "-select_streams a -show_entries packet=pts_time -of csv=p=0 {}",
        slot.input().display()
    ));
    let times: Vec<f64> =
        times.lines().filter_map(|line| line.trim_matches(',').parse().ok()).collect();
    assert!(!times.is_sorted(), "{times:?}");
    slot
}

#[test]
fn copied_audio_may_step_back() {
    let copied = Transcode {
        audio_codec: Some(AudioCodec::Copy),
        preset: Some(Preset::Ultrafast),
        ..Transcode::default()
    };
    let copied = || vec![Operation::Transcode(copied.clone())];
    for back in [500, 2_000] {
        let slot = stepping_back(back);
        let packets = probe(&slot.input(), "a:0", "packet=size");
        for output in ["o.mp4", "o.mkv", "o.ts"] {
            let duration = duration_of(&slot, output, copied());
            assert!((duration - 4.0).abs() < 0.2, "{output}: {duration}");
            let found = probe(&slot.output(output), "a:0", "packet=pts");
            assert_eq!(found.lines().count(), packets.lines().count(), "{output}");
        }
    }
}

#[test]
fn a_part_in_which_a_track_has_ended_shows_its_last_frame_or_is_silent() {
    let cut = || Operation::Trim(Trim { start: 4_000_000, end: None });
    let two_pass = Transcode {
        two_pass: true,
        video_bitrate: Some(200_000),
        preset: Some(Preset::Ultrafast),
        ..Transcode::default()
    };
    let ended_video = streams_of(2, 8, "mp4");
    let ended_audio = streams_of(8, 2, "mp4");
    for (slot, operations) in [
        (&ended_video, vec![cut(), fast()]),
        (&ended_video, vec![cut(), Operation::Transcode(two_pass)]),
        (&ended_audio, vec![cut(), fast()]),
    ] {
        let duration = duration_of(slot, "o.mp4", operations);
        assert!((duration - 4.0).abs() < 0.1, "{duration}");
        assert_eq!(probe(&slot.output("o.mp4"), "", "format=nb_streams"), "2");
    }
    // A copy has no packets to show.
    let copied = Transcode { audio_codec: Some(AudioCodec::Copy), ..Transcode::default() };
    ended_audio.clear();
    let messages = ended_audio.convert("o.mp4", vec![cut(), Operation::Transcode(copied)]);
    let (code, message) = failure(&messages);
    assert_eq!(code, "invalid_input", "{message}");
    assert!(message.contains("nothing is left of the input's audio"), "{message}");
}

#[test]
fn the_length_of_a_raw_stream_is_counted() {
    let unstated = generate("-f lavfi -i testsrc2=s=160x90:r=25:d=2 -c:v libx264 -f h264");
    let kept = Operation::Trim(Trim { start: 1_000_000, end: Some(6_000_000) });
    let duration = duration_of(&unstated, "o.mp4", vec![kept, fast()]);
    assert!((duration - 1.0).abs() < 0.1, "{duration}");
    for output in ["o.gif", "o.webp", "o.mp4"] {
        let cut = Operation::Trim(Trim { start: 4_000_000, end: Some(6_000_000) });
        unstated.clear();
        let messages = unstated.convert(output, vec![cut]);
        let (code, message) = failure(&messages);
        assert_eq!(code, "unsupported", "{output}: {message}");
        assert!(message.contains("the input lasts"), "{output}: {message}");
    }
}

#[test]
fn a_trim_that_ends_before_one_stream_and_after_another_is_cut_there() {
    let copied = || {
        Operation::Transcode(Transcode {
            video_codec: Some(VideoCodec::Copy),
            audio_codec: Some(AudioCodec::Copy),
            ..Transcode::default()
        })
    };
    for container in CONTAINERS {
        for (video, audio) in [(20_u32, 6_u32), (6, 20)] {
            let slot = streams_of(video, audio, container);
            let kept = || Operation::Trim(Trim { start: 0, end: Some(10_000_000) });
            for operations in [vec![kept(), fast()], vec![kept(), copied()]] {
                let duration = duration_of(&slot, "o.mp4", operations);
                assert!((duration - 10.0).abs() < 0.3, "{container} {video} {audio}: {duration}");
            }
        }
    }
}

#[test]
fn an_input_that_lacks_its_last_seconds_is_rejected() {
    for (container, options) in
        [("mp4", "-movflags +faststart"), ("matroska", ""), ("matroska", "-output_ts_offset 3600")]
    {
        let whole = generate(&format!(
            "-f lavfi -i testsrc2=s=160x90:r=25:d=100 -f lavfi -i sine=d=100 \
             -c:v libx264 -preset ultrafast -c:a aac {options} -f {container}"
        ));
        let bytes = fs::read(whole.input()).unwrap();
        let cut_off = Slot::with(&bytes[..bytes.len() * 985 / 1_000]);
        let messages = cut_off.convert("o.mp4", vec![fast()]);
        let (code, message) = failure(&messages);
        assert_eq!(code, "invalid_input", "{container} {options}: {message}");
        assert!(message.contains("cut off"), "{container} {options}: {message}");
    }
}

#[test]
fn tracks_that_are_longer_than_they_state_are_converted_and_streamed_whole() {
    let slot = streams_of(10, 10, "mp4");
    let mut bytes = fs::read(slot.input()).unwrap();
    let boxes = bytes.windows(4).enumerate().filter(|(_, name)| *name == b"mdhd");
    // The duration follows the version, two times and the time scale.
    let durations: Vec<usize> = boxes.map(|(at, _)| at + 4 + 4 + 4 + 4 + 4).collect();
    for at in durations {
        let field = bytes.get_mut(at..at + 4).unwrap();
        let stated = u32::from_be_bytes(field.try_into().unwrap());
        field.copy_from_slice(&(stated / 10).to_be_bytes());
    }
    fs::write(slot.input(), bytes).unwrap();
    assert!((duration_of(&slot, "o.mp4", vec![fast()]) - 10.0).abs() < 0.2);
    slot.clear();
    let mut request = stream::request(Packaging::Hls);
    request.variants = vec![stream::variant("low", 90)];
    report(&slot.run(MediaRequest::Stream(request), "output."));
    assert!((seconds(&stream::remuxed(&slot, "low")) - 10.0).abs() < 0.2);
}

#[test]
fn flac_fits_into_mp4_encoded_and_copied() {
    let flac = Transcode { audio_codec: Some(AudioCodec::Flac), ..Transcode::default() };
    let slot = streams_of(2, 2, "mp4");
    report(&slot.convert("o.mp4", vec![Operation::Transcode(flac)]));
    assert_eq!(probe(&slot.output("o.mp4"), "a:0", "stream=codec_name"), "flac");
    let source = generate("-f lavfi -i sine=d=2 -c:a flac -f flac");
    let copied = Transcode { audio_codec: Some(AudioCodec::Copy), ..Transcode::default() };
    report(&source.convert("o.mp4", vec![Operation::Transcode(copied)]));
    assert_eq!(probe(&source.output("o.mp4"), "a:0", "stream=codec_name"), "flac");
}
