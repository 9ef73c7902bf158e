//! The protocol between worker and child: length-prefixed MessagePack. The child's stdin is a
//! socket, over which it receives its inputs as open descriptors; its stdout is a pipe.
//!
//! A child that has read a hostile file may send anything: see [`ChildMessage::checked`].

mod bounds;
mod channel;
pub mod ranged;

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    path::Path,
};

use ffapi_domain::{
    job::{FailureCode, StreamSummary},
    media::{
        Capabilities, DryRun, Effort, Hardware, JobPlan, MediaFacts, MediaRequest, Micros, Pool,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{
    bounds::{ProtocolViolation, json as checked_json},
    channel::{framed, receive, send, send_beginning},
};

/// The longest message in bytes: as much as one decision in the log may have.
pub const MAX_MESSAGE: u32 = 4 * 1024 * 1024;

/// The folder in `out/` for temporary files; the worker creates it.
pub const SCRATCH: &str = ".scratch";

/// The task of a child; each child does one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Task {
    /// Detect what this machine's FFmpeg supports.
    Capabilities,
    /// Probe the input.
    Facts,
    /// Plan a job's media work without doing it.
    Plan {
        /// The request as the client sent it.
        request: Box<MediaRequest>,
        /// What this worker's FFmpeg supports.
        capabilities: Capabilities,
        /// The pool that it would run on.
        assignment: PoolAssignment,
    },
    /// Do a job's media work.
    Run {
        /// The request as the client sent it.
        request: Box<MediaRequest>,
        /// What this worker's FFmpeg supports.
        capabilities: Capabilities,
        /// The pool that it runs on.
        assignment: PoolAssignment,
        /// The file name in the slot's `out/` folder that every output's name starts with.
        output: String,
    },
}

/// What a child requests before it continues: it waits for a [`Permit`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// Media time to be charged, in total so far.
    pub charged: Micros,
    /// Bytes of the outputs that it is going to write, as far as the plan determines them; 0 if they were
    /// requested before.
    pub bytes: u64,
    /// Folders in `out/` that it will write to; it cannot create any itself.
    pub folders: Vec<String>,
}

/// The permission to continue that a child waits for after [`ChildMessage::Needs`].
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Permit {
    /// Threads of each codec; 0 lets the codec choose. One is best if every core runs a job.
    pub threads: u16,
}

/// The hardware that a job requested, and the pool that it was assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolAssignment {
    /// The request's hardware preference, if any.
    pub hardware: Option<Hardware>,
    /// The pool that the task was released to.
    pub pool: Pool,
}

impl PoolAssignment {
    /// The CPU pool, without any hardware preference.
    pub const CPU: Self = Self { hardware: None, pool: Pool::Cpu };
}

/// A message from a child to its worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ChildMessage {
    /// It is in its sandbox and ready for its task.
    Ready {
        /// Which mechanisms confine it, for the log.
        sandbox: String,
    },
    /// The facts of the input, for [`Task::Facts`].
    Facts(Box<MediaFacts>),
    /// What this machine's FFmpeg supports, for [`Task::Capabilities`].
    Capabilities(Capabilities),
    /// What it needs before it starts or continues to write; it waits for a [`Permit`].
    Needs(Needs),
    /// What the job would do, for [`Task::Plan`].
    WouldDo(Box<DryRun>),
    /// It is working, whether or not anything was written.
    Working,
    /// How far the task is.
    Progress(Progress),
    /// One captured line of the libraries or the engine.
    Log {
        /// `error`, `warning` or `info`.
        level: String,
        /// The text, without a line break.
        line: String,
    },
    /// The output is in `out/` and verified.
    Done(Report),
    /// The task failed.
    Failed {
        /// The category of the failure.
        code: FailureCode,
        /// A sentence for the client.
        message: String,
    },
}

/// How far an encode is, over its whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The name of the current stage, for people.
    pub stage: String,
    /// Media microseconds written.
    pub done: u64,
    /// Media microseconds in total; none if the input does not state its duration.
    pub total: Option<u64>,
    /// Frames written.
    pub frames: u64,
    /// Frames per second of wall-clock time.
    pub fps: f64,
    /// Media seconds per second of wall-clock time.
    pub speed: f64,
    /// Media microseconds written, by output, if there are several.
    pub outputs: BTreeMap<String, u64>,
}

/// The result of a task, as read back from its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Each file in `out/`.
    pub files: Vec<VerifiedFile>,
    /// Findings and notes as JSON; for jobs without output files, the whole result.
    pub result: Option<serde_json::Value>,
    /// Frames encoded.
    pub frames: u64,
    /// How much work it was, for later estimates.
    pub effort: Effort,
    /// The plan that it followed; none for a job without output files.
    pub plan: Option<JobPlan>,
}

impl Report {
    /// Adds a sentence about a decision that the request did not ask for.
    pub(crate) fn add_note(&mut self, note: String) {
        let result = self.result.get_or_insert_with(|| serde_json::json!({}));
        let Some(fields) = result.as_object_mut() else { return };
        let notes = fields.entry("notes").or_insert_with(|| serde_json::json!([]));
        if let Some(notes) = notes.as_array_mut() {
            notes.push(serde_json::Value::String(note));
        }
    }
}

/// One output file, as read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerifiedFile {
    /// Its path in `out/`.
    pub name: String,
    /// Seconds; none for an image or a text.
    pub duration: Option<f64>,
    /// Its streams, in the file's order.
    pub streams: Vec<StreamSummary>,
}

impl VerifiedFile {
    /// A file by its path in `out/`, without streams.
    pub(crate) const fn named(name: String, duration: Option<f64>) -> Self {
        Self { name, duration, streams: vec![] }
    }

    /// A file at the top of `out/`, without streams.
    pub(crate) fn at_path(path: &Path, duration: Option<f64>) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, duration, streams: vec![] }
    }
}

/// Writes one message and flushes it.
///
/// # Errors
/// When the other side is gone, or the message is too long.
pub fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = rmp_serde::to_vec_named(message).map_err(io::Error::other)?;
    to.write_all(&prefix(&bytes)?)?;
    to.write_all(&bytes)?;
    to.flush()
}

/// The length prefix of a message.
fn prefix(bytes: &[u8]) -> io::Result<[u8; 4]> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= MAX_MESSAGE);
    let too_long = || io::Error::other(format!("a message of {} bytes is too long", bytes.len()));
    Ok(length.ok_or_else(too_long)?.to_be_bytes())
}

/// Reads one message; none at the end of the stream.
///
/// # Errors
/// When the stream ends within a message, or the message cannot be decoded.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    body(from)?.map(|bytes| decode(&bytes)).transpose()
}

/// The bytes of one message; none at the end of the stream.
fn body(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut bytes = vec![0; length_of(length)?];
    from.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

/// The length of the message that follows a prefix, in bytes.
///
/// # Errors
/// When it is more than [`MAX_MESSAGE`].
pub fn length_of(prefix: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(prefix);
    if length > MAX_MESSAGE {
        return Err(io::Error::other("the message is too long"));
    }
    usize::try_from(length).map_err(io::Error::other)
}

/// The start of field names that `serde_json` gives a meaning of their own: it parses the text of such a
/// field as JSON, at any depth.
const SERDE_PREFIX: &[u8] = b"$serde_json::";

/// Decodes the body of a message from a child, which may be hostile.
///
/// # Errors
/// When it is not such a message, or could be more than that for the decoder.
pub fn decode_from_child(bytes: &[u8]) -> io::Result<ChildMessage> {
    if bytes.windows(SERDE_PREFIX.len()).any(|part| part == SERDE_PREFIX) {
        return Err(io::Error::other("the message has a reserved name"));
    }
    decode(bytes)
}

/// Decodes a message's body.
///
/// # Errors
/// When it is not a message of that type.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    rmp_serde::from_slice(bytes).map_err(io::Error::other)
}
