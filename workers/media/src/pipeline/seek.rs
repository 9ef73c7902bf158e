use ffmpeg_the_third::Rescale;

use crate::{MediaError, ffi::Input, units::MICROS};

/// How far before the target a keyframe is searched, in microseconds.
const STEPS_BACK: [i64; 5] = [0, 3_000_000, 12_000_000, 60_000_000, 300_000_000];

/// How far apart packets of one instant are stored, in microseconds.
const MAX_INTERLEAVING: i64 = 10_000_000;

/// Continues at a point from which everything from `instant` on can be decoded: a keyframe of every
/// video before it. `instant` is in microseconds from the start of the input; `joined` says that its
/// clock restarts.
///
/// # Errors
/// `invalid_input` if the file cannot be read from its start again.
pub(crate) fn seek(input: &mut Input, instant: u64, joined: bool) -> Result<(), MediaError> {
    let start = input.origin();
    let target = start.saturating_add(i64::try_from(instant).unwrap_or(i64::MAX));
    // A clock that restarts says nothing about the position in the file.
    let steps = STEPS_BACK.iter().filter(|_| !joined && instant > 0);
    let steps: Vec<i64> = steps.map(|back| target.saturating_sub(*back)).collect();
    for from in steps.into_iter().take_while(|from| *from > start) {
        if input.seek(from).is_err() {
            break;
        }
        if is_complete_from(input, target) && input.seek(from).is_ok() {
            return Ok(());
        }
    }
    let again = input.rewind();
    again.map_err(|error| MediaError::input(format!("seeking in the input failed: {error}")))
}

/// True if, from the current position on, a keyframe of every video comes before `instant`, and so
/// does the first packet of a file without video. Most containers seek to any packet, or to a
/// keyframe after the instant.
fn is_complete_from(input: &mut Input, instant: i64) -> bool {
    let mut missing = input.videos();
    while let Ok(Some(packet)) = input.packet() {
        let Some(stream) = input.context.stream(packet.stream()) else { continue };
        let at = packet.pts().or(packet.dts()).map(|at| at.rescale(stream.time_base(), MICROS));
        if !missing.contains(&packet.stream()) && !missing.is_empty() {
            // A video that has ended never comes.
            if at.is_some_and(|at| at > instant.saturating_add(MAX_INTERLEAVING)) {
                return false;
            }
            continue;
        }
        if at.is_none_or(|at| at > instant) {
            return false;
        }
        if packet.is_key() {
            missing.retain(|index| *index != packet.stream());
        }
        if missing.is_empty() {
            return true;
        }
    }
    false
}
