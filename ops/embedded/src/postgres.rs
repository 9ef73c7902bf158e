mod place;

use std::{
    fs, io,
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use self::place::Place;
use crate::{
    StartError,
    child::{ServerChild, end_all_in, end_leftover, under_us},
    tools,
};

/// A private Postgres on a socket that only its owner can open, and that lets in nobody but the user
/// that started it: the kernel says who connects (`peer`), so there is no password to keep.
#[derive(Debug)]
pub struct Postgres {
    child: ServerChild,
    place: Place,
}

const PROGRAM: &str = "postgres";
/// The socket's name, in a folder of its own.
const SOCKET: &str = ".s.PGSQL.5432";
/// How long the processes of a killed server may take to notice.
const PATIENCE: Duration = Duration::from_secs(20);

impl Postgres {
    /// Starts it with its data under `folder`, creating an empty database at first.
    ///
    /// As root, it runs as the user `postgres`, whose group may then pass through `folder`; if that
    /// user cannot reach `folder` all the same, the data is kept under `/var/lib/ffapi` and
    /// `folder/postgres.location` says where.
    ///
    /// # Errors
    /// When the programs are missing, the folder unusable, or the server does not answer.
    pub fn start(folder: &Path) -> Result<Self, StartError> {
        let at = |source: io::Error| StartError::Folder { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(at)?;
        let place = Place::prepare(&folder.canonicalize().map_err(at)?)?;
        if !place.data.join("PG_VERSION").exists() {
            place.initdb()?;
        }
        let child = place.launch()?;
        Ok(Self { child, place })
    }

    /// What a client connects to.
    pub fn url(&self) -> String {
        let encoded = |text: &str| {
            let bytes = form_urlencoded::byte_serialize(text.as_bytes());
            bytes.collect::<String>().replace('+', "%20")
        };
        let (socket, owner) = (self.place.socket.to_string_lossy(), self.place.owner());
        format!("postgres:///postgres?host={}&user={}", encoded(&socket), encoded(&owner))
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

    /// Starts it again with the same data.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn restart(&mut self) -> Result<(), StartError> {
        if self.child.is_running() {
            self.child.end(Signal::SIGINT);
        }
        self.child = self.place.launch()?;
        Ok(())
    }
}

impl Place {
    fn command(&self, program: &'static str) -> Result<Command, StartError> {
        let path = tools::find(program, &tools::debian_postgres())?;
        // SIGQUIT is Postgres' word for "at once": it leaves nothing running.
        let mut command =
            under_us(Signal::SIGQUIT, self.user.as_ref().map(|user| user.name.as_str()))?;
        command.arg(path).current_dir("/");
        Ok(command)
    }

    fn initdb(&self) -> Result<(), StartError> {
        let spawn = |source| StartError::Spawn { program: "initdb", source };
        let owner = self.owner();
        let output = self
            .command("initdb")?
            // Who may come in is written anew at each start.
            .args(["--auth=reject", "--no-locale", "--encoding=UTF8", "--no-sync", "-U", &owner])
            .arg("-D")
            .arg(&self.data)
            .output()
            .map_err(spawn)?;
        if output.status.success() {
            return Ok(());
        }
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        // A half-made cluster would look finished next time.
        let _ = fs::remove_file(self.data.join("PG_VERSION"));
        Err(StartError::NotReady { program: "initdb", log })
    }

    /// Starts the server; ends the last processes of one that was killed. Most end by themselves, but one
    /// that hangs, told to end in the middle of something, would keep the server out for ever.
    fn launch(&self) -> Result<ServerChild, StartError> {
        let start = Instant::now();
        loop {
            match self.launch_once() {
                Err(StartError::NotReady { log, .. })
                    if ["shared memory", "postmaster.pid", SOCKET]
                        .iter()
                        .any(|sign| log.contains(sign))
                        && start.elapsed() < PATIENCE =>
                {
                    // The server works in its data folder, as all of its processes do.
                    end_all_in(&self.data);
                    thread::sleep(Duration::from_millis(100));
                }
                outcome => return outcome,
            }
        }
    }

    fn launch_once(&self) -> Result<ServerChild, StartError> {
        let at = |source: io::Error| StartError::Folder { path: self.data.clone(), source };
        end_leftover(&self.data.join("postmaster.pid"), &self.data.to_string_lossy())
            .map_err(at)?;
        // Stays where the server was killed, and keeps the next one out if its pid is another's by now.
        let lock = self.socket.join(format!("{SOCKET}.lock"));
        end_leftover(&lock, &self.data.to_string_lossy()).map_err(at)?;
        let _ = fs::remove_file(lock);
        self.let_in().map_err(at)?;
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
            // The socket opens before recovery ends; the log says when it has.
            let ready = fs::read_to_string(&log).is_ok_and(|text| text.contains("ready to accept"));
            (ready && UnixStream::connect(&socket).is_ok()).then_some(())
        })?;
        Ok(child)
    }
}
