use std::time::{Duration, Instant};

/// Whether a media child still gets anywhere.
#[derive(Debug)]
pub(crate) struct StallDetector {
    advanced: Instant,
    mark: u64,
    patience: Duration,
}

impl StallDetector {
    /// One that counts as stuck when it does not advance for so long.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { advanced: Instant::now(), mark: 0, patience }
    }

    /// Takes in how far the work is, in any unit that grows.
    pub(crate) fn advance(&mut self, mark: u64) {
        if mark > self.mark {
            self.mark = mark;
            self.advanced = Instant::now();
        }
    }

    /// Takes in that it said it works.
    pub(crate) fn beat(&mut self) {
        self.advanced = Instant::now();
    }

    pub(crate) fn stalled(&self) -> bool {
        self.advanced.elapsed() > self.patience
    }
}
