//! A job, from submission to end. One row whatever made it.

mod command;
mod decide;
mod event;
mod public;
mod retry;
mod state;
#[cfg(test)]
mod tests;
mod view;

pub use command::JobCommand;
pub use decide::{Job, JobRejection};
pub use event::{
    Failure, FailureCode, JobEvent, JobSpec, OutputFile, Priority, RetryHint, StreamSummary,
};
pub use public::{Public, public};
pub use retry::{MAX_ATTEMPTS, backoff};
pub use state::{JobState, Run};
pub use view::{Attempt, AttemptOutcome, JobError, JobStatus, JobView, Recorded};
