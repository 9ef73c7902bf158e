use std::collections::BTreeMap;

use ffapi_domain::media::Micros;
use ffmpeg_the_third::{Packet, Rational, Rescale, media};

use crate::{
    ffi::{self, Input},
    units::MICROS,
};

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
pub(crate) struct PacketClock {
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

impl PacketClock {
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

/// The duration of a file by its packets, in microseconds.
pub(crate) fn duration_by_packets(input: &mut Input) -> u64 {
    let mut clock = PacketClock::of(input);
    let mut read = Reading::default();
    // It ends at the first damage, since nothing after it can be decoded either.
    while let Ok(Some(packet)) = input.packet() {
        read = clock.read(&packet);
    }
    read.time
}
