use std::time::{Duration, Instant};

use ffapi_domain::{account::Limits, job::FailureCode, media::MAX_FILES};
use ffapi_media::MediaError;

use crate::slot::{Load, Usage};

/// Lines of a child that are kept of one attempt, and their bytes.
const LINES: u32 = 1_000;
const LINE_BYTES: usize = 1024 * 1024;
/// Stages of one attempt whose beginning is published at once.
const STAGES: u32 = 64;
/// Files and folders of one attempt, while it is under way: outputs, and what they are made of.
const ENTRIES: u64 = 2 * MAX_FILES + 1_000;
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

    /// Ends once its time is over.
    pub(super) async fn over(&self) -> MediaError {
        tokio::time::sleep(self.wall.saturating_sub(self.began.elapsed())).await;
        too_long("time", self.wall)
    }

    /// Why what a child uses is more than it may.
    ///
    /// # Errors
    /// When it is.
    pub(super) fn check(&self, usage: &Usage) -> Result<(), MediaError> {
        self.check_after(self.began.elapsed(), usage)
    }

    fn check_after(&self, elapsed: Duration, usage: &Usage) -> Result<(), MediaError> {
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
    pub(super) fn check_written(&self, load: &Load) -> Result<(), MediaError> {
        check_written(load, self.written)
    }
}

fn too_long(what: &str, limit: Duration) -> MediaError {
    MediaError {
        code: FailureCode::TimeLimitExceeded,
        message: format!(
            "the job takes more than the {} s of {what} that a job of this account may: ask for less at \
             once, a faster `preset` or a smaller picture, or send inputs from a faster host",
            limit.as_secs()
        ),
    }
}

/// Why what a child wrote is more than these bytes, or more files than any job makes.
///
/// # Errors
/// When it is.
pub(super) fn check_written(load: &Load, most: u64) -> Result<(), MediaError> {
    if load.entries > ENTRIES {
        return Err(MediaError {
            code: FailureCode::MediaCrashed,
            message: "the media process made more files than any job has".to_owned(),
        });
    }
    if load.bytes <= most {
        return Ok(());
    }
    let message = format!(
        "the outputs take more than {most} bytes, the most that a job may write here: ask for a shorter \
         part, a lower bitrate or fewer renditions"
    );
    Err(MediaError { code: FailureCode::Unsupported, message })
}

/// How much of what a child says is passed on.
#[derive(Debug, Default)]
pub(super) struct Budget {
    lines: u32,
    bytes: usize,
    stages: u32,
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

    /// True if the beginning of another stage is published, whatever was published just before.
    pub(super) fn stage(&mut self) -> bool {
        self.stages = self.stages.saturating_add(1);
        self.stages <= STAGES
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
        let written = |bytes, entries| bounds().check_written(&Load { bytes, entries });
        assert_eq!(written(500, ENTRIES), Ok(()));
        assert_eq!(code(written(501, 1)), FailureCode::Unsupported);
        assert_eq!(code(written(0, ENTRIES + 1)), FailureCode::MediaCrashed);
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
        // A new stage is published at once, but not without end.
        assert_eq!((0..1_000).filter(|_| budget.stage()).count(), STAGES as usize);
    }
}
