//! Group commit: few waiting go one by one, many go as one atomic batch with one fsync.

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

use crate::{AppendError, LogError, Nats, client::parse, topology::EVENTS};

/// One decision, ready to be stored.
#[derive(Debug, Clone)]
pub struct AppendRequest {
    /// `ev.<aggregate>.<tenant>.<id>`.
    pub subject: String,
    /// Stream sequence of the subject's last message as the decider saw it; 0 for none.
    pub expected: u64,
    /// Tells an append of ours from somebody else's after an unclear answer.
    pub command_id: Uuid,
    /// The encoded decision.
    pub payload: Bytes,
}

pub(crate) type Outcome = Result<u64, AppendError>;

pub(crate) struct Pending {
    pub(crate) draft: AppendRequest,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

const MAX_DECISION: usize = 4 * 1024 * 1024;
/// From this many waiting, a batch is faster than singles.
const BATCH_FROM: usize = 8;
const MAX_BATCH: usize = 256;
// Measured at 1, 64 and 256 writers with `make bench`: more singles keep batches small.
const SINGLES_IN_FLIGHT: usize = 4;
const BATCHES_IN_FLIGHT: usize = 2;
/// How long an unclear outcome is pursued before the caller is told that nobody answers.
const PURSUIT: Duration = Duration::from_secs(12);

const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
const COMMAND: &str = "Command-Id";
const WRONG_SEQUENCE: [u64; 2] = [10_071, 10_164];

#[derive(Deserialize)]
struct Ack {
    seq: u64,
    #[serde(default)]
    count: u64,
}

/// Takes drafts until every sender is gone.
pub(crate) async fn run(nats: Nats, mut queue: mpsc::Receiver<Pending>) {
    let singles = Arc::new(Semaphore::new(SINGLES_IN_FLIGHT));
    let batches = Arc::new(Semaphore::new(BATCHES_IN_FLIGHT));
    let mut carried: Option<Pending> = None;
    loop {
        let first = match carried.take() {
            Some(pending) => pending,
            None => match queue.recv().await {
                Some(pending) => pending,
                None => return,
            },
        };
        if queue.len().saturating_add(1) < BATCH_FROM
            && let Ok(permit) = Arc::clone(&singles).try_acquire_owned()
        {
            let nats = nats.clone();
            tokio::spawn(async move {
                let outcome = append_one(&nats, &first.draft).await;
                drop(permit);
                let _ = first.reply.send(outcome);
            });
            continue;
        }
        // Waiting for a turn is what lets the queue fill up.
        let Ok(permit) = Arc::clone(&batches).acquire_owned().await else { return };
        let mut subjects = HashSet::from([first.draft.subject.clone()]);
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH {
            let Ok(next) = queue.try_recv() else { break };
            if !subjects.insert(next.draft.subject.clone()) {
                carried = Some(next);
                break;
            }
            batch.push(next);
        }
        let nats = nats.clone();
        tokio::spawn(async move {
            let drafts: Vec<AppendRequest> =
                batch.iter().map(|pending| pending.draft.clone()).collect();
            let outcomes = append_many(&nats, &drafts).await;
            drop(permit);
            for (pending, outcome) in batch.into_iter().zip(outcomes) {
                let _ = pending.reply.send(outcome);
            }
        });
    }
}

fn check_size(draft: &AppendRequest) -> Result<(), AppendError> {
    let size = draft.payload.len();
    if size > MAX_DECISION {
        return Err(AppendError::TooLarge { size, max: MAX_DECISION });
    }
    Ok(())
}

fn headers(draft: &AppendRequest) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(EXPECTED, draft.expected.to_string());
    headers.insert(COMMAND, draft.command_id.to_string());
    headers
}

/// Publishes one draft and pursues an unclear answer until it is known.
async fn append_one(nats: &Nats, draft: &AppendRequest) -> Outcome {
    check_size(draft)?;
    let start = Instant::now();
    loop {
        let (subject, payload) = (draft.subject.clone(), draft.payload.clone());
        let asking = nats.client.request_with_headers(subject, headers(draft), payload);
        let answer = nats.answer(asking).await;
        let unclear = match answer {
            Ok(answer) => match parse::<Ack>(&answer.payload) {
                Ok(ack) => return Ok(ack.seq),
                // Since 2.12 a repetition of our own write looks like somebody else's.
                Err(LogError::Server { code, .. }) if WRONG_SEQUENCE.contains(&code) => {
                    return match find_own(nats, draft).await {
                        Ok(Some(sequence)) => Ok(sequence),
                        Ok(None) => Err(AppendError::Conflict),
                        Err(error) if start.elapsed() < PURSUIT => {
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
        // Unknown outcome: it may be stored. The same draft again is safe, one of them wins.
        if let Ok(Some(sequence)) = find_own(nats, draft).await {
            return Ok(sequence);
        }
        if start.elapsed() >= PURSUIT {
            return Err(unclear.into());
        }
        pause(&unclear).await;
    }
}

async fn pause(error: &LogError) {
    tracing::debug!(%error, "an append is tried again");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// All or nothing in one fsync; on a refusal by halves, so that only the guilty are refused.
fn append_many<'a>(nats: &'a Nats, drafts: &'a [AppendRequest]) -> BoxFuture<'a, Vec<Outcome>> {
    Box::pin(async move {
        if drafts.len() < 2 {
            let mut outcomes = Vec::with_capacity(drafts.len());
            for draft in drafts {
                outcomes.push(append_one(nats, draft).await);
            }
            return outcomes;
        }
        if drafts.iter().all(|draft| check_size(draft).is_ok()) {
            match publish_batch(nats, drafts).await {
                Ok(Ack { seq, count }) if count == drafts.len() as u64 => {
                    let first = seq.saturating_add(1).saturating_sub(count);
                    return (first..=seq).map(Ok).collect();
                }
                Ok(_) | Err(LogError::Server { .. }) => {}
                Err(error) => {
                    tracing::debug!(%error, "a batch is resolved member by member");
                    return futures::future::join_all(
                        drafts.iter().map(|draft| append_one(nats, draft)),
                    )
                    .await;
                }
            }
        }
        let (left, right) = drafts.split_at(drafts.len() / 2);
        let (mut left, right) =
            futures::future::join(append_many(nats, left), append_many(nats, right)).await;
        left.extend(right);
        left
    })
}

async fn publish_batch(nats: &Nats, drafts: &[AppendRequest]) -> Result<Ack, LogError> {
    let id = Uuid::now_v7().to_string();
    for (index, draft) in drafts.iter().enumerate() {
        let mut headers = headers(draft);
        headers.insert("Nats-Batch-Id", id.as_str());
        headers.insert("Nats-Batch-Sequence", index.saturating_add(1).to_string());
        let (subject, payload) = (draft.subject.clone(), draft.payload.clone());
        if index.saturating_add(1) < drafts.len() {
            let sent = nats.client.publish_with_headers(subject, headers, payload).await;
            sent.map_err(LogError::unavailable)?;
        } else {
            headers.insert("Nats-Batch-Commit", "1");
            let asking = nats.client.request_with_headers(subject, headers, payload);
            return parse(&nats.answer(asking).await?.payload);
        }
    }
    Err(LogError::Corrupt("an empty batch".to_owned()))
}

#[derive(Serialize)]
struct GetNext<'a> {
    seq: u64,
    next_by_subj: &'a str,
}

#[derive(Deserialize)]
struct Got {
    message: GotMessage,
}

#[derive(Deserialize)]
struct GotMessage {
    seq: u64,
    #[serde(default)]
    hdrs: String,
}

/// Looks behind the expected sequence, through the leader, for a message of this very command.
async fn find_own(nats: &Nats, draft: &AppendRequest) -> Result<Option<u64>, LogError> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut seq = draft.expected.saturating_add(1);
    let wanted = format!("{COMMAND}: {}", draft.command_id);
    loop {
        let request = GetNext { seq, next_by_subj: &draft.subject };
        let got: Got = match nats.api(&format!("STREAM.MSG.GET.{EVENTS}"), &request).await {
            Ok(got) => got,
            Err(LogError::Server { code: 10_037, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let headers = STANDARD.decode(&got.message.hdrs).unwrap_or_default();
        if String::from_utf8_lossy(&headers).lines().any(|line| line.trim_end() == wanted) {
            return Ok(Some(got.message.seq));
        }
        seq = got.message.seq.saturating_add(1);
    }
}
