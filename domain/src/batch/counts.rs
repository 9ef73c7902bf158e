use serde::{Deserialize, Serialize};

use crate::job::JobStatus;

/// How many of a batch's jobs stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All of them.
    pub total: u32,
    /// Waiting.
    pub queued: u32,
    /// Running.
    pub processing: u32,
    /// Done.
    pub completed: u32,
    /// Ended without outputs.
    pub failed: u32,
    /// Called off.
    pub cancelled: u32,
}

/// Where a batch stands, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchStatus {
    /// Something of it waits or runs.
    Processing,
    /// Everything is done.
    Completed,
    /// Something is done, something is not.
    PartialSuccess,
    /// Nothing is done.
    Failed,
    /// It was called off.
    Cancelled,
}

impl Counts {
    /// Of jobs that stand like this.
    pub fn of(jobs: impl Iterator<Item = JobStatus>) -> Self {
        let mut counts = Self::default();
        jobs.for_each(|status| counts.add(status, 1));
        counts
    }

    /// Counts so many more.
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

    /// True once nothing more will happen by itself.
    pub const fn is_over(&self) -> bool {
        self.queued == 0 && self.processing == 0
    }

    /// The word for it; `called_off` if somebody asked for that.
    pub const fn status(&self, called_off: bool) -> BatchStatus {
        if !self.is_over() {
            return BatchStatus::Processing;
        }
        if self.completed == self.total {
            return BatchStatus::Completed;
        }
        if self.cancelled == self.total || (called_off && self.cancelled > 0) {
            return BatchStatus::Cancelled;
        }
        if self.completed > 0 { BatchStatus::PartialSuccess } else { BatchStatus::Failed }
    }
}

impl BatchStatus {
    /// The word as written in JSON.
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
