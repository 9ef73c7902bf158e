use super::{Failure, JobSpec, OutputFile, Priority};
use crate::{LeaseId, Personal, Timestamp, dispatch::Waited, media::Spent};

/// What may be asked of a job.
#[derive(Debug, Clone)]
pub enum JobCommand {
    /// Ask for it.
    Submit {
        /// What to do.
        spec: Box<JobSpec>,
    },
    /// A worker takes it.
    StartAttempt {
        /// As released.
        attempt: u32,
        /// Who.
        worker: String,
        /// On what.
        pool: String,
        /// The hardware of that pool, if it is any.
        device: Option<String>,
        /// Why it did not start sooner, if it waited a while.
        waited: Option<Waited>,
    },
    /// There is no place for it: end it before it starts.
    Refuse {
        /// Why.
        failure: Failure,
    },
    /// The attempt did not work.
    FailAttempt {
        /// Which.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// Now, for the back-off.
        at: Timestamp,
        /// 0 to 255, by chance: so that what failed together does not come back together.
        chance: u8,
    },
    /// The attempt's worker is gone.
    AbandonAttempt {
        /// Which.
        attempt: u32,
        /// What was seen.
        reason: String,
        /// True if the worker gives it back by itself, as it goes away.
        handed_back: bool,
    },
    /// Call it off.
    Cancel,
    /// The worker has stopped it.
    ConfirmCancel {
        /// Which attempt was stopped.
        attempt: u32,
    },
    /// Verified outputs are staged.
    SealOutputs {
        /// By which attempt.
        attempt: u32,
        /// What they are.
        outputs: Vec<OutputFile>,
        /// What was found out.
        result: Option<Personal<serde_json::Value>>,
        /// What it took.
        spent: Option<Spent>,
    },
    /// The outputs are at their final names.
    Complete {
        /// By which attempt.
        attempt: u32,
    },
    /// Once more after the end.
    Retry {
        /// Of whose places in the queue it has one.
        lease: Option<LeaseId>,
    },
    /// Say that its outputs are gone.
    ExpireOutputs,
    /// Another place in the queue.
    Reprioritise {
        /// From now on.
        priority: Priority,
    },
}
