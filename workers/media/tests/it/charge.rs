//! What a task is charged, whatever its input says of its length.

use std::fs;

use ffapi_domain::{
    Personal,
    media::{
        Analyze, AudioCodec, Capabilities, Fps, MediaRequest, Metric, Micros, Operation, Preset,
        Speed, Transcode, Trim,
    },
};
use ffapi_media::protocol::{ChildMessage, Permit, Place, Task};

use crate::harness::{Slot, Transcript, failure, ffmpeg, report};

const SECOND: Micros = 1_000_000;

fn quick() -> Vec<Operation> {
    let preset = Some(Preset::Ultrafast);
    vec![Operation::Transcode(Transcode { preset, ..Transcode::default() })]
}

/// Media seconds that a child asked for, one question after the other.
fn asked(talk: &Transcript) -> Vec<Micros> {
    let asked = talk.iter().filter_map(|said| match said {
        ChildMessage::Needs(needs) => Some((needs.charged + SECOND / 2) / SECOND),
        _ => None,
    });
    asked.collect()
}

fn source(seconds: u32, how: &str) -> Slot {
    let slot = Slot::new();
    let input = slot.input();
    let picture = format!("testsrc2=s=160x90:r=25:d={seconds}");
    ffmpeg(&format!(
        "-f lavfi -i {picture} -c:v libx264 -preset ultrafast {how} {}",
        input.display()
    ));
    slot
}

#[test]
fn a_stream_that_states_no_length_is_charged_what_is_in_it() {
    let slot = source(4, "-f h264");
    let talk = slot.convert("o.mp4", quick());
    report(&talk);
    assert_eq!(asked(&talk), [4]);
    let (input, metrics) = (Personal::Erased, vec![Metric::Scenes]);
    let analyze = Analyze { input, reference: None, metrics, per_frame: false };
    let talk = slot.run(MediaRequest::Analyze(analyze), "o");
    report(&talk);
    assert_eq!(asked(&talk), [4]);
}

#[test]
fn what_is_made_beyond_what_is_decoded_is_charged() {
    let slot = source(4, "-f h264");
    let slowed = |times| {
        let mut operations = vec![Operation::Speed(Speed { factor: 0.1 }); times];
        operations.push(Operation::Fps(Fps { millifps: 25_000 }));
        let talk = slot.convert("o.mp4", [operations, quick()].concat());
        let lasts = report(&talk).files[0].duration.unwrap();
        slot.clear();
        (format!("{lasts:.0}"), *asked(&talk).last().unwrap())
    };
    assert_eq!(slowed(1), ("40".to_owned(), 40));
    assert_eq!(slowed(2), ("400".to_owned(), 400));
}

#[test]
fn a_gap_that_is_filled_is_charged() {
    let slot = Slot::new();
    let two = "testsrc2=s=160x90:r=1:d=2,setpts=N*600/TB";
    ffmpeg(&format!(
        "-f lavfi -i {two} -fps_mode vfr -c:v libx264 -f matroska -live 1 {}",
        slot.input().display()
    ));
    let fps = vec![Operation::Fps(Fps { millifps: 25_000 })];
    let talk = slot.convert("o.mp4", [fps, quick()].concat());
    let lasts = report(&talk).files[0].duration.unwrap();
    assert!((600.0..=602.0).contains(&lasts), "{lasts}");
    // Asked for before it is made: a refusal ends it there.
    let asked = asked(&talk);
    assert!(asked.len() > 10 && *asked.last().unwrap() >= 600, "{asked:?}");
}

#[test]
fn slowed_sound_is_charged_what_is_made() {
    let slot = Slot::new();
    ffmpeg(&format!("-f lavfi -i sine=d=20 -c:a aac -f adts {}", slot.input().display()));
    let aac = Transcode { audio_codec: Some(AudioCodec::Aac), ..Transcode::default() };
    let slow = Operation::Speed(Speed { factor: 0.1 });
    let talk = slot.convert("o.m4a", vec![slow, Operation::Transcode(aac)]);
    let lasts = report(&talk).files[0].duration.unwrap();
    assert!((199.0..=201.0).contains(&lasts), "{lasts}");
    assert!((200..=210).contains(asked(&talk).last().unwrap()), "{:?}", asked(&talk));
}

#[test]
fn what_is_decoded_for_a_moment_of_output_is_charged() {
    // One keyframe at the beginning: all of it is decoded for the last half second.
    let slot = source(60, "-g 9999 -f mp4");
    let end = Trim { start: 59 * SECOND + SECOND / 2, end: Some(60 * SECOND) };
    let talk = slot.convert("o.mp4", [vec![Operation::Trim(end)], quick()].concat());
    report(&talk);
    let asked_last = *asked(&talk).last().unwrap();
    assert!((50..=60).contains(&asked_last), "{:?}", asked(&talk));
    let fast = Operation::Speed(Speed { factor: 50.0 });
    slot.clear();
    let talk = slot.convert("o.mp4", [vec![fast], quick()].concat());
    report(&talk);
    assert_eq!(asked(&talk), [60]);
}

#[test]
fn a_film_that_was_cut_by_an_edit_list_is_converted_and_charged_what_is_decoded() {
    let source = source(120, "-g 9999 -f mp4");
    for (start, decoded) in [(5, 25), (15, 35), (45, 65)] {
        let slot = Slot::new();
        let (from, to) = (source.input(), slot.input());
        ffmpeg(&format!("-ss {start} -i {} -t 20 -c copy -f mp4 {}", from.display(), to.display()));
        let talk = slot.convert("o.mp4", quick());
        let lasts = report(&talk).files[0].duration.unwrap();
        assert!((lasts - 20.0).abs() < 0.3, "{start}: {lasts}");
        let charged = *asked(&talk).last().unwrap();
        assert!((decoded - 1..=decoded + 10).contains(&charged), "{start}: {:?}", asked(&talk));
    }
}

#[test]
fn pictures_count_whatever_times_a_file_gives_them() {
    let slot = source(60, "-f mp4");
    // A hundred times as fast: 1500 pictures in 0.6 s.
    let fast = slot.output("fast.mp4");
    let (from, to) = (slot.input(), fast.clone());
    ffmpeg(&format!(
        "-itsscale 0.01 -i {} -c copy -video_track_timescale 1000000 {}",
        from.display(),
        to.display()
    ));
    fs::rename(fast, slot.input()).unwrap();
    let talk = slot.convert("o.mp4", quick());
    report(&talk);
    assert_eq!(asked(&talk), [1, 10]);
}

/// What is asked for while the sound of an input is encoded to AAC.
fn asked_for_sound(slot: &Slot) -> Vec<Micros> {
    let aac = Transcode { audio_codec: Some(AudioCodec::Aac), ..Transcode::default() };
    asked(&slot.convert("o.m4a", vec![Operation::Transcode(aac)]))
}

#[test]
fn sound_counts_by_its_samples_where_a_file_gives_it_false_times() {
    for (codec, scale) in [("aac", "0.001"), ("libvorbis", "0.001"), ("aac", "0.4")] {
        let slot = Slot::new();
        let (honest, input) = (slot.output("honest.mp4"), slot.input());
        ffmpeg(&format!("-f lavfi -i sine=d=60 -c:a {codec} {}", honest.display()));
        let scaled = format!("-itsscale {scale} -i {}", honest.display());
        ffmpeg(&format!("{scaled} -c copy -f mp4 {}", input.display()));
        fs::remove_file(honest).unwrap();
        let asked = asked_for_sound(&slot);
        assert!((60..=70).contains(asked.last().unwrap()), "{codec} {scale}: {asked:?}");
    }
}

#[test]
fn sound_of_short_packets_in_a_container_of_coarse_times_counts_once() {
    let slot = Slot::new();
    let input = slot.input();
    let encode = "-f lavfi -i sine=d=60:r=48000 -ac 2 -c:a truehd -strict -2";
    ffmpeg(&format!("{encode} -f matroska {}", input.display()));
    assert_eq!(asked_for_sound(&slot), [60]);
}

/// A Matroska file that says it lasts a second, whatever is in it.
fn false_length(seconds: u32) -> Slot {
    let slot = source(seconds, "-f matroska");
    let mut bytes = fs::read(slot.input()).unwrap();
    let at = bytes.windows(3).position(|three| three == [0x44, 0x89, 0x88]).unwrap() + 3;
    bytes.get_mut(at..at + 8).unwrap().copy_from_slice(&1000_f64.to_be_bytes());
    fs::write(slot.input(), bytes).unwrap();
    slot
}

#[test]
fn what_goes_on_far_behind_its_stated_end_is_stopped() {
    let talk = false_length(60).convert("o.mp4", quick());
    let (code, message) = failure(&talk);
    assert_eq!(code, "invalid_input", "{message}");
    assert!(message.contains("states a length of 1.0 s"), "{message}");
    // What was read of it until then was asked for.
    assert_eq!(asked(&talk), [1, 10, 20]);
}

#[test]
fn what_does_not_fit_into_memory_is_refused_before_it_is_charged() {
    let slot = Slot::new();
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=3840x2160:r=25:d=3 -c:v libx264 -preset ultrafast -f mp4 {}",
        slot.input().display()
    ));
    let slow = Transcode { preset: Some(Preset::Veryslow), ..Transcode::default() };
    let task = Task::Run {
        request: Box::new(Slot::conversion("o.mp4", vec![Operation::Transcode(slow)])),
        capabilities: Capabilities::everything(),
        place: Place::CPU,
        output: "o.mp4".to_owned(),
    };
    let memory = format!("memory={}", 700 * 1024 * 1024);
    let talk = slot.task_with(Permit::default(), &task, &[&memory], &[]);
    let (code, message) = failure(&talk);
    assert_eq!(code, "unsupported", "{message}");
    assert!(message.contains("759 MiB") && message.contains("700 MiB"), "{message}");
    assert_eq!(asked(&talk), Vec::<Micros>::new());
}

#[test]
fn a_wrong_length_is_no_reason_to_try_again() {
    let talk = false_length(4).convert("o.mp4", quick());
    let (code, message) = failure(&talk);
    assert_eq!(code, "invalid_input", "{message}");
}
