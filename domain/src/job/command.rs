use super::{DeletedOutput, Failure, JobSpec, OutputFile, Priority};
use crate::{LeaseId, Personal, Timestamp, dispatch::Waited, media::Spent};

/// A command for a job.
#[derive(Debug, Clone)]
pub enum JobCommand {
    /// Submit it.
    Submit {
        /// Its specification.
        spec: Box<JobSpec>,
    },
    /// A worker starts an attempt.
    StartAttempt {
        /// Number of the attempt, as released.
        attempt: u32,
        /// Id of the worker process.
        worker: String,
        /// The pool that it runs in.
        pool: String,
        /// The pool's device that it runs on, if any.
        device: Option<String>,
        /// Why it did not start sooner, if it waited for a noticeable time.
        waited: Option<Waited>,
    },
    /// It cannot run: fail it before it starts.
    Refuse {
        /// Why it is refused.
        failure: Failure,
    },
    /// The attempt failed.
    FailAttempt {
        /// Number of the attempt.
        attempt: u32,
        /// Why it failed.
        failure: Failure,
        /// The current time, for the back-off.
        at: Timestamp,
        /// Random jitter, 0 to 255, so that attempts that failed together are not retried together.
        chance: u8,
    },
    /// The attempt's worker was lost.
    AbandonAttempt {
        /// Number of the attempt.
        attempt: u32,
        /// What was observed.
        reason: String,
        /// True if the worker hands the attempt back itself as it shuts down.
        handed_back: bool,
    },
    /// Cancel it.
    Cancel,
    /// The worker has stopped the attempt.
    ConfirmCancel {
        /// Number of the stopped attempt.
        attempt: u32,
    },
    /// Verified outputs are staged.
    SealOutputs {
        /// The attempt that produced them.
        attempt: u32,
        /// The output files.
        outputs: Vec<OutputFile>,
        /// The result of a probe or analysis.
        result: Option<Personal<serde_json::Value>>,
        /// What the work cost, for estimates.
        spent: Option<Spent>,
        /// The [`JobPlan`](crate::media::JobPlan) that the attempt followed, as JSON.
        plan: Option<Personal<serde_json::Value>>,
    },
    /// The outputs are at their final locations.
    Complete {
        /// The attempt that delivered them.
        attempt: u32,
    },
    /// Retry it after its end.
    Retry {
        /// The lease whose queue slot it spends.
        lease: Option<LeaseId>,
    },
    /// Record that its outputs were deleted at the end of their retention.
    ExpireOutputs,
    /// Record that its outputs were deleted on request.
    DeleteOutputs {
        /// The one that was deleted; `None` for all of them.
        only: Option<DeletedOutput>,
    },
    /// Change its priority.
    Reprioritise {
        /// The new priority.
        priority: Priority,
    },
}
