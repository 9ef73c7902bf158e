use std::sync::mpsc::SyncSender;

use ffmpeg_the_third::{Packet, Rational, Rescale, media};

use super::{MICROS, again};
use crate::{MediaError, ffi::Input};

/// Who takes a stream's packets. A stream may have several takers.
pub(super) struct Wanted {
    pub(super) stream: usize,
    pub(super) to: SyncSender<Packet>,
}

/// Reads packets and hands each to the stages that want its stream, until no stage wants more.
pub(super) fn run(input: &mut Input, mut wanted: Vec<Wanted>) {
    let streams = input.context.streams().count();
    for index in (0..streams).filter(|index| !wanted.iter().any(|want| want.stream == *index)) {
        input.discard(index);
    }
    while !wanted.is_empty() {
        let mut packet = Packet::empty();
        match packet.read(&mut input.context) {
            Ok(()) => {}
            Err(error) if again(error) => continue,
            // Damage ends the reading as the end does; the stages notice what is missing.
            Err(_) => break,
        }
        let index = packet.stream();
        let takers = wanted.iter().filter(|want| want.stream == index).count();
        let mut left = takers;
        let mut packet = Some(packet);
        wanted.retain(|want| {
            if want.stream != index {
                return true;
            }
            left = left.saturating_sub(1);
            let given = if left == 0 { packet.take() } else { packet.clone() };
            given.is_some_and(|packet| want.to.send(packet).is_ok())
        });
        if takers > 0 && !wanted.iter().any(|want| want.stream == index) {
            input.discard(index);
        }
    }
}

/// Goes to the keyframe before the first instant that is needed.
pub(super) fn seek(input: &mut Input, seek: u64) -> Result<(), MediaError> {
    if seek == 0 {
        return Ok(());
    }
    let start = input.start_time().unwrap_or(0);
    let target = start.saturating_add(i64::try_from(seek).unwrap_or(i64::MAX));
    if finds_keyframes(input) {
        return go(input, target);
    }
    // These go to any packet: so far back that a keyframe comes in time.
    for back in FURTHER {
        let from = target.saturating_sub(back);
        if from <= start {
            break;
        }
        go(input, from)?;
        if has_a_key_by(input, target) {
            return go(input, from);
        }
    }
    go(input, start)
}

/// How far back a keyframe is looked for, in microseconds.
const FURTHER: [i64; 4] = [3_000_000, 12_000_000, 60_000_000, 300_000_000];

/// False for containers whose only index is the order of their packets.
fn finds_keyframes(input: &Input) -> bool {
    !matches!(input.context.format().name(), "mpegts" | "mpeg")
}

fn go(input: &mut Input, to: i64) -> Result<(), MediaError> {
    let sought = input.context.seek(to, ..=to);
    sought.map_err(|error| MediaError::input(format!("the input cannot be searched: {error}")))
}

/// True if every picture stream that comes before an instant begins with a keyframe by then.
fn has_a_key_by(input: &mut Input, instant: i64) -> bool {
    let pictures: Vec<(usize, Rational)> = input
        .context
        .streams()
        .filter(|stream| stream.parameters().medium() == media::Type::Video)
        .map(|stream| (stream.index(), stream.time_base()))
        .collect();
    let mut lacking = pictures.clone();
    while !lacking.is_empty() {
        let mut packet = Packet::empty();
        match packet.read(&mut input.context) {
            Ok(()) => {}
            Err(error) if again(error) => continue,
            Err(_) => return false,
        }
        let Some((_, base)) = pictures.iter().find(|(index, _)| *index == packet.stream()) else {
            continue;
        };
        let at = packet.pts().or(packet.dts()).map(|at| at.rescale(*base, MICROS));
        if at.is_none_or(|at| at > instant) {
            return false;
        }
        if packet.is_key() {
            lacking.retain(|(index, _)| *index != packet.stream());
        }
    }
    true
}
