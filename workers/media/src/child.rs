//! The child's side: lock in, say so, do the one task, exit.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use domain::media::{Capabilities, MediaRequest, Micros, Role};
use nix::sys::{prctl, signal::Signal};

use crate::{
    MediaError, capability,
    engine::{self, Work},
    ffi, hardware, open, probe,
    protocol::{self, Permit, Said, Task},
    sandbox,
};

/// How a child is locked in.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// On a kernel without Landlock.
    pub(crate) seccomp_only: bool,
    /// Hardware that it may open.
    pub(crate) devices: Vec<PathBuf>,
}

impl Settings {
    /// `seccomp-only`, and `device=…` any number of times.
    fn read(arguments: impl Iterator<Item = String>) -> Self {
        let mut settings = Self::default();
        for argument in arguments {
            if argument == "seccomp-only" {
                settings.seccomp_only = true;
            } else if let Some(device) = argument.strip_prefix("device=") {
                settings.devices.push(PathBuf::from(device));
            }
        }
        settings
    }
}

/// Serves one task in the slot folder that is the current one; answers the exit code.
///
/// Must be called before any thread is started: the sandbox is entered by this one.
pub fn main(arguments: impl Iterator<Item = String>) -> u8 {
    match serve(&Settings::read(arguments)) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn serve(settings: &Settings) -> io::Result<()> {
    // Whatever it is busy with, it does not outlive its worker.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let slot = std::env::current_dir()?;
    ffi::be_nice();
    let out = Arc::new(Mutex::new(io::stdout()));
    let say = move |said: Said| {
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        if protocol::write(&mut *out, &said).is_err() {
            // The worker is gone, and with it the reason to go on.
            std::process::exit(2);
        }
    };
    let sandbox = match sandbox::enter(&slot, settings) {
        Ok(sandbox) => sandbox,
        Err(error) => {
            say(Said::Failed { code: error.code, message: error.message });
            return Ok(());
        }
    };
    say(Said::Ready { sandbox });
    let Some(task) = protocol::read::<Task>(&mut io::stdin())? else { return Ok(()) };
    let log = say.clone();
    ffi::capture_log(Box::new(move |level, line| {
        if !engine::is_of_a_hint(&line) {
            log(Said::Log { level: level.to_owned(), line });
        }
    }));
    match perform(&slot, &settings.devices, &task, &say) {
        Ok(last) => say(last),
        Err(error) => say(Said::Failed { code: error.code, message: error.message }),
    }
    Ok(())
}

fn perform(
    slot: &Path,
    devices: &[PathBuf],
    task: &Task,
    say: &(dyn Fn(Said) + Sync),
) -> Result<Said, MediaError> {
    let input = |number| slot.join("in").join(protocol::input_name(number));
    match task {
        Task::Capabilities => {
            let scratch = slot.join("out").join("probe");
            let devices = hardware::find(&hardware::Machine, devices);
            Ok(Said::Capabilities(Capabilities { devices, ..capability::prove(&scratch) }))
        }
        Task::Facts => {
            let path = input(0);
            let media = open::open(&path, Role::Media).and_then(|file| probe::probe_media(&file));
            // Words are no film, and an input all the same. What neither is, is told as no film.
            let facts = media.or_else(|refusal| {
                let words = open::open(&path, Role::Subtitle).and_then(|file| probe::probe(&file));
                words.map_err(|_| refusal)
            })?;
            Ok(Said::Facts(Box::new(facts)))
        }
        Task::Plan { request, capabilities, place } => {
            let inputs = roles(request, input);
            let output = slot.join("out");
            let place = *place;
            // Nobody is charged for a look.
            let permit = &|_: Micros| Ok(Permit::default());
            let work = Work { inputs: &inputs, output: &output, capabilities, place, say, permit };
            engine::would_do(request, &work).map(Said::WouldDo)
        }
        Task::Run { request, capabilities, place, output, permit } => {
            let inputs = roles(request, input);
            let output = slot.join("out").join(output);
            let place = *place;
            let permit = &|charged| permit.map_or_else(|| ask_for(charged, say), Ok);
            let work = Work { inputs: &inputs, output: &output, capabilities, place, say, permit };
            engine::run(request, &work).map(Said::Done)
        }
    }
}

/// Says what will be charged, and waits for leave to begin. Who refuses it, ends us.
fn ask_for(charged: Micros, say: &(dyn Fn(Said) + Sync)) -> Result<Permit, MediaError> {
    if charged == 0 {
        return Ok(Permit::default());
    }
    say(Said::Charges(charged));
    match protocol::read::<Permit>(&mut io::stdin()) {
        Ok(Some(permit)) => Ok(permit),
        Ok(None) => Err(MediaError::internal("the permit", "never came")),
        Err(error) => Err(MediaError::internal("the permit", error)),
    }
}

/// Where each file lies that a request reads, and what it is to be.
fn roles(request: &MediaRequest, at: impl Fn(usize) -> PathBuf) -> Vec<(PathBuf, Role)> {
    let numbered = request.inputs().into_iter().enumerate();
    numbered.map(|(number, (_, role))| (at(number), role)).collect()
}
