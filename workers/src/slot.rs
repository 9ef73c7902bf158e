//! A pre-started media child with an empty folder of its own; it serves one task and then ends.

mod folder;
mod groups;
mod limits;
mod removal;
mod removed_files;
mod tasks;
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
    folder::{DiskMeter, DiskUsage, SlotFolder},
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

/// A running media child, its folder and its channels.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) folder: SlotFolder,
    child: Child,
    to_child: UnixStream,
    messages: mpsc::Receiver<io::Result<ChildMessage>>,
    pub(crate) sandbox: String,
    /// The child's memory limit in bytes.
    pub(crate) memory: u64,
    user: Option<SlotUser>,
    /// The control group in which the kernel limits the child, where one is available.
    group: Option<SlotGroup>,
}

/// The folder of a child that has ended: nothing writes to it any more.
#[derive(Debug)]
pub(crate) struct ReapedSlot {
    pub(crate) folder: SlotFolder,
    /// Keeps the user reserved while files that it owns exist.
    _user: Option<SlotUser>,
}

/// How children are started.
#[derive(Debug, Clone)]
pub(crate) struct ChildSpawner {
    /// Parent of the slot folders; on the storage's file system, so that hard links work.
    pub(crate) folder: PathBuf,
    /// Program and arguments of a media child.
    pub(crate) command: Vec<String>,
    /// User ids for children; set when the worker runs as root, which a child must not.
    pub(crate) users: Option<Users>,
    /// Memory limit of each child in bytes.
    pub(crate) memory: u64,
    /// Memory limit of a job in bytes: children make their plans for it.
    pub(crate) memory_of_job: u64,
    /// Set where each child gets its own control group.
    pub(crate) groups: Option<Groups>,
}

/// Address space in bytes that a child maps but does not use: libraries, stacks, allocator
/// reserves.
const UNUSED_ADDRESS_SPACE: u64 = 4 * 1024 * 1024 * 1024;
/// Limit on the threads of one child: enough for codecs on a large machine.
const MAX_THREADS: u64 = 4_096;
/// How long a child may take to get ready, and to read a message.
const CHILD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a child may take to read a permit that it asked for.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(2);

impl ChildSpawner {
    /// Starts a child and waits until its sandbox is in place.
    pub(crate) async fn spawn(&self) -> Result<Slot, MediaError> {
        let broken =
            |error: io::Error| internal(format!("a media child cannot be started: {error}"));
        let user = self.users.as_ref().map(Users::take).transpose().map_err(broken)?;
        let path = self.folder.join(Uuid::now_v7().simple().to_string());
        let id = user.as_ref().map(|user| user.id);
        let folder = SlotFolder::make(path, id).map_err(broken)?;
        // The child's user has no access to the parent folders, so it starts via a descriptor.
        let working_folder = File::open(folder.path()).map_err(broken)?;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(broken)?;
        ours.set_nonblocking(true).map_err(broken)?;
        let (program, arguments) =
            self.command.split_first().ok_or_else(|| internal("no media child command"))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg(format!("memory={}", self.memory.saturating_add(UNUSED_ADDRESS_SPACE)))
            .arg(format!("job-memory={}", self.memory_of_job))
            .current_dir(format!("/proc/self/fd/{}", working_folder.as_raw_fd()))
            .env_clear()
            // SVT-AV1 logs past FFmpeg; errors are enough.
            .env("SVT_LOG", "1")
            .env("LIBVA_MESSAGING_LEVEL", "0")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some(id) = id {
            command.uid(id).gid(id).arg(format!("threads={MAX_THREADS}"));
        }
        let limits = GroupLimits { memory: self.memory, processes: MAX_THREADS };
        let group = self.groups.as_ref().map(|groups| groups.make(limits));
        let group = group.transpose().map_err(broken)?;
        let mut child = command.spawn().map_err(broken)?;
        if let (Some(group), Some(process)) = (&group, child.id()) {
            group.add(process).map_err(broken)?;
        }
        // The kernel's OOM killer should choose a child first.
        if let Some(process) = child.id() {
            let _ = std::fs::write(format!("/proc/{process}/oom_score_adj"), "1000");
        }
        let from = child.stdout.take().ok_or_else(|| internal("no pipe"))?;
        let to_child = UnixStream::from_std(ours).map_err(broken)?;
        let (messages, sandbox) = (read_messages(from), String::new());
        let memory = self.memory;
        let mut slot = Slot { folder, child, to_child, messages, sandbox, memory, user, group };
        match timeout(CHILD_TIMEOUT, slot.receive()).await {
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

fn not_reading(_: tokio::time::error::Elapsed) -> io::Error {
    io::Error::other("it does not read its input")
}

fn internal(message: impl Into<String>) -> MediaError {
    MediaError { code: FailureCode::Internal, message: message.into() }
}

impl Slot {
    /// Sends the child its one task, with the open inputs in the order of the request.
    pub(crate) async fn send_task(&mut self, task: &Task, inputs: &[File]) -> io::Result<()> {
        self.send(task, inputs).await
    }

    /// Permits the child to continue.
    pub(crate) async fn send_permit(&mut self, permit: Permit) -> io::Result<()> {
        // Short timeout: the child is waiting for it.
        timeout(PERMIT_TIMEOUT, self.send(&permit, &[])).await.map_err(not_reading)?
    }

    async fn send(&mut self, message: &(impl Serialize + Sync), files: &[File]) -> io::Result<()> {
        let frame = protocol::framed(message)?;
        let sending = async {
            let socket = &mut self.to_child;
            let begin = || protocol::send_beginning(socket.as_fd(), &frame, files);
            let sent = socket.async_io(Interest::WRITABLE, begin).await?;
            socket.write_all(frame.get(sent..).unwrap_or_default()).await
        };
        timeout(CHILD_TIMEOUT, sending).await.map_err(not_reading)?
    }

    /// The next message of the child, checked against the protocol's bounds; none once the child
    /// has ended. Cancel-safe.
    pub(crate) async fn receive(&mut self) -> io::Result<Option<ChildMessage>> {
        self.messages.recv().await.transpose()
    }

    /// The child's resource usage as the kernel counts it; zero once it has ended.
    pub(crate) fn usage(&self) -> Usage {
        self.process().map(Usage::of).unwrap_or_default()
    }

    /// What the child has written and still takes space, also without a name.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) async fn disk_usage(&self) -> io::Result<DiskUsage> {
        self.folder.disk_usage(self.process()).await
    }

    /// The child's process id; none once it has been reaped.
    pub(crate) fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// True if the kernel killed the child for exceeding its control group's memory limit.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        self.group.as_ref().is_some_and(SlotGroup::ran_out_of_memory)
    }

    /// Determines why a child that closed its output ended.
    pub(crate) async fn post_mortem(&mut self) -> MediaError {
        // It may have closed its output without ending.
        let _ = timeout(Duration::from_secs(1), self.child.wait()).await;
        let _ = self.child.start_kill();
        let status = self.child.wait().await;
        let (code, message) = explain(status.ok());
        MediaError { code, message }
    }

    /// Kills the child and waits for its end: nothing can write to its folder after that, because
    /// the child has no other process.
    pub(crate) async fn reap(mut self) -> ReapedSlot {
        while let Err(error) = self.child.kill().await {
            if self.child.id().is_none() {
                break;
            }
            tracing::error!(%error, "cannot kill a media child; retrying");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // A control group can only be removed once it is empty.
        drop(self.group.take());
        ReapedSlot { folder: self.folder, _user: self.user }
    }

    /// Ends the child and removes its folder.
    pub(crate) async fn end(self) {
        self.reap().await.remove().await;
    }
}

impl ReapedSlot {
    /// Removes the folder.
    pub(crate) async fn remove(self) {
        self.folder.remove().await;
    }
}

/// Reads a child's messages in a separate task, so that no message is left half-read. At most one
/// is buffered: a child that floods is slowed down and takes no memory.
fn read_messages(mut from: ChildStdout) -> mpsc::Receiver<io::Result<ChildMessage>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let message = read(&mut from).await.transpose();
            let Some(message) = message else { return };
            let failed = message.is_err();
            if sender.send(message).await.is_err() || failed {
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
    let mut body = vec![0; protocol::length_of(prefix)?];
    from.read_exact(&mut body).await?;
    let message = protocol::decode_from_child(&body)?;
    message.checked().map(Some).map_err(io::Error::other)
}

/// The failure code and message for a child's exit status.
fn explain(status: Option<ExitStatus>) -> (FailureCode, String) {
    match status.and_then(|status| status.signal()) {
        // SIGXCPU, SIGXFSZ
        Some(24 | 25) => (
            FailureCode::ResourceExhausted,
            "the media process used up its time or disk allowance".to_owned(),
        ),
        // SIGKILL that this worker did not send
        Some(9) => (
            FailureCode::ResourceExhausted,
            "the media process was killed, most likely for lack of memory".to_owned(),
        ),
        Some(signal) => {
            (FailureCode::MediaCrashed, format!("the media process crashed (signal {signal})"))
        }
        None => (FailureCode::MediaCrashed, "the media process ended without a result".to_owned()),
    }
}

/// Prefix of a worker's folder once it is being removed.
const DEAD_PREFIX: &str = "dead-";

/// Marks a worker's folder as dead by renaming it, so that an interrupted removal is continued by
/// the next worker, whether or not the lock file still exists.
fn mark_dead(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let renamed = path.with_file_name(format!("{DEAD_PREFIX}{name}"));
    if std::fs::rename(path, &renamed).is_ok() { renamed } else { path.to_owned() }
}

/// Removes the folder of a worker that is shutting down.
///
/// # Errors
/// When the disk fails; the next start tries again.
pub(crate) fn remove_worker_folder(path: &Path) -> io::Result<()> {
    remove_tree(&mark_dead(path))
}

/// Removes the folders of dead workers, whose locks are free, and returns the workers' names.
pub(crate) fn reap_stale(folder: &Path) -> Vec<String> {
    let mut dead = Vec::new();
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let mut path = entry.path();
        if !name.starts_with(DEAD_PREFIX) {
            let lock = File::open(path.join("lock"));
            if !lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
                continue;
            }
            path = mark_dead(&path);
            dead.push(name);
        }
        if let Err(error) = remove_tree(&path) {
            tracing::warn!(%error, "cannot remove a dead worker's folder; the next start retries");
        }
    }
    dead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_dead_workers_are_removed_even_after_an_interrupted_removal() {
        let folder = tempfile::tempdir().unwrap();
        let worker = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.join("slot/out")).unwrap();
            File::create(path.join("lock")).unwrap()
        };
        let running = worker("worker_a");
        running.try_lock().unwrap();
        drop(worker("worker_b"));
        drop(worker("dead-worker_c"));
        std::fs::remove_file(folder.path().join("dead-worker_c/lock")).unwrap();
        assert_eq!(reap_stale(folder.path()), ["worker_b"]);
        let remaining: Vec<_> = folder.path().read_dir().unwrap().flatten().collect();
        assert_eq!(remaining.len(), 1);
        assert_eq!(remaining[0].file_name(), "worker_a");
    }
}
