use std::io;

use bytes::Bytes;
use ffapi_domain::{UploadId, location::Location};
use futures::{Stream, StreamExt};
use object_store::{ObjectStoreExt, WriteMultipart};
use sha2::{Digest, Sha256};

use crate::{Storage, StorageError};

/// Size and hash of a file that is completely on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 digest in hexadecimal.
    pub sha256: String,
}

/// Size of the parts that an upload is written in, in bytes.
const PART_SIZE: usize = 4 * 1024 * 1024;

impl Storage {
    /// Streams an upload to disk; memory use is a few megabytes, whatever its size.
    ///
    /// # Errors
    /// When more than `max` bytes arrive, the sender disconnects, or the disk fails; nothing is
    /// kept.
    pub async fn receive(
        &self,
        id: UploadId,
        mut bytes: impl Stream<Item = io::Result<Bytes>> + Unpin,
        max: u64,
    ) -> Result<Received, StorageError> {
        let key = Self::key(&Location::Upload(id))?;
        let upload = self.store.put_multipart(&key).await.map_err(StorageError::unavailable)?;
        let mut write = WriteMultipart::new_with_chunk_size(upload, PART_SIZE);
        let mut hash = Sha256::new();
        let mut size = 0_u64;
        let outcome = loop {
            let Some(chunk) = bytes.next().await else { break Ok(()) };
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => break Err(StorageError::Interrupted(error.to_string())),
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

    /// Moves an upload's bytes to another id, replacing those of an existing upload.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn rename(&self, from: UploadId, to: UploadId) -> Result<(), StorageError> {
        let (from, to) = (Self::key(&Location::Upload(from))?, Self::key(&Location::Upload(to))?);
        self.store.rename(&from, &to).await.map_err(StorageError::unavailable)
    }

    /// Deletes an upload; succeeds if there is none.
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
