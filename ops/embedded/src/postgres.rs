mod cluster;
mod template;

use std::{
    fs, io,
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use self::cluster::Cluster;
use crate::{
    StartError,
    child::{ServerChild, kill_all_in, kill_leftover, tied_to_this_thread},
    tools,
};

/// A private Postgres on a socket that only its owner can open. It accepts only the user that
/// started it, by the kernel's information about the client (`peer`), so it needs no password.
#[derive(Debug)]
pub struct Postgres {
    child: ServerChild,
    cluster: Cluster,
}

const PROGRAM: &str = "postgres";
/// The file in its data folder that holds the pid of a running server.
const PID_FILE: &str = "postmaster.pid";
/// The name of the socket in its folder.
const SOCKET: &str = ".s.PGSQL.5432";
/// How long the remaining processes of a killed server may take to end.
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(20);

impl Postgres {
    /// Starts the server with its data under `folder`, and creates an empty cluster at the first
    /// start.
    ///
    /// As root, it runs as the user `postgres`, whose group may then traverse `folder`. If that
    /// user still cannot reach `folder`, the data is stored under `/var/lib/ffapi`, and
    /// `folder/postgres.location` contains its path.
    ///
    /// # Errors
    /// When the programs are missing, the folder is unusable, or the server does not become ready.
    pub fn start(folder: &Path) -> Result<Self, StartError> {
        let at = |source: io::Error| StartError::Folder { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(at)?;
        let cluster = Cluster::prepare(&folder.canonicalize().map_err(at)?)?;
        if !cluster.data.join("PG_VERSION").exists() {
            cluster.initdb()?;
        }
        let child = cluster.launch()?;
        Ok(Self { child, cluster })
    }

    /// The URL for clients.
    pub fn url(&self) -> String {
        let encoded = |text: &str| {
            let bytes = form_urlencoded::byte_serialize(text.as_bytes());
            bytes.collect::<String>().replace('+', "%20")
        };
        let (socket, owner) = (self.cluster.socket.to_string_lossy(), self.cluster.owner());
        format!("postgres:///postgres?host={}&user={}", encoded(&socket), encoded(&owner))
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

    /// Restarts the server with the same data.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn restart(&mut self) -> Result<(), StartError> {
        if self.child.is_running() {
            self.child.end(Signal::SIGINT);
        }
        self.child = self.cluster.launch()?;
        Ok(())
    }
}

impl Cluster {
    fn command(&self, program: &'static str) -> Result<Command, StartError> {
        let path = tools::find(program, &tools::debian_postgres())?;
        // SIGQUIT is Postgres' immediate shutdown, which leaves no process running.
        let mut command = tied_to_this_thread(
            Signal::SIGQUIT,
            self.user.as_ref().map(|user| user.name.as_str()),
        )?;
        command.arg(path).current_dir("/");
        Ok(command)
    }

    fn initdb(&self) -> Result<(), StartError> {
        let spawn = |source| StartError::Spawn { program: "initdb", source };
        let owner = self.owner();
        let output = self
            .command("initdb")?
            // The access rules are rewritten at each start.
            .args(["--auth=reject", "--no-locale", "--encoding=UTF8", "--no-sync", "-U", &owner])
            .arg("-D")
            .arg(&self.data)
            .output()
            .map_err(spawn)?;
        if output.status.success() {
            return Ok(());
        }
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        // An incomplete cluster must not look complete at the next start.
        let _ = fs::remove_file(self.data.join("PG_VERSION"));
        Err(StartError::NotReady { program: "initdb", log })
    }

    /// Starts the server after killing the remaining processes of one that was killed. Most end by
    /// themselves, but one that hangs would block the start forever.
    fn launch(&self) -> Result<ServerChild, StartError> {
        let start = Instant::now();
        loop {
            match self.launch_once() {
                Err(StartError::NotReady { log, .. })
                    if ["shared memory", PID_FILE, SOCKET]
                        .iter()
                        .any(|sign| log.contains(sign))
                        && start.elapsed() < LEFTOVER_TIMEOUT =>
                {
                    // The working directory of all its processes is the data folder.
                    if !kill_all_in(&self.data) {
                        // Its pid is that of another process now: in a container the same few
                        // pids recur after every kill.
                        let _ = fs::remove_file(self.data.join(PID_FILE));
                    }
                    thread::sleep(Duration::from_millis(100));
                }
                outcome => return outcome,
            }
        }
    }

    fn launch_once(&self) -> Result<ServerChild, StartError> {
        let at = |source: io::Error| StartError::Folder { path: self.data.clone(), source };
        kill_leftover(&self.data.join(PID_FILE), &self.data.to_string_lossy()).map_err(at)?;
        // The lock remains after a kill, and blocks the next start if its pid was reused meanwhile.
        let lock = self.socket.join(format!("{SOCKET}.lock"));
        kill_leftover(&lock, &self.data.to_string_lossy()).map_err(at)?;
        let _ = fs::remove_file(lock);
        self.write_access_rules().map_err(at)?;
        let mut command = self.command(PROGRAM)?;
        command.arg("-D").arg(&self.data).arg("-k").arg(&self.socket);
        for setting in [
            "listen_addresses=",
            "max_connections=200",
            "shared_buffers=64MB",
            "wal_level=minimal",
            "max_wal_senders=0",
        ] {
            command.args(["-c", setting]);
        }
        let mut child = ServerChild::spawn(PROGRAM, &mut command, &self.log, Signal::SIGINT)?;
        let socket = self.socket.join(SOCKET);
        let log = self.log.clone();
        child.wait_until(&self.log, || {
            // The socket opens before recovery ends; the log states when it has ended.
            let ready = fs::read_to_string(&log).is_ok_and(|text| text.contains("ready to accept"));
            (ready && UnixStream::connect(&socket).is_ok()).then_some(())
        })?;
        Ok(child)
    }
}
