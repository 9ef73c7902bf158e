use std::io;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart, path::Path as Key};
use sha2::{Digest, Sha256};

use crate::{Received, StorageError};

/// Size of the parts that a stream is written in, in bytes; S3 wants 5 MiB at least.
const PART_SIZE: usize = 8 * 1024 * 1024;
/// Parts that are written at once.
const PARALLEL_PARTS: usize = 2;

/// Stores a stream as an object, which appears once it is complete; memory use is a few parts,
/// whatever its size.
///
/// # Errors
/// When more than `max` bytes arrive, the sender disconnects, or the store fails; nothing is kept.
pub(crate) async fn receive(
    store: &dyn ObjectStore,
    key: &Key,
    mut bytes: BoxStream<'_, io::Result<Bytes>>,
    max: u64,
) -> Result<Received, StorageError> {
    let upload = store.put_multipart(key).await.map_err(StorageError::of_store)?;
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
        if let Err(error) = write.wait_for_capacity(PARALLEL_PARTS).await {
            break Err(StorageError::of_store(error));
        }
        write.put(chunk);
    };
    if let Err(error) = outcome {
        let _ = write.abort().await;
        return Err(error);
    }
    write.finish().await.map_err(StorageError::of_store)?;
    Ok(Received { size, sha256: hex::encode(hash.finalize()) })
}
