//! One attempt at one job: start, encode, verify, seal, deliver, complete. Every step is
//! idempotent; the log determines which one is next.

mod bounds;
mod clean_up;
mod deliver;
mod make;
mod supervise;
mod watch;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ffapi_commands::{Caller, Commands, History};
use ffapi_domain::{
    Decider, KeyId, Personal,
    dispatch::Release,
    job::{Failure, FailureCode, Job, JobCommand, JobEvent, JobRejection, JobState},
    media::{Capabilities, Hardware, MediaRequest, Pool},
};
use ffapi_media::MediaError;
use ffapi_nats::{Actor, JobLogs, PubSub, Task, failpoint, subject};
use ffapi_storage::TenantStorage;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug_span};
use uuid::Uuid;

pub(crate) use self::bounds::check_written;
use self::{
    clean_up::{AFTERWARDS, BEFORE_OUTCOME, clean_up},
    make::Made,
    watch::next,
};
use crate::{
    InputFetcher,
    active_attempts::ActiveAttempts,
    clock,
    failure::{erased, presentable},
    media_minutes::{self, Charged},
    metrics::{
        self,
        worker::{Stage, StageClock},
    },
    retry_until_decided::{Refused, retry_until_decided},
    scratch::ScratchDisk,
    slot::Slot,
    storage_quota, task,
};

/// What all attempts of a worker share.
#[derive(Debug)]
pub(crate) struct AttemptContext {
    pub(crate) commands: Arc<Commands>,
    pub(crate) input_fetcher: InputFetcher,
    pub(crate) pubsub: PubSub,
    pub(crate) job_logs: JobLogs,
    pub(crate) caller: Caller,
    pub(crate) worker: String,
    pub(crate) capabilities: Capabilities,
    pub(crate) active_attempts: ActiveAttempts,
    pub(crate) stall_timeout: Duration,
    /// Disk space that all files of one task may take together, in bytes.
    pub(crate) max_output_bytes: u64,
    /// Where media children write.
    pub(crate) scratch: Arc<ScratchDisk>,
    /// Stops all running attempts, so that their jobs continue on other workers.
    pub(crate) abandon: CancellationToken,
}

/// The request of an attempt's job, its API key, the hardware that it runs on, and the job's history.
#[derive(Debug, Clone, Copy)]
struct AttemptSpec<'a> {
    request: &'a MediaRequest,
    hardware: Option<Hardware>,
    pool: Pool,
    key: Option<KeyId>,
    history: &'a History<JobEvent>,
}

/// How an attempt ended, which determines what is recorded for its task.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The log already has the outcome; the task is done.
    Done,
    /// The attempt failed.
    Fail(MediaError),
    /// The job was cancelled, and all of its work is stopped.
    Cancelled,
    /// Another attempt owns the job now; the outputs of this one are discarded.
    Superseded,
    /// This worker is shutting down; the job is to continue elsewhere.
    Abandoned,
}

impl From<MediaError> for Outcome {
    fn from(error: MediaError) -> Self {
        Self::Fail(error)
    }
}

/// Files of one attempt that are staged or published at once.
const PARALLEL_FILES: usize = 8;
/// How often a task's lease is renewed: a third of the queue's acknowledgement timeout.
const LEASE_RENEWAL_INTERVAL: Duration = Duration::from_secs(10);

impl AttemptContext {
    /// Runs the attempt that a task describes in a ready slot, and records its outcome.
    pub(crate) async fn attempt(
        &self,
        task: &Task,
        payload: &task::Payload,
        pool: Pool,
        slot: Slot,
    ) {
        tokio::select! {
            () = self.run_and_record(payload, pool, slot) => {}
            () = self.keep_lease(task, &payload.release) => {}
        }
    }

    /// Renews the task's lease, and answers queries about the attempt, for as long as it lasts:
    /// also while an input is fetched, an output is hashed, or the log is unavailable.
    async fn keep_lease(&self, task: &Task, release: &Release) {
        let subject = subject::attempt(release.job, release.attempt);
        let mut queries = self.pubsub.subscribe(subject).await.ok();
        let mut renewal = tokio::time::interval(LEASE_RENEWAL_INTERVAL);
        loop {
            tokio::select! {
                query = next(&mut queries) => {
                    if let Some(query) = query {
                        self.pubsub.respond(&query, self.worker.clone()).await;
                    }
                }
                _ = renewal.tick() => {
                    // If this fails the lease may expire; the log still decides who owns the
                    // attempt.
                    let _ = task.keep().await;
                }
            }
        }
    }

    async fn run_and_record(&self, payload: &task::Payload, pool: Pool, slot: Slot) {
        let release = &payload.release;
        let (mut charged, begin) = (Charged::default(), Instant::now());
        let ended = Box::pin(self.run(payload, pool, slot, &mut charged)).await;
        let (Ok(outcome) | Err(outcome)) = ended;
        metrics::worker::attempted(pool, begin.elapsed(), &outcome);
        let attempt = release.attempt;
        let command = match outcome {
            Outcome::Done => return,
            Outcome::Fail(error) => {
                // Only the code is logged: the message may name a file, and process logs are not
                // erased.
                let code = error.code.as_str();
                tracing::info!(job = %release.job, attempt, code, "attempt failed");
                let message = presentable(&error.message);
                // Its own log has the code too, also where no media process wrote a line. The message may
                // be personal, and is in the job only.
                let line = format!("the attempt failed: {code}; see `error` of the job");
                self.log_line(release, "ended", "error", &line).await;
                let failure = Failure { code: error.code, message: Personal::Clear(message) };
                JobCommand::FailAttempt { attempt, failure, at: clock::now(), chance: jitter() }
            }
            Outcome::Cancelled => JobCommand::ConfirmCancel { attempt },
            Outcome::Abandoned => JobCommand::AbandonAttempt {
                attempt,
                reason: format!("worker {} was stopped", self.worker),
                handed_back: true,
            },
            Outcome::Superseded => {
                clean_up(release, BEFORE_OUTCOME, self.drop_unsealed(release)).await;
                return;
            }
        };
        if !matches!(command, JobCommand::AbandonAttempt { .. }) {
            clean_up(release, BEFORE_OUTCOME, self.drop_unsealed(release)).await;
        }
        if charged.is_charged_after(&command) {
            media_minutes::settle(self, release, &charged).await;
        }
        failpoint::hit("worker.before_outcome");
        // A rejection means that another attempt, or the end of the job, was recorded first.
        let recorded = retry_until_decided(&self.commands, &self.caller, release, command).await;
        tracing::debug!(job = %release.job, attempt, ?recorded, "attempt outcome recorded");
        failpoint::hit("worker.after_outcome");
        clean_up(release, AFTERWARDS, self.withdraw(release)).await;
    }

    /// The name of the device that this worker runs a pool's tasks on; none for the CPU.
    fn device(&self, pool: Pool) -> Option<String> {
        let mut devices = self.capabilities.devices.iter().filter(|device| device.pool == pool);
        devices.find(|device| !device.encodes.is_empty()).map(|device| device.name.clone())
    }

    /// The tenant's part of the store.
    fn storage(&self, release: &Release) -> TenantStorage {
        self.input_fetcher.storage.of(&release.tenant)
    }

    /// The events of the job. Its start, which is in the log, must be among them: a read that does not
    /// have it is older.
    async fn history(&self, release: &Release) -> History<JobEvent> {
        let (tenant, id) = (release.tenant.as_str(), release.job.to_string());
        let has_begun = |event: &JobEvent| matches!(event, JobEvent::AttemptStarted { attempt, .. } if *attempt == release.attempt);
        loop {
            match self.commands.history::<Job>(tenant, &id).await {
                Ok(history) => {
                    let mut events = history.iter().flat_map(|(_, decision)| &decision.events);
                    if events.any(has_begun) {
                        return history;
                    }
                    tracing::warn!(job = %release.job, "the job's history is not complete; retrying");
                }
                Err(error) => tracing::warn!(%error, "cannot read the job's history; retrying"),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn run(
        &self,
        payload: &task::Payload,
        pool: Pool,
        slot: Slot,
        charged: &mut Charged,
    ) -> Result<Outcome, Outcome> {
        let release = &payload.release;
        let attempt = release.attempt;
        let mut stages = StageClock::start();
        let start = JobCommand::StartAttempt {
            attempt,
            worker: self.worker.clone(),
            pool: pool.as_str().to_owned(),
            device: self.device(pool),
            waited: release.waited,
        };
        let released_at = payload.released_at.as_ref();
        let causation = released_at.map(|position| format!("release {position}"));
        let caller = Caller { causation, ..self.caller.clone() };
        failpoint::hit("worker.before_start");
        if let Err(refused) = retry_until_decided(&self.commands, &caller, release, start).await {
            slot.end().await;
            return Ok(self.handle_taken(release, refused).await);
        }
        failpoint::hit("worker.after_start");
        let history = self.history(release).await;
        let events = || history.iter().flat_map(|(_, decision)| &decision.events);
        let submitted = events().find_map(|event| match event {
            JobEvent::Submitted { spec } => Some((spec.request.clone(), spec.hardware)),
            _ => None,
        });
        let Some((request, hardware)) = submitted else {
            slot.end().await;
            return Err(erased("request").into());
        };
        let key = history.first().and_then(|(_, decision)| match &decision.actor {
            Actor::Key(key) => key.parse().ok(),
            Actor::Worker(_) | Actor::Process(_) => None,
        });
        let spec = AttemptSpec { request: &request, hardware, pool, key, history: &history };
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
        let limits = self.limits(release).await;
        stages.end(Stage::Starting);
        let making = self.make_outputs(release, spec, slot, &limits, charged);
        let made = Box::pin(making).instrument(debug_span!("media")).await?;
        stages.end(Stage::Media);
        let Made { files: outputs, result, spent, plan } = made;
        Box::pin(storage_quota::hold(self, release, &outputs)).await?;
        failpoint::hit("worker.before_seal");
        let (result, plan) = (result.map(Personal::Clear), plan.map(Personal::Clear));
        let took = spent.clone();
        let (spent, outputs_made) = (Some(spent), outputs.clone());
        let seal = JobCommand::SealOutputs { attempt, outputs: outputs_made, result, spent, plan };
        match retry_until_decided(&self.commands, &self.caller, release, seal).await {
            Ok(_) => {
                charged.record_made();
                metrics::media::made(request.kind(), &outputs, &took);
            }
            Err(Refused::Rejected(JobRejection::Cancelling)) => return Ok(Outcome::Cancelled),
            Err(Refused::Rejected(_)) => return Ok(Outcome::Superseded),
            Err(Refused::TooLarge(size, max)) => return Err(event_too_large(size, max).into()),
        }
        failpoint::hit("worker.after_seal");
        stages.end(Stage::Sealing);
        let delivering = self.deliver(release, &request, attempt, &outputs);
        let delivered = delivering.instrument(debug_span!("deliver outputs")).await;
        stages.end(Stage::Delivering);
        delivered
    }

    /// Handles a rejected start: another worker has the attempt, or it is no longer needed. If that
    /// worker does not answer, the attempt is abandoned on its behalf.
    async fn handle_taken(&self, release: &Release, refused: Refused) -> Outcome {
        if let Refused::Rejected(JobRejection::TakenBy { worker }) = refused {
            let subject = subject::attempt(release.job, release.attempt);
            // A redelivery does not prove that the worker is gone: only repeated silence does.
            for _ in 0..5 {
                // Without a subscriber the query fails at once; wait the full timeout all the same.
                let timeout = tokio::time::sleep(Duration::from_secs(3));
                if self.pubsub.request(subject.clone(), Duration::from_secs(3)).await.is_some() {
                    return Outcome::Done;
                }
                timeout.await;
            }
            tracing::warn!(job = %release.job, worker, "the attempt's worker does not answer");
            let command = JobCommand::AbandonAttempt {
                attempt: release.attempt,
                reason: format!("worker {worker} does not answer"),
                handed_back: false,
            };
            let _ = retry_until_decided(&self.commands, &self.caller, release, command).await;
        }
        Outcome::Done
    }
}

/// The failure of a job whose outputs and result do not fit into one event.
fn event_too_large(size: usize, max: usize) -> MediaError {
    let message = format!(
        "the list of outputs and results takes {size} bytes, more than the maximum of {max}: ask \
         for fewer files, fewer metrics or a shorter part"
    );
    MediaError { code: FailureCode::Unsupported, message }
}

/// Jitter for the retry delay, so that jobs that failed together are not retried together.
fn jitter() -> u8 {
    let [random, ..] = Uuid::now_v7().as_u128().to_le_bytes();
    random
}
