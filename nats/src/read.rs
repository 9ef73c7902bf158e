use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{
    LogError, Message, Nats, Record,
    metrics::{self, Operation},
    topology::VAULT,
};

/// Follows the log in order without end. Reconnects, and never skips a message.
#[derive(Debug)]
pub struct Reader {
    messages: mpsc::Receiver<(Message, OwnedSemaphorePermit)>,
}

/// Messages that are read before they are requested, and their maximum size in bytes; a single
/// message may be larger.
const READ_AHEAD: usize = 512;
const READ_AHEAD_BYTES: usize = 8 * 1024 * 1024;

/// How long one request for messages waits. The server of a consumer may die while the connection is
/// to another one: the next request shows that, or two missing heartbeats, of which there are two in
/// this time. The client's default would be half a minute.
const PULL_EXPIRY: Duration = Duration::from_secs(2);

/// Received messages that are recorded in the metrics at once.
const RECORDED_AT_ONCE: u64 = 64;

impl Reader {
    /// Reads in a separate task: that makes [`Reader::next`] cancel-safe, since cancelling it does
    /// not interrupt the opening of the consumer.
    pub(crate) fn new(nats: Nats, source: Source, from: u64) -> Self {
        let (sender, messages) = mpsc::channel(READ_AHEAD);
        let task = ReaderTask { nats, source, next: from.max(1), ordered: None, uncounted: 0 };
        tokio::spawn(task.run(sender));
        Self { messages }
    }

    /// The next message if it has already been read ahead.
    pub fn next_buffered(&mut self) -> Option<Message> {
        self.messages.try_recv().ok().map(|(message, _)| message)
    }

    /// The next message; waits until there is one. Cancel-safe.
    pub async fn next(&mut self) -> Message {
        match self.messages.recv().await {
            Some((message, _)) => message,
            // Only when the runtime is shutting down.
            None => std::future::pending().await,
        }
    }
}

/// Which messages of a stream are read.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) stream: &'static str,
    /// Subject filters; a message that matches any of them is read.
    pub(crate) filters: Vec<String>,
    /// Every sequence must be read: none was deleted and none is filtered out.
    pub(crate) contiguous: bool,
}

struct ReaderTask {
    nats: Nats,
    source: Source,
    next: u64,
    ordered: Option<pull::Ordered>,
    /// Messages that were received and are not in the metrics yet.
    uncounted: u64,
}

impl ReaderTask {
    async fn run(mut self, sender: mpsc::Sender<(Message, OwnedSemaphorePermit)>) {
        let budget = Arc::new(Semaphore::new(READ_AHEAD_BYTES));
        loop {
            let nats = self.nats.clone();
            let read = tokio::select! {
                () = sender.closed() => return,
                // The consumer is kept in the server's memory: it is lost when the server restarts.
                read = nats.await_response(self.read()) => read,
            };
            match read {
                Ok(message) => {
                    self.count(message.pending);
                    let bytes = message.payload.len().clamp(1, READ_AHEAD_BYTES);
                    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                    let permit = tokio::select! {
                        () = sender.closed() => return,
                        permit = Arc::clone(&budget).acquire_many_owned(bytes) => permit,
                    };
                    let Ok(permit) = permit else { return };
                    if sender.send((message, permit)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, next = self.next, "restarting the log reader");
                    self.ordered = None;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Counts a received message. Under load, many are recorded at once.
    fn count(&mut self, pending: u64) {
        self.uncounted = self.uncounted.saturating_add(1);
        if pending == 0 || self.uncounted >= RECORDED_AT_ONCE {
            metrics::consumed(self.source.stream, std::mem::take(&mut self.uncounted));
        }
    }

    async fn read(&mut self) -> Result<Message, LogError> {
        if self.ordered.is_none() {
            self.ordered = Some(open(&self.nats, &self.source, self.next).await?);
        }
        let Some(ordered) = self.ordered.as_mut() else {
            return Err(LogError::unavailable("no consumer"));
        };
        let ended = || LogError::unavailable("the message stream ended");
        let message = ordered.next().await.ok_or_else(ended)?.map_err(LogError::unavailable)?;
        let info = message.info().map_err(LogError::unavailable)?;
        let (sequence, pending) = (info.stream_sequence, info.pending);
        if sequence < self.next {
            return Err(LogError::Corrupt(format!("sequence {sequence} was delivered twice")));
        }
        if self.source.contiguous && sequence != self.next {
            return Err(LogError::Corrupt(format!("expected {}, found {sequence}", self.next)));
        }
        self.next = sequence.saturating_add(1);
        let (message, _) = message.split();
        Ok(Message {
            sequence,
            subject: message.subject.into_string(),
            payload: message.payload,
            pending,
        })
    }
}

async fn open(nats: &Nats, source: &Source, from: u64) -> Result<pull::Ordered, LogError> {
    let stream = nats.jetstream.get_stream_no_info(source.stream).await;
    let stream = stream.map_err(LogError::unavailable)?;
    let config = pull::OrderedConfig {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
        filter_subjects: source.filters.clone(),
        max_expires: PULL_EXPIRY,
        ..pull::OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(LogError::unavailable)?;
    consumer.messages().await.map_err(LogError::unavailable)
}

#[derive(Serialize)]
struct BatchGet<'a> {
    seq: u64,
    next_by_subj: &'a str,
    batch: u32,
    /// The server sends at least one message.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<u64>,
}

/// Where a page ends; the first message is always part of it.
#[derive(Debug, Clone, Copy)]
pub struct PageLimits {
    /// Maximum number of messages.
    pub messages: usize,
    /// Maximum size of all messages.
    pub bytes: usize,
}

impl PageLimits {
    const UNLIMITED: Self = Self { messages: usize::MAX, bytes: usize::MAX };
}

/// Messages in the order of the log.
#[derive(Debug)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Message>,
    /// True if more messages follow.
    pub has_more: bool,
}

/// Messages per direct get.
const BATCH_SIZE: u32 = 1000;
/// Timeout for each message of a response; a read is safe to retry.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a read is retried before it fails as unavailable.
const READ_TIMEOUT: Duration = Duration::from_secs(12);

/// Reads one subject, starting at stream sequence `from`, by batched direct get: a short history
/// takes one round trip.
pub(crate) async fn load(
    nats: &Nats,
    stream: &'static str,
    subject: &str,
    from: u64,
) -> Result<Vec<Message>, LogError> {
    Ok(page(nats, stream, subject, from, PageLimits::UNLIMITED).await?.messages)
}

/// Reads messages on the subjects that match a filter, starting at stream sequence `from`.
pub(crate) async fn page(
    nats: &Nats,
    stream: &'static str,
    filter: &str,
    from: u64,
    limits: PageLimits,
) -> Result<Page, LogError> {
    let start = Instant::now();
    loop {
        match load_once(nats, stream, filter, from, limits).await {
            Err(LogError::Unavailable(_)) if start.elapsed() < READ_TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            outcome => return outcome,
        }
    }
}

async fn load_once(
    nats: &Nats,
    stream: &'static str,
    subject: &str,
    from: u64,
    limits: PageLimits,
) -> Result<Page, LogError> {
    let mut messages: Vec<Message> = Vec::new();
    let mut next = from.max(1);
    loop {
        let size: usize = messages.iter().map(|message| message.payload.len()).sum();
        let left = limits.messages.saturating_sub(messages.len());
        let batch = BatchGet {
            seq: next,
            next_by_subj: subject,
            batch: u32::try_from(left).unwrap_or(u32::MAX).min(BATCH_SIZE),
            max_bytes: (limits.bytes != usize::MAX)
                .then(|| limits.bytes.saturating_sub(size).max(1) as u64),
        };
        let reading = batch_get(nats, stream, batch, from_direct, &mut messages);
        let more = metrics::timed(Operation::Get, stream, reading).await?;
        let size: usize = messages.iter().map(|message| message.payload.len()).sum();
        let is_full = messages.len() >= limits.messages || size >= limits.bytes;
        match messages.last() {
            Some(last) if more && !is_full => next = last.sequence.saturating_add(1),
            _ if more || is_full || !nats.is_replicated() => {
                // Of a full page, a replica does not know whether the leader has more.
                let has_more = more || (is_full && nats.is_replicated());
                return Ok(Page { messages, has_more });
            }
            // The replica that answered may lag behind: the leader has what is missing.
            last => {
                next = last.map_or(next, |last| last.sequence.saturating_add(1));
                let request = MessageGet {
                    seq: Some(next),
                    next_by_subj: Some(subject),
                    ..MessageGet::default()
                };
                let reading = get_from_leader(nats, stream, &request);
                match metrics::timed(Operation::Get, stream, reading).await? {
                    None => return Ok(Page { messages, has_more: false }),
                    Some(message) => {
                        next = message.sequence.saturating_add(1);
                        let size = size.saturating_add(message.payload.len());
                        messages.push(message);
                        if messages.len() >= limits.messages || size >= limits.bytes {
                            return Ok(Page { messages, has_more: true });
                        }
                    }
                }
            }
        }
    }
}

/// Appends one batch to `messages`; true if there may be more.
async fn batch_get<T>(
    nats: &Nats,
    stream: &'static str,
    request: BatchGet<'_>,
    parse: fn(async_nats::Message) -> Result<T, LogError>,
    messages: &mut Vec<T>,
) -> Result<bool, LogError> {
    let request =
        serde_json::to_vec(&request).map_err(|error| LogError::Corrupt(error.to_string()))?;
    let inbox = nats.client.new_inbox();
    let mut responses =
        nats.client.subscribe(inbox.clone()).await.map_err(LogError::unavailable)?;
    nats.client
        .publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, request.into())
        .await
        .map_err(LogError::unavailable)?;
    loop {
        let waiting = tokio::time::timeout(MESSAGE_TIMEOUT, responses.next());
        let response = nats
            .await_response(waiting)
            .await?
            .ok_or_else(|| LogError::unavailable("the responses ended"))?;
        match response.status.map(|status| status.as_u16()) {
            None => messages.push(parse(response)?),
            Some(204) => {
                let pending = response
                    .headers
                    .as_ref()
                    .and_then(|headers| headers.get("Nats-Num-Pending"))
                    .and_then(|value| value.as_str().parse::<u64>().ok());
                return Ok(pending.is_some_and(|pending| pending > 0));
            }
            Some(404) => return Ok(false),
            Some(503) => return Err(LogError::unavailable("no server has the stream")),
            Some(status) => {
                let description = response.description.unwrap_or_default();
                return Err(LogError::Server { code: status.into(), description });
            }
        }
    }
}

/// Reads up to a size of messages with all of their headers, starting at stream sequence `from`.
pub(crate) async fn records(
    nats: &Nats,
    stream: &'static str,
    from: u64,
    max_bytes: usize,
) -> Result<Vec<Record>, LogError> {
    let start = Instant::now();
    loop {
        let request = BatchGet {
            seq: from.max(1),
            next_by_subj: ">",
            batch: BATCH_SIZE,
            max_bytes: Some(max_bytes.max(1) as u64),
        };
        let mut records = Vec::new();
        let reading = async {
            // The vault has no direct gets where it has replicas.
            if nats.is_replicated() && stream == VAULT {
                return records_of_leader(nats, stream, from, max_bytes, &mut records).await;
            }
            let getting = batch_get(nats, stream, request, Record::from_direct, &mut records);
            getting.await.map(|_| ())
        };
        match metrics::timed(Operation::Get, stream, reading).await {
            Err(LogError::Unavailable(_)) if start.elapsed() < READ_TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            outcome => return outcome.map(|()| records),
        }
    }
}

/// Like [`records`], one by one from the leader.
async fn records_of_leader(
    nats: &Nats,
    stream: &'static str,
    from: u64,
    max_bytes: usize,
    records: &mut Vec<Record>,
) -> Result<(), LogError> {
    let (mut next, mut size) = (from.max(1), 0_usize);
    while size < max_bytes {
        let request =
            MessageGet { seq: Some(next), next_by_subj: Some(">"), ..MessageGet::default() };
        let Some(found) = stored(nats, stream, &request).await? else { break };
        let headers = String::from_utf8_lossy(&from_base64(&found.hdrs)?).into_owned();
        let payload = from_base64(&found.data)?.into();
        next = found.seq.saturating_add(1);
        let record = Record::from_leader(found.seq, found.subject, &found.time, &headers, payload)?;
        size = size.saturating_add(record.payload.len());
        records.push(record);
    }
    Ok(())
}

/// Which message is requested: the one at `seq`, the first one from there on a subject, or the last
/// one on a subject.
#[derive(Default, Serialize)]
struct MessageGet<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_by_subj: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_by_subj: Option<&'a str>,
}

/// The newest message on the subjects that match a filter, if there is one.
pub(crate) async fn newest(
    nats: &Nats,
    stream: &'static str,
    filter: &str,
) -> Result<Option<Message>, LogError> {
    get(nats, stream, MessageGet { last_by_subj: Some(filter), ..MessageGet::default() }).await
}

/// The message at a sequence, if there is one.
pub(crate) async fn at(
    nats: &Nats,
    stream: &'static str,
    sequence: u64,
) -> Result<Option<Message>, LogError> {
    get(nats, stream, MessageGet { seq: Some(sequence), ..MessageGet::default() }).await
}

async fn get(
    nats: &Nats,
    stream: &'static str,
    request: MessageGet<'_>,
) -> Result<Option<Message>, LogError> {
    if nats.is_replicated() {
        let reading = get_from_leader(nats, stream, &request);
        return metrics::timed(Operation::Get, stream, reading).await;
    }
    let request =
        serde_json::to_vec(&request).map_err(|error| LogError::Corrupt(error.to_string()))?;
    let reply = nats.client.request(format!("$JS.API.DIRECT.GET.{stream}"), request.into());
    let response = metrics::timed(Operation::Get, stream, nats.await_response(reply)).await?;
    match response.status.map(|status| status.as_u16()) {
        None => Ok(Some(from_direct(response)?)),
        Some(404) => Ok(None),
        Some(status) => {
            let description = response.description.unwrap_or_default();
            Err(LogError::Server { code: status.into(), description })
        }
    }
}

#[derive(Deserialize)]
struct MessageGetResponse {
    message: StoredMessage,
}

#[derive(Deserialize)]
struct StoredMessage {
    seq: u64,
    subject: String,
    /// In base64, as the headers.
    #[serde(default)]
    data: String,
    #[serde(default)]
    hdrs: String,
    time: String,
}

/// `no message found`.
const NO_MESSAGE: u64 = 10_037;

/// A message as the leader has it.
async fn stored(
    nats: &Nats,
    stream: &'static str,
    request: &MessageGet<'_>,
) -> Result<Option<StoredMessage>, LogError> {
    let found: Result<MessageGetResponse, _> =
        nats.api(&format!("STREAM.MSG.GET.{stream}"), request).await;
    match found {
        Ok(found) => Ok(Some(found.message)),
        Err(LogError::Server { code: NO_MESSAGE, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn from_base64(text: &str) -> Result<Vec<u8>, LogError> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(text).map_err(|error| LogError::Corrupt(error.to_string()))
}

async fn get_from_leader(
    nats: &Nats,
    stream: &'static str,
    request: &MessageGet<'_>,
) -> Result<Option<Message>, LogError> {
    let Some(found) = stored(nats, stream, request).await? else { return Ok(None) };
    let payload = from_base64(&found.data)?.into();
    Ok(Some(Message { sequence: found.seq, subject: found.subject, payload, pending: 0 }))
}

fn from_direct(response: async_nats::Message) -> Result<Message, LogError> {
    let header = |name: &str| {
        let headers = response.headers.as_ref()?;
        headers.get(name).map(|value| value.as_str().to_owned())
    };
    let missing = || LogError::Corrupt("a direct get response without sequence".to_owned());
    let sequence = header("Nats-Sequence").and_then(|v| v.parse().ok()).ok_or_else(missing)?;
    let subject = header("Nats-Subject").ok_or_else(missing)?;
    Ok(Message { sequence, subject, payload: response.payload, pending: 0 })
}
