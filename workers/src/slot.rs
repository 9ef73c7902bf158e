//! One warm media child in an empty folder of its own: it serves one task and is gone.

mod folder;
mod groups;
mod limits;
mod removal;
mod usage;
mod users;

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use ffapi_domain::job::FailureCode;
use ffapi_media::{
    MediaError,
    protocol::{self, ChildMessage, Permit, Task},
};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::UnixStream,
    process::{Child, ChildStdout, Command},
    sync::mpsc,
    time::timeout,
};
use uuid::Uuid;

pub(crate) use self::{
    folder::{Load, SlotFolder},
    groups::Groups,
    limits::{memory_of_jobs, memory_of_questions},
    removal::remove_tree,
    usage::Usage,
    users::Users,
};
use self::{
    groups::{GroupLimits, SlotGroup},
    users::SlotUser,
};

/// A child, and what it may write to.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) folder: SlotFolder,
    child: Child,
    to: UnixStream,
    said: mpsc::Receiver<io::Result<ChildMessage>>,
    pub(crate) sandbox: String,
    /// Bytes of memory that the child may have.
    pub(crate) memory: u64,
    user: Option<SlotUser>,
    /// In which the kernel bounds what it takes, where that can be had.
    group: Option<SlotGroup>,
}

/// What a child that is gone left: nothing writes to it any more.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(crate) folder: SlotFolder,
    /// Nobody else becomes it while files of its are there.
    _user: Option<SlotUser>,
}

/// How children are started.
#[derive(Debug, Clone)]
pub(crate) struct ChildSpawner {
    /// Where slot folders are made; on the storage's disk, so that links work.
    pub(crate) folder: PathBuf,
    /// The program and arguments that become a media child.
    pub(crate) command: Vec<String>,
    /// Set when we are root, which a child must not be.
    pub(crate) users: Option<Users>,
    /// Bytes of memory that each may have.
    pub(crate) memory: u64,
    /// Bytes of memory that a job may have: what a child plans for.
    pub(crate) memory_of_job: u64,
    /// Set where children get control groups of their own.
    pub(crate) groups: Option<Groups>,
}

/// Address space that a child maps and does not use: libraries, stacks, reserves of its allocator.
const UNUSED: u64 = 4 * 1024 * 1024 * 1024;
/// Threads of one child: what codecs start on a large machine, and a bound on what starts no end.
const THREADS: u64 = 4_096;
/// How long a child may take to get ready, and to take what it is sent.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to take an answer that it asked for.
const PROMPT: Duration = Duration::from_secs(2);

impl ChildSpawner {
    /// Starts a child and waits until it is locked in.
    pub(crate) async fn spawn(&self) -> Result<Slot, MediaError> {
        let broken =
            |error: io::Error| internal(format!("a media child cannot be started: {error}"));
        let user = self.users.as_ref().map(Users::take).transpose().map_err(broken)?;
        let path = self.folder.join(Uuid::now_v7().simple().to_string());
        let id = user.as_ref().map(|user| user.id);
        let folder = SlotFolder::make(path, id).map_err(broken)?;
        // A child has another user, which may not walk the folders to its own.
        let place = File::open(folder.path()).map_err(broken)?;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(broken)?;
        ours.set_nonblocking(true).map_err(broken)?;
        let (program, arguments) =
            self.command.split_first().ok_or_else(|| internal("no media child command"))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg(format!("memory={}", self.memory.saturating_add(UNUSED)))
            .arg(format!("job-memory={}", self.memory_of_job))
            .current_dir(format!("/proc/self/fd/{}", place.as_raw_fd()))
            .env_clear()
            // One encoder talks past FFmpeg; errors are enough.
            .env("SVT_LOG", "1")
            .env("LIBVA_MESSAGING_LEVEL", "0")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some(id) = id {
            command.uid(id).gid(id).arg(format!("threads={THREADS}"));
        }
        let limits = GroupLimits { memory: self.memory, processes: THREADS };
        let group = self.groups.as_ref().map(|groups| groups.make(limits));
        let group = group.transpose().map_err(broken)?;
        let mut child = command.spawn().map_err(broken)?;
        if let (Some(group), Some(process)) = (&group, child.id()) {
            group.add(process).map_err(broken)?;
        }
        // Of all on the machine, a child goes first where memory is wanting.
        if let Some(process) = child.id() {
            let _ = std::fs::write(format!("/proc/{process}/oom_score_adj"), "1000");
        }
        let from = child.stdout.take().ok_or_else(|| internal("no pipe"))?;
        let to = UnixStream::from_std(ours).map_err(broken)?;
        let (said, sandbox) = (listen(from), String::new());
        let mut slot = Slot { folder, child, to, said, sandbox, memory: self.memory, user, group };
        match timeout(PATIENCE, slot.hear()).await {
            Ok(Ok(Some(ChildMessage::Ready { sandbox }))) => {
                slot.sandbox = sandbox;
                Ok(slot)
            }
            Ok(Ok(Some(ChildMessage::Failed { code, message }))) => {
                slot.end().await;
                Err(MediaError { code, message })
            }
            other => {
                slot.end().await;
                Err(internal(format!("a media child did not get ready: {other:?}")))
            }
        }
    }
}

fn deaf(_: tokio::time::error::Elapsed) -> io::Error {
    io::Error::other("it does not take what it is sent")
}

fn internal(message: impl Into<String>) -> MediaError {
    MediaError { code: FailureCode::Internal, message: message.into() }
}

impl Slot {
    /// Hands over the one task, with its inputs in the order of the request's.
    pub(crate) async fn give(&mut self, task: &Task, inputs: &[File]) -> io::Result<()> {
        self.send(task, inputs).await
    }

    /// Gives a child leave to go on.
    pub(crate) async fn permit(&mut self, permit: Permit) -> io::Result<()> {
        // It waits for nothing else.
        timeout(PROMPT, self.send(&permit, &[])).await.map_err(deaf)?
    }

    async fn send(&mut self, what: &(impl Serialize + Sync), files: &[File]) -> io::Result<()> {
        let message = protocol::framed(what)?;
        let sending = async {
            let to = &mut self.to;
            let begin = || protocol::send_beginning(to.as_fd(), &message, files);
            let sent = to.async_io(Interest::WRITABLE, begin).await?;
            to.write_all(message.get(sent..).unwrap_or_default()).await
        };
        timeout(PATIENCE, sending).await.map_err(deaf)?
    }

    /// The next thing the child says, within the bounds of what one may say; none once it is gone.
    /// Cancel-safe.
    pub(crate) async fn hear(&mut self) -> io::Result<Option<ChildMessage>> {
        self.said.recv().await.transpose()
    }

    /// What it uses, as the kernel counts it.
    pub(crate) fn usage(&self) -> Usage {
        self.process().map(Usage::of).unwrap_or_default()
    }

    /// The child's process; none once it is gone.
    pub(crate) fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// True if the kernel killed the child for the limit of its own control group.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        self.group.as_ref().is_some_and(SlotGroup::ran_out_of_memory)
    }

    /// Why a child that said nothing more is gone.
    pub(crate) async fn post_mortem(&mut self) -> MediaError {
        // It may have closed its mouth and live on.
        let _ = timeout(Duration::from_secs(1), self.child.wait()).await;
        let _ = self.child.start_kill();
        let status = self.child.wait().await;
        let (code, message) = explain(status.ok());
        MediaError { code, message }
    }

    /// Ends the child, whatever it is doing, and waits until it is gone: nothing of it can write after
    /// that, for it has no other process.
    pub(crate) async fn reap(mut self) -> Remains {
        while let Err(error) = self.child.kill().await {
            if self.child.id().is_none() {
                break;
            }
            tracing::error!(%error, "a media child cannot be ended yet");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // It is empty now, and only so can it be removed.
        drop(self.group.take());
        Remains { folder: self.folder, _user: self.user }
    }

    /// Ends the child and removes its folder.
    pub(crate) async fn end(self) {
        self.reap().await.remove().await;
    }
}

impl Remains {
    /// Removes what is left.
    pub(crate) async fn remove(self) {
        self.folder.remove().await;
    }
}

/// Reads what a child says in a task of its own: a message is never left half-read. One waits at most,
/// so that a child that floods is slowed down and takes no memory.
fn listen(mut from: ChildStdout) -> mpsc::Receiver<io::Result<ChildMessage>> {
    let (sender, receiver) = mpsc::channel(1);
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

async fn read(from: &mut ChildStdout) -> io::Result<Option<ChildMessage>> {
    let mut prefix = [0; 4];
    match from.read_exact(&mut prefix).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut message = vec![0; protocol::length_of(prefix)?];
    from.read_exact(&mut message).await?;
    let said: ChildMessage = protocol::decode(&message)?;
    said.checked().map(Some).map_err(io::Error::other)
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

/// What the name of a worker's folder begins with once it is being removed.
const DEAD: &str = "dead-";

/// Gives a worker's folder the name of a dead one: whoever dies while it is removed leaves it to the next
/// one, with or without its lock.
fn dead(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let dead = path.with_file_name(format!("{DEAD}{name}"));
    if std::fs::rename(path, &dead).is_ok() { dead } else { path.to_owned() }
}

/// Removes the folder of a worker that ends.
///
/// # Errors
/// When the disk fails; the next start tries again.
pub(crate) fn bury(path: &Path) -> io::Result<()> {
    remove_tree(&dead(path))
}

/// Removes what workers that are gone left behind, and names them: their folders' locks are free.
pub(crate) fn sweep(folder: &Path) -> Vec<String> {
    let mut gone = Vec::new();
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let mut path = entry.path();
        if !name.starts_with(DEAD) {
            let lock = File::open(path.join("lock"));
            if !lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
                continue;
            }
            path = dead(&path);
            gone.push(name);
        }
        if let Err(error) = remove_tree(&path) {
            tracing::warn!(%error, "what a worker left is not removed; the next start tries again");
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_worker_left_is_removed_even_if_its_removal_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let worker = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.join("slot/out")).unwrap();
            File::create(path.join("lock")).unwrap()
        };
        let living = worker("worker_a");
        living.try_lock().unwrap();
        drop(worker("worker_b"));
        drop(worker("dead-worker_c"));
        std::fs::remove_file(folder.path().join("dead-worker_c/lock")).unwrap();
        assert_eq!(sweep(folder.path()), ["worker_b"]);
        let left: Vec<_> = folder.path().read_dir().unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].file_name(), "worker_a");
    }
}
