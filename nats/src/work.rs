use std::{collections::BTreeSet, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{
        AckKind,
        consumer::{PullConsumer, pull},
    },
};
use bytes::Bytes;
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use tracing::Instrument;

use crate::{
    LogError, Nats,
    client::parse,
    metrics::{self, Operation, timed},
    subject,
    topology::WORK,
    trace::{self, TraceContext},
};

/// The queue of released tasks: one message per task, deleted when it is acknowledged.
#[derive(Debug, Clone)]
pub struct Work {
    nats: Nats,
}

/// A task taken from the queue, leased to this process until the lease expires.
#[derive(Debug)]
pub struct Task {
    message: async_nats::jetstream::Message,
    nats: Nats,
}

/// Pulls tasks of one pool.
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
const ALREADY_QUEUED: u64 = 10_077;

impl Work {
    /// Uses the queue of this server.
    pub const fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// The connection to the server.
    pub(crate) const fn nats(&self) -> &Nats {
        &self.nats
    }

    /// Adds a task under a name; does nothing if a task of that name is in the queue. `cause` is
    /// the context of what asked for the task, which its message carries.
    ///
    /// # Errors
    /// When the server does not respond. A retry is always safe.
    pub async fn offer(
        &self,
        pool: &str,
        name: &str,
        payload: Bytes,
        cause: Option<TraceContext>,
    ) -> Result<(), LogError> {
        let subject = subject::task(pool, name);
        let span = trace::publish_span(&subject);
        let context = trace::begin(&span, cause);
        // The round in which it was released, which has others' tasks as well.
        trace::link(&span, trace::current());
        let mut headers = HeaderMap::new();
        if let Some(context) = context {
            headers.insert(trace::TRACEPARENT_HEADER, context.to_string());
        }
        let reply = self.nats.client.request_with_headers(subject, headers, payload);
        let publishing = timed(Operation::Publish, WORK, self.nats.await_response(reply));
        let response = publishing.instrument(span).await?;
        let outcome = parse::<Ack>(&response.payload);
        if outcome.is_ok() {
            metrics::sent(WORK, 1);
        }
        match outcome {
            Ok(_) | Err(LogError::Server { code: ALREADY_QUEUED, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The names of all tasks of a pool in the queue, leased or not.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn names(&self, pool: &str) -> Result<BTreeSet<String>, LogError> {
        let stream =
            self.nats.jetstream.get_stream_no_info(WORK).await.map_err(LogError::unavailable)?;
        let prefix = subject::task(pool, "");
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

    /// A puller for the tasks of a pool.
    pub fn puller(&self, pool: &str) -> Puller {
        metrics::pulling();
        Puller { nats: self.nats.clone(), pool: pool.to_owned(), consumer: None, stream: None }
    }
}

impl std::fmt::Debug for Puller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Puller({})", self.pool)
    }
}

impl Puller {
    /// The next task; waits until there is one. Only one is requested at a time, so that none is
    /// buffered here while another worker is idle.
    pub async fn next(&mut self) -> Task {
        loop {
            match self.try_next().await {
                Ok(Some(task)) => return task,
                Ok(None) => self.stream = None,
                Err(error) => {
                    tracing::debug!(%error, "retrying to pull a task");
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
            let lookup = jetstream.get_consumer_from_stream(&self.pool, WORK);
            self.consumer = Some(self.nats.await_response(lookup).await?);
        }
        if let (None, Some(consumer)) = (&self.stream, &self.consumer) {
            // No heartbeats: async-nats 0.51 does not wake a batch after one, so that the next task
            // would not be received. A short expiry detects a lost server just as well.
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
            () = self.nats.disconnected() => None,
        };
        match next {
            Some(Ok(message)) => {
                self.stream = None;
                let task = Task { message, nats: self.nats.clone() };
                metrics::consumed(WORK, 1);
                if task.deliveries() > 1 {
                    metrics::redelivered();
                }
                Ok(Some(task))
            }
            Some(Err(error)) => Err(LogError::Unavailable(error)),
            None => Ok(None),
        }
    }
}

impl Task {
    /// The payload that was offered.
    pub fn payload(&self) -> &Bytes {
        &self.message.payload
    }

    /// The context of the span that published it.
    pub fn cause(&self) -> Option<TraceContext> {
        let header = self.message.headers.as_ref()?.get(trace::TRACEPARENT_HEADER)?;
        TraceContext::parse(header.as_str())
    }

    /// How often it was delivered, this time included.
    pub fn deliveries(&self) -> i64 {
        self.message.info().map_or(1, |info| info.delivered)
    }

    /// Renews the lease.
    ///
    /// # Errors
    /// When the message cannot be sent.
    pub async fn keep(&self) -> Result<(), LogError> {
        let kept = async { self.message.ack_with(AckKind::Progress).await };
        timed(Operation::Progress, WORK, kept.map_err(LogError::Unavailable)).await
    }

    /// Acknowledges the task, which deletes it from the queue, and waits for the confirmation.
    ///
    /// # Errors
    /// When the server does not confirm; the task may be redelivered.
    pub async fn done(&self) -> Result<(), LogError> {
        let acknowledging = self.nats.await_response(self.message.double_ack());
        timed(Operation::Ack, WORK, acknowledging).instrument(trace::settle_span()).await
    }

    /// Returns the task to the queue, to be redelivered after a delay.
    ///
    /// # Errors
    /// When the message cannot be sent; the lease then expires by itself.
    pub async fn give_back(&self, after: Duration) -> Result<(), LogError> {
        let returned = async { self.message.ack_with(AckKind::Nak(Some(after))).await };
        timed(Operation::Nak, WORK, returned.map_err(LogError::Unavailable)).await
    }
}
