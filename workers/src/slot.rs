use std::{
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use domain::job::FailureCode;
use media::{
    MediaError,
    protocol::{self, Permit, Said, Task},
};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc,
};
use uuid::Uuid;

/// One warm media child in an empty folder of its own: it serves one task and is gone.
#[derive(Debug)]
pub(crate) struct Slot {
    folder: PathBuf,
    child: Child,
    to: Option<ChildStdin>,
    said: mpsc::Receiver<io::Result<Said>>,
    pub(crate) sandbox: String,
}

/// How children are started.
#[derive(Debug, Clone)]
pub(crate) struct Nursery {
    /// Where slot folders are made; on the storage's disk, so that links work.
    pub(crate) folder: PathBuf,
    /// The program and arguments that become a media child.
    pub(crate) command: Vec<String>,
    /// Set when we are root, which a child must not be.
    pub(crate) user: Option<(u32, u32)>,
}

/// The longest message a child may send.
const MAX_MESSAGE: u32 = 16 * 1024 * 1024;

impl Nursery {
    /// Starts a child and waits until it is locked in.
    pub(crate) async fn spawn(&self) -> Result<Slot, MediaError> {
        let broken =
            |error: io::Error| internal(format!("a media child cannot be started: {error}"));
        let folder = self.folder.join(Uuid::now_v7().simple().to_string());
        let out = folder.join("out");
        for made in [&folder.join("in"), &out] {
            tokio::fs::create_dir_all(made).await.map_err(broken)?;
        }
        let (program, arguments) =
            self.command.split_first().ok_or_else(|| internal("no media child command"))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&folder)
            .env_clear()
            // One encoder talks past FFmpeg; errors are enough.
            .env("SVT_LOG", "1")
            .env("LIBVA_MESSAGING_LEVEL", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some((uid, gid)) = self.user {
            std::os::unix::fs::chown(&out, Some(uid), Some(gid)).map_err(broken)?;
            command.uid(uid).gid(gid);
        }
        let mut child = command.spawn().map_err(broken)?;
        let pipes = (child.stdin.take(), child.stdout.take());
        let (Some(to), Some(from)) = pipes else { return Err(internal("no pipes")) };
        let mut slot =
            Slot { folder, child, to: Some(to), said: listen(from), sandbox: String::new() };
        match slot.hear().await {
            Ok(Some(Said::Ready { sandbox })) => {
                slot.sandbox = sandbox;
                Ok(slot)
            }
            Ok(Some(Said::Failed { code, message })) => Err(MediaError { code, message }),
            other => Err(internal(format!("a media child did not get ready: {other:?}"))),
        }
    }
}

fn internal(message: impl Into<String>) -> MediaError {
    MediaError { code: FailureCode::Internal, message: message.into() }
}

impl Slot {
    /// Where one of the task's inputs belongs; 0 is the job's own.
    pub(crate) fn input(&self, number: usize) -> PathBuf {
        self.folder.join("in").join(protocol::input_name(number))
    }

    /// Where the child puts an output.
    pub(crate) fn output(&self, name: &str) -> PathBuf {
        self.folder.join("out").join(name)
    }

    /// Hands over the one task.
    pub(crate) async fn give(&mut self, task: &Task) -> io::Result<()> {
        self.tell(task).await
    }

    /// Gives a child leave to begin with what it said is charged.
    pub(crate) async fn permit(&mut self, permit: Permit) -> io::Result<()> {
        self.tell(&permit).await
    }

    async fn tell(&mut self, what: &(impl Serialize + Sync)) -> io::Result<()> {
        let mut message = Vec::new();
        protocol::write(&mut message, what)?;
        match &mut self.to {
            Some(to) => {
                to.write_all(&message).await?;
                to.flush().await
            }
            None => Err(io::Error::other("the child has its task")),
        }
    }

    /// The next thing the child says; none once it is gone. Cancel-safe.
    pub(crate) async fn hear(&mut self) -> io::Result<Option<Said>> {
        self.said.recv().await.transpose()
    }

    /// Bytes that the child has read and written so far: it also works while no media time passes,
    /// moving the index to the front or reading its output back.
    pub(crate) fn moved(&self) -> u64 {
        let io = self.child.id().map(|id| format!("/proc/{id}/io"));
        let io = io.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        let counters =
            io.lines().filter(|line| line.starts_with("rchar") || line.starts_with("wchar"));
        let counters = counters.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        counters.sum()
    }

    /// Why a child that said nothing more is gone.
    pub(crate) async fn post_mortem(&mut self) -> MediaError {
        // It may have closed its mouth and live on.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.child.wait()).await;
        let _ = self.child.start_kill();
        let status = self.child.wait().await;
        let (code, message) = explain(status.ok());
        MediaError { code, message }
    }

    /// Ends the child, whatever it is doing, and removes its folder.
    pub(crate) async fn end(mut self) {
        let _ = self.child.kill().await;
        let _ = tokio::fs::remove_dir_all(&self.folder).await;
    }
}

/// Reads what a child says in a task of its own: a message is never left half-read.
fn listen(mut from: ChildStdout) -> mpsc::Receiver<io::Result<Said>> {
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let said = read(&mut from).await.transpose();
            let Some(said) = said else { return };
            let broken = said.is_err();
            if sender.send(said).await.is_err() || broken {
                return;
            }
        }
    });
    receiver
}

async fn read(from: &mut ChildStdout) -> io::Result<Option<Said>> {
    let length = match from.read_u32().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > MAX_MESSAGE {
        return Err(io::Error::other("the child talks nonsense"));
    }
    let mut message = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    from.read_exact(&mut message).await?;
    protocol::decode(&message).map(Some)
}

fn explain(status: Option<ExitStatus>) -> (FailureCode, String) {
    match status.and_then(|status| status.signal()) {
        // SIGXCPU, SIGXFSZ
        Some(24 | 25) => (
            FailureCode::ResourceExhausted,
            "the media process used up its time or disk allowance".to_owned(),
        ),
        // SIGKILL that was not ours
        Some(9) => (
            FailureCode::ResourceExhausted,
            "the media process was killed from outside, most likely for want of memory".to_owned(),
        ),
        Some(signal) => {
            (FailureCode::MediaCrashed, format!("the media process crashed (signal {signal})"))
        }
        None => (FailureCode::MediaCrashed, "the media process ended without an answer".to_owned()),
    }
}

/// Removes what workers that are gone left behind, and names them: their folders' locks are free.
pub(crate) fn sweep(folder: &Path) -> Vec<String> {
    let mut gone = Vec::new();
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let lock = std::fs::File::open(entry.path().join("lock"));
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = std::fs::remove_dir_all(entry.path());
            gone.extend(entry.file_name().into_string());
        }
    }
    gone
}
