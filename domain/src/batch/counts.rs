use serde::{Deserialize, Serialize};

use crate::job::JobStatus;

/// Number of a batch's jobs by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All jobs.
    pub total: u32,
    /// Jobs that wait.
    pub queued: u32,
    /// Jobs that run.
    pub processing: u32,
    /// Jobs that completed.
    pub completed: u32,
    /// Jobs that ended without outputs.
    pub failed: u32,
    /// Jobs that were cancelled.
    pub cancelled: u32,
}

/// Status of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchStatus {
    /// Some jobs wait or run.
    Processing,
    /// All jobs completed.
    Completed,
    /// Some jobs completed, others did not.
    PartialSuccess,
    /// No job completed.
    Failed,
    /// The batch was cancelled.
    Cancelled,
}

impl Counts {
    /// Counts jobs by status.
    pub fn of(jobs: impl Iterator<Item = JobStatus>) -> Self {
        let mut counts = Self::default();
        jobs.for_each(|status| counts.add(status, 1));
        counts
    }

    /// Adds jobs of one status.
    pub const fn add(&mut self, status: JobStatus, jobs: u32) {
        let count = match status {
            JobStatus::Queued => &mut self.queued,
            JobStatus::Processing => &mut self.processing,
            JobStatus::Completed => &mut self.completed,
            JobStatus::Failed => &mut self.failed,
            JobStatus::Cancelled => &mut self.cancelled,
        };
        *count = count.saturating_add(jobs);
        self.total = self.total.saturating_add(jobs);
    }

    /// True once all jobs have ended; nothing more happens without a new request.
    pub const fn is_over(&self) -> bool {
        self.queued == 0 && self.processing == 0
    }

    /// The batch's status; `cancelled` is true if its cancellation was requested.
    pub const fn status(&self, cancelled: bool) -> BatchStatus {
        if !self.is_over() {
            return BatchStatus::Processing;
        }
        if self.completed == self.total {
            return BatchStatus::Completed;
        }
        if self.cancelled == self.total || (cancelled && self.cancelled > 0) {
            return BatchStatus::Cancelled;
        }
        if self.completed > 0 { BatchStatus::PartialSuccess } else { BatchStatus::Failed }
    }
}

impl BatchStatus {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::PartialSuccess => "partial_success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}
