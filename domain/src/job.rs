//! A job, from submission to its end, whether submitted alone or in a batch.

mod command;
mod decide;
mod event;
mod find_output;
mod main_codec;
mod playback;
mod public;
mod queued;
mod retry;
mod state;
mod summary;
#[cfg(test)]
mod tests;
mod usage;
mod view;
mod why;

pub use command::JobCommand;
pub use decide::{Job, JobRejection};
pub use event::{
    DeletedOutput, Failure, FailureCode, JobEvent, JobSpec, Membership, OutputFile, PresetRef,
    Priority, RetryHint, StreamSummary,
};
pub use find_output::OutputMissing;
pub use main_codec::main_codec;
pub use playback::{PlaybackNames, PlaybackOutputs, output_path, output_url_name};
pub use public::public;
pub use queued::QueueEntry;
pub use retry::{MAX_ATTEMPTS, RetryPolicy};
pub use state::{JobState, Run};
pub use summary::{EventMetadata, JobError, JobStatus, JobSummary};
pub use usage::JobUsage;
pub use view::{Attempt, AttemptOutcome, JobView};
pub use why::{EventContext, EventExplanation, why};
