//! A private nats-server and Postgres as child processes: what `ffapi up` and every test run on.
//!
//! Real servers, on a free loopback port or a private socket, with their data in one folder. They
//! die with the process that started them, even if it is killed: `setpriv --pdeathsig` asks the
//! kernel for that. **Start them from a thread that lives as long as they should** (main, or a
//! test's own): the kernel counts the starting thread as the parent.

mod child;
mod nats;
mod postgres;
pub mod private;
mod tools;

use std::{io, path::PathBuf};

pub use nats::NatsServer;
pub use postgres::Postgres;

/// Why a server did not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program is not on this machine.
    #[error("{program} was not found; `make setup` installs it")]
    Missing {
        /// Which.
        program: &'static str,
    },
    /// We are root, which Postgres refuses to be.
    #[error("Postgres needs a user named `postgres` to run as, for it refuses to run as root")]
    NoUser,
    /// A folder or file of the server could not be prepared.
    #[error("{path} cannot be used for the server's data")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program could not be run.
    #[error("{program} could not be started")]
    Spawn {
        /// Which.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It ran and stopped, or never answered.
    #[error("{program} did not come up; its log ends: {log}")]
    NotReady {
        /// Which.
        program: &'static str,
        /// The last lines it wrote.
        log: String,
    },
}

/// A free loopback port below those that the kernel gives to outgoing connections, so that it is
/// still free when a killed server comes back to it.
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

/// A folder that goes away with the value, for tests: short-lived servers keep their data in it.
///
/// # Errors
/// When the system's temporary folder cannot be written.
pub fn temporary_folder() -> io::Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::Builder::new().prefix("ffapi-").tempdir()?;
    // Postgres may run as another user, which must be able to pass through.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}
