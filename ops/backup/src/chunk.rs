use ffapi_domain::Timestamp;
use ffapi_nats::Record;
use serde::{Deserialize, Serialize};

use crate::{BackupError, manifest::Chunk, object::sha256, repository::Repository};

/// The contents of a chunk.
#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    stream: String,
    records: Vec<Record>,
}

/// Stores records as one chunk.
pub(crate) async fn store(
    repository: &Repository,
    stream: &'static str,
    records: Vec<Record>,
    chain: Option<String>,
) -> Result<Chunk, BackupError> {
    let (Some(first), Some(last)) = (records.first(), records.last()) else {
        return Err(BackupError::refused("a chunk has at least one message"));
    };
    let (first, first_at) = (first.sequence, Timestamp::from_millis(first.at));
    let (last, last_at) = (last.sequence, Timestamp::from_millis(last.at));
    let clear_bytes = records.iter().map(|record| record.payload.len() as u64).sum();
    let messages = records.len() as u64;
    let contents = Contents { stream: stream.to_owned(), records };
    let clear = rmp_serde::to_vec_named(&contents)
        .map_err(|error| BackupError::refused(error.to_string()))?;
    let sealed = repository.seal(clear).await?;
    let digest = sha256(&sealed);
    // The digest is part of the name, since two processes may store the same messages at once.
    let short = digest.get(..12).unwrap_or_default();
    let key = format!("streams/{stream}/{first:020}-{last:020}-{short}.age");
    let bytes = sealed.len() as u64;
    repository.put(&key, sealed).await?;
    Ok(Chunk {
        key,
        first,
        last,
        messages,
        first_at,
        last_at,
        clear_bytes,
        bytes,
        sha256: digest,
        chain,
    })
}

/// Reads a chunk, and checks that it is what was stored.
pub(crate) async fn load(
    repository: &Repository,
    stream: &str,
    chunk: &Chunk,
) -> Result<Vec<Record>, BackupError> {
    let damaged = |why: &str| BackupError::damaged(&chunk.key, why);
    let clear = repository.open(&chunk.key, &chunk.sha256).await?;
    let contents: Contents = rmp_serde::from_slice(&clear)
        .map_err(|error| BackupError::damaged(&chunk.key, error.to_string()))?;
    let records = contents.records;
    let ends = (records.first().map(|r| r.sequence), records.last().map(|r| r.sequence));
    let is_sorted = records.is_sorted_by(|a, b| a.sequence < b.sequence);
    let is_expected = contents.stream == stream
        && ends == (Some(chunk.first), Some(chunk.last))
        && records.len() as u64 == chunk.messages;
    if is_expected && is_sorted {
        return Ok(records);
    }
    Err(damaged("it does not have the messages that the manifest names"))
}
