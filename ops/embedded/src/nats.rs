use std::{
    fs, io,
    net::TcpStream,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;

use crate::{
    StartError,
    child::{ServerChild, end_leftover, under_us},
    private, tools,
};

/// A private nats-server with JetStream, fsyncing every write.
#[derive(Debug)]
pub struct NatsServer {
    child: ServerChild,
    folder: PathBuf,
    port: u16,
    more: String,
}

const PROGRAM: &str = "nats-server";

impl NatsServer {
    /// Starts it on a free loopback port with its data in `folder`.
    ///
    /// # Errors
    /// When the program is missing, the folder unusable, or the server does not answer.
    pub fn start(folder: &Path) -> Result<Self, StartError> {
        Self::start_with(folder, "")
    }

    /// As [`NatsServer::start`], with more of a configuration: users, say.
    ///
    /// # Errors
    /// As [`NatsServer::start`].
    pub fn start_with(folder: &Path, more: &str) -> Result<Self, StartError> {
        let at = |source: io::Error| StartError::Folder { path: folder.to_owned(), source };
        private::folder(folder).map_err(at)?;
        let folder = folder.canonicalize().map_err(at)?;
        let port = crate::free_port().map_err(at)?;
        let child = launch(&folder, port, more)?;
        Ok(Self { child, folder, port, more: more.to_owned() })
    }

    /// What a client connects to.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// True while the process lives.
    pub fn is_running(&mut self) -> bool {
        self.child.is_running()
    }

    /// `kill -9`, as a power cut would.
    pub fn kill(&mut self) {
        self.child.end(Signal::SIGKILL);
    }

    /// Starts it again on the same port with the same data.
    ///
    /// # Errors
    /// As [`NatsServer::start`].
    pub fn restart(&mut self) -> Result<(), StartError> {
        if self.child.is_running() {
            self.child.end(Signal::SIGTERM);
        }
        self.child = launch(&self.folder, self.port, &self.more)?;
        Ok(())
    }
}

fn launch(folder: &Path, port: u16, more: &str) -> Result<ServerChild, StartError> {
    let at = |source: io::Error| StartError::Folder { path: folder.to_owned(), source };
    let program = tools::find(PROGRAM, &[])?;
    let pid_file = folder.join("nats.pid");
    let config = folder.join("nats.conf");
    let log = folder.join("nats.log");
    // Two servers on one store would destroy it.
    end_leftover(&pid_file, &config.to_string_lossy()).map_err(at)?;
    let text = format!(
        "listen: \"127.0.0.1:{port}\"\nserver_name: \"ffapi\"\npid_file: {pid:?}\n\
         max_payload: 8MB\nwrite_deadline: \"30s\"\n\
         jetstream {{\n  store_dir: {store:?}\n  sync_interval: always\n}}\n{more}\n",
        pid = pid_file.display().to_string(),
        store = folder.join("store").display().to_string(),
    );
    // It may hold passwords.
    private::write(&config, &text).map_err(at)?;
    let mut command = under_us(Signal::SIGTERM, None)?;
    command.arg(program).arg("-c").arg(&config);
    let mut child = ServerChild::spawn(PROGRAM, &mut command, &log, Signal::SIGTERM)?;
    child.wait_until(&log, || {
        // Who answers at the port may be somebody else, as long as the server itself does not say so.
        let ready = fs::read_to_string(&log).is_ok_and(|text| text.contains("Server is ready"));
        if ready { TcpStream::connect(("127.0.0.1", port)).ok() } else { None }
    })?;
    Ok(child)
}
