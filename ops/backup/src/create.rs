use std::{collections::BTreeMap, fmt, time::SystemTime};

use ffapi_domain::Timestamp;
use ffapi_nats::{
    Nats, RawStream, Record,
    topology::{self, ANCHORS, AUDIT, EVENTS, IDEM},
};
use ffapi_projections::{Database, archive::row_hash, delivery_queue, digests};

use crate::{
    BackupError, Manifest, chunk,
    manifest::{Chunk, FORMAT},
    repository::Repository,
    vault::Vault,
};

/// The streams that are copied in chunks, in this order: a message of a later one may refer to one
/// of an earlier.
pub(crate) const STREAMS: [&str; 4] = [EVENTS, AUDIT, ANCHORS, IDEM];

/// Size of the messages of a full chunk in bytes. A smaller last one is replaced by the next backup.
const CHUNK_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes that are requested from the server at once.
pub(crate) const PAGE_BYTES: usize = 1024 * 1024;
/// How long idempotency keys are kept, in milliseconds.
pub(crate) const IDEM_MILLIS: u64 = 48 * 3600 * 1000;

/// What a backup is made of.
pub struct Source<'a> {
    /// The server with the log.
    pub nats: &'a Nats,
    /// The database with the state of webhook deliveries.
    pub database: &'a Database,
    /// Files of the data folder by name, such as its secrets.
    pub files: BTreeMap<String, String>,
    /// Also records digests of the read models, with which the backup can be verified completely.
    /// They take a scan of every table.
    pub with_read_models: bool,
}

impl fmt::Debug for Source<'_> {
    /// Without the contents of files, which are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("nats", &self.nats)
            .field("files", &self.files.keys())
            .finish_non_exhaustive()
    }
}

/// A backup that was made.
#[derive(Debug)]
pub struct Created {
    /// It.
    pub manifest: Manifest,
    /// Messages that were read.
    pub messages: u64,
    /// Bytes that were stored.
    pub stored_bytes: u64,
}

/// Makes a backup: reads what was added since the previous one. Nothing is locked, and nothing
/// waits.
///
/// # Errors
/// When a server or the store fails; the previous backups are unchanged then.
pub async fn create(repository: &Repository, source: &Source<'_>) -> Result<Created, BackupError> {
    let identity = topology::check(source.nats).await?;
    repository.claim(identity.log_id).await?;
    let previous = repository.newest(Some(identity.epoch)).await?;
    let read_models =
        if source.with_read_models { digests(source.database).await? } else { vec![] };
    let deliveries = delivery_queue::due_deliveries(source.database).await?;
    let (mut streams, mut copied) = (BTreeMap::new(), Copied::default());
    for name in STREAMS {
        let chunks = previous.as_ref().map_or(&[][..], |previous| previous.chunks(name));
        let copy = copy(repository, RawStream::new(source.nats.clone(), name), chunks).await?;
        copied.messages = copied.messages.saturating_add(copy.copied.messages);
        copied.bytes = copied.bytes.saturating_add(copy.copied.bytes);
        streams.insert(name.to_owned(), copy.chunks);
    }
    // After the log, so that it has every key of the copied messages.
    let mut vault = Vault::read(source.nats).await?;
    vault.files.clone_from(&source.files);
    vault.deliveries = deliveries;
    let at = now();
    let last_vault = repository.newest(None).await?;
    let vault = vault.store(repository, last_vault.as_ref(), at).await?;
    if vault.at == at {
        copied.bytes = copied.bytes.saturating_add(vault.bytes);
    }
    let sequence = streams.get(EVENTS).and_then(|chunks| chunks.last()).map_or(0, |last| last.last);
    let manifest = Manifest {
        format: FORMAT,
        id: id(at, identity.epoch, sequence),
        at,
        log_id: identity.log_id,
        epoch: identity.epoch,
        sequence,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        streams,
        vault,
        read_models,
    };
    ffapi_nats::failpoint::hit("backup.before_manifest");
    repository.publish(&manifest).await?;
    Ok(Created { manifest, messages: copied.messages, stored_bytes: copied.bytes })
}

#[derive(Debug, Default)]
struct Copied {
    messages: u64,
    bytes: u64,
}

struct Copy {
    chunks: Vec<Chunk>,
    copied: Copied,
}

/// Copies what a stream has after the chunks of the previous backup.
async fn copy(
    repository: &Repository,
    stream: RawStream,
    previous: &[Chunk],
) -> Result<Copy, BackupError> {
    let bounds = stream.bounds().await?;
    let mut chunks = previous.to_vec();
    // A small last chunk is read again, so that there are few small ones.
    let is_small = |chunk: &Chunk| chunk.clear_bytes < CHUNK_BYTES / 2;
    let last = chunks.last().map_or(0, |chunk| chunk.last);
    if chunks.last().is_some_and(|chunk| is_small(chunk) && chunk.first >= bounds.first)
        && last < bounds.last
    {
        chunks.pop();
    }
    if stream.name() == IDEM {
        let oldest = now().as_millis().saturating_sub(IDEM_MILLIS);
        chunks.retain(|chunk| chunk.last_at.as_millis() >= oldest);
    }
    let mut copy = Copy { chunks, copied: Copied::default() };
    let mut next = copy.chunks.last().map_or(0, |chunk| chunk.last);
    let mut chain = copy.chunks.last().and_then(|chunk| chunk.chain.clone());
    while next < bounds.last {
        let records = read_chunk(&stream, next.saturating_add(1), bounds.last).await?;
        let Some(last) = records.last() else { break };
        if stream.name() == EVENTS {
            chain = Some(chained(chain.as_deref(), next, &records)?);
        }
        next = last.sequence;
        ffapi_nats::failpoint::hit(format_args!("backup.before_chunk.{}", stream.name()));
        let stored = chunk::store(repository, stream.name(), records, chain.clone()).await?;
        copy.copied.messages = copy.copied.messages.saturating_add(stored.messages);
        copy.copied.bytes = copy.copied.bytes.saturating_add(stored.bytes);
        copy.chunks.push(stored);
    }
    Ok(copy)
}

/// Reads messages until they fill a chunk.
async fn read_chunk(stream: &RawStream, from: u64, up_to: u64) -> Result<Vec<Record>, BackupError> {
    let (mut records, mut bytes, mut next) = (Vec::new(), 0_u64, from);
    while next <= up_to && bytes < CHUNK_BYTES {
        let page = stream.page(next, PAGE_BYTES).await?;
        let Some(last) = page.last() else { break };
        next = last.sequence.saturating_add(1);
        let wanted = page.into_iter().filter(|record| record.sequence <= up_to);
        for record in wanted {
            bytes = bytes.saturating_add(record.payload.len() as u64);
            records.push(record);
        }
    }
    Ok(records)
}

/// Reads all messages of a stream up to a sequence.
pub(crate) async fn read_stream(
    stream: &RawStream,
    from: u64,
    up_to: u64,
) -> Result<Vec<Record>, BackupError> {
    let (mut all, mut next) = (Vec::new(), from);
    while next <= up_to {
        let page = stream.page(next, PAGE_BYTES).await?;
        let Some(last) = page.last() else { break };
        next = last.sequence.saturating_add(1);
        all.extend(page.into_iter().filter(|record| record.sequence <= up_to));
    }
    Ok(all)
}

/// The hash of the audit trail's chain after these messages. The log has no gaps.
pub(crate) fn chained(
    before: Option<&str>,
    last: u64,
    records: &[Record],
) -> Result<String, BackupError> {
    let mut hash = hex::decode(before.unwrap_or_default()).unwrap_or_default();
    let mut expected = last;
    for record in records {
        expected = expected.saturating_add(1);
        if record.sequence != expected {
            let found = record.sequence;
            return Err(BackupError::refused(format!(
                "the log has no message {expected}, the next one is {found}"
            )));
        }
        hash = row_hash(&hash, record.sequence, &record.subject, &record.payload);
    }
    Ok(hex::encode(hash))
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Sorts by time: `20261130T070000.123Z-1-42`.
fn id(at: Timestamp, epoch: u32, sequence: u64) -> String {
    let time: String = at.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{time}-{epoch}-{sequence}")
}
