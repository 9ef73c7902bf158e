use std::time::{Duration, Instant};

use ffapi_domain::{account::Limits, job::FailureCode, media::MAX_FILES};
use ffapi_media::MediaError;

use crate::slot::{DiskUsage, Usage};

/// Log lines of a child that are kept per attempt, and their total bytes.
const MAX_LOG_LINES: u32 = 1_000;
const MAX_LOG_BYTES: usize = 1024 * 1024;
/// Stage changes of one attempt that are published immediately.
const MAX_STAGE_EVENTS: u32 = 64;
/// Files and folders of one running attempt: outputs and intermediate files.
const MAX_ENTRIES: u64 = 2 * MAX_FILES + 1_000;
/// Minimum interval between two published progress events.
const MIN_PROGRESS_INTERVAL: Duration = Duration::from_millis(50);

/// Resource limits of one attempt, checked against what the worker and the kernel measure.
#[derive(Debug)]
pub(super) struct Bounds {
    cpu: Duration,
    /// Bytes of memory.
    memory: u64,
    /// Bytes on the disk.
    written: u64,
}

impl Bounds {
    /// `memory` and `written` are in bytes.
    pub(super) fn new(limits: &Limits, memory: u64, written: u64) -> Self {
        Self { cpu: Duration::from_secs(limits.max_job_cpu_seconds), memory, written }
    }

    /// Checks a child's processor time and memory.
    ///
    /// # Errors
    /// When a limit is exceeded.
    pub(super) fn check(&self, usage: &Usage) -> Result<(), MediaError> {
        if usage.cpu > self.cpu {
            return Err(too_long("processor time", self.cpu));
        }
        if usage.memory > self.memory {
            return Err(MediaError {
                code: FailureCode::ResourceExhausted,
                message: format!(
                    "the media process takes more than the {} MiB of memory that a job may have on \
                     this worker: a smaller resolution, fewer renditions or a faster `preset` help",
                    self.memory / 1024 / 1024
                ),
            });
        }
        Ok(())
    }

    /// Checks what a child has written.
    ///
    /// # Errors
    /// When a limit is exceeded.
    pub(super) fn check_written(&self, usage: &DiskUsage) -> Result<(), MediaError> {
        check_written(usage, self.written)
    }
}

/// The failure of a job that takes more than it may of a kind of time.
pub(super) fn too_long(what: &str, limit: Duration) -> MediaError {
    MediaError {
        code: FailureCode::TimeLimitExceeded,
        message: format!(
            "the job takes more than the {} s of {what} that this account allows: ask for less at \
             once, a faster `preset` or a smaller resolution, or send inputs from a faster host",
            limit.as_secs()
        ),
    }
}

/// Checks what a child has written against a limit in bytes, and the number of its files.
///
/// # Errors
/// When a limit is exceeded.
pub(crate) fn check_written(usage: &DiskUsage, max_bytes: u64) -> Result<(), MediaError> {
    if usage.entries > MAX_ENTRIES {
        return Err(MediaError {
            code: FailureCode::MediaCrashed,
            message: "the media process created more files than any job has".to_owned(),
        });
    }
    if usage.has_mapped_removed {
        return Err(MediaError {
            code: FailureCode::MediaCrashed,
            message: "the media process mapped a file that it removed".to_owned(),
        });
    }
    if usage.bytes <= max_bytes {
        return Ok(());
    }
    let message = format!(
        "the outputs take more than {max_bytes} bytes, the maximum for a job here: ask for a \
         shorter part, a lower bitrate or fewer renditions"
    );
    Err(MediaError { code: FailureCode::Unsupported, message })
}

/// Limits how many of a child's log lines and progress events are passed on.
#[derive(Debug, Default)]
pub(super) struct MessageBudget {
    lines: u32,
    bytes: usize,
    stages: u32,
    published: Option<Instant>,
}

/// Takes the place of the first line that is not logged.
const DROPPED: &str = "further log lines of this attempt are dropped";

impl MessageBudget {
    /// Counts a log line; what is logged of it: none once the budget is used up, and a note instead of the
    /// last one.
    pub(super) fn logged<'l>(
        &mut self,
        level: &'l str,
        line: &'l str,
    ) -> Option<(&'l str, &'l str)> {
        let full = |lines, bytes| lines >= MAX_LOG_LINES || bytes >= MAX_LOG_BYTES;
        if full(self.lines, self.bytes) {
            return None;
        }
        self.lines = self.lines.saturating_add(1);
        self.bytes = self.bytes.saturating_add(line.len());
        let is_last = full(self.lines, self.bytes);
        Some(if is_last { ("warning", DROPPED) } else { (level, line) })
    }

    /// True if the start of another stage may be published immediately.
    pub(super) fn allows_stage(&mut self) -> bool {
        self.stages = self.stages.saturating_add(1);
        self.stages <= MAX_STAGE_EVENTS
    }

    /// True if progress may be published now.
    pub(super) fn allows_progress(&mut self) -> bool {
        let now = Instant::now();
        let elapsed = |last| now.duration_since(last);
        let allowed = self.published.is_none_or(|last| elapsed(last) >= MIN_PROGRESS_INTERVAL);
        if allowed {
            self.published = Some(now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        let limits = Limits { max_job_cpu_seconds: 100, ..Limits::default() };
        Bounds::new(&limits, 1_000, 500)
    }

    #[test]
    fn exceeding_a_limit_fails_with_the_code_of_that_limit() {
        let second = Duration::from_secs(1);
        let usage = |cpu, memory| Usage { cpu: second * cpu, memory, io_bytes: 0 };
        let check = |usage| bounds().check(&usage);
        assert_eq!(check(usage(100, 1_000)), Ok(()));
        let code = |outcome: Result<(), MediaError>| outcome.unwrap_err().code;
        assert_eq!(code(check(usage(101, 0))), FailureCode::TimeLimitExceeded);
        assert_eq!(code(check(usage(0, 1_001))), FailureCode::ResourceExhausted);
        let written = |bytes, entries| {
            let usage = DiskUsage { bytes, entries, ..DiskUsage::default() };
            bounds().check_written(&usage)
        };
        assert_eq!(written(500, MAX_ENTRIES), Ok(()));
        assert_eq!(code(written(501, 1)), FailureCode::Unsupported);
        assert_eq!(code(written(0, MAX_ENTRIES + 1)), FailureCode::MediaCrashed);
        let mapped = DiskUsage { has_mapped_removed: true, ..DiskUsage::default() };
        assert_eq!(code(bounds().check_written(&mapped)), FailureCode::MediaCrashed);
    }

    #[test]
    fn log_lines_beyond_the_budget_are_dropped() {
        let mut budget = MessageBudget::default();
        let kept = (0..5_000).filter(|_| budget.logged("info", "x") == Some(("info", "x"))).count();
        assert_eq!(kept, MAX_LOG_LINES as usize - 1);
        assert_eq!(budget.logged("info", "x"), None);
        let mut budget = MessageBudget::default();
        let long = "x".repeat(MAX_LOG_BYTES);
        assert_eq!(budget.logged("info", &long), Some(("warning", DROPPED)));
        assert_eq!(budget.logged("info", "x"), None);
    }

    #[test]
    fn progress_events_are_rate_limited() {
        let mut budget = MessageBudget::default();
        assert!(budget.allows_progress());
        assert!(!budget.allows_progress());
        // A new stage is published immediately, up to a limit.
        assert_eq!((0..1_000).filter(|_| budget.allows_stage()).count(), MAX_STAGE_EVENTS as usize);
    }
}
