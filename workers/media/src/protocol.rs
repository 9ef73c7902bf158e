//! What worker and child say to each other: length-prefixed MessagePack. The child's stdin is a socket,
//! over which its inputs come as open descriptors; its stdout is a pipe.
//!
//! A child that has read a hostile file may say anything: see [`ChildMessage::checked`].

mod bounds;
mod channel;

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    path::Path,
};

use ffapi_domain::{
    job::{FailureCode, StreamSummary},
    media::{
        Capabilities, Effort, Hardware, MediaFacts, MediaRequest, Micros, Plan, Pool, StreamPlan,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{
    bounds::{Unbelievable, json as checked_json},
    channel::{MAX_INPUTS, framed, receive, send, send_beginning},
};

/// Bytes of the longest message: as much as one decision in the log may hold.
pub const MAX_MESSAGE: u32 = 4 * 1024 * 1024;

/// The folder in `out/` for what is not an output; the worker makes it.
pub const SCRATCH: &str = ".scratch";

/// The one thing a child is asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Task {
    /// Tell what this machine's FFmpeg can do.
    Capabilities,
    /// Tell what the input is.
    Facts,
    /// Tell what a job's media work would be, without doing it.
    Plan {
        /// What was asked for.
        request: Box<MediaRequest>,
        /// What this worker can do.
        capabilities: Capabilities,
        /// What it would run on.
        place: Place,
    },
    /// Do a job's media work.
    Run {
        /// What was asked for.
        request: Box<MediaRequest>,
        /// What this worker can do.
        capabilities: Capabilities,
        /// What it runs on.
        place: Place,
        /// The name in the slot's `out/` folder that every output's name begins with.
        output: String,
    },
}

/// What a child needs before it goes on: it waits for a [`Permit`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// Media time that is charged, in all so far.
    pub charged: Micros,
    /// Folders in `out/` that it will write to; it cannot make any itself.
    pub folders: Vec<String>,
}

/// Leave to go on: what a child that said [`ChildMessage::Needs`] waits for.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Permit {
    /// Of each codec; 0 lets it choose. One is best where every core has a job of its own.
    pub threads: u16,
}

/// What a job wished to run on, and what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// What was asked for.
    pub hardware: Option<Hardware>,
    /// What the task was released to.
    pub pool: Pool,
}

impl Place {
    /// The processor, and nothing else was asked for.
    pub const CPU: Self = Self { hardware: None, pool: Pool::Cpu };
}

/// What a child says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ChildMessage {
    /// Locked in, and ready for its task.
    Ready {
        /// How well it is locked in.
        sandbox: String,
    },
    /// What the input is.
    Facts(Box<MediaFacts>),
    /// What this machine's FFmpeg can do.
    Capabilities(Capabilities),
    /// What it will do now.
    Planned(Box<Plan>),
    /// What it will do now.
    PlannedStream(Box<StreamPlan>),
    /// What it needs before it makes anything, or makes more of it; it waits for leave.
    Needs(Needs),
    /// What it would do; JSON.
    WouldDo(serde_json::Value),
    /// It does something, whether or not anything was written.
    Working,
    /// How far it is.
    Progress(Progress),
    /// One captured line of the libraries or the engine.
    Log {
        /// `error`, `warning` or `info`.
        level: String,
        /// Its words.
        line: String,
    },
    /// The output is in `out/`, verified.
    Done(Report),
    /// It did not work.
    Failed {
        /// The kind.
        code: FailureCode,
        /// For a person.
        message: String,
    },
}

/// How far an encode is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What it does, for a person.
    pub stage: String,
    /// Media microseconds written.
    pub done: u64,
    /// Media microseconds in all; none when the input does not say.
    pub total: Option<u64>,
    /// Pictures written.
    pub frames: u64,
    /// Pictures a second, over the whole run.
    pub fps: f64,
    /// Media seconds a second, over the whole run.
    pub speed: f64,
    /// Media microseconds written of each output, where there are several.
    pub outputs: BTreeMap<String, u64>,
}

/// What was made, as read back from the files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Each file in `out/`.
    pub files: Vec<MadeFile>,
    /// What was found out; JSON. For jobs that make no files, this is what they are for.
    pub result: Option<serde_json::Value>,
    /// Pictures.
    pub frames: u64,
    /// How much work it was.
    pub effort: Effort,
}

/// One file, as read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MadeFile {
    /// In `out/`.
    pub name: String,
    /// Seconds; none for a still picture or a text.
    pub duration: Option<f64>,
    /// Each stream.
    pub streams: Vec<StreamSummary>,
}

impl MadeFile {
    /// A file by its name in `out/`.
    pub(crate) const fn named(name: String, duration: Option<f64>) -> Self {
        Self { name, duration, streams: vec![] }
    }

    /// A file that is no media.
    pub(crate) fn plain(path: &Path, duration: Option<f64>) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, duration, streams: vec![] }
    }
}

/// Writes one message.
///
/// # Errors
/// When the other side is gone.
pub fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = rmp_serde::to_vec_named(message).map_err(io::Error::other)?;
    to.write_all(&prefix(&bytes)?)?;
    to.write_all(&bytes)?;
    to.flush()
}

/// A message's length, as it goes before it.
fn prefix(bytes: &[u8]) -> io::Result<[u8; 4]> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= MAX_MESSAGE);
    let too_long = || io::Error::other(format!("a message of {} bytes is too long", bytes.len()));
    Ok(length.ok_or_else(too_long)?.to_be_bytes())
}

/// Reads one message; none at the end.
///
/// # Errors
/// When the other side is gone in the middle, or talks nonsense.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    body(from)?.map(|bytes| decode(&bytes)).transpose()
}

/// The bytes of one message; none at the end.
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

/// The length of the message that a prefix announces.
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

/// Reads a message's body.
///
/// # Errors
/// When it is nonsense.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    rmp_serde::from_slice(bytes).map_err(io::Error::other)
}
