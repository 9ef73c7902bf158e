//! A circuit breaker: a store that fails again and again is not asked for a while, so that requests
//! fail at once and the store is not kept from recovering.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{RetryPolicy, StorageError};

/// Failures in a row that open the circuit.
const MAX_FAILURES: u32 = 5;
/// How long it is open at first; each failed probe doubles that.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// How long it is open at most.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// How often work looks whether it may go on.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// The circuit breaker of one store.
#[derive(Debug)]
pub(crate) struct Breaker {
    retry_policy: RetryPolicy,
    circuit: Mutex<Circuit>,
}

#[derive(Debug, Clone, Copy)]
enum Circuit {
    /// Requests pass; so many have failed in a row.
    Closed { failures: u32 },
    /// Nothing passes until then.
    Open { until: Instant, pause: Duration },
    /// One request probes the store; others wait for its outcome.
    HalfOpen { pause: Duration },
}

/// The state of a circuit breaker, as a metric shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerState {
    Closed = 0,
    HalfOpen = 1,
    Open = 2,
}

impl Breaker {
    pub(crate) const fn new(retry_policy: RetryPolicy) -> Self {
        Self { retry_policy, circuit: Mutex::new(Circuit::Closed { failures: 0 }) }
    }

    /// Waits until the store may be asked: as long as a request is repeated, if the caller is work; a client
    /// does not wait.
    ///
    /// # Errors
    /// `Unavailable` if it may not be asked until then.
    pub(crate) async fn admit(&self, store: &str) -> Result<(), StorageError> {
        let give_up = Instant::now() + self.retry_policy.max_admission();
        while let Some(wait) = self.try_admit() {
            let again = Instant::now() + wait.max(CHECK_INTERVAL);
            if again > give_up {
                let detail = format!("the store `{store}` is away and is asked again in seconds");
                return Err(StorageError::unavailable(detail));
            }
            tokio::time::sleep_until(again).await;
        }
        Ok(())
    }

    /// None if a request may pass; else how long none may.
    fn try_admit(&self) -> Option<Duration> {
        let mut circuit = self.circuit.lock().unwrap_or_else(PoisonError::into_inner);
        match *circuit {
            Circuit::Closed { .. } => None,
            Circuit::HalfOpen { .. } => Some(CHECK_INTERVAL),
            Circuit::Open { until, pause } => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    *circuit = Circuit::HalfOpen { pause };
                    return None;
                }
                Some(left)
            }
        }
    }

    /// Records how a request ended; returns the state if it has changed.
    pub(crate) fn record(&self, outcome: Outcome) -> Option<BreakerState> {
        let mut circuit = self.circuit.lock().unwrap_or_else(PoisonError::into_inner);
        let before = circuit.state();
        *circuit = match (*circuit, outcome) {
            (Circuit::HalfOpen { pause }, Outcome::Unknown) => {
                // Another request probes at once.
                Circuit::Open { until: Instant::now(), pause }
            }
            (circuit, Outcome::Unknown) => circuit,
            (_, Outcome::Answered) => Circuit::Closed { failures: 0 },
            (Circuit::Closed { failures }, Outcome::Failed) if failures + 1 < MAX_FAILURES => {
                Circuit::Closed { failures: failures + 1 }
            }
            (Circuit::Closed { .. }, Outcome::Failed) => Circuit::opened(FIRST_PAUSE),
            (Circuit::HalfOpen { pause } | Circuit::Open { pause, .. }, Outcome::Failed) => {
                Circuit::opened(pause.saturating_mul(2).min(MAX_PAUSE))
            }
        };
        let after = circuit.state();
        (after != before).then_some(after)
    }
}

/// How a request to a store ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The store answered, if only that there is no such object.
    Answered,
    /// The store is away.
    Failed,
    /// It was given up, for a reason that is not the store's.
    Unknown,
}

impl Circuit {
    fn opened(pause: Duration) -> Self {
        Self::Open { until: Instant::now() + pause, pause }
    }

    const fn state(self) -> BreakerState {
        match self {
            Self::Closed { .. } => BreakerState::Closed,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
            Self::Open { .. } => BreakerState::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.record(Outcome::Failed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_again_and_again_is_probed_by_one_request_at_a_time() {
        let breaker = Breaker::new(RetryPolicy::Request);
        failed(&breaker, MAX_FAILURES - 1);
        assert!(breaker.admit("media").await.is_ok(), "a few failures are normal");
        breaker.record(Outcome::Answered);
        failed(&breaker, MAX_FAILURES - 1);
        assert!(breaker.admit("media").await.is_ok(), "only failures in a row count");
        assert_eq!(breaker.record(Outcome::Failed), Some(BreakerState::Open));
        assert!(breaker.admit("media").await.is_err());

        tokio::time::advance(FIRST_PAUSE).await;
        assert!(breaker.admit("media").await.is_ok(), "the probe");
        assert!(breaker.admit("media").await.is_err(), "while it is probed");
        assert_eq!(breaker.record(Outcome::Failed), Some(BreakerState::Open));
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(breaker.admit("media").await.is_err(), "the pause has doubled");
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(breaker.admit("media").await.is_ok());
        assert_eq!(breaker.record(Outcome::Answered), Some(BreakerState::Closed));
        assert!(breaker.admit("media").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn work_waits_and_a_probe_that_is_given_up_is_repeated() {
        let breaker = Breaker::new(RetryPolicy::Work);
        failed(&breaker, MAX_FAILURES);
        let begin = Instant::now();
        breaker.admit("media").await.unwrap();
        assert!(begin.elapsed() >= FIRST_PAUSE);
        breaker.record(Outcome::Unknown);
        breaker.admit("media").await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn work_does_not_wait_for_longer_than_a_request_is_repeated() {
        let breaker = Breaker::new(RetryPolicy::Work);
        failed(&breaker, MAX_FAILURES);
        breaker.admit("media").await.unwrap();
        // The request that probes the store does not end.
        let begin = Instant::now();
        let admitted = tokio::time::timeout(Duration::from_hours(1), breaker.admit("media")).await;
        assert!(matches!(admitted, Ok(Err(StorageError::Unavailable(_)))), "{admitted:?}");
        let waited = begin.elapsed();
        assert!((Duration::from_mins(3)..=Duration::from_mins(4)).contains(&waited), "{waited:?}");
    }
}
