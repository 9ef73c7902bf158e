use std::io;

use bytes::Bytes;
use ffapi_domain::{UploadId, location::Location};
use futures::{Stream, StreamExt};
use object_store::{ObjectStoreExt, WriteMultipart};
use sha2::{Digest, Sha256};

use crate::{Storage, StorageError};

/// An upload that is wholly on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Bytes.
    pub size: u64,
    /// Hex digest.
    pub sha256: String,
}

const PART: usize = 4 * 1024 * 1024;

impl Storage {
    /// Writes an upload as it arrives: a few megabytes in memory, whatever its size.
    ///
    /// # Errors
    /// When more than `max` bytes come, the sender breaks off, or the disk fails; nothing is kept.
    pub async fn receive(
        &self,
        id: UploadId,
        mut bytes: impl Stream<Item = io::Result<Bytes>> + Unpin,
        max: u64,
    ) -> Result<Received, StorageError> {
        let key = Self::key(&Location::Upload(id))?;
        let upload = self.store.put_multipart(&key).await.map_err(StorageError::unavailable)?;
        let mut write = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut hash = Sha256::new();
        let mut size = 0_u64;
        let outcome = loop {
            let Some(chunk) = bytes.next().await else { break Ok(()) };
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => break Err(StorageError::BrokenOff(error.to_string())),
            };
            size = size.saturating_add(chunk.len() as u64);
            if size > max {
                break Err(StorageError::TooLarge { max });
            }
            hash.update(&chunk);
            if let Err(error) = write.wait_for_capacity(2).await {
                break Err(StorageError::unavailable(error));
            }
            write.put(chunk);
        };
        if let Err(error) = outcome {
            let _ = write.abort().await;
            return Err(error);
        }
        write.finish().await.map_err(StorageError::unavailable)?;
        Ok(Received { size, sha256: hex::encode(hash.finalize()) })
    }

    /// Lets an upload's bytes stand under another id, in the place of what may be there.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn rename(&self, from: UploadId, to: UploadId) -> Result<(), StorageError> {
        let (from, to) = (Self::key(&Location::Upload(from))?, Self::key(&Location::Upload(to))?);
        self.store.rename(&from, &to).await.map_err(StorageError::unavailable)
    }

    /// Removes an upload that is not wanted after all; there may be none.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn forget(&self, id: UploadId) -> Result<(), StorageError> {
        let key = Self::key(&Location::Upload(id))?;
        match self.store.delete(&key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StorageError::unavailable(error)),
        }
    }
}
