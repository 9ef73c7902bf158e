//! The child process: enter the sandbox, report ready, do one task, exit.

mod settings;

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ffapi_domain::media::{Capabilities, FactsLimits, MediaRequest, Role};
use nix::sys::{prctl, signal::Signal};

pub(crate) use self::settings::Settings;
use crate::{
    MediaError, capability, encoders, engine, ffi,
    file::OpenFile,
    fonts, hardware,
    heartbeat::NOTE,
    open,
    pipeline::work::Work,
    probe,
    protocol::{self, ChildMessage, Needs, Permit, SCRATCH, Task},
    sandbox,
};

/// The folder for outputs, relative to the slot.
const OUTPUT_FOLDER: &str = "out";

/// The connection of a sandboxed child to its worker.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Held while a permit is requested and awaited.
    request_lock: Arc<Mutex<()>>,
    /// Held while a message is written.
    write_lock: Arc<Mutex<()>>,
    /// Device files that may be opened.
    devices: Arc<[PathBuf]>,
    /// Memory that a job may use, in bytes; none if that is not limited.
    memory: Option<u64>,
}

impl Channel {
    /// Sends one message. A message that is too long is dropped, since the worker waits for none of
    /// those that can be. If the worker is gone, the process exits.
    pub fn say(&self, message: &ChildMessage) {
        let Ok(bytes) = protocol::framed(message) else { return };
        if self.write(&bytes).is_err() {
            std::process::exit(2);
        }
    }

    /// Sends raw bytes, without framing them.
    ///
    /// # Errors
    /// When the worker is gone.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let _guard = self.write_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Receives the task, with its input files in the request's order; none if the worker is gone.
    ///
    /// # Errors
    /// When the worker's message cannot be received or decoded.
    pub fn task(&self) -> io::Result<Option<(Task, Vec<File>)>> {
        protocol::receive(io::stdin().as_fd())
    }

    /// Reports what is needed to continue, and waits for the permit. A worker that refuses it kills
    /// this process.
    ///
    /// # Errors
    /// When the worker is gone.
    pub fn ask(&self, needs: Needs) -> Result<Permit, MediaError> {
        let _guard = self.request_lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.say(&ChildMessage::Needs(needs));
        match protocol::receive(io::stdin().as_fd()) {
            Ok(Some((permit, _))) => Ok(permit),
            Ok(None) => Err(MediaError::internal("the permit", "the worker is gone")),
            Err(error) => Err(MediaError::internal("the permit", error)),
        }
    }
}

/// Serves one task in the current folder, which must be the slot; returns the exit code.
///
/// Must be called before any other thread is started: the calling thread enters the sandbox.
pub fn main(arguments: impl Iterator<Item = String>) -> u8 {
    let serve = || {
        let Some(channel) = enter_sandbox(arguments)? else { return Ok(()) };
        let Some((task, inputs)) = channel.task()? else { return Ok(()) };
        work(&channel, &task, inputs);
        Ok::<(), io::Error>(())
    };
    u8::from(serve().is_err())
}

/// Confines this process, which a hostile file could take over, and reports it to the worker.
/// Returns the connection to the worker; none if the sandbox could not be entered, after reporting
/// that.
///
/// # Errors
/// When the arguments are not those of a child, or the process is not in a slot.
pub fn enter_sandbox(arguments: impl Iterator<Item = String>) -> io::Result<Option<Channel>> {
    let settings = Settings::read(arguments)?;
    // Files that the worker has open for other jobs must not be inherited.
    ffi::close_inherited()?;
    rustix::process::setsid()?;
    // The child must not outlive its worker, whatever it is doing.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    ffi::lower_priority();
    let channel = Channel {
        request_lock: Arc::default(),
        write_lock: Arc::default(),
        devices: settings.devices.clone().into(),
        memory: settings.job_memory.or(settings.memory),
    };
    match sandbox::enter(Path::new(OUTPUT_FOLDER), &settings) {
        Ok(sandbox) => channel.say(&ChildMessage::Ready { sandbox }),
        Err(MediaError { code, message }) => {
            channel.say(&ChildMessage::Failed { code, message });
            return Ok(None);
        }
    }
    Ok(Some(channel))
}

/// Does the task, and sends its result or error.
pub fn work(channel: &Channel, task: &Task, inputs: Vec<File>) {
    let log = channel.clone();
    let missing = Arc::new(Mutex::new(String::new()));
    let missed = Arc::clone(&missing);
    ffi::capture_log(Box::new(move |level, line| {
        if let Some(character) = missing_glyph(&line) {
            let mut missed = missed.lock().unwrap_or_else(PoisonError::into_inner);
            if !missed.contains(character) && missed.len() < MAX_MISSING_BYTES {
                missed.push(character);
            }
        } else if !encoders::frame_types::is_frame_type_warning(&line) {
            log.say(&ChildMessage::Log { level: level.to_owned(), line });
        }
    }));
    let notes = Mutex::new(vec![]);
    let inputs: io::Result<Vec<OpenFile>> = inputs.into_iter().map(OpenFile::received).collect();
    let inputs = inputs.map_err(|error| MediaError::internal("the inputs", error));
    match inputs.and_then(|inputs| perform(&inputs, task, channel, &notes)) {
        Ok(mut outcome) => {
            let missing = missing.lock().unwrap_or_else(PoisonError::into_inner);
            let notes = notes.into_inner().unwrap_or_else(PoisonError::into_inner);
            if let ChildMessage::Done(report) = &mut outcome {
                let all = notes.into_iter().chain(fonts::missing_characters_note(&missing));
                all.for_each(|note| report.add_note(note));
            }
            send_outcome(channel, &outcome);
        }
        Err(MediaError { code, message }) => channel.say(&ChildMessage::Failed { code, message }),
    }
}

/// Characters that are named in a note take at most this many bytes.
const MAX_MISSING_BYTES: usize = 200;

/// The character for which libass found no font, if a line of its log says so.
fn missing_glyph(line: &str) -> Option<char> {
    let (_, after) = line.split_once("failed to find any fallback with glyph 0x")?;
    let code = after.split(|c: char| !c.is_ascii_hexdigit()).next()?;
    char::from_u32(u32::from_str_radix(code, 16).ok()?)
}

/// Sends the outcome of the task, or an error if it is too long for one message.
fn send_outcome(channel: &Channel, outcome: &ChildMessage) {
    match protocol::framed(outcome) {
        Ok(_) => channel.say(outcome),
        Err(error) => channel.say(&ChildMessage::Failed {
            code: ffapi_domain::job::FailureCode::Unsupported,
            message: format!(
                "the result is too long to be reported ({error}): request fewer files, fewer metrics \
                 or a shorter part"
            ),
        }),
    }
}

/// Does the task; sentences for the result's notes are added to `notes`.
fn perform(
    inputs: &[OpenFile],
    task: &Task,
    channel: &Channel,
    notes: &Mutex<Vec<String>>,
) -> Result<ChildMessage, MediaError> {
    let say = &|message: ChildMessage| match message {
        ChildMessage::Log { level, line } if level == NOTE => {
            let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
            // Each pass over the input finds it again.
            if !notes.contains(&line) {
                notes.push(line.clone());
            }
            drop(notes);
            channel.say(&ChildMessage::Log { level: "info".to_owned(), line });
        }
        message => channel.say(&message),
    };
    let memory = channel.memory;
    match task {
        Task::Capabilities => {
            let scratch = Path::new(OUTPUT_FOLDER).join(SCRATCH).join("probe");
            let devices = hardware::find(&hardware::Machine, &channel.devices);
            Ok(ChildMessage::Capabilities(Capabilities { devices, ..capability::detect(&scratch) }))
        }
        Task::Facts => {
            let missing = || MediaError::internal("the input", "was not received");
            let file = inputs.first().ok_or_else(missing)?;
            let media = open::open(file, Role::Media).and_then(|file| probe::probe_media(&file));
            // A subtitle file is a valid input too; anything else is reported as "not media".
            let facts = media.or_else(|error| {
                let subtitles = open::open(file, Role::Subtitle).map(|file| probe::probe(&file));
                subtitles.map_err(|_| error)
            })?;
            Ok(ChildMessage::Facts(Box::new(facts.within(FactsLimits::OF_UPLOAD))))
        }
        Task::Plan { request, capabilities, assignment } => {
            let inputs = roles(request, inputs)?;
            let assignment = *assignment;
            // A plan writes no output and is not charged.
            let permit = &|_: Needs| Ok(Permit::default());
            let output = Path::new(OUTPUT_FOLDER);
            let work =
                Work { inputs: &inputs, output, capabilities, assignment, memory, say, permit };
            let dry_run = engine::dry_run_plan(request, &work)?;
            Ok(ChildMessage::WouldDo(Box::new(dry_run)))
        }
        Task::Run { request, capabilities, assignment, output } => {
            let inputs = roles(request, inputs)?;
            let output = &Path::new(OUTPUT_FOLDER).join(output);
            let assignment = *assignment;
            let permit = &|needs: Needs| {
                if needs == Needs::default() { Ok(Permit::default()) } else { channel.ask(needs) }
            };
            let work =
                Work { inputs: &inputs, output, capabilities, assignment, memory, say, permit };
            engine::run(request, &work).map(ChildMessage::Done)
        }
    }
}

/// Each file that a request reads, with its role.
fn roles(request: &MediaRequest, files: &[OpenFile]) -> Result<Vec<(OpenFile, Role)>, MediaError> {
    let inputs = request.inputs();
    if inputs.len() != files.len() {
        let detail = format!("{} were received, {} expected", files.len(), inputs.len());
        return Err(MediaError::internal("the inputs", detail));
    }
    Ok(files.iter().cloned().zip(inputs.into_iter().map(|(_, role)| role)).collect())
}
