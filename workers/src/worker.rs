use std::{
    collections::BTreeMap,
    fs::File,
    future,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use ffapi_commands::{Caller, Commands};
use ffapi_domain::{
    dispatch::Release,
    live::{HEARTBEAT_INTERVAL, WorkerHeartbeat},
    media::{Capabilities, Pool},
};
use ffapi_media::{
    MediaError,
    protocol::{ChildMessage, Task as MediaTask},
};
use ffapi_nats::{Actor, JobLogs, PubSub, Task, Work, failpoint, subject, trace};
use ffapi_storage::duration_setting;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Span, error_span, field::Empty};
use uuid::Uuid;

use crate::{
    active_attempts::ActiveAttempts,
    attempt::AttemptContext,
    input_fetcher::InputFetcher,
    metrics::{self, worker::CountedSlot},
    planner::MAX_QUESTIONS,
    scratch::ScratchDisk,
    slot::{
        ChildSpawner, Groups, Users, memory_of_jobs, memory_of_questions, reap_stale,
        remove_worker_folder,
    },
    task,
};

/// Settings of a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// Concurrent tasks; 0 for one per core.
    pub slots: usize,
    /// `full`, or `seccomp-only` on kernels without Landlock.
    pub sandbox: Sandbox,
    /// Time without any progress after which a media process is killed.
    #[serde(with = "duration_setting::seconds")]
    pub stall_timeout: Duration,
    /// How long a stopping worker continues its tasks; unfinished ones are then handed
    /// back and continue elsewhere.
    #[serde(with = "duration_setting::seconds")]
    pub drain: Duration,
    /// Device files that media children may open; every render node of the machine if empty.
    pub devices: Vec<PathBuf>,
    /// Concurrent tasks on each kind of hardware other than the CPU.
    pub device_slots: usize,
    /// Memory limit of each media child in bytes; 0 for an equal share of three fifths of the
    /// machine's memory.
    pub child_memory: u64,
    /// Disk space that the files of one task may take together, in bytes.
    pub max_output_bytes: u64,
    /// Bytes of the scratch disk that stay free: with less, the worker takes no tasks.
    pub min_free_bytes: u64,
    /// First and last user id of the range for media children when the worker runs as root; no
    /// other process on the machine may use them.
    pub child_uids: (u32, u32),
}

/// How media children are sandboxed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// Landlock and seccomp; the worker does not start where either is missing.
    #[default]
    Full,
    /// Seccomp only.
    SeccompOnly,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            slots: 0,
            sandbox: Sandbox::Full,
            stall_timeout: Duration::from_mins(1),
            drain: Duration::from_secs(5),
            devices: vec![],
            device_slots: 2,
            child_memory: 0,
            max_output_bytes: 64 * 1024 * 1024 * 1024,
            min_free_bytes: 256 * 1024 * 1024,
            // Not assigned by Debian or systemd.
            child_uids: (60_600, 61_183),
        }
    }
}

/// How long a worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is stopped.
    Unlimited,
    /// For one task, or until none was available for the duration.
    OneTask {
        /// How long it waits for the task.
        idle: Duration,
    },
}

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The work folder cannot be used.
    #[error("the work folder cannot be used")]
    Folder(#[from] std::io::Error),
    /// A media child does not start or cannot set up its sandbox.
    #[error(transparent)]
    Media(#[from] MediaError),
}

/// Takes released tasks and runs each in a media child.
#[derive(Debug)]
pub struct Worker {
    pub(crate) context: Arc<AttemptContext>,
    pub(crate) spawner: ChildSpawner,
    /// Starts children that answer questions; their memory limit is lower.
    pub(crate) question_spawner: ChildSpawner,
    /// Number of concurrent tasks (slots) per pool.
    pools: BTreeMap<Pool, usize>,
    sandbox: String,
    /// How long a stopping worker continues its tasks.
    drain: Duration,
    /// Dead workers that were found at start.
    dead_workers: Vec<String>,
    /// Held as long as the worker's folder is in use.
    _lock: File,
}

/// How long a child may take to detect the machine's capabilities.
const CAPABILITIES_TIMEOUT: Duration = Duration::from_mins(2);
/// How long a stopping worker waits until abandoned attempts are recorded.
const ABANDON_TIMEOUT: Duration = Duration::from_secs(5);

impl Worker {
    /// Prepares a worker in a folder on the storage's file system, and detects its capabilities.
    ///
    /// `child` is the program and arguments of a media child.
    ///
    /// # Errors
    /// When the folder cannot be used, or a child does not start or cannot set up its sandbox.
    pub async fn prepare(
        commands: Arc<Commands>,
        input_fetcher: InputFetcher,
        config: &WorkerConfig,
        folder: &Path,
        child: Vec<String>,
    ) -> Result<Self, WorkerError> {
        let worker = format!("worker_{}", Uuid::now_v7().simple());
        std::fs::create_dir_all(folder)?;
        let dead_workers = reap_stale(folder);
        let own: PathBuf = folder.join(&worker);
        std::fs::create_dir_all(&own)?;
        // Locked before it gets its final name: another worker that starts now takes unlocked ones
        // for dead.
        let lock = File::create(own.join("lock.new"))?;
        lock.try_lock().map_err(std::io::Error::from)?;
        std::fs::rename(own.join("lock.new"), own.join("lock"))?;
        let (first, last) = config.child_uids;
        let root = nix::unistd::geteuid().is_root();
        let users = root.then(|| Users::of_machine(first..=last)).transpose()?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let slots = if config.slots == 0 { cores } else { config.slots };
        let mut child = child;
        let devices = if config.devices.is_empty() {
            ffapi_media::hardware::nodes()
        } else {
            config.devices.clone()
        };
        child.extend(devices.iter().map(|device| format!("device={}", device.display())));
        let question_memory = memory_of_questions(MAX_QUESTIONS);
        let mut question_spawner = ChildSpawner {
            folder: own,
            command: child,
            users,
            memory: question_memory,
            memory_of_job: question_memory,
            groups: Groups::delegated(),
        };
        let (capabilities, sandbox) = detect_capabilities(&question_spawner).await?;
        metrics::worker::prepare(&sandbox, &capabilities.ffmpeg);
        let mut pools = BTreeMap::from([(Pool::Cpu, slots)]);
        for device in capabilities.devices.iter().filter(|d| !d.encodes.is_empty()) {
            pools.insert(device.pool, config.device_slots);
        }
        let memory = match config.child_memory {
            0 => memory_of_jobs(pools.values().sum()),
            configured => configured,
        };
        question_spawner.memory = question_memory.min(memory);
        question_spawner.memory_of_job = memory;
        let spawner = ChildSpawner { memory, ..question_spawner.clone() };
        let nats = commands.log().nats().clone();
        let caller = Caller { actor: Actor::Worker(worker.clone()), ..Caller::process("worker") };
        let context = AttemptContext {
            commands,
            input_fetcher,
            pubsub: PubSub::new(nats.clone()),
            job_logs: JobLogs::new(nats),
            caller,
            worker,
            capabilities,
            active_attempts: ActiveAttempts::default(),
            stall_timeout: config.stall_timeout,
            max_output_bytes: config.max_output_bytes,
            scratch: ScratchDisk::of(
                folder.to_owned(),
                config.min_free_bytes,
                pools.values().sum(),
            ),
            abandon: CancellationToken::new(),
        };
        let context = Arc::new(context);
        let drain = config.drain;
        Ok(Self {
            context,
            spawner,
            question_spawner,
            pools,
            sandbox,
            drain,
            dead_workers,
            _lock: lock,
        })
    }

    /// Runs tasks until `stop` is cancelled; then gives them `drain` seconds to end and abandons
    /// the rest, so that their jobs continue elsewhere. With a limited lifetime it returns earlier.
    pub async fn run(mut self, lifetime: Lifetime, stop: &CancellationToken) {
        if lifetime != Lifetime::Unlimited {
            // Of several slots only one would be used.
            self.pools.values_mut().for_each(|slots| *slots = 1);
        }
        let this = Arc::new(self);
        // Ends the wait for tasks, not the tasks.
        let leaving = stop.child_token();
        let mut slots = JoinSet::new();
        for (pool, count) in &this.pools {
            for _ in 0..*count {
                let (this, leaving, pool) = (Arc::clone(&this), leaving.clone(), *pool);
                slots.spawn(async move { Box::pin(this.run_slot(pool, lifetime, &leaving)).await });
            }
        }
        let presence = {
            let (this, leaving) = (Arc::clone(&this), leaving.clone());
            tokio::spawn(async move { this.publish_presence(&leaving).await })
        };
        let planner = {
            let (this, stop) = (Arc::clone(&this), stop.clone());
            tokio::spawn(async move { this.answer_questions(&stop).await })
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = all_ended(&mut slots) => {}
        }
        planner.abort();
        if tokio::time::timeout(this.drain, all_ended(&mut slots)).await.is_err() {
            this.context.abandon.cancel();
            let _ = tokio::time::timeout(ABANDON_TIMEOUT, all_ended(&mut slots)).await;
        }
        presence.abort();
        let folder = this.spawner.folder.clone();
        let _ = tokio::task::spawn_blocking(move || remove_worker_folder(&folder)).await;
    }

    async fn run_slot(&self, pool: Pool, lifetime: Lifetime, leaving: &CancellationToken) {
        let work = Work::new(self.context.commands.log().nats().clone());
        let mut puller = work.puller(pool.as_str());
        let counted = CountedSlot::idle(pool);
        while !leaving.is_cancelled() {
            let start = Instant::now();
            let slot = match self.spawner.spawn().await {
                Ok(slot) => slot,
                Err(error) => {
                    tracing::error!(%error, "cannot start a media child; retrying");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            metrics::worker::child_started(start.elapsed());
            let next = async {
                self.wait_for_space().await;
                puller.next().await
            };
            let task = tokio::select! {
                () = leaving.cancelled() => None,
                () = idle(lifetime) => None,
                task = next => Some(task),
            };
            if task.is_none() || lifetime != Lifetime::Unlimited {
                leaving.cancel();
            }
            let Some(task) = task else {
                slot.end().await;
                return;
            };
            let _busy = counted.busy();
            Box::pin(self.perform(&task, pool, slot)).await;
        }
    }

    /// Waits until the scratch disk has space for any job.
    async fn wait_for_space(&self) {
        while !self.has_space() {
            tokio::time::sleep(HEARTBEAT_INTERVAL).await;
        }
    }

    /// True if the scratch disk has space for any job; also if that is unknown.
    fn has_space(&self) -> bool {
        self.context.scratch.has_space().unwrap_or(true)
    }

    async fn perform(&self, task: &Task, pool: Pool, slot: crate::slot::Slot) {
        let Some(payload) = task::decode(task.payload()) else {
            slot.end().await;
            tracing::error!("a task with an invalid payload was dropped");
            let _ = task.done().await;
            return;
        };
        let name = active_name(&payload.release);
        // Redelivered while it runs here: the other slot will finish it.
        if !self.context.active_attempts.begin(&name) {
            slot.end().await;
            let _ = task.give_back(Duration::from_secs(30)).await;
            return;
        }
        let span = attempt_span(&payload.release);
        trace::link(&span, task.cause());
        let attempting = self.attempt(task, &payload, pool, slot);
        trace::within(span, task.cause(), Box::pin(attempting)).await;
    }

    /// Runs an attempt, and removes its task from the queue.
    async fn attempt(
        &self,
        task: &Task,
        payload: &task::Payload,
        pool: Pool,
        slot: crate::slot::Slot,
    ) {
        let name = active_name(&payload.release);
        Box::pin(self.context.attempt(task, payload, pool, slot)).await;
        failpoint::hit("worker.before_ack");
        self.context.active_attempts.end(&name);
        while let Err(error) = task.done().await {
            tracing::debug!(%error, "a finished task is not acknowledged yet");
            if task.deliveries() > 0 && self.context.commands.log().nats().connected_for().is_some()
            {
                // It will be redelivered, and the log will show that it is done.
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        failpoint::hit("worker.after_ack");
    }

    async fn publish_presence(&self, leaving: &CancellationToken) {
        let mut interval = tokio::time::interval(HEARTBEAT_INTERVAL);
        let mut had_space = true;
        loop {
            interval.tick().await;
            let has_space = self.has_space();
            if has_space != had_space {
                tracing::warn!(
                    has_space,
                    "the scratch disk: a worker without space takes no tasks"
                );
                had_space = has_space;
            }
            let heartbeat = WorkerHeartbeat {
                worker: self.context.worker.clone(),
                host: hostname(),
                pools: if has_space { self.pools.clone() } else { BTreeMap::new() },
                running: self.context.active_attempts.names(),
                capabilities: self.context.capabilities.clone(),
                sandbox: self.sandbox.clone(),
                leaving: leaving.is_cancelled(),
                buried: self.dead_workers.clone(),
            };
            if let Ok(body) = serde_json::to_vec(&heartbeat) {
                let subject = subject::worker_presence(&self.context.worker);
                self.context.pubsub.publish(subject, body).await;
            }
        }
    }
}

/// Waits until every slot has ended.
async fn all_ended(slots: &mut JoinSet<()>) {
    while slots.join_next().await.is_some() {}
}

/// Waits for as long as a worker may be idle.
async fn idle(lifetime: Lifetime) {
    match lifetime {
        Lifetime::Unlimited => future::pending().await,
        Lifetime::OneTask { idle } => tokio::time::sleep(idle).await,
    }
}

/// The name of a running attempt, unique among those of a worker.
fn active_name(release: &Release) -> String {
    format!("{}.{}", release.job, release.attempt)
}

/// Everything that a worker does for a task, from its receipt to its acknowledgement.
fn attempt_span(release: &Release) -> Span {
    error_span!(
        parent: None,
        "attempt",
        otel.name = "process work.{pool}.{tenant}.{job}.{attempt}",
        otel.kind = "consumer",
        messaging.system = "nats",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = "WORK",
        messaging.destination.template = trace::TASK_TEMPLATE,
        job = %release.job,
        attempt = release.attempt,
        trace_id = Empty,
    )
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Starts a child that detects the machine's capabilities; also returns its sandbox.
async fn detect_capabilities(spawner: &ChildSpawner) -> Result<(Capabilities, String), MediaError> {
    let mut slot = spawner.spawn().await?;
    let sandbox = slot.sandbox.clone();
    let not_answering = |error: std::io::Error| MediaError {
        code: ffapi_domain::job::FailureCode::Internal,
        message: format!("a media child does not answer: {error}"),
    };
    slot.send_task(&MediaTask::Capabilities, &[]).await.map_err(not_answering)?;
    let answer = async {
        loop {
            match slot.receive().await.map_err(not_answering)? {
                Some(ChildMessage::Capabilities(capabilities)) => {
                    return Ok((capabilities, sandbox));
                }
                Some(ChildMessage::Failed { code, message }) => {
                    return Err(MediaError { code, message });
                }
                Some(_) => {}
                None => return Err(slot.post_mortem().await),
            }
        }
    };
    let detected = tokio::time::timeout(CAPABILITIES_TIMEOUT, answer).await;
    let timed_out = || not_answering(std::io::ErrorKind::TimedOut.into());
    let detected = detected.unwrap_or_else(|_| Err(timed_out()));
    slot.end().await;
    detected
}
