use std::time::{Duration, Instant};

use domain::{account::Limits, job::FailureCode};
use media::MediaError;

use crate::slot::Usage;

/// Lines of a child that are kept of one attempt, and their bytes.
const LINES: u32 = 1_000;
const LINE_BYTES: usize = 1024 * 1024;
/// How often progress is published at most.
const EVERY: Duration = Duration::from_millis(50);

/// What one attempt may use, measured by the worker and the kernel.
#[derive(Debug)]
pub(super) struct Bounds {
    began: Instant,
    wall: Duration,
    cpu: Duration,
    memory: u64,
    written: u64,
}

impl Bounds {
    /// From now on.
    pub(super) fn new(limits: &Limits, memory: u64, written: u64) -> Self {
        Self {
            began: Instant::now(),
            wall: Duration::from_secs(limits.max_job_seconds),
            cpu: Duration::from_secs(limits.max_job_cpu_seconds),
            memory,
            written,
        }
    }

    /// Time since it began.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Why what a child uses is more than it may.
    ///
    /// # Errors
    /// When it is.
    pub(super) fn check(&self, usage: &Usage) -> Result<(), MediaError> {
        self.check_after(self.elapsed(), usage)
    }

    fn check_after(&self, elapsed: Duration, usage: &Usage) -> Result<(), MediaError> {
        let too_long = |what: &str, limit: Duration| MediaError {
            code: FailureCode::TimeLimitExceeded,
            message: format!(
                "the job takes more than the {} s of {what} that a job of this account may: ask for \
                 less at once, a faster `preset` or a smaller picture",
                limit.as_secs()
            ),
        };
        if elapsed > self.wall {
            return Err(too_long("time", self.wall));
        }
        if usage.cpu > self.cpu {
            return Err(too_long("processor time", self.cpu));
        }
        if usage.memory > self.memory {
            return Err(MediaError {
                code: FailureCode::ResourceExhausted,
                message: format!(
                    "the media process takes more memory than the {} MiB that a job may have on this \
                     worker: a smaller picture, fewer renditions or a faster `preset` take less",
                    self.memory / 1024 / 1024
                ),
            });
        }
        Ok(())
    }

    /// Why what a child wrote is more than it may.
    ///
    /// # Errors
    /// When it is.
    pub(super) fn check_written(&self, bytes: u64) -> Result<(), MediaError> {
        if bytes <= self.written {
            return Ok(());
        }
        let message = format!(
            "the outputs take more than {} bytes, the most that a job may write here: ask for a shorter \
             part, a lower bitrate or fewer renditions",
            self.written
        );
        Err(MediaError { code: FailureCode::Unsupported, message })
    }
}

/// How much of what a child says is passed on.
#[derive(Debug, Default)]
pub(super) struct Budget {
    lines: u32,
    bytes: usize,
    published: Option<Instant>,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Keep,
    /// It is the first that is not kept.
    Last,
    Drop,
}

impl Budget {
    /// Counts one line.
    pub(super) fn line(&mut self, line: &str) -> Line {
        let full = |lines, bytes| lines >= LINES || bytes >= LINE_BYTES;
        if full(self.lines, self.bytes) {
            return Line::Drop;
        }
        self.lines = self.lines.saturating_add(1);
        self.bytes = self.bytes.saturating_add(line.len());
        if full(self.lines, self.bytes) { Line::Last } else { Line::Keep }
    }

    /// True if progress may be published now.
    pub(super) fn publishes(&mut self) -> bool {
        let now = Instant::now();
        let may = self.published.is_none_or(|last| now.duration_since(last) >= EVERY);
        if may {
            self.published = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        let limits = Limits { max_job_seconds: 60, max_job_cpu_seconds: 100, ..Limits::default() };
        Bounds::new(&limits, 1_000, 500)
    }

    #[test]
    fn a_job_that_uses_more_than_it_may_is_ended_and_says_of_what() {
        let second = Duration::from_secs(1);
        let usage = |cpu, memory| Usage { cpu: second * cpu, memory, moved: 0 };
        let check = |elapsed, usage| bounds().check_after(second * elapsed, &usage);
        assert_eq!(check(60, usage(100, 1_000)), Ok(()));
        let code = |outcome: Result<(), MediaError>| outcome.unwrap_err().code;
        assert_eq!(code(check(61, usage(0, 0))), FailureCode::TimeLimitExceeded);
        assert_eq!(code(check(0, usage(101, 0))), FailureCode::TimeLimitExceeded);
        assert_eq!(code(check(0, usage(0, 1_001))), FailureCode::ResourceExhausted);
        assert_eq!(bounds().check_written(500), Ok(()));
        assert_eq!(code(bounds().check_written(501)), FailureCode::Unsupported);
    }

    #[test]
    fn a_child_that_never_stops_talking_is_cut_off() {
        let mut budget = Budget::default();
        let kept = (0..5_000).filter(|_| budget.line("x") == Line::Keep).count();
        assert_eq!(kept, LINES as usize - 1);
        assert_eq!(budget.line("x"), Line::Drop);
        let mut budget = Budget::default();
        assert_eq!(budget.line(&"x".repeat(LINE_BYTES)), Line::Last);
        assert_eq!(budget.line("x"), Line::Drop);
    }

    #[test]
    fn progress_is_published_now_and_then() {
        let mut budget = Budget::default();
        assert!(budget.publishes());
        assert!(!budget.publishes());
    }
}
