//! Uploads that are received in parts, over any number of connections and gateways: each part is an
//! object that is named by its offset.

use std::{io, sync::Arc, time::SystemTime};

use bytes::Bytes;
use ffapi_domain::{Tenant, UploadId};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::path::Path as Key;

use crate::{
    Storage, StorageError, TenantStorage,
    object::{Entry, Object},
};

/// The object that describes the upload.
const DESCRIPTION: &str = "description";
/// Digits of an offset in a name, so that names sort as offsets do.
const OFFSET_DIGITS: usize = 20;

/// An upload that is received in parts.
#[derive(Debug, Clone)]
pub struct PartialUpload {
    /// What its creator said about it.
    pub description: Bytes,
    /// Size of each part in bytes, from the first one on without a gap.
    parts: Vec<u64>,
    /// Names of parts that do not follow.
    strays: Vec<String>,
}

impl PartialUpload {
    /// Bytes that are received, without a gap.
    pub fn size(&self) -> u64 {
        self.parts.iter().sum()
    }

    /// Bytes before the last part.
    pub fn size_without_last(&self) -> u64 {
        self.last().map_or(0, |last| last.offset)
    }

    /// The last part, if there is one.
    pub fn last(&self) -> Option<LastPart> {
        let (size, before) = self.parts.split_last()?;
        Some(LastPart { offset: before.iter().sum(), size: *size })
    }
}

/// The last part of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastPart {
    /// Bytes of the upload before it.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u64,
}

fn object(prefix: &Key, name: &str) -> Object {
    Object { key: prefix.clone().join(name), shown: name.to_owned() }
}

fn part_name(offset: u64) -> String {
    format!("{offset:0OFFSET_DIGITS$}")
}

/// The sizes of the parts that follow each other from offset 0 on, and the names of all others.
fn contiguous(mut entries: Vec<Entry>) -> (Vec<u64>, Vec<String>) {
    entries.retain(|entry| entry.name.len() == OFFSET_DIGITS);
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    let (mut parts, mut strays) = (Vec::new(), Vec::new());
    let mut end = 0_u64;
    for entry in entries {
        if entry.name.parse() == Ok(end) && entry.size > 0 {
            end = end.saturating_add(entry.size);
            parts.push(entry.size);
        } else {
            strays.push(entry.name);
        }
    }
    (parts, strays)
}

impl TenantStorage {
    fn partial_prefix(&self, id: UploadId) -> Key {
        let own = self.own_store();
        own.layout.partial_uploads(self.tenant()).join(id.to_string())
    }

    /// Begins an upload in parts.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin_partial(
        &self,
        id: UploadId,
        description: Bytes,
    ) -> Result<(), StorageError> {
        let description_object = object(&self.partial_prefix(id), DESCRIPTION);
        self.put_internal(&description_object, description).await
    }

    /// What the creator of an upload in parts said about it; none if it was not begun, or has ended.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn partial_description(&self, id: UploadId) -> Result<Option<Bytes>, StorageError> {
        let description = object(&self.partial_prefix(id), DESCRIPTION);
        let reading = match self.own_store().backend.read(&description, None).await {
            Ok(reading) => reading,
            Err(StorageError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let description: Vec<Bytes> = reading.bytes.try_collect().await?;
        Ok(Some(description.concat().into()))
    }

    /// An upload in parts; none if it was not begun, or has ended.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn partial(&self, id: UploadId) -> Result<Option<PartialUpload>, StorageError> {
        let Some(description) = self.partial_description(id).await? else { return Ok(None) };
        let entries = self.own_store().backend.entries(&self.partial_prefix(id)).await?;
        let (parts, strays) = contiguous(entries);
        Ok(Some(PartialUpload { description, parts, strays }))
    }

    /// Stores a part. A part at the same offset is replaced.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn append_partial(
        &self,
        id: UploadId,
        offset: u64,
        bytes: Bytes,
    ) -> Result<(), StorageError> {
        let part = object(&self.partial_prefix(id), &part_name(offset));
        self.put_internal(&part, bytes).await
    }

    /// Reads the part at an offset into memory.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn read_part(&self, id: UploadId, offset: u64) -> Result<Bytes, StorageError> {
        let part = object(&self.partial_prefix(id), &part_name(offset));
        let reading = self.own_store().backend.read(&part, None).await?;
        let chunks: Vec<Bytes> = reading.bytes.try_collect().await?;
        Ok(chunks.concat().into())
    }

    /// Deletes the part at an offset.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove_part(&self, id: UploadId, offset: u64) -> Result<(), StorageError> {
        let part = object(&self.partial_prefix(id), &part_name(offset));
        self.own_store().backend.remove(&part).await
    }

    /// Deletes the parts that did not follow the others when the upload was read: requests that were
    /// superseded while they stored them have left them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove_strays(
        &self,
        id: UploadId,
        upload: &PartialUpload,
    ) -> Result<(), StorageError> {
        for name in &upload.strays {
            self.own_store().backend.remove(&object(&self.partial_prefix(id), name)).await?;
        }
        Ok(())
    }

    /// The bytes of an upload in parts.
    pub fn read_partial(
        &self,
        id: UploadId,
        upload: &PartialUpload,
    ) -> BoxStream<'static, io::Result<Bytes>> {
        let (backend, prefix) = (Arc::clone(&self.own_store().backend), self.partial_prefix(id));
        let offsets = upload.parts.iter().scan(0_u64, |end, size| {
            let offset = *end;
            *end = end.saturating_add(*size);
            Some(offset)
        });
        let offsets: Vec<u64> = offsets.collect();
        let parts = stream::iter(offsets).then(move |offset| {
            let (backend, part) = (Arc::clone(&backend), object(&prefix, &part_name(offset)));
            async move { backend.read(&part, None).await.map_err(io::Error::other) }
        });
        parts.map_ok(|reading| reading.bytes).try_flatten().boxed()
    }

    /// Deletes an upload in parts; succeeds if there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn drop_partial(&self, id: UploadId) -> Result<(), StorageError> {
        self.own_store().backend.discard(&self.partial_prefix(id)).await
    }

    async fn put_internal(&self, object: &Object, bytes: Bytes) -> Result<(), StorageError> {
        let (size, bytes) = (bytes.len() as u64, stream::iter([Ok(bytes)]).boxed());
        self.own_store().backend.receive(object, bytes, size).await.map(drop)
    }
}

impl Storage {
    /// The uploads in parts of all tenants that have not changed since `before`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn partial_uploads_before(
        &self,
        before: SystemTime,
    ) -> Result<Vec<(Tenant, UploadId)>, StorageError> {
        let mut old = Vec::new();
        for tenant in self.own().tenants().await? {
            let uploads = self.own().layout.partial_uploads(&tenant);
            for upload in self.own().backend.entries(&uploads).await? {
                if upload.modified < before {
                    old.extend(upload.name.parse().ok().map(|id| (tenant.clone(), id)));
                }
            }
        }
        Ok(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_count_up_to_the_first_gap() {
        let entry = |name: String, size| Entry { name, modified: SystemTime::UNIX_EPOCH, size };
        let parts = [(5, 10), (0, 5), (15, 1), (17, 9)];
        let mut entries: Vec<Entry> =
            parts.into_iter().map(|(offset, size)| entry(part_name(offset), size)).collect();
        entries.push(entry(DESCRIPTION.to_owned(), 100));
        assert_eq!(contiguous(entries), (vec![5, 10, 1], vec![part_name(17)]));
    }
}
