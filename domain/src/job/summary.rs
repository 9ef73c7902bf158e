use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Failure, FailureCode, JobEvent, PlaybackNames, PresetRef, Priority, RetryHint};
use crate::{BatchId, JobId, Personal, Tenant, Timestamp, location::Location};

/// Summary of a job, as lists return it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSummary {
    /// The job's id.
    pub id: JobId,
    /// The tenant that owns it.
    pub tenant: Tenant,
    /// Kind of job: `convert`, …
    pub kind: String,
    /// Its status.
    pub status: JobStatus,
    /// Its priority.
    pub priority: Priority,
    /// Location of its input.
    pub input: Personal<Location>,
    /// Location of its output; `None` for a probe or analysis.
    pub output: Option<Personal<Location>>,
    /// Labels set by the user.
    pub metadata: Personal<BTreeMap<String, String>>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When its newest event happened.
    pub updated_at: Timestamp,
    /// When the first attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Earliest start of the next attempt, while it waits for one.
    pub next_attempt_at: Option<Timestamp>,
    /// True while its cancellation is in progress.
    pub cancel_requested: bool,
    /// Number of the newest attempt; 0 before the first.
    pub attempt: u32,
    /// Why it failed.
    pub error: Option<JobError>,
    /// True if all attempts were used up.
    pub dead_lettered: bool,
    /// The batch that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<BatchId>,
    /// When its outputs were deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs_expired_at: Option<Timestamp>,
    /// Seconds that its outputs are kept after its completion, if the job itself says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u64>,
    /// When its outputs will be deleted, if the job itself says so and is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_until: Option<Timestamp>,
    /// The job that this one reruns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<JobId>,
    /// The preset that supplied default values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<PresetRef>,
    /// The outputs that pages and players start from; rows of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playback: Option<PlaybackNames>,
    /// Number of its events: the `ETag`.
    pub version: u64,
}

/// Status of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Waiting for the first attempt or the next one.
    Queued,
    /// A worker runs it.
    Processing,
    /// It ended with outputs.
    Completed,
    /// It ended without outputs.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl JobStatus {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status after an event; `None` if the event does not change it.
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
            | JobEvent::OutputsDeleted { .. }
            | JobEvent::PriorityChanged { .. } => None,
        }
    }

    /// True once the job has ended; nothing more happens without a new request.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// A failure as the API returns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// Stable code.
    pub code: FailureCode,
    /// Message for people.
    pub message: Personal<String>,
    /// Whether a retry may succeed.
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

/// Metadata of an event that read models need in addition to the event.
#[derive(Debug, Clone)]
pub struct EventMetadata {
    /// The job.
    pub id: JobId,
    /// The tenant that owns it.
    pub tenant: Tenant,
    /// When the event was decided.
    pub at: Timestamp,
    /// The trace that the decision belongs to, if it is known.
    pub trace_id: Option<String>,
}

impl JobSummary {
    /// Folds in one event. A `None` input means that there is no row yet, a `None` result that
    /// there still is none.
    pub fn apply(row: Option<Self>, event: &JobEvent, meta: &EventMetadata) -> Option<Self> {
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
                keep: spec.keep,
                keep_until: None,
                rerun_of: spec.rerun_of,
                preset: spec.preset.clone(),
                playback: None,
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
            | JobEvent::AttemptAbandoned { .. }
            | JobEvent::Cancelled {} => {}
            JobEvent::OutputsSealed { outputs, .. } => {
                self.playback = Some(PlaybackNames::of(outputs));
            }
            JobEvent::OutputsDeleted { only: Some(deleted) } => {
                if let (Some(playback), Some(name)) = (&mut self.playback, deleted.name.as_ref()) {
                    playback.remove(name);
                }
            }
            JobEvent::Completed { .. } => {
                self.keep_until = self.keep.map(|keep| at.plus(Duration::from_secs(keep)));
            }
            JobEvent::AttemptStarted { attempt, .. } => {
                self.attempt = *attempt;
                self.started_at = self.started_at.or(Some(at));
            }
            JobEvent::AttemptFailed { retry_at, .. } => self.next_attempt_at = *retry_at,
            JobEvent::CancelRequested { .. } => self.cancel_requested = true,
            JobEvent::OutputsExpired {} | JobEvent::OutputsDeleted { only: None } => {
                self.outputs_expired_at = Some(at);
                self.playback = None;
            }
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
