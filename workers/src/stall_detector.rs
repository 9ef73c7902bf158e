use std::time::{Duration, Instant};

/// Detects a media child that makes no progress.
#[derive(Debug)]
pub(crate) struct StallDetector {
    advanced: Instant,
    counter: u64,
    timeout: Duration,
}

impl StallDetector {
    /// Reports a stall when nothing advances for longer than `timeout`.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { advanced: Instant::now(), counter: 0, timeout }
    }

    /// Records progress as a counter in any unit; only a larger value counts.
    pub(crate) fn advance(&mut self, counter: u64) {
        if counter > self.counter {
            self.counter = counter;
            self.advanced = Instant::now();
        }
    }

    /// Records a heartbeat from the child.
    pub(crate) fn beat(&mut self) {
        self.advanced = Instant::now();
    }

    pub(crate) fn stalled(&self) -> bool {
        self.advanced.elapsed() > self.timeout
    }
}
