use std::{
    fs, io,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;

use crate::{
    StartError,
    child::{ServerChild, kill_leftover, tied_to_this_thread},
    private, tools,
};

/// A private nats-server with JetStream that syncs every write to disk.
#[derive(Debug)]
pub struct NatsServer {
    child: ServerChild,
    folder: PathBuf,
    port: u16,
    extra_config: String,
}

const PROGRAM: &str = "nats-server";

impl NatsServer {
    /// Starts the server with its data in `folder`: on the loopback port that it had before, if that is
    /// free, or else on another one.
    ///
    /// # Errors
    /// When the program is missing, the folder is unusable, or the server does not become ready.
    pub fn start(folder: &Path) -> Result<Self, StartError> {
        Self::start_with(folder, "")
    }

    /// As [`NatsServer::start`], with additional configuration such as users.
    ///
    /// # Errors
    /// As [`NatsServer::start`].
    pub fn start_with(folder: &Path, extra_config: &str) -> Result<Self, StartError> {
        let at = |source: io::Error| StartError::Folder { path: folder.to_owned(), source };
        private::folder(folder).map_err(at)?;
        let folder = folder.canonicalize().map_err(at)?;
        kill_leftover(&pid_file(&folder), &config_file(&folder).to_string_lossy()).map_err(at)?;
        let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = match last_port(&folder).filter(free) {
            Some(port) => port,
            None => crate::free_port().map_err(at)?,
        };
        let child = launch(&folder, port, extra_config)?;
        Ok(Self { child, folder, port, extra_config: extra_config.to_owned() })
    }

    /// The URL for clients.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// True while the process is running.
    pub fn is_running(&mut self) -> bool {
        self.child.is_running()
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&mut self) {
        self.child.end(Signal::SIGKILL);
    }

    /// Restarts the server on the same port with the same data.
    ///
    /// # Errors
    /// As [`NatsServer::start`].
    pub fn restart(&mut self) -> Result<(), StartError> {
        if self.child.is_running() {
            self.child.end(Signal::SIGTERM);
        }
        self.child = launch(&self.folder, self.port, &self.extra_config)?;
        Ok(())
    }
}

fn pid_file(folder: &Path) -> PathBuf {
    folder.join("nats.pid")
}

fn config_file(folder: &Path) -> PathBuf {
    folder.join("nats.conf")
}

/// The port of the last start.
fn last_port(folder: &Path) -> Option<u16> {
    let text = fs::read_to_string(config_file(folder)).ok()?;
    let listen = text.lines().find_map(|line| line.strip_prefix("listen: "))?;
    listen.trim_matches('"').rsplit(':').next()?.parse().ok()
}

fn launch(folder: &Path, port: u16, extra_config: &str) -> Result<ServerChild, StartError> {
    let at = |source: io::Error| StartError::Folder { path: folder.to_owned(), source };
    let program = tools::find(PROGRAM, &[])?;
    let (pid_file, config) = (pid_file(folder), config_file(folder));
    let log = folder.join("nats.log");
    // Two servers on one store would corrupt it.
    kill_leftover(&pid_file, &config.to_string_lossy()).map_err(at)?;
    let text = format!(
        "listen: \"127.0.0.1:{port}\"\nserver_name: \"ffapi\"\npid_file: {pid:?}\n\
         max_payload: 8MB\nwrite_deadline: \"30s\"\n\
         jetstream {{\n  store_dir: {store:?}\n  sync_interval: always\n}}\n{extra_config}\n",
        pid = pid_file.display().to_string(),
        store = folder.join("store").display().to_string(),
    );
    // The configuration may contain passwords.
    private::write(&config, &text).map_err(at)?;
    let mut command = tied_to_this_thread(Signal::SIGTERM, None)?;
    command.arg(program).arg("-c").arg(&config);
    let mut child = ServerChild::spawn(PROGRAM, &mut command, &log, Signal::SIGTERM)?;
    child.wait_until(&log, || {
        // Another process may listen on the port, so the server's own log is checked first.
        let ready = fs::read_to_string(&log).is_ok_and(|text| text.contains("Server is ready"));
        if ready { TcpStream::connect(("127.0.0.1", port)).ok() } else { None }
    })?;
    Ok(child)
}
