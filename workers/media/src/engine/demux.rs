use std::{collections::BTreeMap, time::Duration};

use ffapi_domain::media::Micros;
use ffmpeg_the_third::{Packet, Rational, Rescale, media};

use super::{MICROS, packet_channel};
use crate::{
    MediaError,
    ffi::{self, Input},
    stated_size::StatedSize,
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
    let mut ends = StatedEnds::of(input);
    let streams = input.context.streams().count();
    for index in (0..streams).filter(|index| !ends.counts_all() && !has_sink(*index)) {
        input.discard(index);
    }
    while !sinks.is_empty() {
        // Damaged data ends the loop like the end of file.
        let Ok(Some(packet)) = input.packet() else {
            // The end of several recordings is not where the clock of the last one is.
            let joins = input.joins();
            for sink in sinks.into_iter().filter(|_| !joins) {
                if let Err(error) = ends.check(sink.stream) {
                    sink.to.fail(error);
                }
            }
            return Ok(());
        };
        ends.record(&packet);
        let index = packet.stream();
        let receivers = sinks.iter().filter(|sink| sink.stream == index).count();
        if receivers > 0 {
            count(clock.read(&packet))?;
            if ffi::is_encrypted(&packet) {
                for sink in sinks {
                    sink.to.fail(encrypted());
                }
                return Ok(());
            }
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

/// The error for an input whose packets are encrypted.
fn encrypted() -> MediaError {
    MediaError::new(
        ffapi_domain::job::FailureCode::Unsupported,
        "the input is encrypted (DRM); send a copy without encryption",
    )
}

/// Where the packets of an input end according to its container, and where they were found to end.
enum StatedEnds {
    /// The file has every byte that its header states, or states nothing.
    Whole,
    /// The end of the longest stream, whichever that is: an incomplete file lacks the end of all.
    Container { stated: i64, reached: i64, streams: Vec<(Rational, media::Type)> },
    /// The file has fewer bytes than its header states. FFmpeg corrects the durations of these formats
    /// by what is there.
    Bytes(StatedSize),
    /// The end of each stream that is used, by an index of its packets.
    Streams(Vec<StreamEnd>),
}

struct StreamEnd {
    base: Rational,
    /// In microseconds; `None` if it is not stated.
    stated: Option<i64>,
    /// The end of the packets so far, in microseconds.
    reached: i64,
}

impl StatedEnds {
    fn of(input: &Input) -> Self {
        const CORRECTED: [&str; 4] = ["avi", "caf", "w64", "wav"];
        if input.is_quicktime() {
            let streams = input.context.streams().map(|stream| {
                let (stated, base) = (Input::index_end(&stream), stream.time_base());
                StreamEnd { base, stated: stated.map(|end| end.rescale(base, MICROS)), reached: 0 }
            });
            return Self::Streams(streams.collect());
        }
        let is_corrected = CORRECTED.contains(&input.context.format().name());
        if let Some(size) = input.stated_size.filter(|size| is_corrected && size.lacks_media()) {
            return Self::Bytes(size);
        }
        match input.header_duration().filter(|_| input.is_whole != Some(true)) {
            Some(stated) => Self::Container {
                stated,
                reached: 0,
                streams: input
                    .context
                    .streams()
                    .map(|stream| (stream.time_base(), stream.parameters().medium()))
                    .collect(),
            },
            None => Self::Whole,
        }
    }

    /// True if the packets of all streams are needed to find the end.
    const fn counts_all(&self) -> bool {
        matches!(self, Self::Container { .. })
    }

    fn record(&mut self, packet: &Packet) {
        let index = packet.stream();
        let (base, reached) = match self {
            Self::Whole | Self::Bytes(_) => return,
            Self::Container { reached, streams, .. } => match streams.get(index) {
                // Packets of some audio codecs are seconds long, and do not state it.
                Some((_, media::Type::Audio)) if packet.duration() == 0 => {
                    *reached = i64::MAX;
                    return;
                }
                Some((base, _)) => (*base, reached),
                None => return,
            },
            Self::Streams(streams) => match streams.get_mut(index) {
                Some(stream) => (stream.base, &mut stream.reached),
                None => return,
            },
        };
        let Some(at) = packet.pts().or(packet.dts()) else { return };
        let end = at.saturating_add(packet.duration()).rescale(base, MICROS);
        *reached = (*reached).max(end);
    }

    /// Checks a stream that was read to the end of the input.
    fn check(&self, index: usize) -> Result<(), MediaError> {
        match self {
            Self::Whole => Ok(()),
            Self::Bytes(size) => {
                Err(MediaError::input(format!("{}; send the complete file", size.cut_off())))
            }
            Self::Container { stated, reached, .. } => check_complete(*reached, *stated),
            Self::Streams(streams) => match streams.get(index) {
                Some(StreamEnd { stated: Some(stated), reached, .. }) => {
                    check_complete(*reached, *stated)
                }
                _ => Ok(()),
            },
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

/// Rejects inputs whose packets end long before the stated end; both times are in microseconds.
fn check_complete(end: i64, expected: i64) -> Result<(), MediaError> {
    let tolerance = (expected / 50).clamp(MIN_END_TOLERANCE, MAX_END_TOLERANCE);
    if expected.saturating_sub(end) <= tolerance {
        return Ok(());
    }
    let seconds = |micros: i64| Duration::from_micros(micros.unsigned_abs()).as_secs_f64();
    Err(MediaError::input(format!(
        "the input is cut off or damaged: it ends after {:.1} s of {:.1} s; send the complete file",
        seconds(end),
        seconds(expected)
    )))
}

/// What may be missing at the end of an intact stream, in microseconds: 2 % of it within these bounds.
const MIN_END_TOLERANCE: i64 = 250_000;
const MAX_END_TOLERANCE: i64 = 1_000_000;
