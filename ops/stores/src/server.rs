use std::{
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::time::sleep;

/// How long a server may take until it accepts connections.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// How often that is tried.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A child process that serves on a port of loopback.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    port: u16,
    /// Removed after the process.
    _folder: TempDir,
}

/// A free port of loopback.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl Server {
    /// Starts a program in a new folder and waits until it accepts connections on the port. The
    /// program ends when the thread that starts it does.
    pub(crate) async fn start(program: &str, arguments: &[String], port: u16) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("ffapi-store").tempdir()?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", program]).args(arguments);
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let mut server = Self { child: command.spawn()?, port, _folder: folder };
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = server.child.try_wait()? {
                return Err(io::Error::other(format!("{program} ended with {status}")));
            }
            if start.elapsed() > START_TIMEOUT {
                return Err(io::Error::other(format!("{program} does not listen on {port}")));
            }
            sleep(POLL_INTERVAL).await;
        }
        Ok(server)
    }

    /// The server's URL.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends a signal to it.
    pub(crate) fn signal(&self, signal: &str) -> io::Result<()> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status()?;
        if sent.success() { Ok(()) } else { Err(io::Error::other("kill failed")) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends its own children.
        let _ = self.signal("TERM");
        let _ = self.child.wait();
    }
}
