use std::{fs::File, sync::Arc};

use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, path::Path as Key};

use crate::StorageError;

/// An object that is open for reads at any position.
#[derive(Debug)]
pub enum Opened {
    /// A local file.
    File(File),
    /// An object of a remote store.
    Remote(RemoteObject),
}

/// An object of a remote store that is open for reads at any position. If it is replaced meanwhile,
/// reads fail: parts of different contents are never mixed.
#[derive(Debug, Clone)]
pub struct RemoteObject {
    client: Arc<dyn ObjectStore>,
    key: Key,
    tag: Option<String>,
    shown: String,
    size: u64,
}

impl RemoteObject {
    pub(crate) fn new(client: Arc<dyn ObjectStore>, meta: ObjectMeta, shown: String) -> Self {
        Self { client, key: meta.location, tag: meta.e_tag, shown, size: meta.size }
    }

    /// Size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Reads bytes from an offset on: `length`, or fewer at the end.
    ///
    /// # Errors
    /// When the object was deleted or replaced, or the store cannot be reached.
    pub async fn read_at(&self, offset: u64, length: u64) -> Result<Bytes, StorageError> {
        let end = offset.saturating_add(length).min(self.size);
        if offset >= end {
            return Ok(Bytes::new());
        }
        let options = GetOptions::new()
            .with_range(Some(GetRange::Bounded(offset..end)))
            .with_if_match(self.tag.clone());
        let read = async { self.client.get_opts(&self.key, options).await?.bytes().await };
        read.await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => StorageError::NotFound(self.shown.clone()),
            object_store::Error::Precondition { .. } => StorageError::Replaced(self.shown.clone()),
            error => StorageError::of_store(error),
        })
    }
}
