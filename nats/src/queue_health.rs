use std::time::Duration;

use async_nats::jetstream::context::DeleteStreamErrorKind;
use bytes::Bytes;
use futures::future::join_all;

use crate::{
    LogError, Nats, Work, client,
    topology::{self, EVENTS, POOLS, WORK},
};

/// Whether the queue of tasks can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueHealth {
    /// Its stream and the consumer of each pool are there, and have leaders.
    Whole,
    /// The log has a leader, and a part of the queue is missing or has none.
    Lost,
    /// The log has no leader either, or cannot be reached.
    Unknown,
}

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

impl Work {
    /// Asks for the leaders of the log, the queue and its consumers.
    pub async fn health(&self) -> QueueHealth {
        let nats = self.nats();
        if !is_led(nats, &format!("STREAM.INFO.{EVENTS}")).await {
            return QueueHealth::Unknown;
        }
        let mut parts = vec![format!("STREAM.INFO.{WORK}")];
        parts.extend(POOLS.iter().map(|pool| format!("CONSUMER.INFO.{WORK}.{pool}")));
        let led = join_all(parts.iter().map(|part| is_led(nats, part))).await;
        if led.iter().all(|led| *led) { QueueHealth::Whole } else { QueueHealth::Lost }
    }

    /// Deletes the queue, if it is there, and creates it with as many replicas as the log has. Its
    /// tasks are lost; the conductor offers them again. A task that a worker has is not interrupted.
    ///
    /// # Errors
    /// When the server does not respond or refuses. A retry is always safe.
    pub async fn recreate(&self) -> Result<(), LogError> {
        let nats = self.nats();
        let missing = || LogError::Misconfigured(format!("stream {EVENTS} is missing"));
        let replicas = topology::find(nats, EVENTS).await?.ok_or_else(missing)?.num_replicas;
        if let Err(error) = nats.jetstream.delete_stream(WORK).await {
            let is_missing = match error.kind() {
                DeleteStreamErrorKind::JetStream(error) => error.code() == 404,
                _ => false,
            };
            if !is_missing {
                return Err(LogError::unavailable(error));
            }
        }
        if let Some(config) = topology::queue(replicas) {
            nats.jetstream.create_stream(config).await.map_err(LogError::unavailable)?;
        }
        topology::create_pools(nats).await
    }
}

/// Whether the answer to this request to the JetStream API names a leader.
async fn is_led(nats: &Nats, verb: &str) -> bool {
    let asking = nats.client.request(format!("$JS.API.{verb}"), Bytes::new());
    let Ok(Ok(answer)) = tokio::time::timeout(ANSWER_TIMEOUT, asking).await else { return false };
    matches!(client::is_led(&answer.payload), Ok(true))
}
