use std::collections::BTreeMap;

use ffapi_domain::media::Micros;
use ffmpeg_the_third::{Packet, Rational, Rescale, media};

use super::{MICROS, again, weighed};
use crate::{
    MediaError,
    ffi::{self, Input},
};

/// Who takes a stream's packets. A stream may have several takers.
pub(super) struct Wanted {
    pub(super) stream: usize,
    pub(super) to: weighed::Sender,
}

/// Reads packets and hands each to the stages that want its stream, until no stage wants more.
/// `count` is given what was read so far.
///
/// # Errors
/// When `count` says that this is more than there may be.
pub(super) fn run(
    input: &mut Input,
    mut wanted: Vec<Wanted>,
    count: impl Fn(Reading) -> Result<(), MediaError>,
) -> Result<(), MediaError> {
    let mut clock = Clock::of(input);
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
        if takers > 0 {
            count(clock.read(&packet))?;
        }
        let mut left = takers;
        let mut packet = Some(packet);
        wanted.retain(|want| {
            if want.stream != index {
                return true;
            }
            left = left.saturating_sub(1);
            let given = if left == 0 { packet.take() } else { packet.clone() };
            given.is_some_and(|packet| want.to.send(packet))
        });
        if takers > 0 && !wanted.iter().any(|want| want.stream == index) {
            input.discard(index);
        }
    }
    Ok(())
}

/// How much was read of an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Media time of the stream of which most was read, as far as it is shown.
    pub(crate) time: Micros,
    /// Media time of its pictures, shown or not, each of which counts as a moment at the least, whatever
    /// times a file gives them.
    pub(crate) pictures: Micros,
    /// Media time of its sound, heard or not.
    pub(crate) sound: Micros,
}

/// Media time that passes while packets are read, whatever their times begin with.
pub(crate) struct Clock {
    streams: Vec<Pace>,
    /// By stream.
    read: BTreeMap<usize, Read>,
    reading: Reading,
}

/// How a stream's packets follow each other.
#[derive(Debug, Clone, Copy)]
struct Pace {
    base: Rational,
    /// How long a packet lasts that does not say it.
    packet: Micros,
    kind: media::Type,
}

/// What was read of one stream.
#[derive(Debug, Default)]
struct Read {
    /// When the newest packet is decoded, in the stream's time base.
    newest: Option<i64>,
    shown: Micros,
    counted: Micros,
}

/// What a gap between two packets counts at most, in microseconds.
const GAP: Micros = 10_000_000;
/// What a picture counts at least: no camera of people's own takes more than 240 a second.
const PICTURE: Micros = 1_000_000 / 240;

impl Clock {
    pub(crate) fn of(input: &Input) -> Self {
        let streams = input.context.streams().map(|stream| {
            let rate = stream.avg_frame_rate();
            let frame = if rate.numerator() > 0 { 1.rescale(rate.invert(), MICROS) } else { 0 };
            Pace {
                base: stream.time_base(),
                packet: Micros::try_from(frame).unwrap_or(0),
                kind: stream.parameters().medium(),
            }
        });
        Self { streams: streams.collect(), read: BTreeMap::new(), reading: Reading::default() }
    }

    /// Takes in one packet; answers what was read so far.
    pub(crate) fn read(&mut self, packet: &Packet) -> Reading {
        let index = packet.stream();
        let Some(pace) = self.streams.get(index).copied() else { return self.reading };
        let micros = |time: i64| Micros::try_from(time.rescale(pace.base, MICROS)).unwrap_or(0);
        let own = if packet.duration() > 0 { micros(packet.duration()) } else { pace.packet };
        let at = packet.dts().or(packet.pts());
        let read = self.read.entry(index).or_default();
        let passed = match (at, read.newest) {
            (Some(at), Some(before)) => micros(at.saturating_sub(before)),
            // The first, or one without a time.
            (Some(_), None) | (None, _) => own,
        };
        let passed = passed.min(GAP);
        read.newest = at.or(read.newest);
        if !ffi::is_discarded(packet) {
            read.shown = read.shown.saturating_add(passed);
        }
        self.reading.time = self.reading.time.max(read.shown);
        match pace.kind {
            media::Type::Video => {
                read.counted = read.counted.saturating_add(passed.max(PICTURE));
                self.reading.pictures = self.reading.pictures.max(read.counted);
            }
            media::Type::Audio => {
                read.counted = read.counted.saturating_add(passed);
                self.reading.sound = self.reading.sound.max(read.counted);
            }
            _ => {}
        }
        self.reading
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
