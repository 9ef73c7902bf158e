//! A store in a bucket of S3, Google Cloud Storage or Azure.

mod client;
mod staging;

use std::{collections::BTreeMap, fmt, fs::File, io, ops::Range, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use ffapi_domain::media::Overwrite;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt,
    multipart::MultipartStore,
    path::Path as Key,
    signer::{SignedUrlOptions, Signer},
};
use reqwest::Method;
use tokio::io::AsyncSeekExt;
use tokio_util::{io::ReaderStream, sync::CancellationToken};
use url::Url;

pub use self::client::RetryPolicy;
pub(crate) use self::client::open;
use crate::{
    Download, Downloads, Opened, Reading, Received, RemoteObject, Stat, StorageError,
    backend::Backend,
    object::{Entry, Object},
    receive::receive,
};

/// What the clients of all providers can do.
trait Client: ObjectStore + MultipartStore + Signer {}

impl<T: ObjectStore + MultipartStore + Signer> Client for T {}

/// A store in a bucket, or beneath a prefix of one.
#[derive(Clone)]
pub(crate) struct Bucket {
    client: Arc<dyn Client>,
    prefix: Key,
    downloads: Downloads,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.client, self.prefix)
    }
}

impl Bucket {
    /// The client, and the prefix of all keys.
    pub(crate) fn parts(self) -> (Arc<dyn ObjectStore>, Key) {
        (self.client, self.prefix)
    }

    /// The key of an object in the bucket.
    fn key(&self, key: &Key) -> Key {
        self.prefix.parts().chain(key.parts()).collect()
    }

    async fn head(&self, object: &Object) -> Result<Option<ObjectMeta>, StorageError> {
        match self.client.head(&self.key(&object.key)).await {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(translate(error, object)),
        }
    }

    /// All objects beneath a prefix.
    fn list(&self, prefix: &Key) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.client.list(Some(&self.key(prefix)))
    }
}

/// The error of an operation on an object.
fn translate(error: object_store::Error, object: &Object) -> StorageError {
    match error {
        object_store::Error::NotFound { .. } => StorageError::NotFound(object.shown.clone()),
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => StorageError::Denied(object.shown.clone()),
        other => StorageError::unavailable(other),
    }
}

/// The longest name of an object, in bytes: that of S3, and of the other providers.
const MAX_NAME_BYTES: usize = 1024;

#[async_trait]
impl Backend for Bucket {
    fn max_key_bytes(&self) -> Option<usize> {
        // With the slash between them.
        let prefix = self.prefix.as_ref().len();
        Some(MAX_NAME_BYTES.saturating_sub(if prefix == 0 { 0 } else { prefix + 1 }))
    }

    async fn check(&self) -> Result<(), StorageError> {
        match self.client.head(&self.key(&Key::from(".answers"))).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StorageError::of_store(error)),
        }
    }

    async fn stat(&self, object: &Object) -> Result<Option<Stat>, StorageError> {
        let stat = |meta: ObjectMeta| Stat { size: meta.size, modified: meta.last_modified.into() };
        Ok(self.head(object).await?.map(stat))
    }

    async fn read(
        &self,
        object: &Object,
        range: Option<Range<u64>>,
    ) -> Result<Reading, StorageError> {
        let options = GetOptions::new().with_range(range.map(GetRange::Bounded));
        let result = self.client.get_opts(&self.key(&object.key), options).await;
        let result = result.map_err(|error| translate(error, object))?;
        Ok(Reading {
            size: result.meta.size,
            range: result.range.clone(),
            bytes: result.into_stream().map_err(io::Error::from).boxed(),
        })
    }

    async fn download_url(
        &self,
        object: &Object,
        download: &Download<'_>,
    ) -> Result<Option<Url>, StorageError> {
        if self.downloads == Downloads::Proxy {
            return Ok(None);
        }
        let (key, valid_for) = (self.key(&object.key), download.valid_for);
        let options = SignedUrlOptions::new().with_query([
            ("response-content-disposition", download.disposition),
            ("response-content-type", download.content_type),
        ]);
        let signed = self.client.signed_url_opts(Method::GET, &key, valid_for, &options).await;
        let signed = match signed {
            // Azure's URLs have no such parameters here.
            Err(object_store::Error::NotSupported { .. }) => {
                self.client.signed_url(Method::GET, &key, valid_for).await
            }
            signed => signed,
        };
        signed.map(Some).map_err(|error| translate(error, object))
    }

    async fn open(&self, object: &Object) -> Result<Opened, StorageError> {
        let meta = self.head(object).await?;
        let meta = meta.ok_or_else(|| StorageError::NotFound(object.shown.clone()))?;
        let client: Arc<dyn ObjectStore> = Arc::clone(&self.client) as _;
        Ok(Opened::Remote(RemoteObject::new(client, meta, object.shown.clone())))
    }

    async fn remove(&self, object: &Object) -> Result<(), StorageError> {
        match self.client.delete(&self.key(&object.key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(translate(error, object)),
        }
    }

    async fn receive(
        &self,
        object: &Object,
        bytes: BoxStream<'_, io::Result<Bytes>>,
        max: u64,
    ) -> Result<Received, StorageError> {
        receive(&*self.client, &self.key(&object.key), bytes, max).await
    }

    /// Streams what the provider cannot copy in one request.
    async fn rename(&self, from: &Object, to: &Object) -> Result<(), StorageError> {
        let meta = self.head(from).await?;
        let meta = meta.ok_or_else(|| StorageError::NotFound(from.shown.clone()))?;
        if meta.size > MAX_COPY {
            let reading = self.read(from, None).await?;
            self.receive(to, reading.bytes, u64::MAX).await?;
        } else {
            let copied = self.client.copy(&self.key(&from.key), &self.key(&to.key)).await;
            copied.map_err(|error| translate(error, from))?;
        }
        self.remove(from).await
    }

    async fn check_free(&self, object: &Object, overwrite: Overwrite) -> Result<(), StorageError> {
        if overwrite == Overwrite::Fail && self.head(object).await?.is_some() {
            return Err(StorageError::Exists(object.shown.clone()));
        }
        Ok(())
    }

    async fn stage(
        &self,
        staged: &Object,
        file: File,
        to: &Object,
        cancelled: CancellationToken,
    ) -> Result<Received, StorageError> {
        self.send(staged, file, to, cancelled).await
    }

    async fn stage_contents(
        &self,
        staged: &Object,
        file: File,
        cancelled: CancellationToken,
    ) -> Result<Received, StorageError> {
        let mut file = tokio::fs::File::from_std(file);
        file.rewind().await?;
        let bytes = ReaderStream::with_capacity(file, READ_SIZE);
        let interrupted = || io::Error::other("it was cancelled");
        let bytes = bytes
            .map(move |chunk| if cancelled.is_cancelled() { Err(interrupted()) } else { chunk });
        self.receive(staged, bytes.boxed(), u64::MAX).await
    }

    async fn publish(
        &self,
        staged: &Object,
        to: &Object,
        _sha256: &str,
        overwrite: Overwrite,
    ) -> Result<(), StorageError> {
        self.complete(staged, to, overwrite).await
    }

    async fn withdraw(&self, staged: &Object, to: &Object) -> Result<(), StorageError> {
        self.take_back(staged, to).await
    }

    async fn discard(&self, prefix: &Key) -> Result<(), StorageError> {
        self.abort_staged(prefix).await?;
        let keys = self.list(prefix).map_ok(|meta| meta.location).boxed();
        let deleted = self.client.delete_stream(keys);
        match deleted.try_for_each(|_| async { Ok(()) }).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StorageError::of_store(error)),
        }
    }

    /// A stream without an end is a multipart upload that was not completed: it is invisible, and a
    /// rule of the bucket's life cycle deletes it.
    async fn drop_partial(&self, _prefix: &Key, _before: SystemTime) -> Result<(), StorageError> {
        Ok(())
    }

    async fn folders(&self, prefix: &Key) -> Result<Vec<String>, StorageError> {
        let listed = self.client.list_with_delimiter(Some(&self.key(prefix))).await;
        let folders = listed.map_err(StorageError::of_store)?.common_prefixes;
        Ok(folders.iter().filter_map(|key| Some(key.filename()?.to_owned())).collect())
    }

    fn objects(&self, prefix: &Key) -> BoxStream<'static, Result<(Key, u64), StorageError>> {
        let depth = self.prefix.parts().count();
        let own = move |meta: ObjectMeta| (meta.location.parts().skip(depth).collect(), meta.size);
        self.list(prefix).map_ok(own).map_err(StorageError::of_store).boxed()
    }

    async fn entries(&self, prefix: &Key) -> Result<Vec<Entry>, StorageError> {
        let (root, mut found) = (self.key(prefix), BTreeMap::<String, Entry>::new());
        let mut objects = self.list(prefix);
        while let Some(object) = objects.next().await {
            let object = object.map_err(StorageError::of_store)?;
            let name = object.location.prefix_match(&root).and_then(|mut rest| rest.next());
            let Some(name) = name else { continue };
            let modified = SystemTime::from(object.last_modified);
            let name = name.as_ref().to_owned();
            let first = || Entry { name: name.clone(), modified, size: 0 };
            let entry = found.entry(name.clone()).or_insert_with(first);
            entry.modified = modified.max(entry.modified);
            entry.size = entry.size.saturating_add(object.size);
        }
        Ok(found.into_values().collect())
    }
}

/// Bytes of a file that are read at a time.
const READ_SIZE: usize = 256 * 1024;
/// The largest object that every provider copies in one request, in bytes.
const MAX_COPY: u64 = 5 * 1024 * 1024 * 1024;
