//! What a task is charged, whatever duration its input states.

use std::fs;

use ffapi_domain::{
    Personal,
    media::{
        Analyze, AudioCodec, Capabilities, Fps, MediaRequest, Metric, Micros, Operation, Preset,
        Speed, Transcode, Trim,
    },
};
use ffapi_media::protocol::{ChildMessage, Permit, PoolAssignment, Task};

use crate::harness::{Slot, Transcript, failure, ffmpeg, report};

const SECOND: Micros = 1_000_000;

fn quick() -> Vec<Operation> {
    let preset = Some(Preset::Ultrafast);
    vec![Operation::Transcode(Transcode { preset, ..Transcode::default() })]
}

/// The totals in media seconds that a child asked permits for, in order.
fn charges(messages: &Transcript) -> Vec<Micros> {
    let charges = messages.iter().filter_map(|message| match message {
        ChildMessage::Needs(needs) => Some((needs.charged + SECOND / 2) / SECOND),
        _ => None,
    });
    charges.collect()
}

fn source(seconds: u32, options: &str) -> Slot {
    let slot = Slot::new();
    let input = slot.input();
    let video = format!("testsrc2=s=160x90:r=25:d={seconds}");
    ffmpeg(&format!(
        "-f lavfi -i {video} -c:v libx264 -preset ultrafast {options} {}",
        input.display()
    ));
    slot
}

#[test]
fn a_stream_without_a_stated_duration_is_charged_by_its_packets() {
    let slot = source(4, "-f h264");
    let messages = slot.convert("o.mp4", quick());
    report(&messages);
    assert_eq!(charges(&messages), [4]);
    let (input, metrics) = (Personal::Erased, vec![Metric::Scenes]);
    let analyze = Analyze { input, reference: None, metrics, per_frame: false };
    let messages = slot.run(MediaRequest::Analyze(analyze), "o");
    report(&messages);
    assert_eq!(charges(&messages), [4]);
}

#[test]
fn output_that_is_longer_than_the_input_is_charged() {
    let slot = source(4, "-f h264");
    let slowed = |times| {
        let mut operations = vec![Operation::Speed(Speed { factor: 0.1 }); times];
        operations.push(Operation::Fps(Fps { millifps: 25_000 }));
        let messages = slot.convert("o.mp4", [operations, quick()].concat());
        let duration = report(&messages).files[0].duration.unwrap();
        slot.clear();
        (format!("{duration:.0}"), *charges(&messages).last().unwrap())
    };
    assert_eq!(slowed(1), ("40".to_owned(), 40));
    assert_eq!(slowed(2), ("400".to_owned(), 400));
}

#[test]
fn a_gap_that_is_filled_is_charged() {
    let slot = Slot::new();
    let source = "testsrc2=s=160x90:r=1:d=2,setpts=N*600/TB";
    ffmpeg(&format!(
        "-f lavfi -i {source} -fps_mode vfr -c:v libx264 -f matroska -live 1 {}",
        slot.input().display()
    ));
    let fps = vec![Operation::Fps(Fps { millifps: 25_000 })];
    let messages = slot.convert("o.mp4", [fps, quick()].concat());
    let duration = report(&messages).files[0].duration.unwrap();
    assert!((600.0..=602.0).contains(&duration), "{duration}");
    // Its length comes from its packets, which is requested before it is encoded.
    assert_eq!(charges(&messages), [601]);
}

#[test]
fn a_trim_may_end_past_the_end_of_an_input_that_states_no_duration() {
    let slot = source(8, "-f matroska -live 1");
    let kept = |start, end| {
        let trim = Operation::Trim(Trim { start: start * SECOND, end: Some(end * SECOND) });
        slot.convert("o.mp4", [vec![trim], quick()].concat())
    };
    for (start, end, expected) in [(0, 30, 8), (2, 30, 6), (1, 3, 2)] {
        let messages = kept(start, end);
        let duration = report(&messages).files[0].duration.unwrap();
        assert_eq!(format!("{duration:.0}"), expected.to_string(), "{start}..{end}");
        let charges = charges(&messages);
        assert!((expected..=8).contains(charges.last().unwrap()), "{start}..{end}: {charges:?}");
        slot.clear();
    }
    let messages = kept(20, 30);
    let (code, message) = failure(&messages);
    assert_eq!(code, "unsupported", "{message}");
    assert!(message.contains("the input lasts 8.000 s here"), "{message}");
}

#[test]
fn slowed_audio_is_charged_by_its_output() {
    let slot = Slot::new();
    ffmpeg(&format!("-f lavfi -i sine=d=20 -c:a aac -f adts {}", slot.input().display()));
    let aac = Transcode { audio_codec: Some(AudioCodec::Aac), ..Transcode::default() };
    let slow = Operation::Speed(Speed { factor: 0.1 });
    let messages = slot.convert("o.m4a", vec![slow, Operation::Transcode(aac)]);
    let duration = report(&messages).files[0].duration.unwrap();
    assert!((199.0..=201.0).contains(&duration), "{duration}");
    assert!((200..=210).contains(charges(&messages).last().unwrap()), "{:?}", charges(&messages));
}

#[test]
fn input_that_is_decoded_for_a_short_output_is_charged() {
    // With one keyframe at the start, all of it is decoded for the last half second.
    let slot = source(60, "-g 9999 -f mp4");
    let end = Trim { start: 59 * SECOND + SECOND / 2, end: Some(60 * SECOND) };
    let messages = slot.convert("o.mp4", [vec![Operation::Trim(end)], quick()].concat());
    report(&messages);
    let last = *charges(&messages).last().unwrap();
    assert!((50..=60).contains(&last), "{:?}", charges(&messages));
    let fast = Operation::Speed(Speed { factor: 50.0 });
    slot.clear();
    let messages = slot.convert("o.mp4", [vec![fast], quick()].concat());
    report(&messages);
    assert_eq!(charges(&messages), [60]);
}

#[test]
fn a_video_with_an_edit_list_is_converted_and_charged_by_what_is_decoded() {
    let source = source(120, "-g 9999 -f mp4");
    for (start, decoded) in [(5, 25), (15, 35), (45, 65)] {
        let slot = Slot::new();
        let (from, to) = (source.input(), slot.input());
        ffmpeg(&format!("-ss {start} -i {} -t 20 -c copy -f mp4 {}", from.display(), to.display()));
        let messages = slot.convert("o.mp4", quick());
        let duration = report(&messages).files[0].duration.unwrap();
        assert!((duration - 20.0).abs() < 0.3, "{start}: {duration}");
        let charged = *charges(&messages).last().unwrap();
        assert!((decoded - 1..=decoded + 10).contains(&charged), "{start}: {charged}");
    }
}

#[test]
fn frames_are_charged_whatever_their_timestamps() {
    let slot = source(60, "-f mp4");
    // A hundred times as fast: 1500 frames in 0.6 s.
    let fast = slot.output("fast.mp4");
    let (from, to) = (slot.input(), fast.clone());
    ffmpeg(&format!(
        "-itsscale 0.01 -i {} -c copy -video_track_timescale 1000000 {}",
        from.display(),
        to.display()
    ));
    fs::rename(fast, slot.input()).unwrap();
    let messages = slot.convert("o.mp4", quick());
    report(&messages);
    assert_eq!(charges(&messages), [1, 10]);
}

/// The charges of encoding an input's audio to AAC.
fn audio_charges(slot: &Slot) -> Vec<Micros> {
    let aac = Transcode { audio_codec: Some(AudioCodec::Aac), ..Transcode::default() };
    charges(&slot.convert("o.m4a", vec![Operation::Transcode(aac)]))
}

#[test]
fn audio_with_false_timestamps_is_charged_by_its_samples() {
    for (codec, scale) in [("aac", "0.001"), ("libvorbis", "0.001"), ("aac", "0.4")] {
        let slot = Slot::new();
        let (honest, input) = (slot.output("honest.mp4"), slot.input());
        ffmpeg(&format!("-f lavfi -i sine=d=60 -c:a {codec} {}", honest.display()));
        let scaled = format!("-itsscale {scale} -i {}", honest.display());
        ffmpeg(&format!("{scaled} -c copy -f mp4 {}", input.display()));
        fs::remove_file(honest).unwrap();
        let charges = audio_charges(&slot);
        assert!((60..=70).contains(charges.last().unwrap()), "{codec} {scale}: {charges:?}");
    }
}

#[test]
fn audio_in_short_packets_with_coarse_timestamps_is_charged_once() {
    let slot = Slot::new();
    let input = slot.input();
    let encode = "-f lavfi -i sine=d=60:r=48000 -ac 2 -c:a truehd -strict -2";
    ffmpeg(&format!("{encode} -f matroska {}", input.display()));
    assert_eq!(audio_charges(&slot), [60]);
}

/// A Matroska file that states a duration of one second, whatever it contains.
pub(crate) fn false_duration(seconds: u32) -> Slot {
    let slot = source(seconds, "-f matroska");
    let mut bytes = fs::read(slot.input()).unwrap();
    let at = bytes.windows(3).position(|three| three == [0x44, 0x89, 0x88]).unwrap() + 3;
    bytes.get_mut(at..at + 8).unwrap().copy_from_slice(&1000_f64.to_be_bytes());
    fs::write(slot.input(), bytes).unwrap();
    slot
}

#[test]
fn an_input_is_charged_by_its_packets_whatever_duration_it_states() {
    let messages = false_duration(60).convert("o.mp4", quick());
    report(&messages);
    assert_eq!(charges(&messages), [60]);
}

#[test]
fn a_task_that_exceeds_its_memory_is_refused_before_it_is_charged() {
    let slot = Slot::new();
    ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=3840x2160:r=25:d=3 -c:v libx264 -preset ultrafast -f mp4 {}",
        slot.input().display()
    ));
    let slow = Transcode { preset: Some(Preset::Veryslow), ..Transcode::default() };
    let task = Task::Run {
        request: Box::new(Slot::conversion("o.mp4", vec![Operation::Transcode(slow)])),
        capabilities: Capabilities::everything(),
        assignment: PoolAssignment::CPU,
        output: "o.mp4".to_owned(),
    };
    let memory = format!("memory={}", 700 * 1024 * 1024);
    let messages = slot.task_with(Permit::default(), &task, &[&memory], &[]);
    let (code, message) = failure(&messages);
    assert_eq!(code, "unsupported", "{message}");
    assert!(message.contains("759 MiB") && message.contains("700 MiB"), "{message}");
    assert_eq!(charges(&messages), Vec::<Micros>::new());
}
