use super::{BatchEvent, BatchSpec, Counts};
use crate::{Decider, JobId, LeaseId};

/// What may be asked of a batch.
#[derive(Debug, Clone)]
pub enum BatchCommand {
    /// Ask for it.
    Submit {
        /// With all its jobs.
        spec: Box<BatchSpec>,
    },
    /// Call it off.
    Cancel,
    /// Try these again.
    Retry {
        /// Which.
        jobs: Vec<JobId>,
        /// Of whose places in the queue each has one.
        lease: Option<LeaseId>,
    },
    /// Open it again, for one of its jobs was.
    Reopen,
    /// Say that every job is over.
    End {
        /// As counted from what opened it.
        round: u32,
        /// How they ended.
        counts: Counts,
    },
}

/// Where a batch stands: only what the next decision asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BatchState {
    /// Nothing happened yet.
    #[default]
    Unknown,
    /// It is there.
    Known {
        /// How often it was opened again.
        round: u32,
        /// It was called off in this round.
        cancelled: bool,
        /// It was said to be over in this round.
        ended: bool,
    },
}

/// The batch decider.
#[derive(Debug)]
pub struct Batch;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchRejection {
    /// No such batch.
    #[error("there is no such batch")]
    NotFound,
    /// It exists already.
    #[error("the batch was submitted already")]
    AlreadySubmitted,
    /// It is over.
    #[error("the batch is over")]
    AlreadyOver,
    /// It is being called off.
    #[error("the batch is being cancelled; retry it once it is over")]
    Cancelling,
    /// Nothing of it failed or was cancelled.
    #[error("none of its jobs has failed or was cancelled")]
    NothingToRetry,
}

impl Decider for Batch {
    type Command = BatchCommand;
    type Event = BatchEvent;
    type State = BatchState;
    type Rejection = BatchRejection;

    const CATEGORY: &'static str = "batch";

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
        let again = round.saturating_add(1);
        let (round, cancelled, ended) = match event {
            BatchEvent::Submitted { .. } => (0, false, false),
            BatchEvent::CancelRequested {} => (round, true, false),
            BatchEvent::Retried { .. } | BatchEvent::Reopened {} => (again, false, false),
            BatchEvent::Ended { .. } => (round, cancelled, true),
        };
        BatchState::Known { round, cancelled, ended }
    }
}
