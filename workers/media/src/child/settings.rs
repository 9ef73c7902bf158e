use std::{io, path::PathBuf};

/// The sandbox settings of a child, from its command line.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// Leave Landlock out, for a kernel without it.
    pub(crate) seccomp_only: bool,
    /// Device files that it may open.
    pub(crate) devices: Vec<PathBuf>,
    /// Limit of its address space in bytes; a default if none.
    pub(crate) memory: Option<u64>,
    /// Memory that a job may use, in bytes; the limit of the process if none.
    pub(crate) job_memory: Option<u64>,
    /// Threads that its operating system user may have (`RLIMIT_NPROC`).
    pub(crate) threads: Option<u64>,
}

impl Settings {
    /// Parses `seccomp-only`, `device=PATH` (repeatable), `memory=BYTES`, `job-memory=BYTES` and
    /// `threads=NUMBER`.
    ///
    /// # Errors
    /// When an argument is none of these, so that a misspelled limit is not ignored.
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
                _ => return Err(io::Error::other(format!("`{argument}` is not a setting"))),
            }
        }
        Ok(settings)
    }
}
