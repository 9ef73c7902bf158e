use std::time::{Duration, Instant};

/// Whether a media child still gets anywhere.
#[derive(Debug)]
pub(crate) struct Life {
    advanced: Instant,
    mark: u64,
}

/// A child that does not advance for so long is stuck.
const STALLED: Duration = Duration::from_mins(1);

impl Life {
    pub(crate) fn new() -> Self {
        Self { advanced: Instant::now(), mark: 0 }
    }

    /// Takes in how far the work is, in any unit that grows.
    pub(crate) fn advance(&mut self, mark: u64) {
        if mark > self.mark {
            self.mark = mark;
            self.advanced = Instant::now();
        }
    }

    pub(crate) fn stalled(&self) -> bool {
        self.advanced.elapsed() > STALLED
    }
}
