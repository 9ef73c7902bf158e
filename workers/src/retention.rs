//! Deletes outputs, uploads and delivery records past their retention period. Events stay in the
//! log.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use ffapi_commands::{Caller, Commands, LaterOutputs};
use ffapi_domain::{
    Decider, JobId, Tenant, Timestamp, UploadId,
    job::{Job, JobCommand, JobEvent, JobState, JobView},
    location::Location,
    retention::{CLEANUP, CleanupReport, RetentionPeriods},
    upload::{Upload, UploadCommand},
};
use ffapi_nats::{LogError, PubSub, failpoint};
use ffapi_projections::{
    Database,
    job_detail::{self, ExpiredOutputs},
    webhooks,
};
use ffapi_storage::{StagedJob, Storage, StorageError, duration_setting};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{clock, metrics, outputs};

/// Retention periods; 0 keeps forever. A job's own `keep` takes precedence.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Outputs of a completed job.
    #[serde(with = "duration_setting::seconds")]
    pub outputs: Duration,
    /// Uploads.
    #[serde(with = "duration_setting::seconds")]
    pub uploads: Duration,
    /// Records of webhook deliveries.
    #[serde(with = "duration_setting::seconds")]
    pub deliveries: Duration,
    /// Time between two cleanup rounds.
    #[serde(with = "duration_setting::seconds")]
    pub every: Duration,
}

impl RetentionConfig {
    /// The periods of files.
    pub fn periods(&self) -> RetentionPeriods {
        let period = |period: Duration| (!period.is_zero()).then_some(period);
        RetentionPeriods { outputs: period(self.outputs), uploads: period(self.uploads) }
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        const WEEK: Duration = Duration::from_hours(7 * 24);
        Self { outputs: WEEK, uploads: WEEK, deliveries: WEEK, every: Duration::from_hours(1) }
    }
}

/// Deletes outputs, uploads and delivery records past their retention period.
#[derive(Debug)]
pub struct Retention {
    commands: Arc<Commands>,
    database: Database,
    storage: Storage,
    config: RetentionConfig,
}

/// Minimum age of the staged files of an ended job before they are deleted.
const STAGING_MIN_AGE: Duration = Duration::from_hours(1);
/// A partial upload that has not changed for this long is deleted.
const PARTIAL_UPLOAD_MIN_AGE: Duration = Duration::from_hours(24);
/// Jobs per database page; each may list thousands of outputs.
const PAGE_SIZE: u32 = 20;

/// The time this long before now.
fn ago(age: Duration) -> SystemTime {
    SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Any error of a cleanup round; it is logged and the next round retries.
pub(crate) type RetentionError = Box<dyn std::error::Error + Send + Sync>;

/// An error for the log, without the name of a file.
fn logged(error: &RetentionError) -> String {
    let of_storage = error.downcast_ref::<StorageError>();
    of_storage.map_or_else(|| error.to_string(), |error| error.reason().to_owned())
}

/// What a cleanup round does with what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Count,
    Delete,
}

impl Retention {
    /// Creates the cleanup process with these retention periods.
    pub const fn new(
        commands: Arc<Commands>,
        database: Database,
        storage: Storage,
        config: RetentionConfig,
    ) -> Self {
        Self { commands, database, storage, config }
    }

    /// Runs cleanup rounds periodically and on request, until `stop` is cancelled.
    ///
    /// # Errors
    /// When the subscription fails at the start. Later failures are retried.
    pub async fn run(self, stop: &CancellationToken) -> Result<(), LogError> {
        metrics::retention::prepare();
        let pubsub = PubSub::new(self.commands.log().nats().clone());
        let mut requests = pubsub.queue_subscribe(CLEANUP, "retention").await?;
        let mut tick = tokio::time::interval(self.config.every.max(Duration::from_secs(1)));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let request = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = tick.tick() => None,
                request = requests.next() => request,
            };
            let mode = match &request {
                Some(request) if request.payload.as_ref() == b"dry" => Mode::Count,
                Some(_) | None => Mode::Delete,
            };
            let start = Instant::now();
            let removed = match Box::pin(self.round(mode)).await {
                Ok(removed) => {
                    metrics::retention::succeeded(start.elapsed());
                    removed
                }
                Err(error) => {
                    metrics::retention::failed(start.elapsed());
                    // The request is not answered: it is unknown what was deleted.
                    tracing::warn!(error = logged(&error), "cleanup round failed; retrying later");
                    continue;
                }
            };
            if mode == Mode::Delete {
                metrics::retention::removed(&removed);
            }
            if let (Some(request), Ok(answer)) = (request, serde_json::to_vec(&removed)) {
                pubsub.respond(&request, answer).await;
            }
        }
    }

    /// Runs one cleanup round and returns the counts. A failure with one kind does not stop the others.
    async fn round(&self, mode: Mode) -> Result<CleanupReport, RetentionError> {
        let before = |age: Duration| {
            let (now, age) = (clock::now().as_millis(), u64::try_from(age.as_millis()));
            Timestamp::from_millis(now.saturating_sub(age.unwrap_or(u64::MAX)))
        };
        let RetentionConfig { outputs, uploads, deliveries, .. } = self.config;
        // Without a period, jobs that say how long their outputs are kept still expire.
        let completed_before =
            if outputs.is_zero() { Timestamp::from_millis(0) } else { before(outputs) };
        let expired = ExpiredOutputs { completed_before, now: clock::now() };
        let jobs = self.outputs(expired, mode);
        let files = async {
            if uploads.is_zero() {
                return Ok(0);
            }
            self.uploads(uploads, mode).await
        };
        let records = async {
            if deliveries.is_zero() {
                return Ok(0);
            }
            self.deliveries(before(deliveries), mode).await
        };
        let staged = async {
            match mode {
                Mode::Count => Ok(()),
                Mode::Delete => self.collect_garbage().await,
            }
        };
        let (jobs, uploads, deliveries) = (jobs.await, files.await, records.await);
        staged.await?;
        Ok(CleanupReport { jobs: jobs?, uploads: uploads?, deliveries: deliveries? })
    }

    /// The jobs that have ended and whose dead attempts have left staged files, and interrupted uploads.
    ///
    /// # Errors
    /// When a store or the log fails.
    pub async fn garbage(
        commands: &Commands,
        storage: &Storage,
    ) -> Result<(Vec<StagedJob>, Vec<(Tenant, UploadId)>), RetentionError> {
        let mut dead = Vec::new();
        for staged in storage.staged_before(ago(STAGING_MIN_AGE)).await? {
            let (tenant, job) = (staged.tenant.as_str(), staged.job.to_string());
            // What cannot be read is kept.
            let state = commands.state::<Job>(tenant, &job).await;
            if state.is_ok_and(|state| state.is_over()) {
                dead.push(staged);
            }
        }
        Ok((dead, storage.partial_uploads_before(ago(PARTIAL_UPLOAD_MIN_AGE)).await?))
    }

    /// Deletes what dead attempts of ended jobs had staged, and the remains of interrupted uploads.
    ///
    /// # Errors
    /// When a store fails; what was not deleted is left to the next round.
    pub async fn collect_garbage(&self) -> Result<(), RetentionError> {
        let (before, partial) = (ago(STAGING_MIN_AGE), ago(PARTIAL_UPLOAD_MIN_AGE));
        self.storage.drop_partial_uploads(partial).await?;
        for (tenant, upload) in self.storage.partial_uploads_before(partial).await? {
            self.storage.of(&tenant).drop_partial(upload).await?;
        }
        for StagedJob { tenant, job } in self.storage.staged_before(before).await? {
            // A job that cannot be read does not stop the others.
            if let Err(error) = self.drop_staged(&tenant, job).await {
                tracing::warn!(error = logged(&error), %job, "staged files are kept");
            }
        }
        Ok(())
    }

    /// Deletes an ended job's staged files, and outputs that it published before it failed.
    async fn drop_staged(&self, tenant: &Tenant, job: JobId) -> Result<(), RetentionError> {
        let history = self.commands.history::<Job>(tenant.as_str(), &job.to_string()).await?;
        let events = history.iter().flat_map(|(_, decision)| &decision.events);
        let state = events.fold(JobState::default(), Job::evolve);
        if !state.is_over() {
            return Ok(());
        }
        let storage = self.storage.of(tenant);
        outputs::withdraw_undelivered(&storage, job, &history).await?;
        let events = history.iter().flat_map(|(_, decision)| &decision.events);
        let attempts = events.filter_map(|event| match event {
            JobEvent::AttemptStarted { attempt, .. } => Some(*attempt),
            _ => None,
        });
        let Some(output) = outputs::location(&history) else { return Ok(()) };
        // If the job is retried meanwhile, the next attempt may already be staging.
        storage.clear_staging(job, attempts.max().unwrap_or(0), output).await;
        tracing::info!(%job, "staged files of a dead attempt deleted");
        Ok(())
    }

    /// Expires outputs; returns the number of jobs.
    async fn outputs(&self, expired: ExpiredOutputs, mode: Mode) -> Result<u64, RetentionError> {
        if mode == Mode::Count {
            return Ok(job_detail::count_with_unexpired_outputs(&self.database, expired).await?);
        }
        let (mut removed, mut after) = (0_u64, None);
        loop {
            let page = job_detail::page_with_unexpired_outputs(
                &self.database,
                expired,
                after.take(),
                PAGE_SIZE,
            );
            let page = page.await?;
            for job in &page.jobs {
                // A job that fails does not stop the others.
                match self.expire(job).await {
                    Ok(expired) => removed = removed.saturating_add(expired.into()),
                    Err(error) => {
                        let error = logged(&error);
                        tracing::warn!(error, job = %job.summary.id, "expired outputs are kept");
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(removed);
            }
        }
    }

    /// Expires uploads older than `age`; returns their number.
    async fn uploads(&self, age: Duration, mode: Mode) -> Result<u64, RetentionError> {
        let uploads = self.storage.uploads_before(ago(age)).await?;
        let removed = uploads.len() as u64;
        for (tenant, id) in uploads.into_iter().filter(|_| mode == Mode::Delete) {
            if let Err(error) = self.expire_upload(&tenant, id).await {
                tracing::warn!(error = logged(&error), upload = %id, "expired upload is kept");
            }
        }
        Ok(removed)
    }

    /// Deletes delivery records from before `before`; returns their number.
    async fn deliveries(&self, before: Timestamp, mode: Mode) -> Result<u64, RetentionError> {
        Ok(match mode {
            Mode::Count => webhooks::count_deliveries(&self.database, before).await?,
            Mode::Delete => webhooks::delete_deliveries(&self.database, before).await?,
        })
    }

    async fn expire_upload(&self, tenant: &Tenant, id: UploadId) -> Result<(), RetentionError> {
        let caller = Caller::process("retention");
        let (name, command) = (id.to_string(), UploadCommand::Expire);
        // First the event, then the bytes, so that no upload is listed whose bytes are gone. For
        // bytes that never became an upload the command records nothing.
        self.commands.handle::<Upload>(tenant.as_str(), &name, &caller, command).await?;
        failpoint::hit("retention.before_upload");
        Ok(self.storage.of(tenant).forget(id).await?)
    }

    /// Deletes a job's outputs, except files that later jobs have replaced, and records it; false
    /// if that was recorded already. Idempotent: after a crash the next round repeats it.
    async fn expire(&self, job: &JobView) -> Result<bool, RetentionError> {
        let tenant = &job.summary.tenant;
        let id = job.summary.id.to_string();
        let history = self.commands.history::<Job>(tenant.as_str(), &id).await?;
        let mut events = history.iter().flat_map(|(_, decision)| &decision.events);
        if events.any(JobEvent::removes_all_outputs) {
            return Ok(false);
        }
        let storage = self.storage.of(tenant);
        let mut later_outputs = LaterOutputs::new(&self.commands, job);
        for file in job.outputs.iter().filter(|file| !file.is_put()) {
            let location =
                file.location.as_ref().and_then(|text| Location::try_from(text.clone()).ok());
            let Some(location) = location else { continue };
            if later_outputs.contains(&location).await? {
                continue;
            }
            storage.remove_output(&location, file.size, job.summary.completed_at).await?;
        }
        failpoint::hit("retention.before_expired");
        let caller = Caller::process("retention");
        let command = JobCommand::ExpireOutputs;
        self.commands.handle::<Job>(tenant.as_str(), &id, &caller, command).await?;
        Ok(true)
    }
}
