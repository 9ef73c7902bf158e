//! The times of decoded audio: counted by its samples, as long as the timestamps agree.

use std::collections::VecDeque;

use ffapi_domain::media::Micros;

/// Timestamps may differ from the count by this much for as long as they like, in microseconds.
const MAX_JITTER: i64 = 20_000;
/// From this difference on, the timestamps count at once, in microseconds.
const MIN_GAP: i64 = 100_000;
/// A difference in between counts if it lasts for this time of audio, in microseconds.
const MIN_DEVIATION: Micros = 500_000;
/// The most frames that wait until it is known whether a difference lasts.
const MAX_HELD: usize = 4_096;

/// Counts samples, and follows the timestamps only where they really differ: containers round them,
/// and recordings drift, lose frames or are spliced. Frames whose timestamps differ wait until the
/// next ones show whether these agree with the count again.
#[derive(Debug)]
pub(crate) struct AudioClock<F> {
    /// The time of a frame in microseconds, and the samples since then.
    counted: Option<Counted>,
    held: VecDeque<Timed<F>>,
    /// How much audio in a row has timestamps somewhat before the count, in microseconds: following them
    /// drops samples, so that is left until they insist.
    overlapping: Micros,
    /// True once no further frames follow.
    ended: bool,
}

/// A frame with what is known of its time.
#[derive(Debug)]
pub(crate) struct Timed<F> {
    pub(crate) frame: F,
    /// Its timestamp in microseconds, if it has one.
    pub(crate) stated: Option<i64>,
    pub(crate) samples: u64,
    pub(crate) rate: u32,
}

impl<F> Timed<F> {
    fn duration(&self) -> Micros {
        self.samples.saturating_mul(1_000_000) / u64::from(self.rate.max(1))
    }
}

#[derive(Debug, Clone, Copy)]
struct Counted {
    from: i64,
    samples: u64,
    rate: u32,
}

impl Counted {
    fn now(self) -> i64 {
        let passed = u128::from(self.samples) * 1_000_000 / u128::from(self.rate.max(1));
        self.from.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
    }
}

/// Which time a frame gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follows {
    Count,
    Timestamp,
}

impl<F> Default for AudioClock<F> {
    fn default() -> Self {
        Self { counted: None, held: VecDeque::new(), overlapping: 0, ended: false }
    }
}

impl<F> AudioClock<F> {
    /// Takes the frame that was decoded next.
    pub(crate) fn push(&mut self, frame: Timed<F>) {
        self.held.push_back(frame);
    }

    /// Ends the stream: no further frames decide about those that are held.
    pub(crate) const fn end(&mut self) {
        self.ended = true;
    }

    /// The next frame with its time in microseconds; none if further frames decide.
    pub(crate) fn pop(&mut self) -> Option<(i64, Timed<F>)> {
        let counted = self.counted.map(Counted::now);
        let at = match (counted, self.held.front()?.stated) {
            (None, stated) => stated.unwrap_or(0),
            (Some(counted), None) => counted,
            (Some(counted), Some(stated)) => match self.decide(counted, stated)? {
                Follows::Count => counted,
                Follows::Timestamp => stated,
            },
        };
        let frame = self.held.pop_front()?;
        let mut now = match self.counted {
            Some(now) if counted == Some(at) && now.rate == frame.rate => now,
            _ => {
                self.overlapping = 0;
                Counted { from: at, samples: 0, rate: frame.rate }
            }
        };
        now.samples = now.samples.saturating_add(frame.samples);
        self.counted = Some(now);
        Some((at, frame))
    }

    /// Which time the first held frame gets; none if further frames decide.
    fn decide(&mut self, counted: i64, stated: i64) -> Option<Follows> {
        let first = stated.saturating_sub(counted);
        if first < -MAX_JITTER && first > -MIN_GAP {
            let passed = self.held.front().map_or(0, Timed::duration);
            self.overlapping = self.overlapping.saturating_add(passed);
            let insists = self.overlapping >= MIN_DEVIATION;
            return Some(if insists { Follows::Timestamp } else { Follows::Count });
        }
        self.overlapping = 0;
        if first.saturating_abs() <= MAX_JITTER {
            return Some(Follows::Count);
        }
        let mut passed: Micros = 0;
        let mut stamped = 0_usize;
        for frame in &self.held {
            let at = counted.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
            if let Some(stated) = frame.stated {
                let difference = stated.saturating_sub(at);
                if difference.saturating_abs() >= MIN_GAP {
                    return Some(Follows::Timestamp);
                }
                let agrees = difference.saturating_abs() <= MAX_JITTER;
                if agrees || difference.signum() != first.signum() {
                    return Some(Follows::Count);
                }
                stamped = stamped.saturating_add(1);
            }
            passed = passed.saturating_add(frame.duration());
            if passed >= MIN_DEVIATION {
                return Some(Follows::Timestamp);
            }
        }
        if self.held.len() >= MAX_HELD {
            return Some(Follows::Timestamp);
        }
        let at_end = if stamped > 1 { Follows::Timestamp } else { Follows::Count };
        self.ended.then_some(at_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places frames of 20 ms at 48 kHz.
    fn place(stated: &[Option<i64>]) -> Vec<i64> {
        let mut clock = AudioClock::default();
        let mut placed = Vec::new();
        for stated in stated {
            clock.push(Timed { frame: (), stated: *stated, samples: 960, rate: 48_000 });
            placed.extend(std::iter::from_fn(|| clock.pop()).map(|(at, _)| at));
        }
        clock.end();
        placed.extend(std::iter::from_fn(|| clock.pop()).map(|(at, _)| at));
        placed
    }

    fn place_stated(stated: &[i64]) -> Vec<i64> {
        place(&stated.iter().map(|at| Some(*at)).collect::<Vec<_>>())
    }

    #[test]
    fn rounded_timestamps_are_counted_exactly() {
        assert_eq!(place_stated(&[0, 21_000, 39_000, 60_900]), [0, 20_000, 40_000, 60_000]);
    }

    #[test]
    fn gaps_and_overlaps_are_followed_at_once() {
        assert_eq!(place_stated(&[0, 500_000, 520_000]), [0, 500_000, 520_000]);
        assert_eq!(place_stated(&[0, 20_000, -500_000]), [0, 20_000, -500_000]);
    }

    #[test]
    fn a_small_difference_that_lasts_is_followed_from_its_start() {
        let stated: Vec<i64> =
            (0..40).map(|n| if n < 5 { n * 20_000 } else { n * 20_000 + 43_000 }).collect();
        assert_eq!(place_stated(&stated), stated);
    }

    #[test]
    fn frames_that_are_lost_one_after_the_other_leave_gaps() {
        // Each time 32 ms are missing.
        let stated: Vec<i64> = (0..60).map(|n| n * 20_000 + n / 10 * 32_000).collect();
        assert_eq!(place_stated(&stated), stated);
    }

    #[test]
    fn a_small_difference_that_does_not_last_is_ignored() {
        let mut stated: Vec<i64> = (0..40).map(|n| n * 20_000).collect();
        (stated[10], stated[11], stated[30]) = (240_000, 265_000, 560_000);
        let counted: Vec<i64> = (0..40).map(|n| n * 20_000).collect();
        assert_eq!(place_stated(&stated), counted);
    }

    #[test]
    fn a_gap_before_frames_without_timestamps_is_where_it_begins() {
        // Every fourth frame is stamped, as in Windows Media.
        let stated: Vec<Option<i64>> = (0..80)
            .map(|n| (n % 4 == 2 || n == 0).then_some(n * 20_000 + 64_000.min(n * 64_000)))
            .collect();
        let placed = place(&stated);
        assert_eq!(placed.get(..4), Some([0, 20_000, 104_000, 124_000].as_slice()));
    }

    #[test]
    fn a_small_overlap_is_followed_once_it_lasts() {
        let stated: Vec<i64> =
            (0..40).map(|n| if n < 5 { n * 20_000 } else { n * 20_000 - 43_000 }).collect();
        let placed = place_stated(&stated);
        assert_eq!((placed.get(10), placed.last()), (Some(&200_000), stated.last()));
    }

    #[test]
    fn frames_without_timestamps_follow_each_other() {
        let mut clock = AudioClock::default();
        for (samples, rate) in [(960, 48_000), (441, 44_100), (441, 44_100)] {
            clock.push(Timed { frame: (), stated: None, samples, rate });
        }
        let placed: Vec<i64> = std::iter::from_fn(|| clock.pop()).map(|(at, _)| at).collect();
        assert_eq!(placed, [0, 20_000, 30_000]);
    }
}
