use std::time::Duration;

use crate::media::MediaRequest;

/// Workers that may be lost while they run a job before the job is suspected of crashing them.
pub(super) const MAX_ABANDONED: u32 = 5;
/// Attempts that no worker has disk space for, before the job fails: after more than an hour.
pub(super) const MAX_DEFERRED: u32 = 16;
/// Delay after the first of them; each later one is twice as long, up to [`MAX_BACKOFF`].
const FIRST_DEFERRAL: Duration = Duration::from_secs(5);
/// Attempts from which on a job cannot be retried by request.
pub const MAX_ATTEMPTS: u32 = 20;
/// Maximum delay between two attempts, without jitter.
const MAX_BACKOFF: Duration = Duration::from_mins(10);

/// How a job is retried after a retryable failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts that may fail before the job is dead-lettered.
    pub max_attempts: u32,
    /// Delay after the first failure; each later one is four times as long.
    pub first_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 3, first_wait: Duration::from_secs(2) }
    }
}

impl RetryPolicy {
    /// The policy of a kind of job, with `max_attempts` overridden if given.
    pub fn of(request: &MediaRequest, max_attempts: Option<u32>) -> Self {
        let default = match request {
            // Probing is cheap: it is retried sooner and more often.
            MediaRequest::Probe(_) => Self { max_attempts: 4, first_wait: Duration::from_secs(1) },
            MediaRequest::Convert(_)
            | MediaRequest::Stream(_)
            | MediaRequest::Thumbnails(_)
            | MediaRequest::Analyze(_) => Self::default(),
        };
        Self { max_attempts: max_attempts.unwrap_or(default.max_attempts).max(1), ..default }
    }

    /// The delay after the n-th failure: exponential, at most 10 minutes, plus up to 50 % jitter
    /// (`chance` of 255).
    pub fn backoff(self, failures: u32, chance: u8) -> Duration {
        let factor = 4_u32.saturating_pow(failures.saturating_sub(1));
        let wait = self.first_wait.saturating_mul(factor).min(MAX_BACKOFF);
        wait.saturating_add(wait.saturating_mul(u32::from(chance)) / 512)
    }
}

/// The delay after an attempt that its worker had no disk space for, after `earlier` others, plus up to 50 %
/// jitter (`chance` of 255).
pub(super) fn deferral(earlier: u32, chance: u8) -> Duration {
    let wait = FIRST_DEFERRAL.saturating_mul(2_u32.saturating_pow(earlier)).min(MAX_BACKOFF);
    wait.saturating_add(wait.saturating_mul(u32::from(chance)) / 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_up_to_a_maximum() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.backoff(1, 0), Duration::from_secs(2));
        assert_eq!(policy.backoff(2, 0), Duration::from_secs(8));
        assert_eq!(policy.backoff(60, 0), MAX_BACKOFF);
    }

    #[test]
    fn scratch_space_is_waited_for_more_than_an_hour() {
        let all: Duration = (0..MAX_DEFERRED).map(|earlier| deferral(earlier, 0)).sum();
        assert!(all > Duration::from_hours(1), "{all:?}");
        assert_eq!(deferral(0, 0), FIRST_DEFERRAL);
        assert_eq!(deferral(u32::MAX, 0), MAX_BACKOFF);
    }

    #[test]
    fn jitter_lengthens_backoff_by_up_to_half() {
        let wait = |chance| RetryPolicy::default().backoff(2, chance);
        assert!(wait(0) < wait(128) && wait(128) < wait(255));
        assert!(wait(255) < Duration::from_secs(12));
    }
}
