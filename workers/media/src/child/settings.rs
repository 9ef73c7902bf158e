use std::{io, path::PathBuf};

/// How a child is locked in.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// On a kernel without Landlock.
    pub(crate) seccomp_only: bool,
    /// Hardware that it may open.
    pub(crate) devices: Vec<PathBuf>,
    /// Bytes of address space; a fixed limit if none.
    pub(crate) memory: Option<u64>,
    /// Bytes of memory that a job may have; as much as this process if none.
    pub(crate) job_memory: Option<u64>,
    /// Threads that its user may have.
    pub(crate) threads: Option<u64>,
}

impl Settings {
    /// `seccomp-only`, `device=PATH` any number of times, `memory=BYTES`,
    /// `job-memory=BYTES`, `threads=NUMBER`.
    ///
    /// # Errors
    /// When an argument is none of these: a limit that is misspelled is not left out.
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> io::Result<Self> {
        let mut settings = Self::default();
        for argument in arguments {
            let (name, value) = argument.split_once('=').unwrap_or((&argument, ""));
            let number = || value.parse::<u64>().map_err(io::Error::other);
            match name {
                "seccomp-only" => settings.seccomp_only = true,
                "device" => settings.devices.push(PathBuf::from(value)),
                "memory" => settings.memory = Some(number()?),
                "job-memory" => settings.job_memory = Some(number()?),
                "threads" => settings.threads = Some(number()?),
                _ => return Err(io::Error::other(format!("`{argument}` is no setting"))),
            }
        }
        Ok(settings)
    }
}
