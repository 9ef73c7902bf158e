//! The times of decoded audio: counted by its samples, as long as the timestamps agree.

use ffapi_domain::media::Micros;

/// Timestamps may differ from the count by this much for as long as they like, in microseconds.
const MAX_JITTER: i64 = 20_000;
/// From this difference on, the timestamps count at once, in microseconds.
const MIN_GAP: i64 = 100_000;
/// A difference in between counts once it has lasted for this time of audio, in microseconds.
const MAX_DEVIATION_TIME: Micros = 500_000;

/// Counts samples, and follows the timestamps only where they really differ: containers round them,
/// and recordings drift or are spliced.
#[derive(Debug, Default)]
pub(super) struct AudioClock {
    /// The time of a frame in microseconds, and the samples since then.
    counted: Option<Counted>,
    /// How much audio in a row has differed by more than the jitter, in microseconds.
    deviating: Micros,
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

impl AudioClock {
    /// The time of the next frame in microseconds; `stated` is that of its timestamp, if it has one.
    pub(super) fn place(&mut self, stated: Option<i64>, samples: u64, rate: u32) -> i64 {
        let duration = samples.saturating_mul(1_000_000) / u64::from(rate.max(1));
        let counted = self.counted.map(Counted::now);
        let at = match (counted, stated) {
            (None, stated) => stated.unwrap_or(0),
            (Some(counted), None) => counted,
            (Some(counted), Some(stated)) => {
                let difference = stated.saturating_sub(counted).saturating_abs();
                self.deviating = if difference <= MAX_JITTER {
                    0
                } else {
                    self.deviating.saturating_add(duration)
                };
                let follows = difference >= MIN_GAP || self.deviating >= MAX_DEVIATION_TIME;
                if follows { stated } else { counted }
            }
        };
        let mut now = match self.counted {
            Some(now) if counted == Some(at) && now.rate == rate => now,
            _ => {
                self.deviating = 0;
                Counted { from: at, samples: 0, rate }
            }
        };
        now.samples = now.samples.saturating_add(samples);
        self.counted = Some(now);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places frames of 20 ms at 48 kHz.
    fn place(stated: &[i64]) -> Vec<i64> {
        let mut clock = AudioClock::default();
        stated.iter().map(|at| clock.place(Some(*at), 960, 48_000)).collect()
    }

    #[test]
    fn rounded_timestamps_are_counted_exactly() {
        assert_eq!(place(&[0, 21_000, 39_000, 60_900]), [0, 20_000, 40_000, 60_000]);
    }

    #[test]
    fn gaps_and_overlaps_are_followed_at_once() {
        assert_eq!(place(&[0, 500_000, 520_000]), [0, 500_000, 520_000]);
        assert_eq!(place(&[0, 20_000, -500_000]), [0, 20_000, -500_000]);
    }

    #[test]
    fn a_small_difference_is_followed_once_it_lasts() {
        let stated: Vec<i64> =
            (0..40).map(|n| if n < 5 { n * 20_000 } else { n * 20_000 + 43_000 }).collect();
        let placed = place(&stated);
        assert_eq!(placed[10], 200_000);
        assert_eq!(placed[39], 39 * 20_000 + 43_000);
    }

    #[test]
    fn frames_without_timestamps_follow_each_other() {
        let mut clock = AudioClock::default();
        assert_eq!(clock.place(None, 960, 48_000), 0);
        assert_eq!(clock.place(None, 441, 44_100), 20_000);
        assert_eq!(clock.place(None, 441, 44_100), 30_000);
    }
}
