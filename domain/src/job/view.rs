use serde::{Deserialize, Serialize};

use super::{
    EventMetadata, FailureCode, JobError, JobEvent, JobSummary, JobUsage, OutputFile, RetryHint,
};
use crate::{Personal, Timestamp, media::MediaRequest};

/// A job as the API returns it: the fold that every read of it uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// The part that lists return too.
    pub summary: JobSummary,
    /// The request as parsed.
    pub request: MediaRequest,
    /// All attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// Its outputs, as measured; filled once sealed.
    pub outputs: Vec<OutputFile>,
    /// The result of a probe or analysis; filled once sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Personal<serde_json::Value>>,
    /// The plan that the outputs were made by, as JSON; filled once sealed. Not recorded by early versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Personal<serde_json::Value>>,
    /// What the attempt that made the outputs used; filled once sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<JobUsage>,
    /// The trace of the request that put it into the queue last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// One attempt of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Number of the attempt, starting at 1.
    pub number: u32,
    /// Id of the worker process.
    pub worker: String,
    /// The pool that it ran in.
    pub pool: String,
    /// The pool's device that it ran on: a path or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// When it started.
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
    /// It delivered the outputs.
    Completed,
    /// It failed.
    Failed,
    /// Its worker was lost.
    Abandoned,
    /// It was cancelled.
    Cancelled,
}

impl JobView {
    /// Folds in one event. A `None` input means that there is no row yet, a `None` result that
    /// there still is none.
    pub fn apply(row: Option<Self>, event: &JobEvent, meta: &EventMetadata) -> Option<Self> {
        let mut row = match (row, event) {
            (Some(row), _) => {
                Self { summary: JobSummary::apply(Some(row.summary), event, meta)?, ..row }
            }
            (None, JobEvent::Submitted { spec }) => Self {
                summary: JobSummary::apply(None, event, meta)?,
                request: spec.request.clone(),
                attempts: vec![],
                outputs: vec![],
                result: None,
                plan: None,
                usage: None,
                trace_id: meta.trace_id.clone(),
            },
            (None, _) => return None,
        };
        if let (JobEvent::Retried { .. }, Some(trace)) = (event, &meta.trace_id) {
            row.trace_id = Some(trace.clone());
        }
        row.fold(event, meta.at);
        Some(row)
    }

    fn fold(&mut self, event: &JobEvent, at: Timestamp) {
        match event {
            JobEvent::Submitted { .. }
            | JobEvent::CancelRequested { .. }
            | JobEvent::Retried { .. }
            | JobEvent::OutputsExpired {}
            | JobEvent::OutputsDeleted { only: None }
            | JobEvent::PriorityChanged { .. } => {}
            JobEvent::OutputsDeleted { only: Some(deleted) } => {
                let location = deleted.location.as_ref();
                self.outputs
                    .retain(|output| location.is_none() || output.location.as_ref() != location);
            }
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
            JobEvent::OutputsSealed { outputs, result, spent, plan, .. } => {
                self.usage = spent.as_ref().and_then(JobUsage::of);
                self.outputs.clone_from(outputs);
                self.result.clone_from(result);
                self.plan.clone_from(plan);
            }
            JobEvent::Cancelled {} => self.end_attempt(AttemptOutcome::Cancelled, at, None),
            JobEvent::Completed { .. } => self.end_attempt(AttemptOutcome::Completed, at, None),
            JobEvent::Failed { .. } => self.end_attempt(AttemptOutcome::Failed, at, None),
        }
    }

    /// Ends the newest attempt if it is still open.
    fn end_attempt(&mut self, outcome: AttemptOutcome, at: Timestamp, error: Option<JobError>) {
        if let Some(open) = self.attempts.last_mut().filter(|a| a.ended_at.is_none()) {
            open.ended_at = Some(at);
            open.outcome = Some(outcome);
            open.error = error;
        }
    }
}
