use std::time::Duration;

use crate::media::MediaRequest;

/// Workers that may vanish under a job before it is suspected of killing them.
pub(super) const MAX_ABANDONED: u32 = 5;
/// No wait between two attempts is longer, chance apart.
const LONGEST: Duration = Duration::from_mins(10);

/// How a job that failed for a passing reason is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Attempts that may fail by themselves before the job is dead-lettered.
    pub max_attempts: u32,
    /// The wait after the first failure; each later one is four times as long.
    pub first_wait: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self { max_attempts: 3, first_wait: Duration::from_secs(2) }
    }
}

impl Policy {
    /// Of a kind of job, unless more or fewer attempts were asked for.
    pub fn of(request: &MediaRequest, max_attempts: Option<u32>) -> Self {
        let usual = match request {
            // A look costs little: it is taken again soon, and more often.
            MediaRequest::Probe(_) => Self { max_attempts: 4, first_wait: Duration::from_secs(1) },
            MediaRequest::Convert(_)
            | MediaRequest::Stream(_)
            | MediaRequest::Thumbnails(_)
            | MediaRequest::Analyze(_) => Self::default(),
        };
        Self { max_attempts: max_attempts.unwrap_or(usual.max_attempts).max(1), ..usual }
    }

    /// How long to wait after the n-th failure, at most 10 minutes, and up to half as long again by
    /// chance.
    pub fn backoff(self, failures: u32, chance: u8) -> Duration {
        let factor = 4_u32.saturating_pow(failures.saturating_sub(1));
        let wait = self.first_wait.saturating_mul(factor).min(LONGEST);
        wait.saturating_add(wait.saturating_mul(u32::from(chance)) / 512)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let policy = Policy::default();
        assert_eq!(policy.backoff(1, 0), Duration::from_secs(2));
        assert_eq!(policy.backoff(2, 0), Duration::from_secs(8));
        assert_eq!(policy.backoff(60, 0), LONGEST);
    }

    #[test]
    fn chance_lengthens_a_wait_by_up_to_half() {
        let wait = |chance| Policy::default().backoff(2, chance);
        assert!(wait(0) < wait(128) && wait(128) < wait(255));
        assert!(wait(255) < Duration::from_secs(12));
    }
}
