//! One continuous clock for the streams of an input, whatever its timestamps are.

use ffmpeg_the_third::{Packet, Rational, Rescale};

use crate::units::MICROS;

/// Timestamps that go back further than this begin another recording, in microseconds: muxers round
/// timestamps, and the ends of spliced recordings overlap.
const MAX_BACKWARD: i64 = 1_000_000;
/// A gap of all streams that is longer than this begins another recording, in microseconds, in
/// formats whose clock may restart.
const MAX_GAP: i64 = 10_000_000;
/// As `MAX_GAP`, for files with one stream: it may be slides.
const MAX_GAP_OF_ONE: i64 = 60_000_000;
/// Streams that start further apart than this have clocks of their own, in microseconds.
pub(crate) const MAX_START_DISTANCE: i64 = 60_000_000;

/// How the packets of a stream are timed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamTiming {
    pub(crate) base: Rational,
    /// Timestamp of its first packet in microseconds, if the headers or first packets show it.
    pub(crate) start: Option<i64>,
    /// False for subtitles and data, whose gaps mean nothing.
    pub(crate) is_continuous: bool,
    /// Duration of a packet that states none, in microseconds.
    pub(crate) packet: i64,
}

/// Moves timestamps so that the recordings that a file consists of follow each other.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    streams: Vec<StreamClock>,
    /// True for formats whose clock may restart, such as transport streams.
    may_restart: bool,
    /// Added to the timestamps of all streams, in microseconds.
    offset: i64,
    /// The offset before this one: recordings overlap where they are joined, and a single timestamp
    /// may be wrong.
    previous: Option<i64>,
    /// Packets that were moved by an offset.
    moved: u32,
}

/// Moved packets from which on they belong to another recording, and are no wrong timestamps.
const MIN_MOVED: u32 = 10;

#[derive(Debug)]
struct StreamClock {
    timing: StreamTiming,
    /// Added to the timestamps of this stream, in microseconds.
    shift: i64,
    /// Expected decoding time of the next packet, in microseconds.
    next: Option<i64>,
}

impl Timeline {
    /// A timeline over the streams of a format; streams whose clocks differ start together at
    /// `origin`, in microseconds.
    pub(crate) fn new(streams: &[StreamTiming], origin: i64, may_restart: bool) -> Self {
        let clock = |timing: &StreamTiming| {
            let distance = timing.start.map_or(0, |start| start.saturating_sub(origin));
            let is_apart = may_restart && distance.saturating_abs() > MAX_START_DISTANCE;
            let shift = if is_apart { distance.saturating_neg() } else { 0 };
            StreamClock { timing: *timing, shift, next: None }
        };
        Self { streams: streams.iter().map(clock).collect(), may_restart, ..Self::default() }
    }

    /// What is added to the timestamps of a stream from its first packet on, in microseconds.
    pub(crate) fn shift(&self, stream: usize) -> i64 {
        self.streams.get(stream).map_or(0, |clock| clock.shift)
    }

    /// True if another recording began.
    pub(crate) const fn joins(&self) -> bool {
        self.moved >= MIN_MOVED
    }

    /// Forgets what was read, before packets from elsewhere in the file.
    pub(crate) fn reset(&mut self) {
        self.offset = 0;
        self.previous = None;
        for clock in &mut self.streams {
            clock.next = None;
        }
    }

    /// The time after which a packet is of another recording, in microseconds.
    fn newest(&self) -> Option<i64> {
        let clocks = || self.streams.iter().filter(|clock| clock.timing.is_continuous);
        let gap = if clocks().count() > 1 { MAX_GAP } else { MAX_GAP_OF_ONE };
        let newest = clocks().filter_map(|clock| clock.next).max().filter(|_| self.may_restart);
        newest.map(|newest| newest.saturating_add(gap))
    }

    /// Moves the timestamps of the packet that was read next.
    pub(crate) fn place(&mut self, packet: &mut Packet) {
        let newest = self.newest();
        let Some(clock) = self.streams.get_mut(packet.stream()) else { return };
        let timing = clock.timing;
        let Some(stated) = packet.dts().or(packet.pts()) else { return };
        let stated = stated.rescale(timing.base, MICROS).saturating_add(clock.shift);
        if let Some(next) = clock.next.filter(|_| timing.is_continuous) {
            let at = stated.saturating_add(self.offset);
            let is_near = |offset: i64| {
                stated.saturating_add(offset).saturating_sub(next).saturating_abs() <= MAX_BACKWARD
            };
            let is_behind = at < next.saturating_sub(MAX_BACKWARD);
            if let Some(previous) =
                self.previous.filter(|offset| !is_near(self.offset) && is_near(*offset))
            {
                self.previous = Some(self.offset);
                self.offset = previous;
            } else if is_behind || newest.is_some_and(|newest| at > newest) {
                self.previous = Some(self.offset);
                self.offset = next.saturating_sub(stated);
            }
        }
        self.moved = self.moved.saturating_add(u32::from(self.offset != 0));
        let moved = stated.saturating_add(self.offset);
        let stated_duration = packet.duration().rescale(timing.base, MICROS);
        let duration = if stated_duration > 0 { stated_duration } else { timing.packet };
        clock.next = clock.next.max(Some(moved.saturating_add(duration)));
        let by = clock.shift.saturating_add(self.offset);
        if by != 0 {
            let by = by.rescale(MICROS, timing.base);
            packet.set_pts(packet.pts().map(|pts| pts.saturating_add(by)));
            packet.set_dts(packet.dts().map(|dts| dts.saturating_add(by)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: StreamTiming =
        StreamTiming { base: MICROS, start: Some(0), is_continuous: true, packet: 40_000 };

    fn place(timeline: &mut Timeline, stream: usize, at: i64) -> i64 {
        let mut packet = Packet::empty();
        packet.set_stream(stream);
        packet.set_dts(Some(at));
        packet.set_pts(Some(at));
        timeline.place(&mut packet);
        packet.pts().unwrap()
    }

    #[test]
    fn small_steps_back_and_gaps_are_left_alone() {
        let mut timeline = Timeline::new(&[TIMING], 0, true);
        for at in [0, 40_000, 20_000, 5_000_000, 4_500_000] {
            assert_eq!(place(&mut timeline, 0, at), at);
        }
        assert!(!timeline.joins());
    }

    #[test]
    fn recordings_follow_each_other_in_all_streams() {
        let mut timeline = Timeline::new(&[TIMING, TIMING], 0, true);
        let mut placed = Vec::new();
        // The streams of the first recording end interleaved with the start of the second.
        for (stream, at) in [
            (0, 90_000_000),
            (1, 90_000_000),
            (0, 10_000_000),
            (1, 90_040_000),
            (0, 10_040_000),
            (1, 10_030_000),
            (0, 3_600_000_000),
            (1, 3_600_000_000),
        ] {
            placed.push(place(&mut timeline, stream, at));
        }
        assert_eq!(
            placed,
            [
                90_000_000, 90_000_000, 90_040_000, 90_040_000, 90_080_000, 90_070_000, 90_120_000,
                90_120_000
            ]
        );
        for number in 1..10 {
            place(&mut timeline, 0, 3_600_000_000 + number * 40_000);
        }
        assert!(timeline.joins());
    }

    #[test]
    fn a_single_wrong_timestamp_moves_nothing_else() {
        let mut timeline = Timeline::new(&[TIMING, TIMING], 0, true);
        let all =
            [(0, 0), (1, 0), (0, 40_000), (1, 40_000), (0, 90_000_000), (1, 80_000), (0, 120_000)];
        let placed: Vec<i64> =
            all.iter().map(|(stream, at)| place(&mut timeline, *stream, *at)).collect();
        assert_eq!(placed, [0, 0, 40_000, 40_000, 80_000, 80_000, 120_000]);
        assert!(!timeline.joins());
    }

    #[test]
    fn only_formats_whose_clock_restarts_close_long_gaps() {
        let mut timeline = Timeline::new(&[TIMING], 0, false);
        assert_eq!(place(&mut timeline, 0, 0), 0);
        assert_eq!(place(&mut timeline, 0, 60_000_000), 60_000_000);
        assert_eq!(place(&mut timeline, 0, 0), 60_040_000);
    }

    #[test]
    fn streams_that_start_hours_apart_start_together() {
        let late = StreamTiming { start: Some(3_600_000_000), ..TIMING };
        let mut timeline = Timeline::new(&[TIMING, late], 0, true);
        assert_eq!(place(&mut timeline, 1, 3_600_040_000), 40_000);
        let mut timeline = Timeline::new(&[TIMING, late], 0, false);
        assert_eq!(place(&mut timeline, 1, 3_600_040_000), 3_600_040_000);
    }

    #[test]
    fn gaps_of_subtitles_mean_nothing() {
        let subtitles = StreamTiming { is_continuous: false, ..TIMING };
        let mut timeline = Timeline::new(&[subtitles], 0, true);
        assert_eq!(place(&mut timeline, 0, 0), 0);
        assert_eq!(place(&mut timeline, 0, 60_000_000), 60_000_000);
    }
}
