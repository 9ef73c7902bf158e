use std::{collections::BTreeSet, time::Duration};

use async_nats::jetstream::{
    AckKind,
    consumer::{PullConsumer, pull},
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use crate::{LogError, Nats, client::parse, topology::WORK};

/// The queue of released tasks: one message a task, gone when it is acknowledged.
#[derive(Debug, Clone)]
pub struct Work {
    nats: Nats,
}

/// A task taken from the queue, ours until its lease runs out.
#[derive(Debug)]
pub struct Task {
    message: async_nats::jetstream::Message,
    nats: Nats,
}

/// Takes tasks of one pool.
pub struct Puller {
    nats: Nats,
    pool: String,
    consumer: Option<PullConsumer>,
    stream: Option<pull::Batch>,
}

#[derive(serde::Deserialize)]
struct Ack {
    #[serde(rename = "seq")]
    _seq: u64,
}

/// `maximum messages per subject exceeded`: the task is in the queue already.
const ALREADY_THERE: u64 = 10_077;

impl Work {
    /// The queue of this server.
    pub const fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Offers a task under a name; a task that is in the queue already stays the only one.
    ///
    /// # Errors
    /// When the server does not answer. Offering again is always safe.
    pub async fn offer(&self, pool: &str, name: &str, payload: Bytes) -> Result<(), LogError> {
        let asking = self.nats.client.request(format!("work.{pool}.{name}"), payload);
        let answer = self.nats.answer(asking).await?;
        match parse::<Ack>(&answer.payload) {
            Ok(_) | Err(LogError::Server { code: ALREADY_THERE, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The names of all tasks of a pool that are in the queue, taken or not.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn names(&self, pool: &str) -> Result<BTreeSet<String>, LogError> {
        let stream =
            self.nats.jetstream.get_stream_no_info(WORK).await.map_err(LogError::unavailable)?;
        let prefix = format!("work.{pool}.");
        let subjects: Vec<(String, usize)> = stream
            .info_with_subjects(format!("{prefix}>"))
            .await
            .map_err(LogError::unavailable)?
            .try_collect()
            .await
            .map_err(LogError::unavailable)?;
        let name = |(subject, _): (String, usize)| subject.strip_prefix(&prefix).map(str::to_owned);
        Ok(subjects.into_iter().filter_map(name).collect())
    }

    /// Takes tasks of a pool.
    pub fn puller(&self, pool: &str) -> Puller {
        Puller { nats: self.nats.clone(), pool: pool.to_owned(), consumer: None, stream: None }
    }
}

impl std::fmt::Debug for Puller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Puller({})", self.pool)
    }
}

impl Puller {
    /// The next task; waits for it. One is asked for at a time, so none sits in a buffer while
    /// another worker is free.
    pub async fn next(&mut self) -> Task {
        loop {
            match self.try_next().await {
                Ok(Some(task)) => return task,
                Ok(None) => self.stream = None,
                Err(error) => {
                    tracing::debug!(%error, "asking for work again");
                    self.consumer = None;
                    self.stream = None;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn try_next(&mut self) -> Result<Option<Task>, LogError> {
        if self.consumer.is_none() {
            let jetstream = &self.nats.jetstream;
            let finding = jetstream.get_consumer_from_stream(&self.pool, WORK);
            self.consumer = Some(self.nats.answer(finding).await?);
        }
        if let (None, Some(consumer)) = (&self.stream, &self.consumer) {
            // No heartbeats: async-nats 0.51 forgets to wake a batch after one, and the task that
            // follows it would be lost to us. A short expiry finds a lost server just as well.
            let batch = consumer
                .batch()
                .max_messages(1)
                .expires(Duration::from_secs(5))
                .messages()
                .await
                .map_err(LogError::unavailable)?;
            self.stream = Some(batch);
        }
        let Some(stream) = self.stream.as_mut() else { return Ok(None) };
        let next = tokio::select! {
            next = stream.next() => next,
            () = self.nats.broken() => None,
        };
        match next {
            Some(Ok(message)) => {
                self.stream = None;
                Ok(Some(Task { message, nats: self.nats.clone() }))
            }
            Some(Err(error)) => Err(LogError::Unavailable(error)),
            None => Ok(None),
        }
    }
}

impl Task {
    /// What was offered.
    pub fn payload(&self) -> &Bytes {
        &self.message.payload
    }

    /// How often it was given out, this time included.
    pub fn deliveries(&self) -> i64 {
        self.message.info().map_or(1, |info| info.delivered)
    }

    /// Extends the lease.
    ///
    /// # Errors
    /// When the message cannot be sent.
    pub async fn keep(&self) -> Result<(), LogError> {
        self.message.ack_with(AckKind::Progress).await.map_err(LogError::Unavailable)
    }

    /// Takes it out of the queue and waits until that is so.
    ///
    /// # Errors
    /// When the server does not confirm; the task may come again.
    pub async fn done(&self) -> Result<(), LogError> {
        self.nats.answer(self.message.double_ack()).await
    }

    /// Gives it back, to be offered again after a while.
    ///
    /// # Errors
    /// When the message cannot be sent; the lease then runs out by itself.
    pub async fn give_back(&self, after: Duration) -> Result<(), LogError> {
        self.message.ack_with(AckKind::Nak(Some(after))).await.map_err(LogError::Unavailable)
    }
}
