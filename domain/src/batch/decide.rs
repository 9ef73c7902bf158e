use super::{BatchEvent, BatchSpec, Counts};
use crate::{Category, Decider, JobId, LeaseId};

/// A command for a batch.
#[derive(Debug, Clone)]
pub enum BatchCommand {
    /// Submit the batch.
    Submit {
        /// Its specification, including all jobs.
        spec: Box<BatchSpec>,
    },
    /// Cancel it.
    Cancel,
    /// Retry some of its jobs.
    Retry {
        /// The jobs to retry.
        jobs: Vec<JobId>,
        /// The lease whose queue slots these jobs spend.
        lease: Option<LeaseId>,
    },
    /// Reopen it after one of its jobs was retried.
    Reopen,
    /// Record that every job has ended.
    End {
        /// The round that the counts belong to.
        round: u32,
        /// How the jobs ended.
        counts: Counts,
    },
}

/// State of a batch: only what the next decision needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BatchState {
    /// Not submitted yet.
    #[default]
    Unknown,
    /// Submitted.
    Known {
        /// How often it was reopened.
        round: u32,
        /// True if it was cancelled in this round.
        cancelled: bool,
        /// True if its end was recorded in this round.
        ended: bool,
    },
}

/// The batch decider.
#[derive(Debug)]
pub struct Batch;

/// Why a batch command is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchRejection {
    /// No such batch.
    #[error("there is no such batch")]
    NotFound,
    /// The id exists already.
    #[error("the batch was submitted already")]
    AlreadySubmitted,
    /// It has ended.
    #[error("the batch is over")]
    AlreadyOver,
    /// Its cancellation is in progress.
    #[error("the batch is being cancelled; retry it once it is over")]
    Cancelling,
    /// None of the given jobs failed or was cancelled.
    #[error("none of its jobs has failed or was cancelled")]
    NothingToRetry,
}

impl Decider for Batch {
    type Command = BatchCommand;
    type Event = BatchEvent;
    type State = BatchState;
    type Rejection = BatchRejection;

    const CATEGORY: &'static str = Category::Batch.as_str();

    fn decide(
        state: &BatchState,
        command: BatchCommand,
    ) -> Result<Vec<BatchEvent>, BatchRejection> {
        let BatchState::Known { round, cancelled, ended } = *state else {
            return match command {
                BatchCommand::Submit { spec } => Ok(vec![BatchEvent::Submitted { spec }]),
                BatchCommand::Cancel
                | BatchCommand::Retry { .. }
                | BatchCommand::Reopen
                | BatchCommand::End { .. } => Err(BatchRejection::NotFound),
            };
        };
        match command {
            BatchCommand::Submit { .. } => Err(BatchRejection::AlreadySubmitted),
            BatchCommand::Cancel if ended => Err(BatchRejection::AlreadyOver),
            BatchCommand::Cancel if cancelled => Ok(vec![]),
            BatchCommand::Cancel => Ok(vec![BatchEvent::CancelRequested {}]),
            BatchCommand::Retry { .. } if cancelled && !ended => Err(BatchRejection::Cancelling),
            BatchCommand::Retry { jobs, .. } if jobs.is_empty() => {
                Err(BatchRejection::NothingToRetry)
            }
            BatchCommand::Retry { jobs, lease } => Ok(vec![BatchEvent::Retried { jobs, lease }]),
            BatchCommand::Reopen if ended => Ok(vec![BatchEvent::Reopened {}]),
            BatchCommand::End { round: counted, counts } if counted == round && !ended => {
                let status = counts.status(cancelled);
                Ok(vec![BatchEvent::Ended { round, status, counts }])
            }
            BatchCommand::Reopen | BatchCommand::End { .. } => Ok(vec![]),
        }
    }

    fn evolve(state: BatchState, event: &BatchEvent) -> BatchState {
        let (round, cancelled) = match state {
            BatchState::Unknown => (0, false),
            BatchState::Known { round, cancelled, .. } => (round, cancelled),
        };
        let next_round = round.saturating_add(1);
        let (round, cancelled, ended) = match event {
            BatchEvent::Submitted { .. } => (0, false, false),
            BatchEvent::CancelRequested {} => (round, true, false),
            BatchEvent::Retried { .. } | BatchEvent::Reopened {} => (next_round, false, false),
            BatchEvent::Ended { .. } => (round, cancelled, true),
        };
        BatchState::Known { round, cancelled, ended }
    }
}
