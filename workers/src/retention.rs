//! Removes what was kept as long as it is kept: outputs, uploads, delivery records. What happened stays
//! in the log.

mod anew;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use ffapi_commands::{Caller, Commands};
use ffapi_domain::{
    Decider, JobId, Tenant, Timestamp, UploadId,
    job::{Job, JobCommand, JobEvent, JobState, JobView},
    location::Location,
    retention::{CLEANUP, Removed},
    upload::{Upload, UploadCommand},
};
use ffapi_nats::{LogError, PubSub, failpoint};
use ffapi_projections::{Database, job_detail, webhooks};
use ffapi_storage::Storage;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use self::anew::MadeAnew;
use crate::{clock, outputs};

/// How long things are kept, in seconds; 0 for ever.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Outputs of a completed job.
    pub outputs: u64,
    /// Uploads.
    pub uploads: u64,
    /// What became of webhooks.
    pub deliveries: u64,
    /// How often is looked.
    pub every: u64,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        const WEEK: u64 = 7 * 24 * 3_600;
        Self { outputs: WEEK, uploads: WEEK, deliveries: WEEK, every: 3_600 }
    }
}

/// Removes what was kept long enough.
#[derive(Debug)]
pub struct Retention {
    commands: Arc<Commands>,
    database: Database,
    storage: Storage,
    config: RetentionConfig,
}

/// What was staged so long ago and belongs to a job that is over, is nobody's.
const STAGED: Duration = Duration::from_hours(1);
/// Nothing moves for so long in the parts of an upload that is under way.
const PARTIAL: Duration = Duration::from_hours(24);
/// Jobs that are looked at at once.
const PAGE: u32 = 500;

/// How far the clocks of a disk and of a worker are apart at most.
const CLOCKS: Duration = Duration::from_mins(1);

pub(crate) type RetentionError = Box<dyn std::error::Error + Send + Sync>;

impl Retention {
    /// By this policy.
    pub const fn new(
        commands: Arc<Commands>,
        database: Database,
        storage: Storage,
        config: RetentionConfig,
    ) -> Self {
        Self { commands, database, storage, config }
    }

    /// Looks every so often, and when asked, until told to stop.
    ///
    /// # Errors
    /// When nothing can be listened to at the start. Later trouble is waited out.
    pub async fn run(self, stop: &CancellationToken) -> Result<(), LogError> {
        let live = PubSub::new(self.commands.log().nats().clone());
        let mut asked = live.queue_subscribe(CLEANUP, "retention").await?;
        let mut tick = tokio::time::interval(Duration::from_secs(self.config.every.max(1)));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let question = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = tick.tick() => None,
                question = asked.next() => question,
            };
            let dry = question.as_ref().is_some_and(|asked| asked.payload.as_ref() == b"dry");
            let removed = match self.round(dry).await {
                Ok(removed) => removed,
                Err(error) => {
                    // Who asked is not answered: it is not known what is gone.
                    tracing::warn!(%error, "what was kept long enough is kept a while longer");
                    continue;
                }
            };
            if let (Some(question), Ok(answer)) = (question, serde_json::to_vec(&removed)) {
                live.answer(&question, answer).await;
            }
        }
    }

    /// Each kind of thing for itself: trouble with one of them keeps none of the others.
    async fn round(&self, dry: bool) -> Result<Removed, RetentionError> {
        let before = |seconds: u64| {
            let now = clock::now().as_millis();
            Timestamp::from_millis(now.saturating_sub(seconds.saturating_mul(1_000)))
        };
        let RetentionConfig { outputs, uploads, deliveries, .. } = self.config;
        let jobs = async {
            if outputs == 0 {
                return Ok(0);
            }
            self.outputs(before(outputs), dry).await
        };
        let files = async {
            if uploads == 0 {
                return Ok(0);
            }
            self.uploads(Duration::from_secs(uploads), dry).await
        };
        let records = async {
            if deliveries == 0 {
                return Ok(0);
            }
            self.deliveries(before(deliveries), dry).await
        };
        let staged = async { if dry { Ok(()) } else { self.staged().await } };
        let (jobs, uploads, deliveries) = (jobs.await, files.await, records.await);
        staged.await?;
        Ok(Removed { jobs: jobs?, uploads: uploads?, deliveries: deliveries? })
    }

    /// What attempts staged that died, of jobs that ended without them, and what uploads left that broke
    /// off.
    async fn staged(&self) -> Result<(), RetentionError> {
        let before = SystemTime::now().checked_sub(STAGED).unwrap_or(SystemTime::UNIX_EPOCH);
        let partial = SystemTime::now().checked_sub(PARTIAL).unwrap_or(SystemTime::UNIX_EPOCH);
        self.storage.drop_partial_uploads(partial)?;
        for (tenant, job) in self.storage.staged_before(before).await? {
            // One that cannot be read keeps nobody else's.
            if let Err(error) = self.drop_staged(&tenant, job).await {
                tracing::warn!(%error, %job, "what it has staged is kept");
            }
        }
        Ok(())
    }

    /// What a job that is over has staged goes, and what was delivered of it if it failed in between.
    async fn drop_staged(&self, tenant: &Tenant, job: JobId) -> Result<(), RetentionError> {
        let history = self.commands.history::<Job>(tenant.as_str(), &job.to_string()).await?;
        let events = history.iter().flat_map(|(_, decision)| &decision.events);
        let state = events.fold(JobState::default(), Job::evolve);
        if !state.is_over() {
            return Ok(());
        }
        let storage = self.storage.of(tenant)?;
        outputs::withdraw_failed(&storage, job, &history).await?;
        let events = history.iter().flat_map(|(_, decision)| &decision.events);
        let attempts = events.filter_map(|event| match event {
            JobEvent::AttemptStarted { attempt, .. } => Some(*attempt),
            _ => None,
        });
        // Of one that is retried meanwhile, the next attempt may be at it.
        storage.clear_staging(job, attempts.max().unwrap_or(0)).await;
        tracing::info!(%job, "what a dead attempt had staged is removed");
        Ok(())
    }

    /// Jobs whose outputs go.
    async fn outputs(&self, before: Timestamp, dry: bool) -> Result<u64, RetentionError> {
        if dry {
            return Ok(job_detail::count_kept_since(&self.database, before).await?);
        }
        let (mut removed, mut after) = (0_u64, None);
        loop {
            let page = job_detail::kept_since(&self.database, before, after.take(), PAGE).await?;
            for job in &page.jobs {
                // One that cannot be removed keeps nobody else's.
                match self.expire(job).await {
                    Ok(expired) => removed = removed.saturating_add(expired.into()),
                    Err(error) => {
                        tracing::warn!(%error, job = %job.summary.id, "its outputs are kept");
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(removed);
            }
        }
    }

    async fn uploads(&self, age: Duration, dry: bool) -> Result<u64, RetentionError> {
        let before = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let uploads = self.storage.old_uploads(before)?;
        let removed = uploads.len() as u64;
        for (tenant, id) in uploads.into_iter().filter(|_| !dry) {
            if let Err(error) = self.expire_upload(&tenant, id).await {
                tracing::warn!(%error, upload = %id, "it is kept");
            }
        }
        Ok(removed)
    }

    async fn deliveries(&self, before: Timestamp, dry: bool) -> Result<u64, RetentionError> {
        Ok(if dry {
            webhooks::count_deliveries(&self.database, before).await?
        } else {
            webhooks::forget_deliveries(&self.database, before).await?
        })
    }

    async fn expire_upload(&self, tenant: &Tenant, id: UploadId) -> Result<(), RetentionError> {
        let caller = Caller::process("retention");
        let (name, command) = (id.to_string(), UploadCommand::Expire);
        // First the word, then the bytes: nobody is promised what is not there. Bytes that never became
        // an upload have no word to be said of them.
        self.commands.handle::<Upload>(tenant.as_str(), &name, &caller, command).await?;
        failpoint::hit("retention.before_upload");
        Ok(self.storage.of(tenant)?.forget(id).await?)
    }

    /// Removes what a job made, where nobody made it anew, and says so; false if that was said already.
    /// A death in between is a round that begins again.
    async fn expire(&self, job: &JobView) -> Result<bool, RetentionError> {
        let tenant = &job.summary.tenant;
        let id = job.summary.id.to_string();
        let history = self.commands.history::<Job>(tenant.as_str(), &id).await?;
        let mut events = history.iter().flat_map(|(_, decision)| &decision.events);
        if events.any(|event| matches!(event, JobEvent::OutputsExpired {})) {
            return Ok(false);
        }
        let storage = self.storage.of(tenant)?;
        let mut anew = MadeAnew::new(&self.commands, job);
        let written_before = job.summary.completed_at.map(|at| at.plus(CLOCKS));
        for file in &job.outputs {
            let location = file.location.as_ref().and_then(|text| text.parse::<Location>().ok());
            let Some(location) = location else { continue };
            if anew.has(&location).await? {
                continue;
            }
            let Some(there) = storage.stat(&location).await? else { continue };
            let written = clock::at(there.modified);
            if there.size == file.size && written_before.is_none_or(|before| written <= before) {
                storage.remove(&location).await?;
            }
        }
        failpoint::hit("retention.before_expired");
        let caller = Caller::process("retention");
        let command = JobCommand::ExpireOutputs;
        self.commands.handle::<Job>(tenant.as_str(), &id, &caller, command).await?;
        Ok(true)
    }
}
