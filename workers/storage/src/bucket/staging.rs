//! Staging in a bucket: a staged file is a multipart upload to the final key that is not completed.
//! Publishing completes it, in one request whatever the size. A small object, the record, says how.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::File,
    future::ready,
    io::{self, Read, Seek, SeekFrom},
    sync::Arc,
};

use bytes::Bytes;
use ffapi_domain::media::{Overwrite, content_type};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStoreExt, PutMultipartOptions, multipart::PartId,
    path::Path as Key,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Bucket, translate};
use crate::{
    Received, StorageError,
    backend::Backend,
    layout::{CONTENTS, STAGING},
    object::Object,
};

/// Bytes of the first part; the others are as long, and longer in a file of very many.
const MIN_PART_SIZE: u64 = 16 * 1024 * 1024;
/// No provider takes more parts.
const MAX_PARTS: u64 = 10_000;
/// Parts that are sent at once.
const PARALLEL_PARTS: usize = 3;
/// Multipart uploads that are aborted at once.
const PARALLEL_ABORTS: usize = 8;

/// How a staged file is published.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// The key in the bucket that it is published at.
    key: String,
    /// The id of the multipart upload.
    upload: String,
    /// The ids of its parts; empty while they are being sent.
    parts: Vec<String>,
    /// SHA-256 digest in hexadecimal; empty while they are being sent.
    sha256: String,
    /// How the published object is recognised.
    identity: Identity,
}

/// How a published object is distinguished from others with the same key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Identity {
    /// By its metadata.
    Metadata,
    /// It has none, and is not published.
    Unpublished,
    /// It has none, and is perhaps published: by its contents.
    Contents,
    /// It has none: by the `ETag` that it got when it was published.
    Tag(String),
}

/// The metadata of an object that names the staged file it was. An object of equal contents that
/// another attempt published is a different one.
const STAGED_AS: Attribute = Attribute::Metadata(Cow::Borrowed("ffapi-staged"));

impl Bucket {
    async fn record(&self, key: &Key) -> Result<Option<Record>, StorageError> {
        let bytes = match self.client.get(key).await {
            Ok(found) => found.bytes().await.map_err(StorageError::of_store)?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(StorageError::of_store(error)),
        };
        Ok(Some(serde_json::from_slice(&bytes).map_err(StorageError::unavailable)?))
    }

    async fn write_record(&self, staged: &Object, record: &Record) -> Result<(), StorageError> {
        let bytes = serde_json::to_vec(record).map_err(StorageError::unavailable)?;
        let put = self.client.put(&self.key(&staged.key), bytes.into()).await;
        put.map(drop).map_err(|error| translate(error, staged))
    }

    /// Sends a file's parts; the object stays invisible.
    pub(super) async fn send(
        &self,
        staged: &Object,
        file: File,
        to: &Object,
        cancelled: CancellationToken,
    ) -> Result<Received, StorageError> {
        // An earlier try of this attempt.
        self.abort_staged(&staged.key).await?;
        let key = self.key(&to.key);
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::ContentType, content_type(key.as_ref()).into());
        attributes.insert(STAGED_AS, staged.key.to_string().into());
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let (upload, identity) = match self.client.create_multipart_opts(&key, options).await {
            // Azure takes no attributes here.
            Err(object_store::Error::NotSupported { .. }) => {
                (self.client.create_multipart(&key).await, Identity::Unpublished)
            }
            created => (created, Identity::Metadata),
        };
        let upload = upload.map_err(|error| translate(error, to))?;
        let key = key.to_string();
        let mut record = Record { key, upload, parts: vec![], sha256: String::new(), identity };
        // Before any part, so that what a crash leaves is found and aborted.
        self.write_record(staged, &record).await?;
        let (received, parts) = self.send_parts(&record, file, to, cancelled).await?;
        (record.parts, record.sha256) = (parts, received.sha256.clone());
        self.write_record(staged, &record).await?;
        Ok(received)
    }

    /// Sends a file's parts, several at once, and hashes it on the way.
    async fn send_parts(
        &self,
        record: &Record,
        file: File,
        to: &Object,
        cancelled: CancellationToken,
    ) -> Result<(Received, Vec<String>), StorageError> {
        let mut file = HashedFile::new(file)?;
        let (mut sending, mut ids) = (JoinSet::new(), BTreeMap::new());
        for number in 0.. {
            let part;
            (file, part) = file.next_part().await?;
            // Of an empty file one part, which is empty too.
            if part.is_empty() && number > 0 {
                break;
            }
            if sending.len() >= PARALLEL_PARTS {
                ids.extend(sent(sending.join_next().await, to)?);
            }
            if cancelled.is_cancelled() {
                return Err(StorageError::Interrupted("it was cancelled".to_owned()));
            }
            let (client, upload) = (Arc::clone(&self.client), record.upload.clone());
            let key = self.key(&to.key);
            sending.spawn(async move {
                let id = client.put_part(&key, &upload, number, part.into()).await?;
                Ok((number, id.content_id))
            });
        }
        while !sending.is_empty() {
            ids.extend(sent(sending.join_next().await, to)?);
        }
        let received = Received { size: file.size, sha256: hex::encode(file.hash.finalize()) };
        Ok((received, ids.into_values().collect()))
    }

    /// Makes a staged file visible. Idempotent.
    pub(super) async fn complete(
        &self,
        staged: &Object,
        to: &Object,
        overwrite: Overwrite,
    ) -> Result<(), StorageError> {
        let record = self.record(&self.key(&staged.key)).await?;
        let mut record = record.ok_or_else(|| StorageError::not_staged(&to.shown))?;
        // A process that died may have published it.
        if overwrite == Overwrite::Fail && self.head(to).await?.is_some() {
            let is_published = self.is_published(staged, to, &record).await?;
            return if is_published { Ok(()) } else { Err(StorageError::Exists(to.shown.clone())) };
        }
        if record.identity == Identity::Unpublished {
            record.identity = Identity::Contents;
            self.write_record(staged, &record).await?;
        }
        let parts = record.parts.iter().map(|id| PartId { content_id: id.clone() }).collect();
        match self.client.complete_multipart(&self.key(&to.key), &record.upload, parts).await {
            Ok(put) => {
                if let (Identity::Contents, Some(tag)) = (&record.identity, put.e_tag) {
                    record.identity = Identity::Tag(tag);
                    self.write_record(staged, &record).await?;
                }
                Ok(())
            }
            // The upload is gone once it is completed.
            Err(_) if self.is_published(staged, to, &record).await? => Ok(()),
            Err(error) => Err(translate(error, to)),
        }
    }

    /// True if the object at the final key is the staged file.
    async fn is_published(
        &self,
        staged: &Object,
        to: &Object,
        record: &Record,
    ) -> Result<bool, StorageError> {
        let head = GetOptions::new().with_head(true);
        let found = match self.client.get_opts(&self.key(&to.key), head).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(translate(error, to)),
        };
        match &record.identity {
            Identity::Metadata => {
                let known = found.attributes.get(&STAGED_AS);
                Ok(known.is_some_and(|key| key.as_ref() == staged.key.as_ref()))
            }
            Identity::Unpublished => Ok(false),
            Identity::Contents => self.has_contents(to, &record.sha256).await,
            Identity::Tag(tag) => Ok(found.meta.e_tag.as_ref() == Some(tag)),
        }
    }

    /// True if an object exists whose contents have this hash.
    async fn has_contents(&self, object: &Object, sha256: &str) -> Result<bool, StorageError> {
        let mut found = match self.client.get(&self.key(&object.key)).await {
            Ok(found) => found.into_stream(),
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(translate(error, object)),
        };
        let mut hash = Sha256::new();
        while let Some(chunk) = found.next().await {
            hash.update(&chunk.map_err(|error| translate(error, object))?);
        }
        Ok(hex::encode(hash.finalize()) == sha256)
    }

    /// Deletes a published object if it is still the staged one.
    pub(super) async fn take_back(&self, staged: &Object, to: &Object) -> Result<(), StorageError> {
        let Some(record) = self.record(&self.key(&staged.key)).await? else { return Ok(()) };
        if self.is_published(staged, to, &record).await? {
            self.remove(to).await?;
        }
        Ok(())
    }

    /// Aborts the multipart uploads of all records beneath a prefix, or of the record at that key.
    pub(super) async fn abort_staged(&self, prefix: &Key) -> Result<(), StorageError> {
        if !prefix.parts().any(|part| part.as_ref() == STAGING) {
            return Ok(());
        }
        let beneath = self.list(prefix).map_ok(|meta| meta.location);
        let keys = stream::iter([Ok(self.key(prefix))]).chain(beneath);
        // What is staged to be put elsewhere is no record, and may be large.
        let keys = keys.try_filter(|key| ready(!key.as_ref().ends_with(CONTENTS)));
        let aborted = keys.map_err(StorageError::of_store).map_ok(|key| self.abort(key));
        aborted.try_buffer_unordered(PARALLEL_ABORTS).try_collect().await
    }

    async fn abort(&self, record: Key) -> Result<(), StorageError> {
        let Some(record) = self.record(&record).await? else { return Ok(()) };
        let key = Key::parse(&record.key).map_err(StorageError::unavailable)?;
        match self.client.abort_multipart(&key, &record.upload).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StorageError::of_store(error)),
        }
    }
}

type SentPart = Result<(usize, String), object_store::Error>;

/// The number and id of a part that was sent; none if there is nothing to wait for.
fn sent(
    joined: Option<Result<SentPart, JoinError>>,
    to: &Object,
) -> Result<Option<(usize, String)>, StorageError> {
    let Some(joined) = joined else { return Ok(None) };
    let sent = joined.map_err(StorageError::unavailable)?;
    sent.map(Some).map_err(|error| translate(error, to))
}

/// A file that is read in parts and hashed on the way.
struct HashedFile {
    file: File,
    size: u64,
    part_size: u64,
    hash: Sha256,
}

impl HashedFile {
    fn new(mut file: File) -> Result<Self, StorageError> {
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(0))?;
        let part_size = MIN_PART_SIZE.max(size.div_ceil(MAX_PARTS));
        Ok(Self { file, size, part_size, hash: Sha256::new() })
    }

    /// Reads the next part; empty at the end.
    async fn next_part(mut self) -> Result<(Self, Bytes), StorageError> {
        let read = move || {
            let mut part = Vec::new();
            Read::by_ref(&mut self.file).take(self.part_size).read_to_end(&mut part)?;
            self.hash.update(&part);
            Ok::<_, io::Error>((self, Bytes::from(part)))
        };
        Ok(tokio::task::spawn_blocking(read).await.map_err(StorageError::unavailable)??)
    }
}
