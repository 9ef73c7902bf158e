use std::time::{Duration, Instant};

use nats::Task;

/// Our hold on a task: kept as long as its media child really advances.
#[derive(Debug)]
pub(crate) struct Lease {
    kept: Instant,
    advanced: Instant,
    mark: u64,
}

/// A third of a sixth of what the queue waits.
const KEEP: Duration = Duration::from_secs(10);
/// A child that does not advance for so long is stuck.
const STALLED: Duration = Duration::from_mins(1);

impl Lease {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { kept: now, advanced: now, mark: 0 }
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

    /// Extends the hold when it is time to.
    pub(crate) async fn keep(&mut self, task: &Task) {
        if self.kept.elapsed() >= KEEP {
            self.kept = Instant::now();
            // Without the server the lease may run out; the log then tells who holds the attempt.
            let _ = task.keep().await;
        }
    }
}
