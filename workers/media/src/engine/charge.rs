//! What a task is charged: media time, reserved before any of it is decoded.

use std::sync::{Mutex, PoisonError};

use domain::media::{MediaFacts, Micros, Role};

use super::Work;
use crate::{
    MediaError, open,
    protocol::{Needs, Permit},
    verify,
};

/// What is charged at once when an input goes on behind its end: so often leave is asked for.
const STEP: Micros = 10_000_000;

/// How far an input may go on behind the end that its container states: rounding, a last group of
/// pictures, a clock that drifts.
const fn tolerance(length: Micros) -> Micros {
    STEP.saturating_add(length / 20)
}

/// Media time that was read of each input, against what was reserved for it.
pub(super) struct Meter<'a> {
    permit: &'a (dyn Fn(Needs) -> Result<Permit, MediaError> + Sync),
    /// How long each input is; none for those that no packets are counted of.
    lengths: Vec<Option<Micros>>,
    reserved: Mutex<Micros>,
    planned: Micros,
}

/// Reserves what a task is charged, and has the folders made that it will write to. An input that does
/// not say how long it is, is read through to find out: what is unknown is not free.
pub(super) fn begin<'a>(
    charged: Micros,
    folders: Vec<String>,
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
    let planned = if charged == 0 { all.max(1) } else { charged };
    let permit = (work.permit)(Needs { charged: planned, folders })?;
    let meter = Meter { permit: work.permit, lengths, reserved: Mutex::new(planned), planned };
    Ok((permit, meter))
}

impl Meter<'_> {
    /// Notes that so much was read of an input, from wherever its reading began.
    ///
    /// # Errors
    /// When it goes on far behind its stated end, or what it is charged for that is refused.
    pub(super) fn reach(&self, input: usize, read: Micros) -> Result<(), MediaError> {
        let Some(length) = self.lengths.get(input).copied().flatten() else { return Ok(()) };
        let over = read.saturating_sub(length);
        if over == 0 {
            return Ok(());
        }
        if over > tolerance(length) {
            return Err(goes_on(length));
        }
        let charged = self.planned.saturating_add(over.div_ceil(STEP).saturating_mul(STEP));
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        if charged > *reserved {
            (self.permit)(Needs { charged, folders: vec![] })?;
            *reserved = charged;
        }
        Ok(())
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

    fn asked(read: &[Micros]) -> (Vec<Micros>, Result<(), MediaError>) {
        let asked = Mutex::new(vec![]);
        let permit = |needs: Needs| {
            asked.lock().unwrap().push(needs.charged / SECOND);
            Ok(Permit::default())
        };
        let meter = Meter {
            permit: &permit,
            lengths: vec![Some(60 * SECOND), None],
            reserved: Mutex::new(5 * SECOND),
            planned: 5 * SECOND,
        };
        meter.reach(1, 1_000 * SECOND).unwrap();
        let outcome = read.iter().try_for_each(|seconds| meter.reach(0, *seconds * SECOND));
        (asked.into_inner().unwrap(), outcome)
    }

    #[test]
    fn what_is_read_behind_the_stated_end_is_charged_in_steps() {
        assert_eq!(asked(&[1, 59, 60]), (vec![], Ok(())));
        assert_eq!(asked(&[61, 62, 69]), (vec![15], Ok(())));
        assert_eq!(asked(&[61, 71, 73]), (vec![15, 25], Ok(())));
    }

    #[test]
    fn an_input_that_goes_on_behind_its_end_is_stopped() {
        let (_, outcome) = asked(&[74]);
        let error = outcome.unwrap_err();
        assert_eq!(error.code, domain::job::FailureCode::InvalidInput);
        assert!(error.message.contains("60.0 s"), "{error}");
    }
}
