use std::{
    fs::File,
    io,
    ops::Range,
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use ffapi_domain::{JobId, Tenant, Timestamp, UploadId, location::Location, media::Overwrite};
use futures::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    Download, Opened, Reading, Received, Stat, Storage, StorageError, layout::CONTENTS,
    metrics::Operation, object::Object, store::Store,
};

/// Maximum difference between the clocks of a store and of a worker.
const MAX_CLOCK_SKEW: Duration = Duration::from_mins(1);

/// The stores as one tenant sees them.
#[derive(Debug, Clone)]
pub struct TenantStorage {
    storage: Storage,
    tenant: Tenant,
}

/// A file that an attempt has staged, in the store of the location that it is published at.
#[derive(Debug, Clone)]
pub struct Staged {
    /// The job whose output it is.
    pub job: JobId,
    /// The attempt that produced it.
    pub attempt: u32,
    /// The file name in the staging folder.
    pub name: String,
}

impl TenantStorage {
    pub(crate) const fn new(storage: Storage, tenant: Tenant) -> Self {
        Self { storage, tenant }
    }

    pub(crate) const fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The deployment's own store.
    pub(crate) fn own_store(&self) -> &Store {
        self.storage.own()
    }

    fn resolve(&self, location: &Location) -> Result<(&Store, Object), StorageError> {
        self.storage.resolve(&self.tenant, location)
    }

    /// The one form in which a location is recorded; see [`Self::check`].
    #[must_use]
    pub fn canonical(&self, location: Location) -> Location {
        self.storage.canonical(&self.tenant, location)
    }

    /// Checks that the tenant may use the store of a location.
    ///
    /// # Errors
    /// `NoStore` if there is none of that name.
    pub fn check(&self, location: &Location) -> Result<(), StorageError> {
        match location {
            Location::Web(_) | Location::JobOutput { .. } => Ok(()),
            Location::Upload(_) | Location::Object { .. } => self.resolve(location).map(|_| ()),
        }
    }

    /// Metadata of an object; none if it does not exist.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn stat(&self, location: &Location) -> Result<Option<Stat>, StorageError> {
        let (store, object) = self.resolve(location)?;
        store.perform(Operation::Stat, store.backend.stat(&object)).await
    }

    /// Size of an object in bytes.
    ///
    /// # Errors
    /// When it does not exist or cannot be reached.
    pub async fn size(&self, location: &Location) -> Result<u64, StorageError> {
        let stat = self.stat(location).await?;
        Ok(stat.ok_or_else(|| StorageError::NotFound(location.to_string()))?.size)
    }

    /// Reads an object, or a byte range of it.
    ///
    /// # Errors
    /// When it does not exist or cannot be reached.
    pub async fn read(
        &self,
        location: &Location,
        range: Option<Range<u64>>,
    ) -> Result<Reading, StorageError> {
        let (store, object) = self.resolve(location)?;
        store.perform(Operation::Read, store.backend.read(&object, range)).await
    }

    /// A signed URL at which an object can be downloaded without credentials; none if it is to be
    /// read with [`Self::read`].
    ///
    /// # Errors
    /// When the store cannot sign.
    pub async fn download_url(
        &self,
        location: &Location,
        download: &Download<'_>,
    ) -> Result<Option<Url>, StorageError> {
        let (store, object) = self.resolve(location)?;
        store.perform(Operation::Sign, store.backend.download_url(&object, download)).await
    }

    /// Opens an object for reads at any position.
    ///
    /// # Errors
    /// When it does not exist, is not a regular file, or cannot be reached.
    pub async fn open(&self, location: &Location) -> Result<Opened, StorageError> {
        let (store, object) = self.resolve(location)?;
        store.perform(Operation::Open, store.backend.open(&object)).await
    }

    /// Deletes an object; succeeds if there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove(&self, location: &Location) -> Result<(), StorageError> {
        let (store, object) = self.resolve(location)?;
        store.perform(Operation::Remove, store.backend.remove(&object)).await
    }

    /// Deletes an output, unless it was written anew: it has another size, or was modified later
    /// than `before`, the time when its job was completed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove_output(
        &self,
        location: &Location,
        size: u64,
        before: Option<Timestamp>,
    ) -> Result<(), StorageError> {
        let Some(stat) = self.stat(location).await? else { return Ok(()) };
        let written = stat.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let written =
            Timestamp::from_millis(u64::try_from(written.as_millis()).unwrap_or(u64::MAX));
        let is_later = before.is_some_and(|before| written > before.plus(MAX_CLOCK_SKEW));
        if stat.size != size || is_later {
            return Ok(());
        }
        self.remove(location).await
    }

    /// Streams an upload to the store; memory use is a few megabytes, whatever its size.
    ///
    /// # Errors
    /// When more than `max` bytes arrive, the sender disconnects, or the store fails; nothing is
    /// kept.
    pub async fn receive(
        &self,
        id: UploadId,
        bytes: impl Stream<Item = io::Result<Bytes>> + Send,
        max: u64,
    ) -> Result<Received, StorageError> {
        let (store, object) = self.resolve(&Location::Upload(id))?;
        store.perform(Operation::Receive, store.backend.receive(&object, bytes.boxed(), max)).await
    }

    /// Moves an upload's bytes to another id, replacing those of an existing upload.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rename(&self, from: UploadId, to: UploadId) -> Result<(), StorageError> {
        let (store, from) = self.resolve(&Location::Upload(from))?;
        let (_, to) = self.resolve(&Location::Upload(to))?;
        store.perform(Operation::Move, store.backend.rename(&from, &to)).await
    }

    /// Deletes an upload; succeeds if there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget(&self, id: UploadId) -> Result<(), StorageError> {
        self.remove(&Location::Upload(id)).await
    }

    /// Checks that a file can be published at a location: nothing has its name that may not be
    /// replaced, and no file has the name of one of its folders.
    ///
    /// # Errors
    /// `Exists` or `Blocked`; else when the store fails.
    pub async fn check_free(
        &self,
        to: &Location,
        overwrite: Overwrite,
    ) -> Result<(), StorageError> {
        if to.is_put() {
            // What is at a URL is not known, and is replaced.
            return Ok(());
        }
        let (store, object) = self.resolve(to)?;
        store.perform(Operation::Stat, store.backend.check_free(&object, overwrite)).await
    }

    fn staged(
        &self,
        staged: &Staged,
        to: &Location,
    ) -> Result<(&Store, Object, Object), StorageError> {
        let (store, to) = self.resolve(to)?;
        let attempt = store.layout.attempt(&self.tenant, staged.job, staged.attempt);
        let key = attempt.join(staged.name.as_str());
        Ok((store, Object { key, shown: to.shown.clone() }, to))
    }

    /// The internal object of a file that is going to be put at a URL.
    pub(crate) fn staged_contents(&self, staged: &Staged, to: &Location) -> (&Store, Object) {
        let store = self.own_store();
        let attempt = store.layout.attempt(&self.tenant, staged.job, staged.attempt);
        let key = attempt.join(format!("{}{CONTENTS}", staged.name));
        (store, Object { key, shown: to.shown() })
    }

    /// The store in which the files of an output are staged.
    fn staging_store(&self, output: &Location) -> Result<&Store, StorageError> {
        if output.is_put() { Ok(self.own_store()) } else { Ok(self.resolve(output)?.0) }
    }

    /// Stores a finished file, given as an open descriptor, so that it can be published, or put, at `to`;
    /// it is invisible until then. The process that wrote it must have ended, so that the hashed
    /// contents are final.
    ///
    /// # Errors
    /// When the store fails; `Interrupted` when it is cancelled, because a large file takes long.
    pub async fn stage(
        &self,
        staged: &Staged,
        file: File,
        to: &Location,
        cancelled: CancellationToken,
    ) -> Result<Received, StorageError> {
        if to.is_put() {
            let (store, staged) = self.staged_contents(staged, to);
            let staging = store.backend.stage_contents(&staged, file, cancelled);
            return store.perform(Operation::Stage, staging).await;
        }
        let (store, staged, to) = self.staged(staged, to)?;
        store.perform(Operation::Stage, store.backend.stage(&staged, file, &to, cancelled)).await
    }

    /// Gives a staged file its final name. Idempotent.
    ///
    /// # Errors
    /// `Exists` when another file exists there and must not be replaced; else when the store fails.
    pub async fn publish(
        &self,
        staged: &Staged,
        to: &Location,
        sha256: &str,
        overwrite: Overwrite,
    ) -> Result<(), StorageError> {
        let (store, staged, to) = self.staged(staged, to)?;
        store
            .perform(Operation::Publish, store.backend.publish(&staged, &to, sha256, overwrite))
            .await
    }

    /// Removes published outputs of a job that failed before all of them were published: only files
    /// that are still the staged ones. What is staged, and what was put at a URL, is kept.
    ///
    /// # Errors
    /// When a store fails.
    pub async fn withdraw(&self, published: &[(Staged, Location)]) -> Result<(), StorageError> {
        for (staged, to) in published.iter().filter(|(_, to)| !to.is_put()) {
            let (store, staged, to) = self.staged(staged, to)?;
            store.perform(Operation::Remove, store.backend.withdraw(&staged, &to)).await?;
        }
        Ok(())
    }

    /// Deletes what a job's attempts up to and including `last` have staged for `output`; later ones
    /// may be running. What fails is left to the next cleanup.
    pub async fn clear_staging(&self, job: JobId, last: u32, output: &Location) {
        for attempt in 1..=last {
            self.drop_staging(job, attempt, output).await;
        }
    }

    /// Deletes everything that an attempt staged for `output`. What fails is left to the next
    /// cleanup.
    pub async fn drop_staging(&self, job: JobId, attempt: u32, output: &Location) {
        let Ok(store) = self.staging_store(output) else { return };
        let prefix = store.layout.attempt(&self.tenant, job, attempt);
        if let Err(error) = store.backend.discard(&prefix).await {
            tracing::warn!(error = error.reason(), %job, attempt, "staged files are not deleted");
        }
    }
}
