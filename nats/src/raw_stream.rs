use async_nats::HeaderMap;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    LogError, Nats, Record,
    client::parse,
    metrics::{Operation, timed},
    read,
    record::STORED_AT_HEADER,
    topology::EVENTS,
};

/// A whole stream, message by message: what a backup reads and a restore writes.
#[derive(Debug, Clone)]
pub struct RawStream {
    nats: Nats,
    stream: &'static str,
}

/// The messages of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Sequence of the oldest message that is still stored.
    pub first: u64,
    /// Sequence of the newest message that was ever stored; 0 if there was none.
    pub last: u64,
    /// How many are stored.
    pub messages: u64,
}

/// The most messages of one atomic batch, and of publishes that wait for their acknowledgements.
const BATCH_SIZE: usize = 500;
/// The most bytes of one atomic batch.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

#[derive(Deserialize)]
struct Ack {
    seq: u64,
}

#[derive(Serialize)]
struct Purge {
    seq: u64,
}

#[derive(Deserialize)]
struct Purged {}

impl RawStream {
    /// Reads and writes a stream of [`crate::topology`].
    pub const fn new(nats: Nats, stream: &'static str) -> Self {
        Self { nats, stream }
    }

    /// The name of the stream.
    pub const fn name(&self) -> &'static str {
        self.stream
    }

    /// Its messages.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn bounds(&self) -> Result<Bounds, LogError> {
        let asking = self.nats.await_response(self.nats.jetstream.get_stream(self.stream));
        let stream = timed(Operation::Info, self.stream, asking).await?;
        let state = &stream.cached_info().state;
        let (first, last) = (state.first_sequence, state.last_sequence);
        Ok(Bounds { first, last, messages: state.messages })
    }

    /// Reads messages, starting at stream sequence `from`, up to about a size; none at the end.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn page(&self, from: u64, max_bytes: usize) -> Result<Vec<Record>, LogError> {
        read::records(&self.nats, self.stream, from, max_bytes).await
    }

    /// Lets the next message have the sequence after `last`. The stream must be empty.
    ///
    /// # Errors
    /// When the server does not respond, or the stream has messages.
    pub async fn skip_to(&self, last: u64) -> Result<(), LogError> {
        if self.bounds().await?.messages > 0 {
            return Err(LogError::Misconfigured(format!("stream {} is not empty", self.stream)));
        }
        let request = Purge { seq: last.saturating_add(1) };
        let verb = format!("STREAM.PURGE.{}", self.stream);
        self.nats.api::<Purged>(&verb, &request).await?;
        let now = self.bounds().await?.last;
        if now == last {
            return Ok(());
        }
        Err(LogError::Corrupt(format!("stream {} is at {now}, not at {last}", self.stream)))
    }

    /// Stores records after the message with sequence `last`, in order, with a sequence each.
    /// Returns the sequence of the last one. Nothing is stored if the stream is elsewhere.
    ///
    /// # Errors
    /// When the server does not respond: some records may be stored then; or the stream is not at
    /// `last`.
    pub async fn append(&self, mut last: u64, records: &[Record]) -> Result<u64, LogError> {
        let mut rest = records;
        while !rest.is_empty() {
            let mut bytes = 0_usize;
            let fits = |record: &&Record| {
                bytes = bytes.saturating_add(record.payload.len());
                bytes <= BATCH_BYTES
            };
            let count = rest.iter().take(BATCH_SIZE).take_while(fits).count().max(1);
            let (batch, later) = rest.split_at(count);
            // Only the log takes batches.
            let stored = if self.stream == EVENTS && batch.len() > 1 {
                self.append_batch(last, batch).await?
            } else {
                self.append_each(last, batch).await?
            };
            let expected = last.saturating_add(batch.len() as u64);
            if stored != expected {
                return Err(LogError::Corrupt(format!(
                    "stream {} is at {stored}, not at {expected}",
                    self.stream
                )));
            }
            (last, rest) = (stored, later);
        }
        Ok(last)
    }

    /// Stores all or none, with one fsync.
    async fn append_batch(&self, last: u64, records: &[Record]) -> Result<u64, LogError> {
        let id = Uuid::now_v7().to_string();
        for (index, record) in records.iter().enumerate() {
            let mut headers = headers(record, (index == 0).then_some(last));
            headers.insert("Nats-Batch-Id", id.as_str());
            headers.insert("Nats-Batch-Sequence", index.saturating_add(1).to_string());
            let (subject, payload) = (record.subject.clone(), record.payload.clone());
            if index.saturating_add(1) < records.len() {
                let sent = self.nats.client.publish_with_headers(subject, headers, payload).await;
                sent.map_err(LogError::unavailable)?;
            } else {
                headers.insert("Nats-Batch-Commit", "1");
                let reply = self.nats.client.request_with_headers(subject, headers, payload);
                let committing = self.nats.await_response(reply);
                let response = timed(Operation::Publish, self.stream, committing).await?;
                return Ok(parse::<Ack>(&response.payload)?.seq);
            }
        }
        Ok(last)
    }

    /// Stores one after the other; each has the expected sequence, so that none can overtake.
    async fn append_each(&self, last: u64, records: &[Record]) -> Result<u64, LogError> {
        let mut pending = Vec::with_capacity(records.len());
        for (record, after) in records.iter().zip(last..) {
            let headers = headers(record, Some(after));
            let (subject, payload) = (record.subject.clone(), record.payload.clone());
            let sent = self.nats.jetstream.publish_with_headers(subject, headers, payload).await;
            pending.push(sent.map_err(LogError::unavailable)?.into_future());
        }
        let acknowledged = try_join_all(pending).await.map_err(LogError::unavailable)?;
        Ok(acknowledged.last().map_or(last, |ack| ack.sequence))
    }
}

fn headers(record: &Record, expected: Option<u64>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &record.headers {
        headers.append(name.as_str(), value.as_str());
    }
    headers.insert(STORED_AT_HEADER, record.at.to_string());
    if let Some(expected) = expected {
        headers.insert("Nats-Expected-Last-Sequence", expected.to_string());
    }
    headers
}
