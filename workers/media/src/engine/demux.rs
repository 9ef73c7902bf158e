use std::collections::BTreeMap;

use ffapi_domain::media::Micros;
use ffmpeg_the_third::{Packet, Rational, Rescale, media};

use super::{MICROS, decode, is_eagain, packet_channel};
use crate::{
    MediaError,
    ffi::{self, Input},
};

/// A channel that receives the packets of a stream. A stream may have several sinks.
pub(super) struct PacketSink {
    pub(super) stream: usize,
    pub(super) to: packet_channel::Sender,
}

/// Reads packets and sends each to the sinks of its stream, until the input ends or all sinks are
/// closed. `count` is called with the total that was read so far.
///
/// # Errors
/// The errors of `count`. The sinks of streams that end long before their stated end get the error.
pub(super) fn run(
    input: &mut Input,
    mut sinks: Vec<PacketSink>,
    count: impl Fn(Reading) -> Result<(), MediaError>,
) -> Result<(), MediaError> {
    let mut clock = Clock::of(input);
    let has_sink = |index: usize| sinks.iter().any(|sink| sink.stream == index);
    let mut ends = StatedEnds::of(input, has_sink);
    let streams = input.context.streams().count();
    for index in (0..streams).filter(|index| !ends.counts_all() && !has_sink(*index)) {
        input.discard(index);
    }
    while !sinks.is_empty() {
        let mut packet = Packet::empty();
        match packet.read(&mut input.context) {
            Ok(()) => {}
            Err(error) if is_eagain(error) => continue,
            // Damaged data ends the loop like the end of file.
            Err(_) => {
                for sink in sinks {
                    if let Err(error) = ends.check(sink.stream) {
                        sink.to.fail(error);
                    }
                }
                return Ok(());
            }
        }
        ends.record(&packet);
        let index = packet.stream();
        let receivers = sinks.iter().filter(|sink| sink.stream == index).count();
        if receivers > 0 {
            count(clock.read(&packet))?;
        }
        let mut left = receivers;
        let mut packet = Some(packet);
        sinks.retain(|sink| {
            if sink.stream != index {
                return true;
            }
            left = left.saturating_sub(1);
            let packet = if left == 0 { packet.take() } else { packet.clone() };
            packet.is_some_and(|packet| sink.to.send(packet))
        });
        let has_ended = receivers > 0 && !sinks.iter().any(|sink| sink.stream == index);
        if has_ended && !ends.counts_all() {
            input.discard(index);
        }
    }
    Ok(())
}

/// Where the packets of an input end according to its container, and where they were found to end.
struct StatedEnds {
    /// The end of the longest stream, whichever that is, if a stream that is used does not state its
    /// own; then all packets are read. In microseconds.
    container: Option<i64>,
    streams: Vec<StreamEnd>,
}

struct StreamEnd {
    base: Rational,
    /// In microseconds; `None` if it is not stated.
    stated: Option<i64>,
    /// The end of the packets so far, in microseconds.
    reached: i64,
}

impl StatedEnds {
    fn of(input: &Input, is_used: impl Fn(usize) -> bool) -> Self {
        let streams = input.context.streams().map(|stream| {
            let stated = input.stated_duration(&stream);
            let base = stream.time_base();
            StreamEnd { base, stated: stated.map(|end| end.rescale(base, MICROS)), reached: 0 }
        });
        let streams: Vec<StreamEnd> = streams.collect();
        let mut used = streams.iter().enumerate().filter(|(index, _)| is_used(*index));
        let all_stated = used.all(|(_, stream)| stream.stated.is_some());
        Self { container: input.duration().filter(|_| !all_stated), streams }
    }

    /// True if the packets of all streams are needed to find the end.
    const fn counts_all(&self) -> bool {
        self.container.is_some()
    }

    fn record(&mut self, packet: &Packet) {
        let Some(stream) = self.streams.get_mut(packet.stream()) else { return };
        let Some(at) = packet.pts().or(packet.dts()) else { return };
        let end = at.saturating_add(packet.duration()).rescale(stream.base, MICROS);
        stream.reached = stream.reached.max(end);
    }

    /// Checks a stream that was read to the end of the input.
    fn check(&self, index: usize) -> Result<(), MediaError> {
        if let Some(stated) = self.container {
            let reached = self.streams.iter().map(|stream| stream.reached).max();
            return decode::check_complete("it", reached.unwrap_or(0), stated);
        }
        match self.streams.get(index) {
            Some(StreamEnd { stated: Some(stated), reached, .. }) => {
                decode::check_complete("it", *reached, *stated)
            }
            _ => Ok(()),
        }
    }
}

/// How much was read of an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Media time of the stream that was read furthest, without packets that are not presented.
    pub(crate) time: Micros,
    /// Media time of its video, presented or not; each frame counts at least `MIN_FRAME_DURATION`,
    /// since timestamps in a file may be false.
    pub(crate) video: Micros,
    /// Media time of its audio, presented or not.
    pub(crate) audio: Micros,
}

/// Measures the media time of the packets that are read, whatever their first timestamps are.
pub(crate) struct Clock {
    streams: Vec<StreamTiming>,
    /// By stream index.
    read: BTreeMap<usize, StreamRead>,
    reading: Reading,
}

/// How the packets of a stream are timed.
#[derive(Debug, Clone, Copy)]
struct StreamTiming {
    base: Rational,
    /// Duration of a packet that states none.
    packet: Micros,
    kind: media::Type,
}

/// What was read of one stream.
#[derive(Debug, Default)]
struct StreamRead {
    /// Decoding time of the newest packet, in the time base of the stream.
    newest: Option<i64>,
    /// Media time of the packets that are presented.
    shown: Micros,
    /// Media time of all packets.
    counted: Micros,
}

/// The most that a gap between two packets counts, in microseconds.
const MAX_PACKET_GAP: Micros = 10_000_000;
/// The least that a video frame counts: consumer cameras take at most 240 frames per second.
const MIN_FRAME_DURATION: Micros = 1_000_000 / 240;

impl Clock {
    pub(crate) fn of(input: &Input) -> Self {
        let streams = input.context.streams().map(|stream| {
            let rate = stream.avg_frame_rate();
            let frame = if rate.numerator() > 0 { 1.rescale(rate.invert(), MICROS) } else { 0 };
            StreamTiming {
                base: stream.time_base(),
                packet: Micros::try_from(frame).unwrap_or(0),
                kind: stream.parameters().medium(),
            }
        });
        Self { streams: streams.collect(), read: BTreeMap::new(), reading: Reading::default() }
    }

    /// Counts one packet; returns the total that was read so far.
    pub(crate) fn read(&mut self, packet: &Packet) -> Reading {
        let index = packet.stream();
        let Some(timing) = self.streams.get(index).copied() else { return self.reading };
        let micros = |time: i64| Micros::try_from(time.rescale(timing.base, MICROS)).unwrap_or(0);
        let own = if packet.duration() > 0 { micros(packet.duration()) } else { timing.packet };
        let at = packet.dts().or(packet.pts());
        let read = self.read.entry(index).or_default();
        let passed = match (at, read.newest) {
            (Some(at), Some(before)) => micros(at.saturating_sub(before)),
            // The first packet, or one without a timestamp.
            (Some(_), None) | (None, _) => own,
        };
        let passed = passed.min(MAX_PACKET_GAP);
        read.newest = at.or(read.newest);
        if !ffi::is_discarded(packet) {
            read.shown = read.shown.saturating_add(passed);
        }
        self.reading.time = self.reading.time.max(read.shown);
        match timing.kind {
            media::Type::Video => {
                read.counted = read.counted.saturating_add(passed.max(MIN_FRAME_DURATION));
                self.reading.video = self.reading.video.max(read.counted);
            }
            media::Type::Audio => {
                read.counted = read.counted.saturating_add(passed);
                self.reading.audio = self.reading.audio.max(read.counted);
            }
            _ => {}
        }
        self.reading
    }
}

/// Seeks to the keyframe before the first instant that is needed; `seek` is in microseconds.
pub(super) fn seek(input: &mut Input, seek: u64) -> Result<(), MediaError> {
    if seek == 0 {
        return Ok(());
    }
    let start = input.start_time().unwrap_or(0);
    let target = start.saturating_add(i64::try_from(seek).unwrap_or(i64::MAX));
    if has_keyframe_index(input) {
        return seek_to(input, target);
    }
    // The other containers seek to any packet: step back until a keyframe comes in time.
    for back in SEEK_BACK_STEPS {
        let from = target.saturating_sub(back);
        if from <= start {
            break;
        }
        seek_to(input, from)?;
        if has_keyframe_before(input, target) {
            return seek_to(input, from);
        }
    }
    seek_to(input, start)
}

/// How far before the target a keyframe is searched, in microseconds.
const SEEK_BACK_STEPS: [i64; 4] = [3_000_000, 12_000_000, 60_000_000, 300_000_000];

/// False for containers without an index of keyframes.
fn has_keyframe_index(input: &Input) -> bool {
    !matches!(input.context.format().name(), "mpegts" | "mpeg")
}

/// Seeks to an instant, or to the start of an input in which that is not possible: raw streams have
/// no index and no timestamps.
fn seek_to(input: &mut Input, to: i64) -> Result<(), MediaError> {
    let result = input.context.seek(to, ..=to).or_else(|_| input.rewind());
    result.map_err(|error| MediaError::input(format!("seeking in the input failed: {error}")))
}

/// True if a keyframe of every video stream comes before `instant`.
fn has_keyframe_before(input: &mut Input, instant: i64) -> bool {
    let videos: Vec<(usize, Rational)> = input
        .context
        .streams()
        .filter(|stream| stream.parameters().medium() == media::Type::Video)
        .map(|stream| (stream.index(), stream.time_base()))
        .collect();
    let mut missing = videos.clone();
    while !missing.is_empty() {
        let mut packet = Packet::empty();
        match packet.read(&mut input.context) {
            Ok(()) => {}
            Err(error) if is_eagain(error) => continue,
            Err(_) => return false,
        }
        let Some((_, base)) = videos.iter().find(|(index, _)| *index == packet.stream()) else {
            continue;
        };
        let at = packet.pts().or(packet.dts()).map(|at| at.rescale(*base, MICROS));
        if at.is_none_or(|at| at > instant) {
            return false;
        }
        if packet.is_key() {
            missing.retain(|(index, _)| *index != packet.stream());
        }
    }
    true
}
