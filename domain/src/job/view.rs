use serde::{Deserialize, Serialize};

use super::{FailureCode, JobError, JobEvent, JobSummary, OutputFile, Recorded, RetryHint};
use crate::{Personal, Timestamp, media::MediaRequest};

/// A job as the API shows it: the fold that every read of it goes through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// What a list shows of it too.
    pub summary: JobSummary,
    /// The request as understood.
    pub request: MediaRequest,
    /// All attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// What it made, as measured; filled once sealed.
    pub outputs: Vec<OutputFile>,
    /// What it found out; filled once sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Personal<serde_json::Value>>,
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
    /// The hardware of that pool: its path or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
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

impl JobView {
    /// Folds one event in. `None` in means no row yet; `None` out means still none.
    pub fn apply(row: Option<Self>, event: &JobEvent, meta: &Recorded) -> Option<Self> {
        let (summary, rest) = match row {
            Some(row) => {
                (Some(row.summary), Some((row.request, row.attempts, row.outputs, row.result)))
            }
            None => (None, None),
        };
        let summary = JobSummary::apply(summary, event, meta)?;
        let (request, attempts, outputs, result) = match (rest, event) {
            (Some(rest), _) => rest,
            (None, JobEvent::Submitted { spec }) => (spec.request.clone(), vec![], vec![], None),
            (None, _) => return None,
        };
        let mut row = Self { summary, request, attempts, outputs, result };
        row.fold(event, meta.at);
        Some(row)
    }

    fn fold(&mut self, event: &JobEvent, at: Timestamp) {
        match event {
            JobEvent::Submitted { .. }
            | JobEvent::CancelRequested { .. }
            | JobEvent::Retried { .. }
            | JobEvent::OutputsExpired {}
            | JobEvent::PriorityChanged { .. } => {}
            JobEvent::AttemptStarted { attempt, worker, pool, device, .. } => {
                self.attempts.push(Attempt {
                    number: *attempt,
                    worker: worker.clone(),
                    pool: pool.clone(),
                    device: device.clone(),
                    started_at: at,
                    ended_at: None,
                    outcome: None,
                    error: None,
                });
            }
            JobEvent::AttemptFailed { failure, .. } => {
                self.end_attempt(AttemptOutcome::Failed, at, Some(failure.into()));
            }
            JobEvent::AttemptAbandoned { reason, .. } => {
                let lost = JobError {
                    code: FailureCode::WorkerLost,
                    message: Personal::Clear(reason.clone()),
                    retry_hint: RetryHint::Retry,
                };
                self.end_attempt(AttemptOutcome::Abandoned, at, Some(lost));
            }
            JobEvent::OutputsSealed { outputs, result, .. } => {
                self.outputs.clone_from(outputs);
                self.result.clone_from(result);
            }
            JobEvent::Cancelled {} => self.end_attempt(AttemptOutcome::Cancelled, at, None),
            JobEvent::Completed { .. } => self.end_attempt(AttemptOutcome::Completed, at, None),
            JobEvent::Failed { .. } => self.end_attempt(AttemptOutcome::Failed, at, None),
        }
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
