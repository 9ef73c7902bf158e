use std::{fmt, fs::File, io, ops::Range, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use ffapi_domain::media::Overwrite;
use futures::stream::BoxStream;
use object_store::path::Path as Key;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    Download, Opened, Reading, Received, Stat, StorageError,
    object::{Entry, Object},
};

/// What every kind of store can do. All operations may be repeated after a crash.
#[async_trait]
pub(crate) trait Backend: fmt::Debug + Send + Sync {
    /// Checks that the store can be reached and used.
    async fn check(&self) -> Result<(), StorageError>;

    /// The longest key that it can store, in bytes; none if it says so itself.
    fn max_key_bytes(&self) -> Option<usize> {
        None
    }

    /// Metadata of an object; none if it does not exist.
    async fn stat(&self, object: &Object) -> Result<Option<Stat>, StorageError>;

    /// Reads an object, or a byte range of it.
    async fn read(
        &self,
        object: &Object,
        range: Option<Range<u64>>,
    ) -> Result<Reading, StorageError>;

    /// A signed URL at which the object can be downloaded without credentials; none if the store
    /// has no such URLs, or they are not wanted.
    async fn download_url(
        &self,
        object: &Object,
        download: &Download<'_>,
    ) -> Result<Option<Url>, StorageError>;

    /// Opens an object for reads at any position.
    async fn open(&self, object: &Object) -> Result<Opened, StorageError>;

    /// Deletes an object; succeeds if there is none.
    async fn remove(&self, object: &Object) -> Result<(), StorageError>;

    /// Stores a stream of at most `max` bytes; nothing is kept of one that fails.
    async fn receive(
        &self,
        object: &Object,
        bytes: BoxStream<'_, io::Result<Bytes>>,
        max: u64,
    ) -> Result<Received, StorageError>;

    /// Moves an object, replacing an existing one.
    async fn rename(&self, from: &Object, to: &Object) -> Result<(), StorageError>;

    /// Checks that an object can be published under a name.
    async fn check_free(&self, object: &Object, overwrite: Overwrite) -> Result<(), StorageError>;

    /// Stores a finished file so that it can be published, invisible until then.
    async fn stage(
        &self,
        staged: &Object,
        file: File,
        to: &Object,
        cancelled: CancellationToken,
    ) -> Result<Received, StorageError>;

    /// Stores a finished file so that it can be read again: an internal object, which is never published.
    async fn stage_contents(
        &self,
        staged: &Object,
        file: File,
        cancelled: CancellationToken,
    ) -> Result<Received, StorageError>;

    /// Gives a staged file its final name. The staged one stays known until it is discarded.
    async fn publish(
        &self,
        staged: &Object,
        to: &Object,
        sha256: &str,
        overwrite: Overwrite,
    ) -> Result<(), StorageError>;

    /// Removes a published object if it is still the staged one, which is kept.
    async fn withdraw(&self, staged: &Object, to: &Object) -> Result<(), StorageError>;

    /// Deletes everything beneath a prefix; what was staged and not published is dropped.
    async fn discard(&self, prefix: &Key) -> Result<(), StorageError>;

    /// Deletes what is left beneath a prefix of streams that ended before a time without an end:
    /// the process that stored them died.
    async fn drop_partial(&self, prefix: &Key, before: SystemTime) -> Result<(), StorageError>;

    /// The folders directly beneath a prefix; the root if it is empty.
    async fn folders(&self, prefix: &Key) -> Result<Vec<String>, StorageError>;

    /// Every object beneath a prefix, by its key, with its size in bytes.
    fn objects(&self, prefix: &Key) -> BoxStream<'static, Result<(Key, u64), StorageError>>;

    /// Everything directly beneath a prefix.
    async fn entries(&self, prefix: &Key) -> Result<Vec<Entry>, StorageError>;
}
