use std::time::Duration;

/// Attempts that may fail by themselves before the job is dead-lettered.
pub const MAX_ATTEMPTS: u32 = 3;

/// Workers that may vanish under a job before it is suspected of killing them.
pub(super) const MAX_ABANDONED: u32 = 5;

/// How long to wait after the n-th failure: 2 s, 8 s, 32 s, … at most 10 minutes.
pub fn backoff(failures: u32) -> Duration {
    let seconds = 2_u64.saturating_mul(4_u64.saturating_pow(failures.saturating_sub(1)));
    Duration::from_secs(seconds.min(600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        assert_eq!(backoff(1), Duration::from_secs(2));
        assert_eq!(backoff(2), Duration::from_secs(8));
        assert_eq!(backoff(60), Duration::from_mins(10));
    }
}
