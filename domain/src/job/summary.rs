use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Failure, FailureCode, JobEvent, PresetRef, Priority, RetryHint};
use crate::{BatchId, JobId, Personal, Tenant, Timestamp, location::Location};

/// A job in brief: what a list shows of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSummary {
    /// Its name.
    pub id: JobId,
    /// Whose it is.
    pub tenant: Tenant,
    /// `convert`, …
    pub kind: String,
    /// Where it stands.
    pub status: JobStatus,
    /// Its place in the queue.
    pub priority: Priority,
    /// Where the bytes come from.
    pub input: Personal<Location>,
    /// Where they go; none for a job that only finds something out.
    pub output: Option<Personal<Location>>,
    /// The user's labels.
    pub metadata: Personal<BTreeMap<String, String>>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the newest thing happened.
    pub updated_at: Timestamp,
    /// When the first attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// When the next attempt may start, while it waits for one.
    pub next_attempt_at: Option<Timestamp>,
    /// A cancel is on its way to the worker.
    pub cancel_requested: bool,
    /// The newest attempt's number; 0 before the first.
    pub attempt: u32,
    /// Why it failed.
    pub error: Option<JobError>,
    /// True if every attempt was used up.
    pub dead_lettered: bool,
    /// The batch that it is one of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<BatchId>,
    /// When its outputs were gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs_expired_at: Option<Timestamp>,
    /// The job that it does again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<JobId>,
    /// What filled in what was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<PresetRef>,
    /// Count of its events: the `ETag`.
    pub version: u64,
}

/// Where a job stands, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Waiting, for the first attempt or the next.
    Queued,
    /// A worker has it.
    Processing,
    /// Outputs stand.
    Completed,
    /// No outputs.
    Failed,
    /// Called off.
    Cancelled,
}

impl JobStatus {
    /// The word as written in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Where an event puts a job; none if it does not move it.
    pub const fn after(event: &JobEvent) -> Option<Self> {
        match event {
            JobEvent::Submitted { .. }
            | JobEvent::AttemptFailed { .. }
            | JobEvent::AttemptAbandoned { .. }
            | JobEvent::Retried { .. } => Some(Self::Queued),
            JobEvent::AttemptStarted { .. } => Some(Self::Processing),
            JobEvent::Completed { .. } => Some(Self::Completed),
            JobEvent::Failed { .. } => Some(Self::Failed),
            JobEvent::Cancelled {} => Some(Self::Cancelled),
            JobEvent::CancelRequested { .. }
            | JobEvent::OutputsSealed { .. }
            | JobEvent::OutputsExpired {}
            | JobEvent::PriorityChanged { .. } => None,
        }
    }

    /// True once nothing more will happen by itself.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// A failure as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// Stable.
    pub code: FailureCode,
    /// For a person.
    pub message: Personal<String>,
    /// Whether another try may help.
    pub retry_hint: RetryHint,
}

impl From<&Failure> for JobError {
    fn from(failure: &Failure) -> Self {
        Self {
            code: failure.code,
            message: failure.message.clone(),
            retry_hint: failure.code.retry_hint(),
        }
    }
}

/// What a row learns beside the event itself.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The job.
    pub id: JobId,
    /// Whose.
    pub tenant: Tenant,
    /// When it was decided.
    pub at: Timestamp,
}

impl JobSummary {
    /// Folds one event in. `None` in means no row yet; `None` out means still none.
    pub fn apply(row: Option<Self>, event: &JobEvent, meta: &Recorded) -> Option<Self> {
        let mut row = match (row, event) {
            (None, JobEvent::Submitted { spec }) => Self {
                id: meta.id,
                tenant: meta.tenant.clone(),
                kind: spec.request.kind().to_owned(),
                status: JobStatus::Queued,
                priority: spec.priority,
                input: spec.request.input().clone(),
                output: spec.request.output().cloned(),
                metadata: spec.metadata.clone(),
                created_at: meta.at,
                updated_at: meta.at,
                started_at: None,
                completed_at: None,
                next_attempt_at: spec.not_before,
                cancel_requested: false,
                attempt: 0,
                error: None,
                dead_lettered: false,
                batch_id: spec.batch.map(|batch| batch.id),
                outputs_expired_at: None,
                rerun_of: spec.rerun_of,
                preset: spec.preset.clone(),
                version: 0,
            },
            (None, _) => return None,
            (Some(row), _) => row,
        };
        row.version = row.version.saturating_add(1);
        row.updated_at = meta.at;
        row.fold(event, meta.at);
        Some(row)
    }

    fn fold(&mut self, event: &JobEvent, at: Timestamp) {
        if let Some(status) = JobStatus::after(event) {
            self.status = status;
            self.next_attempt_at = self.next_attempt_at.filter(|_| status == JobStatus::Queued);
            self.cancel_requested &= !status.is_over();
            self.completed_at = status.is_over().then_some(at);
        }
        match event {
            JobEvent::Submitted { .. }
            | JobEvent::OutputsSealed { .. }
            | JobEvent::AttemptAbandoned { .. }
            | JobEvent::Cancelled {}
            | JobEvent::Completed { .. } => {}
            JobEvent::AttemptStarted { attempt, .. } => {
                self.attempt = *attempt;
                self.started_at = self.started_at.or(Some(at));
            }
            JobEvent::AttemptFailed { retry_at, .. } => self.next_attempt_at = *retry_at,
            JobEvent::CancelRequested { .. } => self.cancel_requested = true,
            JobEvent::OutputsExpired {} => self.outputs_expired_at = Some(at),
            JobEvent::Failed { failure, dead_lettered } => {
                self.error = Some(failure.into());
                self.dead_lettered = *dead_lettered;
            }
            JobEvent::Retried { .. } => {
                self.cancel_requested = false;
                self.error = None;
                self.dead_lettered = false;
            }
            JobEvent::PriorityChanged { priority } => self.priority = *priority,
        }
    }
}
