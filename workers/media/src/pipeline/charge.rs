//! Charging of media time: it is reserved before any of it is decoded or produced.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ffapi_domain::media::{MediaFacts, Micros, Role};

use ffmpeg_the_third::{Rational, Rescale, frame};

use super::{
    packet_clock::{self, Reading},
    work::Work,
};
use crate::{
    MediaError, open,
    protocol::{Needs, Permit},
    units::MICROS,
};

/// The step in which media time beyond the plan is reserved: one permit request for each step.
const STEP: Micros = 10_000_000;
/// The step once ten large steps were used.
const LARGE_STEP: Micros = 60_000_000;
/// The media time between the keyframe and the first needed instant that is free of charge.
const FREE_SEEK_LEAD: Micros = 10_000_000;

/// How far an input may continue past the end that its container states: rounding, a last group of
/// pictures, clock drift.
const fn tolerance(length: Micros) -> Micros {
    STEP.saturating_add(length / 20)
}

/// How much longer than its container states a stream may be without being charged for it.
const fn grace(length: Micros) -> Micros {
    1_000_000_u64.saturating_add(length / 100)
}

/// What a task is charged, and what it needs before it starts.
pub(crate) struct TaskCharge {
    /// Media time of the output, or of what is decoded for it if that is more.
    pub(crate) charged: Micros,
    /// True if the inputs may hold less than that.
    pub(crate) is_limit: bool,
    /// Estimated bytes of the outputs.
    pub(crate) bytes: u64,
    /// Folders to create in the output folder.
    pub(crate) folders: Vec<String>,
    /// The first instant of the primary input that is needed.
    pub(crate) seek: Micros,
}

/// Compares the media time that was read of each input with the time that is reserved.
pub(crate) struct Meter<'a> {
    permit: &'a (dyn Fn(Needs) -> Result<Permit, MediaError> + Sync),
    /// Duration of each input; `None` for those whose packets are not counted.
    lengths: Vec<Option<Micros>>,
    planned: Micros,
    /// Media time that may be decoded in addition to the plan, to get to its first instant.
    lead: Micros,
    /// Media time that each audio decoder produced, by its samples: timestamps in a file may be
    /// false.
    audio: Mutex<Vec<Arc<AtomicU64>>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The maximum that any pass read of each input.
    read: BTreeMap<usize, Reading>,
    /// The longest output of any filter graph.
    output: Micros,
    reserved: Micros,
}

impl State {
    /// Media time that was decoded: video of all inputs, or audio if that is more.
    fn decoded(&self, audio: Micros) -> Micros {
        let video = self.read.values().fold(0, |sum: Micros, read| sum.saturating_add(read.video));
        self.read.values().map(|read| read.audio).fold(video.max(audio), Micros::max)
    }
}

/// Reserves what a task is charged, and creates the folders that it will write to. An input that
/// states no duration is read to its end to measure it: an unknown duration is not free.
pub(crate) fn begin<'a>(
    task: TaskCharge,
    facts: &[MediaFacts],
    work: &Work<'a>,
) -> Result<(Permit, Meter<'a>), MediaError> {
    let mut lengths = Vec::new();
    for (number, (file, role)) in work.inputs.iter().enumerate() {
        let stated = facts.get(number).and_then(|facts| facts.duration);
        lengths.push(match (role, stated) {
            (Role::Media, Some(stated)) => Some(stated),
            (Role::Media, None) => {
                Some(packet_clock::duration_by_packets(&mut open::open(file, *role)?))
            }
            (Role::Image | Role::Subtitle, _) => None,
        });
    }
    let all = lengths.iter().flatten().fold(0, |all: Micros, length| all.saturating_add(*length));
    // An image has no duration, but nothing that is decoded is free.
    let planned = match task.charged {
        0 => all.max(1),
        charged if task.is_limit => charged.min(all.max(1)),
        charged => charged,
    };
    let permit =
        (work.permit)(Needs { charged: planned, bytes: task.bytes, folders: task.folders })?;
    let lead = if task.seek > 0 { FREE_SEEK_LEAD } else { 0 };
    let meter = Meter {
        permit: work.permit,
        lengths,
        planned,
        lead,
        audio: Mutex::default(),
        state: Mutex::new(State { reserved: planned, ..State::default() }),
    };
    Ok((permit, meter))
}

impl Meter<'_> {
    /// Records how much was read of an input, from wherever the pass started.
    ///
    /// # Errors
    /// If the input continues far past its stated end, or the permit for the charge is refused.
    pub(crate) fn record_read(&self, input: usize, read: Reading) -> Result<(), MediaError> {
        let Some(length) = self.lengths.get(input).copied().flatten() else { return Ok(()) };
        if read.time.saturating_sub(length) > tolerance(length) {
            return Err(too_long(length));
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let max = state.read.entry(input).or_default();
        max.video = max.video.max(read.video);
        max.audio = max.audio.max(read.audio);
        self.charge(&mut state)
    }

    /// A new counter for an audio decoder: the duration of its samples so far, in microseconds.
    pub(crate) fn audio_counter(&self) -> Arc<AtomicU64> {
        let counter = Arc::default();
        let mut audio = self.audio.lock().unwrap_or_else(PoisonError::into_inner);
        audio.push(Arc::clone(&counter));
        counter
    }

    /// A counter for the output of a filter graph whose timestamps are in `time_base`.
    pub(crate) const fn output_counter(&self, time_base: Rational) -> OutputCounter<'_> {
        OutputCounter { meter: self, time_base, first: None }
    }

    /// Charges what was decoded after the last packet was read.
    ///
    /// # Errors
    /// If the permit for it is refused.
    pub(crate) fn settle(&self) -> Result<(), MediaError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.charge(&mut state)
    }

    fn charge(&self, state: &mut State) -> Result<(), MediaError> {
        let audio = self.audio.lock().unwrap_or_else(PoisonError::into_inner);
        let audio = audio.iter().map(|counter| counter.load(Ordering::Relaxed)).max();
        let (decoded, output) = (state.decoded(audio.unwrap_or(0)), state.output);
        let used = decoded.max(output);
        let free = self.planned.saturating_add(grace(self.planned));
        let is_free = output <= free && decoded <= free.saturating_add(self.lead);
        if used <= state.reserved || is_free {
            return Ok(());
        }
        let step = if used < LARGE_STEP.saturating_mul(10) { STEP } else { LARGE_STEP };
        let charged = used.div_ceil(step).saturating_mul(step);
        (self.permit)(Needs { charged, bytes: 0, folders: vec![] })?;
        state.reserved = charged;
        Ok(())
    }
}

/// Measures the output of one filter graph, from its first frame on.
pub(crate) struct OutputCounter<'a> {
    meter: &'a Meter<'a>,
    time_base: Rational,
    /// Timestamp of the first frame, in `time_base`.
    first: Option<i64>,
}

impl OutputCounter<'_> {
    /// Counts a frame before it is encoded: filters may produce more than is decoded, by a change
    /// of speed or frame rate, or by filling gaps.
    ///
    /// # Errors
    /// If the permit for the charge is refused.
    pub(crate) fn count(&mut self, frame: &frame::Frame) -> Result<(), MediaError> {
        let span = frame.pts().map_or(0, |at| {
            let first = *self.first.get_or_insert(at);
            at.saturating_sub(first).rescale(self.time_base, MICROS)
        });
        let mut state = self.meter.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.output = state.output.max(Micros::try_from(span).unwrap_or(0));
        self.meter.charge(&mut state)
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown in seconds")]
fn too_long(length: Micros) -> MediaError {
    MediaError::input(format!(
        "the input continues past its end: its container states a duration of {:.1} s, but holds \
         more than that; remux it (`ffmpeg -i in.mkv -c copy out.mkv`) and send the result",
        length as f64 / 1_000_000.0
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;

    /// The permits that are requested, in seconds, while the seconds in `read` are read of a video
    /// of one minute, of which `planned` seconds are planned from `seek` on.
    fn requested(
        planned: Micros,
        seek: Micros,
        read: &[Micros],
    ) -> (Vec<Micros>, Result<(), MediaError>) {
        let requested = Mutex::new(vec![]);
        let permit = |needs: Needs| {
            requested.lock().unwrap().push(needs.charged / SECOND);
            Ok(Permit::default())
        };
        let lead = if seek > 0 { FREE_SEEK_LEAD } else { 0 };
        let meter = Meter {
            permit: &permit,
            lengths: vec![Some(60 * SECOND), None],
            planned: planned * SECOND,
            lead,
            audio: Mutex::default(),
            state: Mutex::new(State { reserved: planned * SECOND, ..State::default() }),
        };
        let reading = |seconds: Micros| {
            let time = seconds * SECOND;
            Reading { time, video: time, audio: time }
        };
        meter.record_read(1, reading(1_000)).unwrap();
        let outcome = read.iter().try_for_each(|seconds| meter.record_read(0, reading(*seconds)));
        (requested.into_inner().unwrap(), outcome)
    }

    #[test]
    fn media_time_beyond_the_plan_is_charged_in_steps() {
        assert_eq!(requested(60, 0, &[1, 59, 61]), (vec![], Ok(())));
        assert_eq!(requested(60, 0, &[62, 65, 70]), (vec![70], Ok(())));
        assert_eq!(requested(60, 0, &[62, 71, 73]), (vec![70, 80], Ok(())));
        // Most of the video is decoded for a short output.
        assert_eq!(requested(1, 0, &[1, 2, 3, 10, 11, 60]), (vec![10, 20, 60], Ok(())));
    }

    #[test]
    fn decoding_from_the_keyframe_to_the_seek_target_is_free_up_to_a_limit() {
        assert_eq!(requested(1, 50, &[1, 9, 12]), (vec![], Ok(())));
        assert_eq!(requested(1, 50, &[1, 9, 13]), (vec![20], Ok(())));
    }

    #[test]
    fn an_input_that_continues_past_its_stated_end_is_rejected() {
        let (_, outcome) = requested(60, 0, &[74]);
        let error = outcome.unwrap_err();
        assert_eq!(error.code, ffapi_domain::job::FailureCode::InvalidInput);
        assert!(error.message.contains("60.0 s"), "{error}");
    }

    #[test]
    fn video_of_all_inputs_counts_and_audio_only_where_it_is_more() {
        let reading = |video, audio| Reading { time: 0, video, audio };
        let of = |read: &[Reading]| State {
            read: read.iter().copied().enumerate().collect(),
            ..State::default()
        };
        assert_eq!(of(&[reading(60, 60), reading(0, 50)]).decoded(0), 60);
        assert_eq!(of(&[reading(60, 60), reading(30, 30)]).decoded(0), 90);
        assert_eq!(of(&[reading(0, 7), reading(0, 9)]).decoded(0), 9);
        // Audio may be longer by its samples than by its timestamps.
        assert_eq!(of(&[reading(60, 60)]).decoded(61), 61);
        assert_eq!(of(&[reading(60, 1)]).decoded(59), 60);
    }
}
