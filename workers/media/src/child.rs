//! The child's side: lock in, say so, do the one task, exit.

mod settings;

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ffapi_domain::media::{Capabilities, MediaRequest, Role};
use nix::sys::{prctl, signal::Signal};

pub(crate) use self::settings::Settings;
use crate::{
    MediaError, capability,
    engine::{self, Work},
    ffi,
    file::OpenFile,
    hardware, open, probe,
    protocol::{self, ChildMessage, Needs, Permit, SCRATCH, Task},
    sandbox,
};

/// Where outputs are made, from the slot.
const OUT: &str = "out";

/// What a child that is locked in talks to its worker through.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Held for as long as an answer is waited for.
    asking: Arc<Mutex<()>>,
    /// Held while a message is written.
    speaking: Arc<Mutex<()>>,
    /// Hardware that may be opened.
    devices: Arc<[PathBuf]>,
    /// Bytes of memory that a job may have, if that is limited.
    memory: Option<u64>,
}

impl Channel {
    /// Sends one message; one that is too long is left out, for the worker waits for none of these. Without
    /// a worker there is no reason to go on: the process exits.
    pub fn say(&self, said: &ChildMessage) {
        let Ok(bytes) = protocol::framed(said) else { return };
        if self.write(&bytes).is_err() {
            std::process::exit(2);
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the worker is gone.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let _speaking = self.speaking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// The one task, with its inputs in the order of the request's; none if the worker is gone.
    ///
    /// # Errors
    /// When the worker's message cannot be read.
    pub fn task(&self) -> io::Result<Option<(Task, Vec<File>)>> {
        protocol::receive(io::stdin().as_fd())
    }

    /// Says what is needed, and waits for leave to go on. A worker that refuses ends the process.
    ///
    /// # Errors
    /// When the worker is gone.
    pub fn ask(&self, needs: Needs) -> Result<Permit, MediaError> {
        let _asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        self.say(&ChildMessage::Needs(needs));
        match protocol::receive(io::stdin().as_fd()) {
            Ok(Some((permit, _))) => Ok(permit),
            Ok(None) => Err(MediaError::internal("the permit", "never came")),
            Err(error) => Err(MediaError::internal("the permit", error)),
        }
    }
}

/// Serves one task in the slot folder that is the current one; answers the exit code.
///
/// Must be called before any thread is started: the sandbox is entered by this one.
pub fn main(arguments: impl Iterator<Item = String>) -> u8 {
    let serve = || {
        let Some(channel) = lock_in(arguments)? else { return Ok(()) };
        let Some((task, inputs)) = channel.task()? else { return Ok(()) };
        work(&channel, &task, inputs);
        Ok::<(), io::Error>(())
    };
    u8::from(serve().is_err())
}

/// Locks this process in, and says so: what a hostile file could take over. Answers what the child
/// then talks through; none if it could not be locked in, which it has said.
///
/// # Errors
/// When the arguments are none of a child's, or the process is not in a slot.
pub fn lock_in(arguments: impl Iterator<Item = String>) -> io::Result<Option<Channel>> {
    let settings = Settings::read(arguments)?;
    // What a worker has open for others is nobody's here, not even before the sandbox is entered.
    ffi::close_inherited()?;
    rustix::process::setsid()?;
    // Whatever it is busy with, it does not outlive its worker.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    ffi::be_nice();
    let channel = Channel {
        asking: Arc::default(),
        speaking: Arc::default(),
        devices: settings.devices.clone().into(),
        memory: settings.job_memory.or(settings.memory),
    };
    match sandbox::enter(Path::new(OUT), &settings) {
        Ok(sandbox) => channel.say(&ChildMessage::Ready { sandbox }),
        Err(MediaError { code, message }) => {
            channel.say(&ChildMessage::Failed { code, message });
            return Ok(None);
        }
    }
    Ok(Some(channel))
}

/// Does the one task, and says what came of it.
pub fn work(channel: &Channel, task: &Task, inputs: Vec<File>) {
    let log = channel.clone();
    ffi::capture_log(Box::new(move |level, line| {
        if !engine::is_of_a_hint(&line) {
            log.say(&ChildMessage::Log { level: level.to_owned(), line });
        }
    }));
    let inputs: Vec<OpenFile> = inputs.into_iter().map(OpenFile::from).collect();
    match perform(&inputs, task, channel) {
        Ok(last) => say_last(channel, &last),
        Err(MediaError { code, message }) => channel.say(&ChildMessage::Failed { code, message }),
    }
}

/// Says what came of the task, or that it is more than can be said.
fn say_last(channel: &Channel, last: &ChildMessage) {
    match protocol::framed(last) {
        Ok(_) => channel.say(last),
        Err(error) => channel.say(&ChildMessage::Failed {
            code: ffapi_domain::job::FailureCode::Unsupported,
            message: format!(
                "what was made and found cannot be reported ({error}): ask for fewer files, fewer \
                 metrics or a shorter part"
            ),
        }),
    }
}

fn perform(
    inputs: &[OpenFile],
    task: &Task,
    channel: &Channel,
) -> Result<ChildMessage, MediaError> {
    let say = &|said: ChildMessage| channel.say(&said);
    let memory = channel.memory;
    match task {
        Task::Capabilities => {
            let scratch = Path::new(OUT).join(SCRATCH).join("probe");
            let devices = hardware::find(&hardware::Machine, &channel.devices);
            Ok(ChildMessage::Capabilities(Capabilities { devices, ..capability::prove(&scratch) }))
        }
        Task::Facts => {
            let missing = || MediaError::internal("the input", "did not come");
            let file = inputs.first().ok_or_else(missing)?;
            let media = open::open(file, Role::Media).and_then(|file| probe::probe_media(&file));
            // A subtitle file is a valid input too; anything else is reported as no media.
            let facts = media.or_else(|refusal| {
                let words = open::open(file, Role::Subtitle).and_then(|file| probe::probe(&file));
                words.map_err(|_| refusal)
            })?;
            Ok(ChildMessage::Facts(Box::new(facts)))
        }
        Task::Plan { request, capabilities, place } => {
            let inputs = roles(request, inputs)?;
            let place = *place;
            // Nothing is made and nobody is charged for a look.
            let permit = &|_: Needs| Ok(Permit::default());
            let output = Path::new(OUT);
            let work = Work { inputs: &inputs, output, capabilities, place, memory, say, permit };
            engine::would_do(request, &work).map(ChildMessage::WouldDo)
        }
        Task::Run { request, capabilities, place, output } => {
            let inputs = roles(request, inputs)?;
            let output = &Path::new(OUT).join(output);
            let place = *place;
            let permit = &|needs: Needs| {
                if needs == Needs::default() { Ok(Permit::default()) } else { channel.ask(needs) }
            };
            let work = Work { inputs: &inputs, output, capabilities, place, memory, say, permit };
            engine::run(request, &work).map(ChildMessage::Done)
        }
    }
}

/// Each file that a request reads, and what it is to be.
fn roles(request: &MediaRequest, files: &[OpenFile]) -> Result<Vec<(OpenFile, Role)>, MediaError> {
    let wanted = request.inputs();
    if wanted.len() != files.len() {
        let came = format!("{} came, {} are asked for", files.len(), wanted.len());
        return Err(MediaError::internal("the inputs", came));
    }
    Ok(files.iter().cloned().zip(wanted.into_iter().map(|(_, role)| role)).collect())
}
