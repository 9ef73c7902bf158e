//! An output name: only one live job at a time may write to it.

use serde::{Deserialize, Serialize};

use crate::{Decider, JobId};

/// What happened to an output name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputEvent {
    /// A job reserved the name for its output.
    #[serde(rename = "output.reserved")]
    Reserved {
        /// The job that reserved it.
        job: JobId,
    },
}

/// A command for an output name.
#[derive(Debug, Clone)]
pub enum OutputCommand {
    /// Reserve the name for a job.
    Reserve {
        /// The job that reserves it.
        job: JobId,
        /// The previous holder, which the caller found to have ended or never to have started.
        over: Option<JobId>,
    },
}

/// State of an output name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputState {
    /// The job that reserved it last.
    pub holder: Option<JobId>,
}

/// The output name decider.
#[derive(Debug)]
pub struct Output;

/// Why an output command is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputRejection {
    /// Another job holds the name and is not known to have ended.
    #[error("{holder} is making this output")]
    HeldBy {
        /// The job that holds it.
        holder: JobId,
    },
}

impl Decider for Output {
    type Command = OutputCommand;
    type Event = OutputEvent;
    type State = OutputState;
    type Rejection = OutputRejection;

    const CATEGORY: &'static str = "output";

    fn decide(
        state: &OutputState,
        command: OutputCommand,
    ) -> Result<Vec<OutputEvent>, OutputRejection> {
        let OutputCommand::Reserve { job, over } = command;
        match state.holder {
            Some(holder) if holder == job => Ok(vec![]),
            Some(holder) if over != Some(holder) => Err(OutputRejection::HeldBy { holder }),
            Some(_) | None => Ok(vec![OutputEvent::Reserved { job }]),
        }
    }

    fn evolve(_: OutputState, event: &OutputEvent) -> OutputState {
        let OutputEvent::Reserved { job } = event;
        OutputState { holder: Some(*job) }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::spec::given;

    fn job(n: u128) -> JobId {
        JobId::from_uuid(Uuid::from_u128(n))
    }

    fn reserved(n: u128) -> OutputEvent {
        OutputEvent::Reserved { job: job(n) }
    }

    #[test]
    fn a_free_name_is_reserved_by_the_first_job() {
        let command = OutputCommand::Reserve { job: job(1), over: None };
        given::<Output>([]).when(command.clone()).then([reserved(1)]);
        given::<Output>([reserved(1)]).when(command).then_nothing();
    }

    #[test]
    fn a_name_held_by_a_live_job_is_rejected() {
        given::<Output>([reserved(1)])
            .when(OutputCommand::Reserve { job: job(2), over: None })
            .then_rejected(&OutputRejection::HeldBy { holder: job(1) });
    }

    #[test]
    fn a_name_is_free_again_once_its_job_has_ended() {
        given::<Output>([reserved(1)])
            .when(OutputCommand::Reserve { job: job(2), over: Some(job(1)) })
            .then([reserved(2)]);
    }
}
