use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ffapi_nats::{Nats, topology};
use ffapi_projections::Database;
use tokio_util::sync::CancellationToken;

use crate::{
    BackupError, Keep, Source, create, create::now, metrics, prune::prune, repository::Repository,
};

/// Makes backups periodically, and deletes old ones. Several processes may do so at once: of those
/// with the same store, one makes each backup.
#[derive(Debug)]
pub struct Schedule {
    /// Where to.
    pub repository: Repository,
    /// The time between two backups.
    pub every: Duration,
    /// Which are kept.
    pub keep: Keep,
    /// Files of the data folder by name.
    pub files: BTreeMap<String, String>,
}

/// How often the read models are scanned for a backup that can be verified completely.
const READ_MODELS_INTERVAL: Duration = Duration::from_hours(1);

impl Schedule {
    /// Runs until `stop` is cancelled. A failure is logged, and tried again at the next time.
    pub async fn run(&self, nats: &Nats, database: &Database, stop: &CancellationToken) {
        metrics::prepare();
        let mut scanned: Option<Instant> = None;
        let mut interval = tokio::time::interval(self.every.max(Duration::from_secs(1)));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = interval.tick() => {}
            }
            let with_read_models =
                scanned.is_none_or(|scanned| scanned.elapsed() >= READ_MODELS_INTERVAL);
            let files = self.files.clone();
            let source = Source { nats, database, files, with_read_models };
            let start = Instant::now();
            match self.round(&source).await {
                Ok(true) if with_read_models => scanned = Some(start),
                Ok(_) => {}
                Err(error) => {
                    metrics::failed(start.elapsed());
                    tracing::error!(%error, "the backup failed");
                }
            }
        }
    }

    /// Makes a backup, unless another process has just made one; true if it did.
    async fn round(&self, source: &Source<'_>) -> Result<bool, BackupError> {
        let start = Instant::now();
        // A copy of the service, restored from the same store, is another epoch.
        let epoch = topology::check(source.nats).await?.epoch;
        if let Some(newest) = self.repository.newest(Some(epoch)).await? {
            metrics::newest(newest.at);
            if now().since(newest.at) < self.every / 2 {
                return Ok(false);
            }
        }
        let created = create(&self.repository, source).await?;
        metrics::newest(created.manifest.at);
        metrics::made(start.elapsed(), created.stored_bytes);
        tracing::debug!(id = created.manifest.id, messages = created.messages, "backup");
        if let Err(error) = prune(&self.repository, &self.keep).await {
            tracing::error!(%error, "old backups cannot be deleted");
        }
        Ok(true)
    }
}
