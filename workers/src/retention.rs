//! Removes what was kept as long as it is kept: outputs, uploads, delivery records. What happened stays
//! in the log.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use commands::{Caller, Commands};
use domain::{
    JobId, Personal, Tenant, Timestamp, UploadId,
    job::{Job, JobCommand, JobEvent, JobView},
    location::Location,
    output::Output,
    retention::{CLEANUP, Removed},
    upload::{Upload, UploadCommand},
};
use nats::{Live, LogError, failpoint};
use projections::{Database, job_detail, webhooks};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use storage::Storage;
use tokio_util::sync::CancellationToken;

use crate::clock;

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

type Trouble = Box<dyn std::error::Error + Send + Sync>;

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
        let live = Live::new(self.commands.log().nats().clone());
        let mut asked = live.listen_in_turn(CLEANUP, "retention").await?;
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
    async fn round(&self, dry: bool) -> Result<Removed, Trouble> {
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
    async fn staged(&self) -> Result<(), Trouble> {
        let before = SystemTime::now().checked_sub(STAGED).unwrap_or(SystemTime::UNIX_EPOCH);
        let partial = SystemTime::now().checked_sub(PARTIAL).unwrap_or(SystemTime::UNIX_EPOCH);
        self.storage.drop_partial_uploads(partial)?;
        for (tenant, job) in self.storage.staged_before(before).await? {
            let state = match self.commands.state::<Job>(tenant.as_str(), &job.to_string()).await {
                Ok(state) => state,
                Err(error) => {
                    // One that cannot be read keeps nobody else's.
                    tracing::warn!(%error, %job, "what it has staged is kept");
                    continue;
                }
            };
            let sealed = state.run().is_some_and(|run| run.sealed_by.is_some());
            if state.is_over() && !sealed {
                self.storage.of(&tenant)?.clear_staging(job).await;
                tracing::info!(%job, "what a dead attempt had staged is removed");
            }
        }
        Ok(())
    }

    /// Jobs whose outputs go.
    async fn outputs(&self, before: Timestamp, dry: bool) -> Result<u64, Trouble> {
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

    async fn uploads(&self, age: Duration, dry: bool) -> Result<u64, Trouble> {
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

    async fn deliveries(&self, before: Timestamp, dry: bool) -> Result<u64, Trouble> {
        Ok(if dry {
            webhooks::count_deliveries(&self.database, before).await?
        } else {
            webhooks::forget_deliveries(&self.database, before).await?
        })
    }

    async fn expire_upload(&self, tenant: &Tenant, id: UploadId) -> Result<(), Trouble> {
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
    async fn expire(&self, job: &JobView) -> Result<bool, Trouble> {
        let tenant = &job.summary.tenant;
        let id = job.summary.id.to_string();
        let history = self.commands.history::<Job>(tenant.as_str(), &id).await?;
        let mut events = history.iter().flat_map(|(_, decision)| &decision.events);
        if events.any(|event| matches!(event, JobEvent::OutputsExpired {})) {
            return Ok(false);
        }
        let storage = self.storage.of(tenant)?;
        let anew = self.made_anew(job).await?;
        for file in &job.outputs {
            let location = file.location.as_ref().and_then(|text| text.parse::<Location>().ok());
            let Some(location) = location.filter(|at| !anew.contains(&at.to_string())) else {
                continue;
            };
            // A name in a folder of ours may have become another job's own output.
            let holder = self.holder(tenant, &location).await?;
            let anew = holder.is_some_and(|holder| holder != job.summary.id);
            let same = storage.size(&location).await.is_ok_and(|size| size == file.size);
            if !anew && same {
                storage.remove(&location).await?;
            }
        }
        failpoint::hit("retention.before_expired");
        let caller = Caller::process("retention");
        let command = JobCommand::ExpireOutputs;
        self.commands.handle::<Job>(tenant.as_str(), &id, &caller, command).await?;
        Ok(true)
    }

    /// The files that another job has made since in the place of this one's output.
    async fn made_anew(&self, job: &JobView) -> Result<BTreeSet<String>, Trouble> {
        let tenant = &job.summary.tenant;
        let Some(output) = job.summary.output.as_ref().and_then(Personal::as_ref) else {
            return Ok(BTreeSet::new());
        };
        let holder = self.holder(tenant, output).await?;
        let Some(holder) = holder.filter(|holder| *holder != job.summary.id) else {
            return Ok(BTreeSet::new());
        };
        let history = self.commands.history::<Job>(tenant.as_str(), &holder.to_string()).await?;
        let events: Vec<JobEvent> =
            history.into_iter().flat_map(|(_, decision)| decision.events).collect();
        // One that did not end well made nothing in the place of this one's.
        if !events.iter().any(|event| matches!(event, JobEvent::Completed { .. })) {
            return Ok(BTreeSet::new());
        }
        let events = events.into_iter();
        let made = events.filter_map(|event| match event {
            JobEvent::OutputsSealed { outputs, .. } => Some(outputs),
            _ => None,
        });
        let places = made.flatten().filter_map(|file| match file.location {
            Personal::Clear(location) => Some(location),
            Personal::Erased => None,
        });
        Ok(places.collect())
    }

    /// The job that made this output last.
    async fn holder(&self, tenant: &Tenant, output: &Location) -> Result<Option<JobId>, Trouble> {
        let hash = hex::encode(Sha256::digest(output.to_string()));
        Ok(self.commands.state::<Output>(tenant.as_str(), &hash).await?.holder)
    }
}
