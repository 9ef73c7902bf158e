//! A private nats-server and Postgres as child processes, for `ffapi up` and tests.
//!
//! These are real servers on a free loopback port or a private socket, with their data in one
//! folder. They end with the process that started them, even if it is killed, by `setpriv
//! --pdeathsig`.
//! **Start them from a thread that lives as long as they should** (main, or that of a test): the
//! kernel considers the starting thread the parent.

mod child;
mod nats;
mod postgres;
pub mod private;
mod tools;

use std::{io, path::PathBuf};

pub use nats::NatsServer;
pub use postgres::Postgres;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program is not installed.
    #[error("{program} was not found; `make setup` installs it")]
    Missing {
        /// The name of the program.
        program: &'static str,
    },
    /// The process runs as root, which Postgres refuses to do.
    #[error("Postgres refuses to run as root and needs a user named `postgres`")]
    NoUser,
    /// A folder or file of the server could not be prepared.
    #[error("{path} cannot be used for the server's data")]
    Folder {
        /// The path of the folder or file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The program could not be run.
    #[error("{program} could not be started")]
    Spawn {
        /// The name of the program.
        program: &'static str,
        /// The I/O error.
        source: io::Error,
    },
    /// The program exited, or did not become ready in time.
    #[error("{program} did not start; its log ends: {log}")]
    NotReady {
        /// The name of the program.
        program: &'static str,
        /// The last lines of its log.
        log: String,
    },
}

/// A free loopback port below the kernel's range for outgoing connections, so that it is still free
/// when a killed server is restarted on it.
///
/// # Errors
/// When there is none.
pub fn free_port() -> io::Result<u16> {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 20_000).unwrap_or(0);
    for _ in 0..20_000 {
        let offset = start.wrapping_add(NEXT.fetch_add(7, Ordering::Relaxed)) % 20_000;
        let port = 11_000_u16.saturating_add(offset);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// A folder for the data of a test's servers, deleted when the value is dropped.
///
/// # Errors
/// When the system's temporary folder cannot be written.
pub fn temporary_folder() -> io::Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::Builder::new().prefix("ffapi-").tempdir()?;
    // Postgres may run as another user, which must be able to traverse it.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// Reports on stderr that a test is skipped on this machine, and why.
#[expect(clippy::print_stderr, reason = "the output of a test")]
pub fn report_skipped(reason: &str) {
    eprintln!("SKIPPED: {reason}");
}

/// True for root. For other users, reports that a test is skipped; `what` follows "only root", like "can give a
/// folder to another user".
pub fn is_root_or_skipped(what: &str) -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        report_skipped(&format!("only root {what}"));
    }
    is_root
}
