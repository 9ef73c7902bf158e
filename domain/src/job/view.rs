use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Failure, FailureCode, JobEvent, OutputFile, Priority, RetryHint};
use crate::{JobId, Personal, Tenant, Timestamp, media::MediaRequest};

/// A job as the API shows it: the fold that every read of it goes through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobView {
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
    /// The request as understood.
    pub request: MediaRequest,
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
    /// All of them.
    pub attempts: Vec<Attempt>,
    /// Why it failed.
    pub error: Option<JobError>,
    /// True if every attempt was used up.
    pub dead_lettered: bool,
    /// What it made, as measured; filled once sealed.
    pub outputs: Vec<OutputFile>,
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

    /// True once nothing more will happen by itself.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// One try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// Which worker process.
    pub worker: String,
    /// What it ran on.
    pub pool: String,
    /// When.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<AttemptOutcome>,
    /// Why it failed.
    pub error: Option<JobError>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// It delivered.
    Completed,
    /// By itself.
    Failed,
    /// Its worker vanished.
    Abandoned,
    /// The user stopped it.
    Cancelled,
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

impl JobView {
    /// Folds one event in. `None` in means no row yet; `None` out means still none.
    pub fn apply(row: Option<Self>, event: &JobEvent, meta: &Recorded) -> Option<Self> {
        let mut row = match (row, event) {
            (None, JobEvent::Submitted { spec }) => Self {
                id: meta.id,
                tenant: meta.tenant.clone(),
                kind: spec.request.kind().to_owned(),
                status: JobStatus::Queued,
                priority: spec.priority,
                request: spec.request.clone(),
                metadata: spec.metadata.clone(),
                created_at: meta.at,
                updated_at: meta.at,
                started_at: None,
                completed_at: None,
                next_attempt_at: spec.not_before,
                cancel_requested: false,
                attempt: 0,
                attempts: Vec::new(),
                error: None,
                dead_lettered: false,
                outputs: Vec::new(),
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
        match event {
            JobEvent::Submitted { .. } => {}
            JobEvent::AttemptStarted { attempt, worker, pool } => {
                self.status = JobStatus::Processing;
                self.attempt = *attempt;
                self.next_attempt_at = None;
                self.started_at = self.started_at.or(Some(at));
                self.attempts.push(Attempt {
                    number: *attempt,
                    worker: worker.clone(),
                    pool: pool.clone(),
                    started_at: at,
                    ended_at: None,
                    outcome: None,
                    error: None,
                });
            }
            JobEvent::AttemptFailed { failure, retry_at, .. } => {
                self.status = JobStatus::Queued;
                self.next_attempt_at = *retry_at;
                self.end_attempt(AttemptOutcome::Failed, at, Some(failure.into()));
            }
            JobEvent::AttemptAbandoned { reason, .. } => {
                self.status = JobStatus::Queued;
                let lost = JobError {
                    code: FailureCode::WorkerLost,
                    message: Personal::Clear(reason.clone()),
                    retry_hint: RetryHint::Retry,
                };
                self.end_attempt(AttemptOutcome::Abandoned, at, Some(lost));
            }
            JobEvent::CancelRequested { .. } => self.cancel_requested = true,
            JobEvent::Cancelled {} => {
                self.end(JobStatus::Cancelled, AttemptOutcome::Cancelled, at);
            }
            JobEvent::OutputsSealed { outputs, .. } => self.outputs.clone_from(outputs),
            JobEvent::Completed { .. } => {
                self.end(JobStatus::Completed, AttemptOutcome::Completed, at);
            }
            JobEvent::Failed { failure, dead_lettered } => {
                self.end(JobStatus::Failed, AttemptOutcome::Failed, at);
                self.error = Some(failure.into());
                self.dead_lettered = *dead_lettered;
            }
            JobEvent::Retried { .. } => {
                self.status = JobStatus::Queued;
                self.completed_at = None;
                self.cancel_requested = false;
                self.error = None;
                self.dead_lettered = false;
            }
            JobEvent::PriorityChanged { priority } => self.priority = *priority,
        }
    }

    fn end(&mut self, status: JobStatus, outcome: AttemptOutcome, at: Timestamp) {
        self.status = status;
        self.completed_at = Some(at);
        self.next_attempt_at = None;
        self.cancel_requested = false;
        self.end_attempt(outcome, at, None);
    }

    /// Closes the newest attempt if it is still open.
    fn end_attempt(&mut self, outcome: AttemptOutcome, at: Timestamp, error: Option<JobError>) {
        if let Some(open) = self.attempts.last_mut().filter(|a| a.ended_at.is_none()) {
            open.ended_at = Some(at);
            open.outcome = Some(outcome);
            open.error = error;
        }
    }
}
