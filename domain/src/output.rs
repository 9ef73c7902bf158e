//! An output name: one live job at a time may be making it.

use serde::{Deserialize, Serialize};

use crate::{Decider, JobId};

/// What happened to an output name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputEvent {
    /// A job will make it.
    #[serde(rename = "output.reserved")]
    Reserved {
        /// Which.
        job: JobId,
    },
}

/// What may be asked.
#[derive(Debug, Clone)]
pub enum OutputCommand {
    /// Reserve it for a job.
    Reserve {
        /// Which.
        job: JobId,
        /// The holder that the caller found to be over, or never to have begun.
        over: Option<JobId>,
    },
}

/// Where it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputState {
    /// The job that reserved it last.
    pub holder: Option<JobId>,
}

/// The output name decider.
#[derive(Debug)]
pub struct Output;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputRejection {
    /// Another job holds it, and nobody said it was over.
    #[error("{holder} is making this output")]
    HeldBy {
        /// Which.
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
    fn a_free_name_goes_to_the_first() {
        let command = OutputCommand::Reserve { job: job(1), over: None };
        given::<Output>([]).when(command.clone()).then([reserved(1)]);
        given::<Output>([reserved(1)]).when(command).then_nothing();
    }

    #[test]
    fn a_live_job_keeps_its_name() {
        given::<Output>([reserved(1)])
            .when(OutputCommand::Reserve { job: job(2), over: None })
            .then_rejected(&OutputRejection::HeldBy { holder: job(1) });
    }

    #[test]
    fn a_name_is_free_again_once_its_job_is_over() {
        given::<Output>([reserved(1)])
            .when(OutputCommand::Reserve { job: job(2), over: Some(job(1)) })
            .then([reserved(2)]);
    }
}
