//! What a task is charged: media time, reserved before any of it is decoded or made.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ffapi_domain::media::{MediaFacts, Micros, Role};

use ffmpeg_the_third::{Rational, Rescale, frame};

use super::{MICROS, Work, demux::Reading};
use crate::{
    MediaError, open,
    protocol::{Needs, Permit},
    verify,
};

/// What is charged at once when more is decoded or made than was planned: so often leave is asked for.
const STEP: Micros = 10_000_000;
/// The same once it is much.
const LARGE_STEP: Micros = 60_000_000;
/// What is read before the first instant that is needed, from the keyframe on, is free so far.
const LEAD: Micros = 10_000_000;

/// How far an input may go on behind the end that its container states: rounding, a last group of
/// pictures, a clock that drifts.
const fn tolerance(length: Micros) -> Micros {
    STEP.saturating_add(length / 20)
}

/// What streams may last longer than their container says without being charged for it.
const fn grace(length: Micros) -> Micros {
    1_000_000_u64.saturating_add(length / 100)
}

/// What a task is charged and needs before it begins.
pub(super) struct Due {
    /// Media time of what is made, or of what is decoded for it.
    pub(super) charged: Micros,
    /// What it will write to, beside the output folder itself.
    pub(super) folders: Vec<String>,
    /// The first instant of the job's input that is needed.
    pub(super) seek: Micros,
}

/// Media time that was read of each input, against what was reserved for it.
pub(super) struct Meter<'a> {
    permit: &'a (dyn Fn(Needs) -> Result<Permit, MediaError> + Sync),
    /// How long each input is; none for those that no packets are counted of.
    lengths: Vec<Option<Micros>>,
    planned: Micros,
    /// What is decoded or made beyond the plan and not charged.
    free: Micros,
    /// What each decoder of sound has made, by its samples, whatever times a file gives them.
    sound: Mutex<Vec<Arc<AtomicU64>>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The most that any pass read of each input.
    read: BTreeMap<usize, Reading>,
    /// The longest that came out of any graph.
    made: Micros,
    reserved: Micros,
}

impl State {
    /// Media time that was decoded: pictures of all inputs, or sound if that is more.
    fn decoded(&self, sound: Micros) -> Micros {
        let pictures =
            self.read.values().fold(0, |all: Micros, read| all.saturating_add(read.pictures));
        self.read.values().map(|read| read.sound).fold(pictures.max(sound), Micros::max)
    }
}

/// Reserves what a task is charged, and has the folders made that it will write to. An input that does
/// not say how long it is, is read through to find out: what is unknown is not free.
pub(super) fn begin<'a>(
    due: Due,
    facts: &[MediaFacts],
    work: &Work<'a>,
) -> Result<(Permit, Meter<'a>), MediaError> {
    let mut lengths = Vec::new();
    for (number, (file, role)) in work.inputs.iter().enumerate() {
        let stated = facts.get(number).and_then(|facts| facts.duration);
        lengths.push(match (role, stated) {
            (Role::Media, Some(stated)) => Some(stated),
            (Role::Media, None) => Some(verify::lasts(&mut open::open(file, *role)?)),
            (Role::Image | Role::Subtitle, _) => None,
        });
    }
    let all = lengths.iter().flatten().fold(0, |all: Micros, length| all.saturating_add(*length));
    // A picture is a moment; nothing that is decoded is free.
    let planned = if due.charged == 0 { all.max(1) } else { due.charged };
    let permit = (work.permit)(Needs { charged: planned, folders: due.folders })?;
    let lead = if due.seek > 0 { LEAD } else { 0 };
    let meter = Meter {
        permit: work.permit,
        lengths,
        planned,
        free: lead.saturating_add(grace(planned)),
        sound: Mutex::default(),
        state: Mutex::new(State { reserved: planned, ..State::default() }),
    };
    Ok((permit, meter))
}

impl Meter<'_> {
    /// Notes that so much was read of an input, from wherever its reading began.
    ///
    /// # Errors
    /// When it goes on far behind its stated end, or what it is charged for that is refused.
    pub(super) fn reach(&self, input: usize, read: Reading) -> Result<(), MediaError> {
        let Some(length) = self.lengths.get(input).copied().flatten() else { return Ok(()) };
        if read.time.saturating_sub(length) > tolerance(length) {
            return Err(goes_on(length));
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let most = state.read.entry(input).or_default();
        most.pictures = most.pictures.max(read.pictures);
        most.sound = most.sound.max(read.sound);
        self.charge(&mut state)
    }

    /// Where a decoder of sound writes for how long its samples last so far.
    pub(super) fn sound(&self) -> Arc<AtomicU64> {
        let counter = Arc::default();
        let mut sound = self.sound.lock().unwrap_or_else(PoisonError::into_inner);
        sound.push(Arc::clone(&counter));
        counter
    }

    /// Counts what comes out of a graph whose frames have times in `time_base`.
    pub(super) const fn made(&self, time_base: Rational) -> Made<'_> {
        Made { meter: self, time_base, first: None }
    }

    /// Charges what was decoded behind the last packet that was read.
    ///
    /// # Errors
    /// When it is refused.
    pub(super) fn settle(&self) -> Result<(), MediaError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.charge(&mut state)
    }

    fn charge(&self, state: &mut State) -> Result<(), MediaError> {
        let sound = self.sound.lock().unwrap_or_else(PoisonError::into_inner);
        let sound = sound.iter().map(|made| made.load(Ordering::Relaxed)).max();
        let spent = state.decoded(sound.unwrap_or(0)).max(state.made);
        if spent <= state.reserved || spent <= self.planned.saturating_add(self.free) {
            return Ok(());
        }
        let step = if spent < LARGE_STEP.saturating_mul(10) { STEP } else { LARGE_STEP };
        let charged = spent.div_ceil(step).saturating_mul(step);
        (self.permit)(Needs { charged, folders: vec![] })?;
        state.reserved = charged;
        Ok(())
    }
}

/// What comes out of one graph, from its first frame on.
pub(super) struct Made<'a> {
    meter: &'a Meter<'a>,
    time_base: Rational,
    /// When the first frame begins.
    first: Option<i64>,
}

impl Made<'_> {
    /// Counts a frame before anybody encodes it: filters may make more of what is decoded, by its
    /// speed, its rate or a gap that they fill.
    ///
    /// # Errors
    /// When what it is charged is refused.
    pub(super) fn take(&mut self, frame: &frame::Frame) -> Result<(), MediaError> {
        let Some(at) = frame.pts() else { return Ok(()) };
        let first = *self.first.get_or_insert(at);
        let span = at.saturating_sub(first).rescale(self.time_base, MICROS);
        let span = Micros::try_from(span).unwrap_or(0);
        let mut state = self.meter.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.made = state.made.max(span);
        self.meter.charge(&mut state)
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown in seconds")]
fn goes_on(length: Micros) -> MediaError {
    MediaError::input(format!(
        "the input goes on behind its end: its container states a length of {:.1} s, and more than that \
         is in it; write it anew (`ffmpeg -i in.mkv -c copy out.mkv`) and send that",
        length as f64 / 1_000_000.0
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;

    /// What is asked for, in seconds, while so many seconds of a film of a minute are read, of which
    /// `planned` are planned from `seek` on.
    fn asked(
        planned: Micros,
        seek: Micros,
        read: &[Micros],
    ) -> (Vec<Micros>, Result<(), MediaError>) {
        let asked = Mutex::new(vec![]);
        let permit = |needs: Needs| {
            asked.lock().unwrap().push(needs.charged / SECOND);
            Ok(Permit::default())
        };
        let lead = if seek > 0 { LEAD } else { 0 };
        let meter = Meter {
            permit: &permit,
            lengths: vec![Some(60 * SECOND), None],
            planned: planned * SECOND,
            free: lead + grace(planned * SECOND),
            sound: Mutex::default(),
            state: Mutex::new(State { reserved: planned * SECOND, ..State::default() }),
        };
        let reading = |seconds: Micros| {
            let time = seconds * SECOND;
            Reading { time, pictures: time, sound: time }
        };
        meter.reach(1, reading(1_000)).unwrap();
        let outcome = read.iter().try_for_each(|seconds| meter.reach(0, reading(*seconds)));
        (asked.into_inner().unwrap(), outcome)
    }

    #[test]
    fn what_is_decoded_beyond_the_plan_is_charged_in_steps() {
        assert_eq!(asked(60, 0, &[1, 59, 61]), (vec![], Ok(())));
        assert_eq!(asked(60, 0, &[62, 65, 70]), (vec![70], Ok(())));
        assert_eq!(asked(60, 0, &[62, 71, 73]), (vec![70, 80], Ok(())));
        // Most of it is decoded for a moment of output.
        assert_eq!(asked(1, 0, &[1, 2, 3, 10, 11, 60]), (vec![10, 20, 60], Ok(())));
    }

    #[test]
    fn what_lies_between_a_keyframe_and_the_first_instant_is_free_within_bounds() {
        assert_eq!(asked(1, 50, &[1, 9, 12]), (vec![], Ok(())));
        assert_eq!(asked(1, 50, &[1, 9, 13]), (vec![20], Ok(())));
    }

    #[test]
    fn an_input_that_goes_on_behind_its_end_is_stopped() {
        let (_, outcome) = asked(60, 0, &[74]);
        let error = outcome.unwrap_err();
        assert_eq!(error.code, ffapi_domain::job::FailureCode::InvalidInput);
        assert!(error.message.contains("60.0 s"), "{error}");
    }

    #[test]
    fn pictures_of_all_inputs_count_and_sound_only_where_it_is_more() {
        let reading = |pictures, sound| Reading { time: 0, pictures, sound };
        let of = |read: &[Reading]| State {
            read: read.iter().copied().enumerate().collect(),
            ..State::default()
        };
        assert_eq!(of(&[reading(60, 60), reading(0, 50)]).decoded(0), 60);
        assert_eq!(of(&[reading(60, 60), reading(30, 30)]).decoded(0), 90);
        assert_eq!(of(&[reading(0, 7), reading(0, 9)]).decoded(0), 9);
        // By its samples it may be more than by its times.
        assert_eq!(of(&[reading(60, 60)]).decoded(61), 61);
        assert_eq!(of(&[reading(60, 1)]).decoded(59), 60);
    }
}
