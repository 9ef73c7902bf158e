use std::path::Path;

use ffapi_domain::media::{Capabilities, Role};
use serde_json::json;

use crate::{
    MediaError,
    file::OpenFile,
    protocol::{ChildMessage, Needs, Permit, PoolAssignment},
};

/// The inputs, output and limits of one task.
pub(crate) struct Work<'a> {
    /// The input files and their roles; the job's primary input comes first.
    pub(crate) inputs: &'a [(OpenFile, Role)],
    /// The output path, in a writable folder; the names of all outputs start with its stem.
    pub(crate) output: &'a Path,
    /// The encoders and devices of this machine.
    pub(crate) capabilities: &'a Capabilities,
    /// The pool and hardware that this task is assigned to.
    pub(crate) assignment: PoolAssignment,
    /// The memory limit of the job in bytes; `None` if it is unlimited.
    pub(crate) memory: Option<u64>,
    /// Sends a message (progress, facts, log) to the worker; called from any thread.
    pub(crate) say: &'a (dyn Fn(ChildMessage) + Sync),
    /// Requests a permit for what the task needs, before it starts and before it uses more.
    pub(crate) permit: &'a (dyn Fn(Needs) -> Result<Permit, MediaError> + Sync),
}

impl Work<'_> {
    /// Fails, before anything is decoded, if the task needs more than the memory limit. `required`
    /// is in bytes.
    pub(crate) fn check_memory(&self, required: u64) -> Result<(), MediaError> {
        const MIB: u64 = 1024 * 1024;
        let Some(memory) = self.memory.filter(|memory| required > *memory) else { return Ok(()) };
        Err(MediaError::new(
            ffapi_domain::job::FailureCode::Unsupported,
            format!(
                "the job needs at least {} MiB of memory for its frames, but a job may use {} MiB \
                 on this machine; use a smaller input or output, or a faster `preset`",
                required / MIB,
                memory / MIB
            ),
        ))
    }

    /// The job's primary input.
    pub(crate) fn primary_input(&self) -> Result<&(OpenFile, Role), MediaError> {
        self.inputs.first().ok_or_else(|| MediaError::internal("the inputs", "are missing"))
    }

    /// Logs the notes of a plan (decisions that the request did not specify); returns them as the
    /// start of the job's result.
    pub(crate) fn log_notes(&self, notes: &[String]) -> Option<serde_json::Value> {
        for note in notes {
            (self.say)(ChildMessage::Log { level: "info".to_owned(), line: note.clone() });
        }
        (!notes.is_empty()).then(|| json!({ "notes": notes }))
    }
}
