//! One attempt at one job: start, encode, verify, seal, deliver, complete. Every step can be
//! repeated; the log says which one is next.

mod bounds;
mod make;
mod watch;

use std::{sync::Arc, time::Duration};

use ffapi_commands::{Caller, Commands, History};
use ffapi_domain::{
    Decider, KeyId, Personal,
    dispatch::Release,
    job::{Failure, FailureCode, Job, JobCommand, JobEvent, JobRejection, JobState, OutputFile},
    location::Location,
    media::{Capabilities, Hardware, MediaRequest, Pool},
};
use ffapi_media::MediaError;
use ffapi_nats::{Actor, JobLogs, PubSub, Task, failpoint};
use ffapi_storage::Storage;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{make::Made, watch::next};
use crate::{
    InputFetcher,
    active_attempts::ActiveAttempts,
    clock,
    failure::{erased, failed, presentable},
    media_minutes::{self, Charged},
    outputs::{self, staged},
    retry_until_decided::{Refused, retry_until_decided},
    slot::Slot,
    storage_quota, task,
};

/// What attempts share.
#[derive(Debug)]
pub(crate) struct AttemptContext {
    pub(crate) commands: Arc<Commands>,
    pub(crate) sources: InputFetcher,
    pub(crate) live: PubSub,
    pub(crate) lines: JobLogs,
    pub(crate) caller: Caller,
    pub(crate) worker: String,
    pub(crate) capabilities: Capabilities,
    pub(crate) running: ActiveAttempts,
    pub(crate) stall_timeout: Duration,
    /// On the disk, of all files of one task.
    pub(crate) max_output_bytes: u64,
    /// Ends what runs, so that the job can go on elsewhere.
    pub(crate) abandon: CancellationToken,
}

/// What was asked for, by whom, and what it runs on.
#[derive(Debug, Clone, Copy)]
struct Order<'a> {
    request: &'a MediaRequest,
    hardware: Option<Hardware>,
    pool: Pool,
    key: Option<KeyId>,
}

/// How an attempt ended, as far as the task is concerned.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The log has the last word on it; the task is over.
    Done,
    /// It did not work.
    Fail(MediaError),
    /// Called off; everything of it is stopped.
    Cancelled,
    /// Another attempt is the job's now; what this one made does not count.
    Deposed,
    /// This worker is going; the job is to go on elsewhere.
    Abandoned,
}

/// How often a task's lease is extended: a third of what the queue waits.
const KEEP: Duration = Duration::from_secs(10);

impl AttemptContext {
    /// Runs the attempt that a task stands for, in a waiting slot, and records its outcome.
    pub(crate) async fn attempt(&self, task: &Task, order: &task::Order, pool: Pool, slot: Slot) {
        tokio::select! {
            () = self.see_through(order, pool, slot) => {}
            () = self.hold(task, &order.release) => {}
        }
    }

    /// Keeps the task ours, and answers whoever asks for the attempt, for as long as it lasts:
    /// also while an input is fetched, an output hashed, or the log away.
    async fn hold(&self, task: &Task, release: &Release) {
        let subject = format!("ctl.attempt.{}.{}", release.job, release.attempt);
        let mut asked = self.live.listen(subject).await.ok();
        let mut keep = tokio::time::interval(KEEP);
        loop {
            tokio::select! {
                heard = next(&mut asked) => {
                    if let Some(heard) = heard {
                        self.live.answer(&heard, self.worker.clone()).await;
                    }
                }
                _ = keep.tick() => {
                    // Without the server the lease may run out; the log tells who has the attempt.
                    let _ = task.keep().await;
                }
            }
        }
    }

    async fn see_through(&self, order: &task::Order, pool: Pool, slot: Slot) {
        let release = &order.release;
        let mut charged = Charged::default();
        let outcome = match self.run(order, pool, slot, &mut charged).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Fail(error),
        };
        let attempt = release.attempt;
        let command = match outcome {
            Outcome::Done => return,
            Outcome::Fail(error) => {
                // Its code only: what it says may name a file, and a process's own log is never erased.
                let code = error.code.as_str();
                tracing::info!(job = %release.job, attempt, code, "attempt failed");
                let message = presentable(&error.message);
                let failure = Failure { code: error.code, message: Personal::Clear(message) };
                JobCommand::FailAttempt { attempt, failure, at: clock::now(), chance: by_chance() }
            }
            Outcome::Cancelled => JobCommand::ConfirmCancel { attempt },
            Outcome::Abandoned => JobCommand::AbandonAttempt {
                attempt,
                reason: format!("worker {} was stopped", self.worker),
                handed_back: true,
            },
            Outcome::Deposed => {
                self.drop_unsealed(release).await;
                return;
            }
        };
        if !matches!(command, JobCommand::AbandonAttempt { .. }) {
            self.drop_unsealed(release).await;
        }
        if charged.counts(&command) {
            media_minutes::settle(self, release, &charged).await;
        }
        failpoint::hit("worker.before_outcome");
        // A refusal means that another attempt or the end came first.
        let recorded = retry_until_decided(&self.commands, &self.caller, release, command).await;
        tracing::debug!(job = %release.job, attempt, ?recorded, "outcome");
        failpoint::hit("worker.after_outcome");
        self.withdraw(release).await;
    }

    /// What was delivered of a job that failed in between goes. If this is not carried out, or cut off,
    /// retention does it.
    async fn withdraw(&self, release: &Release) {
        let (tenant, id) = (release.tenant.as_str(), release.job.to_string());
        let Ok(history) = self.commands.history::<Job>(tenant, &id).await else { return };
        let Ok(storage) = self.storage(release) else { return };
        if let Err(error) = outputs::withdraw_failed(&storage, release.job, &history).await {
            tracing::warn!(%error, job = %release.job, "what it had delivered stays for now");
        }
    }

    /// What was staged goes, unless it is what the job will deliver.
    async fn drop_unsealed(&self, release: &Release) {
        let (tenant, id) = (release.tenant.as_str(), release.job.to_string());
        let Ok(storage) = self.storage(release) else { return };
        // Without an answer nothing is dropped: better a stray file than a lost output.
        let Ok(history) = self.commands.history::<Job>(tenant, &id).await else { return };
        let events = history.iter().flat_map(|(_, decision)| &decision.events);
        let state = events.fold(JobState::default(), Job::evolve);
        let ours = match &state {
            JobState::Processing { attempt, .. } => *attempt == release.attempt,
            state => state.is_over(),
        };
        let sealed_by = state.run().and_then(|run| run.sealed_by);
        if sealed_by == Some(release.attempt) {
            return;
        }
        // First goes what was published of failed attempts: staging alone tells whose that is.
        if let Err(error) = outputs::withdraw_failed(&storage, release.job, &history).await {
            tracing::warn!(%error, job = %release.job, "what it had delivered stays for now");
        } else if sealed_by.is_none() && ours {
            // What earlier attempts left that died goes as well.
            storage.clear_staging(release.job, release.attempt).await;
        } else {
            storage.drop_staging(release.job, release.attempt).await;
        }
    }

    /// The hardware that a pool's tasks run on here.
    fn device(&self, pool: Pool) -> Option<String> {
        let mut own = self.capabilities.devices.iter().filter(|device| device.pool == pool);
        own.find(|device| !device.encodes.is_empty()).map(|device| device.name.clone())
    }

    /// The tenant's own part of the store.
    fn storage(&self, release: &Release) -> Result<Storage, MediaError> {
        self.sources.storage.of(&release.tenant).map_err(failed)
    }

    async fn run(
        &self,
        order: &task::Order,
        pool: Pool,
        slot: Slot,
        charged: &mut Charged,
    ) -> Result<Outcome, MediaError> {
        let release = &order.release;
        let attempt = release.attempt;
        let start = JobCommand::StartAttempt {
            attempt,
            worker: self.worker.clone(),
            pool: pool.as_str().to_owned(),
            device: self.device(pool),
            waited: release.waited,
        };
        let released_at = order.released_at.as_ref();
        let causation = released_at.map(|position| format!("release {position}"));
        let caller = Caller { causation, ..self.caller.clone() };
        failpoint::hit("worker.before_start");
        if let Err(never) = retry_until_decided(&self.commands, &caller, release, start).await {
            slot.end().await;
            return Ok(self.not_ours(release, never).await);
        }
        failpoint::hit("worker.after_start");
        let (tenant, id) = (release.tenant.as_str(), release.job.to_string());
        let history = loop {
            match self.commands.history::<Job>(tenant, &id).await {
                Ok(history) => break history,
                Err(error) => {
                    tracing::warn!(%error, "a job's past cannot be read yet");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        };
        let events = || history.iter().flat_map(|(_, decision)| &decision.events);
        let asked = events().find_map(|event| match event {
            JobEvent::Submitted { spec } => Some((spec.request.clone(), spec.hardware)),
            _ => None,
        });
        let Some((request, hardware)) = asked else {
            slot.end().await;
            return Err(erased("request"));
        };
        let key = history.first().and_then(|(_, decision)| match &decision.actor {
            Actor::Key(key) => key.parse().ok(),
            Actor::Worker(_) | Actor::Process(_) => None,
        });
        let order = Order { request: &request, hardware, pool, key };
        let state = events().fold(JobState::default(), Job::evolve);
        let sealed_by = state.run().and_then(|run| run.sealed_by);
        let sealed = events().find_map(|event| match event {
            JobEvent::OutputsSealed { attempt, outputs, .. } if sealed_by == Some(*attempt) => {
                Some((*attempt, outputs.clone()))
            }
            _ => None,
        });
        if let Some((by, outputs)) = sealed {
            slot.end().await;
            return self.deliver(release, &request, by, &outputs).await;
        }
        // What an earlier attempt published before the job failed would be in this one's way.
        if let Err(error) = self.withdraw_failed(release, &history).await {
            slot.end().await;
            return Err(error);
        }
        let (outputs, result, spent) = match self.make(release, order, slot, charged).await? {
            Made::Outputs { files, result, spent } => (files, result, spent),
            Made::Stopped(outcome) => return Ok(outcome),
        };
        if let Err(full) = Box::pin(storage_quota::hold(self, release, &outputs)).await {
            self.storage(release)?.clear_staging(release.job, release.attempt).await;
            return Err(full);
        }
        failpoint::hit("worker.before_seal");
        let result = result.map(Personal::Clear);
        let seal = JobCommand::SealOutputs { attempt, outputs: outputs.clone(), result, spent };
        match retry_until_decided(&self.commands, &self.caller, release, seal).await {
            Ok(_) => {}
            Err(Refused::Rejected(JobRejection::Cancelling)) => return Ok(Outcome::Cancelled),
            Err(Refused::Rejected(_)) => return Ok(Outcome::Deposed),
            Err(Refused::TooLarge(size, max)) => return Err(too_much(size, max)),
        }
        failpoint::hit("worker.after_seal");
        self.deliver(release, &request, attempt, &outputs).await
    }

    /// Takes back what was published before the job failed, so that it can be made anew.
    async fn withdraw_failed(
        &self,
        release: &Release,
        history: &History<JobEvent>,
    ) -> Result<(), MediaError> {
        let storage = self.storage(release)?;
        outputs::withdraw_failed(&storage, release.job, history).await.map_err(failed)
    }

    /// The log refused our start: somebody else has the attempt, or nobody needs it.
    async fn not_ours(&self, release: &Release, never: Refused) -> Outcome {
        if let Refused::Rejected(JobRejection::TakenBy { worker }) = never {
            let asked = format!("ctl.attempt.{}.{}", release.job, release.attempt);
            // Redelivery is no proof of death: only silence is, and not on the first question.
            for _ in 0..5 {
                // Nobody listening is told at once; the patience is the same.
                let patience = tokio::time::sleep(Duration::from_secs(3));
                if self.live.ask(asked.clone(), Duration::from_secs(3)).await.is_some() {
                    return Outcome::Done;
                }
                patience.await;
            }
            tracing::warn!(job = %release.job, worker, "nobody answers for the attempt");
            let command = JobCommand::AbandonAttempt {
                attempt: release.attempt,
                reason: format!("worker {worker} does not answer"),
                handed_back: false,
            };
            let _ = retry_until_decided(&self.commands, &self.caller, release, command).await;
        }
        Outcome::Done
    }

    /// Gives the sealed outputs their final names and says so. Repeating it is harmless.
    async fn deliver(
        &self,
        release: &Release,
        request: &MediaRequest,
        sealed_by: u32,
        outputs: &[OutputFile],
    ) -> Result<Outcome, MediaError> {
        let storage = self.storage(release)?;
        for (number, output) in outputs.iter().enumerate() {
            let to = output.location.as_ref().ok_or_else(|| erased("output"))?;
            let to: Location = to.parse().map_err(|_| erased("output"))?;
            let staged = staged(release.job, sealed_by, number);
            let published = storage.publish(&staged, &to, &output.sha256, request.overwrite());
            published.await.map_err(failed)?;
        }
        failpoint::hit("worker.before_complete");
        let complete = JobCommand::Complete { attempt: release.attempt };
        match retry_until_decided(&self.commands, &self.caller, release, complete).await {
            Ok(_) => {
                // Also what attempts that died before this one left behind.
                storage.clear_staging(release.job, release.attempt).await;
                failpoint::hit("worker.after_complete");
                Ok(Outcome::Done)
            }
            Err(_) => Ok(Outcome::Deposed),
        }
    }
}

/// What was made or found cannot be told in one event.
fn too_much(size: usize, max: usize) -> MediaError {
    let message = format!(
        "what it made and found takes {size} bytes to tell, and {max} is the most: ask for fewer files, \
         fewer metrics or a shorter part"
    );
    MediaError { code: FailureCode::Unsupported, message }
}

/// So that what failed together does not come back together.
fn by_chance() -> u8 {
    let [chance, ..] = Uuid::now_v7().as_u128().to_le_bytes();
    chance
}
