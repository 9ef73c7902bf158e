use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ffapi_commands::{Caller, Commands};
use ffapi_domain::media::{Capabilities, Pool};
use ffapi_media::{
    MediaError,
    protocol::{ChildMessage, Task as MediaTask},
};
use ffapi_nats::{Actor, JobLogs, PubSub, Task, Work, failpoint};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    PRESENCE, Presence,
    active_attempts::ActiveAttempts,
    attempt::AttemptContext,
    input_fetcher::InputFetcher,
    planner::QUESTIONS,
    presence::BEAT,
    slot::{ChildSpawner, Groups, Users, bury, memory_of_jobs, memory_of_questions, sweep},
    task,
};

/// How a worker works.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// Tasks at once; 0 for as many as the machine has cores.
    pub slots: usize,
    /// `full`, or `seccomp-only` on kernels without Landlock.
    pub sandbox: Sandbox,
    /// Seconds without any progress after which a media process is ended.
    pub stall_timeout: u64,
    /// Seconds for which a worker that is told to stop goes on with what it has; what is not done
    /// then is handed back, and goes on elsewhere.
    pub drain: u64,
    /// The devices that media children may open; every render node of the machine if none is named.
    pub devices: Vec<PathBuf>,
    /// Tasks at once on each kind of hardware beside the processor.
    pub device_slots: usize,
    /// Bytes of memory that each media child may have; 0 for its share of three fifths of the machine's.
    pub child_memory: u64,
    /// Bytes on the disk that the files of one task may take together.
    pub max_output_bytes: u64,
    /// The first and the last user id that media children may have where the worker is root: nobody
    /// else's on the machine.
    pub child_uids: (u32, u32),
}

/// How media children are locked in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// Landlock and seccomp, or no start.
    #[default]
    Full,
    /// Seccomp alone.
    SeccompOnly,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            slots: 0,
            sandbox: Sandbox::Full,
            stall_timeout: 60,
            drain: 5,
            devices: vec![],
            device_slots: 2,
            child_memory: 0,
            max_output_bytes: 64 * 1024 * 1024 * 1024,
            // Left free by Debian and systemd.
            child_uids: (60_600, 61_183),
        }
    }
}

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Its folder cannot be used.
    #[error("the work folder cannot be used")]
    Folder(#[from] std::io::Error),
    /// A media child does not start or lock itself in.
    #[error(transparent)]
    Media(#[from] MediaError),
}

/// Takes released tasks and runs each in a media child.
#[derive(Debug)]
pub struct Worker {
    pub(crate) context: Arc<AttemptContext>,
    pub(crate) spawner: ChildSpawner,
    /// The same for questions, whose children have less.
    pub(crate) asked: ChildSpawner,
    /// Tasks at once, by what they run on.
    pools: BTreeMap<Pool, usize>,
    sandbox: String,
    /// How long a stopping worker lets its tasks go on.
    drain: Duration,
    buried: Vec<String>,
    /// Held as long as the worker's folder is in use.
    _lock: File,
}

/// How long a child may take to say what this machine can do.
const PROOF: Duration = Duration::from_mins(2);
/// How long a stopping worker waits for what it gave up to be written down.
const GRACE: Duration = Duration::from_secs(5);

impl Worker {
    /// Prepares a worker in a folder on the storage's disk, and proves what it can do.
    ///
    /// `child` is the program and arguments that become a media child.
    ///
    /// # Errors
    /// When the folder cannot be used or a child does not lock itself in.
    pub async fn prepare(
        commands: Arc<Commands>,
        sources: InputFetcher,
        config: &WorkerConfig,
        folder: &Path,
        child: Vec<String>,
    ) -> Result<Self, WorkerError> {
        let worker = format!("worker_{}", Uuid::now_v7().simple());
        std::fs::create_dir_all(folder)?;
        let buried = sweep(folder);
        let own: PathBuf = folder.join(&worker);
        std::fs::create_dir_all(&own)?;
        // Ours before it has its name: one that starts beside us takes what it finds free for dead.
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
        let questions = memory_of_questions(QUESTIONS);
        let mut asked = ChildSpawner {
            folder: own,
            command: child,
            users,
            memory: questions,
            memory_of_job: questions,
            groups: Groups::delegated(),
        };
        let (capabilities, sandbox) = prove(&asked).await?;
        let mut pools = BTreeMap::from([(Pool::Cpu, slots)]);
        for device in capabilities.devices.iter().filter(|d| !d.encodes.is_empty()) {
            pools.insert(device.pool, config.device_slots);
        }
        let memory = match config.child_memory {
            0 => memory_of_jobs(pools.values().sum()),
            chosen => chosen,
        };
        asked.memory = questions.min(memory);
        asked.memory_of_job = memory;
        let spawner = ChildSpawner { memory, ..asked.clone() };
        let nats = commands.log().nats().clone();
        let caller = Caller { actor: Actor::Worker(worker.clone()), ..Caller::process("worker") };
        let context = AttemptContext {
            commands,
            sources,
            live: PubSub::new(nats.clone()),
            lines: JobLogs::new(nats),
            caller,
            worker,
            capabilities,
            running: ActiveAttempts::default(),
            stall_timeout: Duration::from_secs(config.stall_timeout),
            max_output_bytes: config.max_output_bytes,
            abandon: CancellationToken::new(),
        };
        let context = Arc::new(context);
        let drain = Duration::from_secs(config.drain);
        Ok(Self { context, spawner, asked, pools, sandbox, drain, buried, _lock: lock })
    }

    /// Works until told to stop; then lets tasks end for a moment, and gives up the rest, so that
    /// they go on elsewhere.
    pub async fn run(self, stop: &CancellationToken) {
        let this = Arc::new(self);
        let mut slots = JoinSet::new();
        for (pool, count) in &this.pools {
            for _ in 0..*count {
                let (this, stop, pool) = (Arc::clone(&this), stop.clone(), *pool);
                slots.spawn(async move { Box::pin(this.slot(pool, &stop)).await });
            }
        }
        let presence = {
            let (this, stop) = (Arc::clone(&this), stop.clone());
            tokio::spawn(async move { this.be_present(&stop).await })
        };
        let planner = {
            let (this, stop) = (Arc::clone(&this), stop.clone());
            tokio::spawn(async move { this.answer_questions(&stop).await })
        };
        stop.cancelled().await;
        planner.abort();
        let over = async { while slots.join_next().await.is_some() {} };
        if tokio::time::timeout(this.drain, over).await.is_err() {
            this.context.abandon.cancel();
            let over = async { while slots.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(GRACE, over).await;
        }
        presence.abort();
        let folder = this.spawner.folder.clone();
        let _ = tokio::task::spawn_blocking(move || bury(&folder)).await;
    }

    async fn slot(&self, pool: Pool, stop: &CancellationToken) {
        let work = Work::new(self.context.commands.log().nats().clone());
        let mut puller = work.puller(pool.as_str());
        while !stop.is_cancelled() {
            let slot = match self.spawner.spawn().await {
                Ok(slot) => slot,
                Err(error) => {
                    tracing::error!(%error, "no media child");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let task = tokio::select! {
                () = stop.cancelled() => {
                    slot.end().await;
                    return;
                }
                task = puller.next() => task,
            };
            self.perform(&task, pool, slot).await;
        }
    }

    async fn perform(&self, task: &Task, pool: Pool, slot: crate::slot::Slot) {
        let Some(order) = task::decode(task.payload()) else {
            slot.end().await;
            tracing::error!("a task that cannot be read was dropped");
            let _ = task.done().await;
            return;
        };
        let name = format!("{}.{}", order.release.job, order.release.attempt);
        // Redelivered while we have it: the other slot will see it to its end.
        if !self.context.running.begin(&name) {
            slot.end().await;
            let _ = task.give_back(Duration::from_secs(30)).await;
            return;
        }
        self.context.attempt(task, &order, pool, slot).await;
        failpoint::hit("worker.before_ack");
        self.context.running.end(&name);
        while let Err(error) = task.done().await {
            tracing::debug!(%error, "a finished task is not confirmed yet");
            if task.deliveries() > 0 && self.context.commands.log().nats().connected_for().is_some()
            {
                // It will come again, and the log will say that it is over.
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        failpoint::hit("worker.after_ack");
    }

    async fn be_present(&self, stop: &CancellationToken) {
        let mut beat = tokio::time::interval(BEAT);
        loop {
            beat.tick().await;
            let presence = Presence {
                worker: self.context.worker.clone(),
                host: hostname(),
                pools: self.pools.clone(),
                running: self.context.running.names(),
                capabilities: self.context.capabilities.clone(),
                sandbox: self.sandbox.clone(),
                leaving: stop.is_cancelled(),
                buried: self.buried.clone(),
            };
            if let Ok(body) = serde_json::to_vec(&presence) {
                let subject = format!("{PRESENCE}.{}", self.context.worker);
                self.context.live.tell(subject, body).await;
            }
        }
    }
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Asks a child what this machine can do.
async fn prove(spawner: &ChildSpawner) -> Result<(Capabilities, String), MediaError> {
    let mut slot = spawner.spawn().await?;
    let sandbox = slot.sandbox.clone();
    let silent = |error: std::io::Error| MediaError {
        code: ffapi_domain::job::FailureCode::Internal,
        message: format!("a media child does not answer: {error}"),
    };
    slot.give(&MediaTask::Capabilities, &[]).await.map_err(silent)?;
    let answer = async {
        loop {
            match slot.hear().await.map_err(silent)? {
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
    let proved = tokio::time::timeout(PROOF, answer).await;
    let late = || silent(std::io::ErrorKind::TimedOut.into());
    let proved = proved.unwrap_or_else(|_| Err(late()));
    slot.end().await;
    proved
}
