use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{StartError, private, tools};

/// A server process that ends with this value, or with the thread that started it.
#[derive(Debug)]
pub(crate) struct ServerChild {
    process: Child,
    program: &'static str,
    stop_with: Signal,
}

/// How long a server may take to become ready; Postgres may have to recover from a crash.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// Runs `command` through `setpriv`, so that the kernel ends it when the starting thread ends.
pub(crate) fn tied_to_this_thread(
    signal: Signal,
    user: Option<&str>,
) -> Result<Command, StartError> {
    let mut command = Command::new(tools::find("setpriv", &[PathBuf::from("/usr/bin")])?);
    command.args(["--pdeathsig", signal.as_str().trim_start_matches("SIG")]);
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--init-groups"]);
    }
    command.arg("--");
    // A server would notify the service manager of its own state as if it were ours.
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"] {
        command.env_remove(variable);
    }
    Ok(command)
}

impl ServerChild {
    pub(crate) fn spawn(
        program: &'static str,
        command: &mut Command,
        log: &Path,
        stop_with: Signal,
    ) -> Result<Self, StartError> {
        let spawn = |source| StartError::Spawn { program, source };
        // A new file, because the last processes of a killed server may still write into the old
        // one, and the log of this one is parsed.
        let _ = fs::remove_file(log);
        let out = private::file(log).map_err(spawn)?;
        let err = out.try_clone().map_err(spawn)?;
        let process =
            command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().map_err(spawn)?;
        Ok(Self { process, program, stop_with })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until `ready` returns a value, as long as the process lives.
    pub(crate) fn wait_until<T>(
        &mut self,
        log: &Path,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Result<T, StartError> {
        let start = Instant::now();
        loop {
            if let Some(value) = ready() {
                return Ok(value);
            }
            let exited = self.process.try_wait().is_ok_and(|status| status.is_some());
            if exited || start.elapsed() > START_TIMEOUT {
                return Err(StartError::NotReady { program: self.program, log: tail(log) });
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.process.id()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Sends a signal and waits until the process has ended.
    pub(crate) fn end(&mut self, signal: Signal) {
        self.signal(signal);
        let _ = self.process.wait();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().is_ok_and(|status| status.is_none())
    }
}

impl Drop for ServerChild {
    fn drop(&mut self) {
        if self.is_running() {
            self.end(self.stop_with);
        }
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join(" | ")
}

/// Kills all processes whose working directory is this folder, which only the server's should use.
/// Returns whether there were any.
pub(crate) fn kill_all_in(folder: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else { return false };
    let mut found = false;
    let runs_there = |process: &fs::DirEntry| {
        fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == folder)
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().filter(runs_there);
    for process in processes {
        found = true;
        if let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    found
}

/// Kills a server that a killed process may have left running. Its pid is in `pid_file`, and its
/// command line must contain `mark`, so that no other process is killed.
pub(crate) fn kill_leftover(pid_file: &Path, mark: &str) -> io::Result<()> {
    let text = match fs::read_to_string(pid_file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some(pid) = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok()) else {
        return Ok(());
    };
    let ours =
        || fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(mark));
    let start = Instant::now();
    while ours() && start.elapsed() < START_TIMEOUT {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
