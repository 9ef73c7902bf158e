//! What worker and child say to each other: length-prefixed MessagePack over the child's stdin and
//! stdout.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    path::Path,
};

use domain::{
    job::{FailureCode, StreamSummary},
    media::{Capabilities, Effort, Hardware, MediaFacts, MediaRequest, Plan, Pool, StreamPlan},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The name of an input in the slot's `in/` folder; 0 is the job's own.
pub fn input_name(number: usize) -> String {
    format!("input{number}")
}

/// The longest message.
const MAX: u32 = 16 * 1024 * 1024;

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
        /// Leave to begin; without it, say what is charged and wait for it.
        permit: Option<Permit>,
    },
}

/// Leave to begin: what a child that said [`Said::Charges`] waits for.
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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Said {
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
    /// Media microseconds that will be charged; it waits for leave to begin.
    Charges(u64),
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
    /// Wall seconds of the whole task.
    pub elapsed: f64,
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
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(&bytes)?;
    to.flush()
}

/// Reads one message; none at the end.
///
/// # Errors
/// When the other side is gone in the middle, or talks nonsense.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(length);
    if length > MAX {
        return Err(io::Error::other("the message is too long"));
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    from.read_exact(&mut bytes)?;
    decode(&bytes).map(Some)
}

/// Reads a message's body.
///
/// # Errors
/// When it is nonsense.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    rmp_serde::from_slice(bytes).map_err(io::Error::other)
}
