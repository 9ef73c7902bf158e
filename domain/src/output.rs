//! An output name: only one live job at a time may write to it.

use serde::{Deserialize, Serialize};

use crate::{Category, Decider, JobId, Timestamp};

/// What happened to an output name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputEvent {
    /// A job reserved the name for its output.
    #[serde(rename = "output.reserved")]
    Reserved {
        /// The job that reserved it.
        job: JobId,
        /// Sequence of the job's newest message then; 0 if it was not submitted yet. Reservations of
        /// earlier versions have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        job_sequence: Option<u64>,
        /// Until when the job has to be submitted or retried, or else others may reserve the name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
}

/// A job's reservation of an output name. It is made before the job is submitted or retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// The job.
    pub job: JobId,
    /// Sequence of the job's newest message then; 0 if it was not submitted yet.
    pub job_sequence: Option<u64>,
    /// Until when the job has to be submitted or retried, or else others may reserve the name.
    pub until: Option<Timestamp>,
}

impl Reservation {
    const fn made(self) -> OutputEvent {
        let Self { job, job_sequence, until } = self;
        OutputEvent::Reserved { job, job_sequence, until }
    }
}

/// A command for an output name.
#[derive(Debug, Clone)]
pub enum OutputCommand {
    /// Reserve the name for a job.
    Reserve {
        /// The reservation.
        reservation: Reservation,
        /// The previous one, whose job the caller found to have ended or never to have started.
        over: Option<Reservation>,
    },
}

/// State of an output name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputState {
    /// The newest reservation.
    pub holder: Option<Reservation>,
}

/// The output name decider.
#[derive(Debug)]
pub struct Output;

/// Why an output command is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputRejection {
    /// Another job holds the name and is not known to have ended.
    #[error("{} is making this output", holder.job)]
    HeldBy {
        /// Its reservation.
        holder: Reservation,
    },
}

impl Decider for Output {
    type Command = OutputCommand;
    type Event = OutputEvent;
    type State = OutputState;
    type Rejection = OutputRejection;

    const CATEGORY: &'static str = Category::Output.as_str();

    fn decide(
        state: &OutputState,
        command: OutputCommand,
    ) -> Result<Vec<OutputEvent>, OutputRejection> {
        let OutputCommand::Reserve { reservation, over } = command;
        match state.holder {
            Some(holder) if holder == reservation => Ok(vec![]),
            // The same job may begin anew.
            Some(holder) if holder.job == reservation.job || over == Some(holder) => {
                Ok(vec![reservation.made()])
            }
            Some(holder) => Err(OutputRejection::HeldBy { holder }),
            None => Ok(vec![reservation.made()]),
        }
    }

    fn evolve(_: OutputState, event: &OutputEvent) -> OutputState {
        let OutputEvent::Reserved { job, job_sequence, until } = *event;
        OutputState { holder: Some(Reservation { job, job_sequence, until }) }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::spec::given;

    fn of(n: u128, job_sequence: u64) -> Reservation {
        let (job, until) = (JobId::from_uuid(Uuid::from_u128(n)), Timestamp::from_millis(9));
        Reservation { job, job_sequence: Some(job_sequence), until: Some(until) }
    }

    const fn reserved(reservation: Reservation) -> OutputEvent {
        reservation.made()
    }

    fn reserve(reservation: Reservation, over: Option<Reservation>) -> OutputCommand {
        OutputCommand::Reserve { reservation, over }
    }

    #[test]
    fn a_free_name_is_reserved_by_the_first_job() {
        given::<Output>([]).when(reserve(of(1, 0), None)).then([reserved(of(1, 0))]);
        given::<Output>([reserved(of(1, 0))]).when(reserve(of(1, 0), None)).then_nothing();
    }

    #[test]
    fn a_name_held_by_a_live_job_is_rejected() {
        given::<Output>([reserved(of(1, 0))])
            .when(reserve(of(2, 0), None))
            .then_rejected(&OutputRejection::HeldBy { holder: of(1, 0) });
    }

    #[test]
    fn a_name_is_free_again_once_its_job_has_ended() {
        given::<Output>([reserved(of(1, 0))])
            .when(reserve(of(2, 0), Some(of(1, 0))))
            .then([reserved(of(2, 0))]);
    }

    #[test]
    fn a_job_that_reserves_again_before_a_retry_holds_the_name() {
        given::<Output>([reserved(of(1, 0))])
            .when(reserve(of(1, 5), None))
            .then([reserved(of(1, 5))]);
        // Another request found the earlier reservation to be over.
        given::<Output>([reserved(of(1, 0)), reserved(of(1, 5))])
            .when(reserve(of(2, 0), Some(of(1, 0))))
            .then_rejected(&OutputRejection::HeldBy { holder: of(1, 5) });
    }
}
