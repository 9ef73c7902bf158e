//! Group commit: short queues are appended one by one, long ones as one atomic batch with one
//! fsync.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::HeaderMap;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot};
use uuid::Uuid;

use crate::{
    AppendError, LogError, Nats,
    client::parse,
    metrics::{self, Operation},
    topology::EVENTS,
};

/// One decision, encoded and ready to be appended.
#[derive(Debug, Clone)]
pub struct AppendRequest {
    /// `ev.<aggregate>.<tenant>.<id>`.
    pub subject: String,
    /// Expected stream sequence of the subject's last message; 0 if there must be none.
    pub expected: u64,
    /// Identifies this append in the log when the response to it was lost.
    pub command_id: Uuid,
    /// The encoded decision.
    pub payload: Bytes,
}

pub(crate) type Outcome = Result<u64, AppendError>;

pub(crate) struct Pending {
    pub(crate) request: AppendRequest,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

const MAX_DECISION_BYTES: usize = 4 * 1024 * 1024;
/// Queue length from which a batch is faster than single appends.
const MIN_QUEUED_FOR_BATCH: usize = 8;
const MAX_BATCH_SIZE: usize = 256;
// Measured with `make bench` at 1, 64 and 256 writers: more single appends keep batches small.
const MAX_SINGLES_IN_FLIGHT: usize = 4;
const MAX_BATCHES_IN_FLIGHT: usize = 2;
/// How long an unknown outcome is resolved before the append fails as unavailable.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(12);

const EXPECTED_SEQUENCE_HEADER: &str = "Nats-Expected-Last-Subject-Sequence";
const COMMAND_ID_HEADER: &str = "Command-Id";

#[derive(Deserialize)]
struct Ack {
    seq: u64,
    #[serde(default)]
    count: u64,
}

/// Appends queued requests until every sender is dropped.
pub(crate) async fn run(nats: Nats, mut queue: mpsc::Receiver<Pending>) {
    let singles = Arc::new(Semaphore::new(MAX_SINGLES_IN_FLIGHT));
    let batches = Arc::new(Semaphore::new(MAX_BATCHES_IN_FLIGHT));
    let mut deferred: Option<Pending> = None;
    loop {
        let first = match deferred.take() {
            Some(pending) => pending,
            None => match queue.recv().await {
                Some(pending) => pending,
                None => return,
            },
        };
        if queue.len().saturating_add(1) < MIN_QUEUED_FOR_BATCH
            && let Ok(permit) = Arc::clone(&singles).try_acquire_owned()
        {
            let nats = nats.clone();
            tokio::spawn(async move {
                let outcome = append_one(&nats, &first.request).await;
                drop(permit);
                let _ = first.reply.send(outcome);
            });
            continue;
        }
        // While this waits for a permit, the queue fills up: that makes the batches larger.
        let Ok(permit) = Arc::clone(&batches).acquire_owned().await else { return };
        let mut subjects = HashSet::from([first.request.subject.clone()]);
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH_SIZE {
            let Ok(next) = queue.try_recv() else { break };
            if !subjects.insert(next.request.subject.clone()) {
                deferred = Some(next);
                break;
            }
            batch.push(next);
        }
        let nats = nats.clone();
        tokio::spawn(async move {
            let requests: Vec<AppendRequest> =
                batch.iter().map(|pending| pending.request.clone()).collect();
            let outcomes = append_many(&nats, &requests).await;
            drop(permit);
            for (pending, outcome) in batch.into_iter().zip(outcomes) {
                let _ = pending.reply.send(outcome);
            }
        });
    }
}

fn check_size(request: &AppendRequest) -> Result<(), AppendError> {
    let size = request.payload.len();
    if size > MAX_DECISION_BYTES {
        return Err(AppendError::TooLarge { size, max: MAX_DECISION_BYTES });
    }
    Ok(())
}

fn headers(request: &AppendRequest) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(EXPECTED_SEQUENCE_HEADER, request.expected.to_string());
    headers.insert(COMMAND_ID_HEADER, request.command_id.to_string());
    headers
}

/// Publishes one request; if the response is lost, retries until the outcome is known.
async fn append_one(nats: &Nats, request: &AppendRequest) -> Outcome {
    check_size(request)?;
    let start = Instant::now();
    loop {
        let (subject, payload) = (request.subject.clone(), request.payload.clone());
        let reply = nats.client.request_with_headers(subject, headers(request), payload);
        let response = metrics::timed(Operation::Publish, EVENTS, nats.await_response(reply)).await;
        let error = match response {
            Ok(response) => match parse::<Ack>(&response.payload) {
                Ok(ack) => {
                    metrics::stored_together(1, request.payload.len());
                    return Ok(ack.seq);
                }
                // Since 2.12 a retry of our own write is rejected like a concurrent one.
                Err(error) if error.is_wrong_sequence() => {
                    return match find_own(nats, request).await {
                        Ok(Some(sequence)) => Ok(sequence),
                        Ok(None) => Err(AppendError::Conflict),
                        Err(error) if start.elapsed() < RESOLVE_TIMEOUT => {
                            pause(&error).await;
                            continue;
                        }
                        Err(error) => Err(error.into()),
                    };
                }
                Err(error @ LogError::Server { .. }) => return Err(error.into()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        // Unknown outcome: it may be stored. A retry is safe, only one of them can be stored.
        metrics::outcome_looked_up();
        if let Ok(Some(sequence)) = find_own(nats, request).await {
            return Ok(sequence);
        }
        if start.elapsed() >= RESOLVE_TIMEOUT {
            return Err(error.into());
        }
        pause(&error).await;
    }
}

async fn pause(error: &LogError) {
    tracing::debug!(%error, "retrying an append");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Appends all or nothing in one fsync. A rejected batch is split in halves, so that only the
/// conflicting requests fail.
fn append_many<'a>(nats: &'a Nats, requests: &'a [AppendRequest]) -> BoxFuture<'a, Vec<Outcome>> {
    Box::pin(async move {
        if requests.len() < 2 {
            let mut outcomes = Vec::with_capacity(requests.len());
            for request in requests {
                outcomes.push(append_one(nats, request).await);
            }
            return outcomes;
        }
        if requests.iter().all(|request| check_size(request).is_ok()) {
            match publish_batch(nats, requests).await {
                Ok(Ack { seq, count }) if count == requests.len() as u64 => {
                    let bytes = requests.iter().map(|request| request.payload.len()).sum();
                    metrics::stored_together(requests.len(), bytes);
                    let first = seq.saturating_add(1).saturating_sub(count);
                    return (first..=seq).map(Ok).collect();
                }
                Ok(_) | Err(LogError::Server { .. }) => {}
                Err(error) => {
                    tracing::debug!(%error, "resolving a batch one request at a time");
                    return futures::future::join_all(
                        requests.iter().map(|request| append_one(nats, request)),
                    )
                    .await;
                }
            }
        }
        let (left, right) = requests.split_at(requests.len() / 2);
        let (mut left, right) =
            futures::future::join(append_many(nats, left), append_many(nats, right)).await;
        left.extend(right);
        left
    })
}

async fn publish_batch(nats: &Nats, requests: &[AppendRequest]) -> Result<Ack, LogError> {
    let id = Uuid::now_v7().to_string();
    for (index, request) in requests.iter().enumerate() {
        let mut headers = headers(request);
        headers.insert("Nats-Batch-Id", id.as_str());
        headers.insert("Nats-Batch-Sequence", index.saturating_add(1).to_string());
        let (subject, payload) = (request.subject.clone(), request.payload.clone());
        if index.saturating_add(1) < requests.len() {
            let sent = nats.client.publish_with_headers(subject, headers, payload).await;
            sent.map_err(LogError::unavailable)?;
        } else {
            headers.insert("Nats-Batch-Commit", "1");
            let reply = nats.client.request_with_headers(subject, headers, payload);
            let committing = nats.await_response(reply);
            let response = metrics::timed(Operation::Publish, EVENTS, committing).await?;
            return parse(&response.payload);
        }
    }
    Err(LogError::Corrupt("empty batch".to_owned()))
}

#[derive(Serialize)]
struct GetNext<'a> {
    seq: u64,
    next_by_subj: &'a str,
}

#[derive(Deserialize)]
struct MsgGetResponse {
    message: StoredMessage,
}

#[derive(Deserialize)]
struct StoredMessage {
    seq: u64,
    #[serde(default)]
    hdrs: String,
}

/// Searches the subject after the expected sequence for a message of this command. Asks the stream
/// leader, since a replica may lag behind.
async fn find_own(nats: &Nats, request: &AppendRequest) -> Result<Option<u64>, LogError> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut seq = request.expected.saturating_add(1);
    let wanted = format!("{COMMAND_ID_HEADER}: {}", request.command_id);
    loop {
        let lookup = GetNext { seq, next_by_subj: &request.subject };
        let found: MsgGetResponse =
            match nats.api(&format!("STREAM.MSG.GET.{EVENTS}"), &lookup).await {
                Ok(found) => found,
                Err(LogError::Server { code: 10_037, .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
        let headers = STANDARD.decode(&found.message.hdrs).unwrap_or_default();
        if String::from_utf8_lossy(&headers).lines().any(|line| line.trim_end() == wanted) {
            return Ok(Some(found.message.seq));
        }
        seq = found.message.seq.saturating_add(1);
    }
}
