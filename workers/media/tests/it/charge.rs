//! What a task is charged, whatever its input says of its length.

use std::fs;

use domain::{
    Personal,
    media::{Analyze, Capabilities, MediaRequest, Metric, Micros, Operation, Preset, Transcode},
};
use media::protocol::{Permit, Place, Said, Task};

use crate::harness::{Slot, Talk, failure, ffmpeg, report};

const SECOND: Micros = 1_000_000;

fn quick() -> Vec<Operation> {
    let preset = Some(Preset::Ultrafast);
    vec![Operation::Transcode(Transcode { preset, ..Transcode::default() })]
}

/// Media seconds that a child asked for, one question after the other.
fn asked(talk: &Talk) -> Vec<Micros> {
    let asked = talk.iter().filter_map(|said| match said {
        Said::Needs(needs) => Some((needs.charged + SECOND / 2) / SECOND),
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
    assert_eq!(asked(&talk), [1, 11, 21]);
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
