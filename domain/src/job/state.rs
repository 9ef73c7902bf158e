use super::{JobEvent, OutputFile, Priority, RetryPolicy};
use crate::Timestamp;

/// State of a job: only what the next decision needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum JobState {
    /// Not submitted yet.
    #[default]
    Unknown,
    /// Waiting for a worker.
    Queued {
        /// State carried over to the next attempt.
        run: Run,
        /// Earliest release.
        not_before: Option<Timestamp>,
    },
    /// A worker runs it.
    Processing {
        /// State carried over to the next attempt.
        run: Run,
        /// Number of the open attempt.
        attempt: u32,
        /// The worker that runs it.
        worker: String,
        /// True if cancellation was requested; completion is rejected.
        cancelling: bool,
    },
    /// It ended with outputs.
    Completed,
    /// Ended without outputs.
    Failed {
        /// State carried over to a retry.
        run: Run,
    },
    /// It was cancelled.
    Cancelled {
        /// State carried over to a retry.
        run: Run,
    },
}

/// What earlier attempts carry over to the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// Number of the next attempt.
    pub next_attempt: u32,
    /// Failed attempts since the last submission or retry.
    pub failures: u32,
    /// Attempts whose worker was lost since the last submission or retry.
    pub abandoned: u32,
    /// Attempts that no worker had disk space for since the last submission or retry.
    pub deferred: u32,
    /// The attempt whose staged outputs are the job's, once sealed.
    pub sealed_by: Option<u32>,
    /// True if the sealed outputs are put at URLs, and not published in a store.
    pub is_put: bool,
    /// Its priority.
    pub priority: Priority,
    /// How it is retried.
    pub policy: RetryPolicy,
}

impl JobState {
    /// State carried over to the next attempt, if there can be one.
    pub fn run(&self) -> Option<&Run> {
        match self {
            Self::Unknown | Self::Completed => None,
            Self::Queued { run, .. }
            | Self::Processing { run, .. }
            | Self::Failed { run }
            | Self::Cancelled { run } => Some(run),
        }
    }

    /// True once the job has ended; nothing more happens without a new request.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed { .. } | Self::Cancelled { .. })
    }
}

pub(super) fn evolve(state: JobState, event: &JobEvent) -> JobState {
    let run = state.run().cloned().unwrap_or_default();
    match event {
        JobEvent::Submitted { spec } => JobState::Queued {
            run: Run {
                next_attempt: 1,
                priority: spec.priority,
                policy: RetryPolicy::of(&spec.request, spec.max_attempts),
                ..Run::default()
            },
            not_before: spec.not_before,
        },
        JobEvent::AttemptStarted { attempt, worker, .. } => JobState::Processing {
            run: Run { next_attempt: attempt.saturating_add(1), ..run },
            attempt: *attempt,
            worker: worker.clone(),
            cancelling: false,
        },
        JobEvent::AttemptFailed { failure, retry_at, .. } => {
            let is_deferral = failure.code.is_deferral();
            JobState::Queued {
                run: Run {
                    failures: run.failures.saturating_add((!is_deferral).into()),
                    deferred: run.deferred.saturating_add(is_deferral.into()),
                    ..run
                },
                not_before: *retry_at,
            }
        }
        JobEvent::AttemptAbandoned { handed_back, .. } => JobState::Queued {
            // A worker that shuts down is no evidence against the job.
            run: Run { abandoned: run.abandoned.saturating_add((!handed_back).into()), ..run },
            not_before: None,
        },
        JobEvent::CancelRequested { .. } => match state {
            JobState::Processing { run, attempt, worker, .. } => {
                JobState::Processing { run, attempt, worker, cancelling: true }
            }
            other @ (JobState::Unknown
            | JobState::Queued { .. }
            | JobState::Completed
            | JobState::Failed { .. }
            | JobState::Cancelled { .. }) => other,
        },
        // Sealed outputs are not delivered any more; the same after a failure.
        JobEvent::Cancelled {} => JobState::Cancelled { run: Run { sealed_by: None, ..run } },
        JobEvent::OutputsSealed { attempt, outputs, .. } => {
            let is_put = outputs.iter().any(OutputFile::is_put);
            with_run(state, Run { sealed_by: Some(*attempt), is_put, ..run })
        }
        JobEvent::Completed { .. } => JobState::Completed,
        JobEvent::OutputsExpired {} | JobEvent::OutputsDeleted { .. } => state,
        JobEvent::Failed { .. } => JobState::Failed { run: Run { sealed_by: None, ..run } },
        JobEvent::Retried { next_attempt, .. } => JobState::Queued {
            run: Run { next_attempt: *next_attempt, failures: 0, abandoned: 0, deferred: 0, ..run },
            not_before: None,
        },
        JobEvent::PriorityChanged { priority } => {
            with_run(state, Run { priority: *priority, ..run })
        }
    }
}

fn with_run(state: JobState, run: Run) -> JobState {
    match state {
        JobState::Unknown => JobState::Unknown,
        JobState::Completed => JobState::Completed,
        JobState::Queued { not_before, .. } => JobState::Queued { run, not_before },
        JobState::Processing { attempt, worker, cancelling, .. } => {
            JobState::Processing { run, attempt, worker, cancelling }
        }
        JobState::Failed { .. } => JobState::Failed { run },
        JobState::Cancelled { .. } => JobState::Cancelled { run },
    }
}
