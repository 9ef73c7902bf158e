use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use crate::{
    LogError, Nats,
    metrics::{self, Operation},
};

/// Publishes to current subscribers and sends requests: progress, presence, control. Messages are
/// not stored.
#[derive(Debug, Clone)]
pub struct PubSub {
    nats: Nats,
}

/// A subscription to one subject.
#[derive(Debug)]
pub struct Subscription {
    subscriber: async_nats::Subscriber,
}

/// A received message.
#[derive(Debug, Clone)]
pub struct LiveMessage {
    /// The subject it was published on.
    pub subject: String,
    /// Its body.
    pub payload: Bytes,
    reply: Option<async_nats::Subject>,
}

impl PubSub {
    /// Uses this connection.
    pub const fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Publishes a message; without subscribers it is discarded.
    pub async fn publish(&self, subject: impl Into<String>, payload: impl Into<Bytes>) {
        // While disconnected the client would buffer it: a late message is of no use.
        if self.nats.connected_for().is_some() {
            let _ = self.nats.client.publish(subject.into(), payload.into()).await;
        }
    }

    /// Subscribes to a subject.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn subscribe(&self, subject: impl Into<String>) -> Result<Subscription, LogError> {
        let subscriber =
            self.nats.client.subscribe(subject.into()).await.map_err(LogError::unavailable)?;
        // Wait until the server has processed the subscription, so that no later message is missed.
        self.nats.client.flush().await.map_err(LogError::unavailable)?;
        Ok(Subscription { subscriber })
    }

    /// Subscribes as a member of a queue group: each message is received by one member.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn queue_subscribe(
        &self,
        subject: impl Into<String>,
        group: impl Into<String>,
    ) -> Result<Subscription, LogError> {
        let client = &self.nats.client;
        let subscriber = client.queue_subscribe(subject.into(), group.into()).await;
        Ok(Subscription { subscriber: subscriber.map_err(LogError::unavailable)? })
    }

    /// Sends an empty request and returns the first response; `None` if there is none in time.
    pub async fn request(&self, subject: impl Into<String>, timeout: Duration) -> Option<Bytes> {
        self.request_with(subject, Bytes::new(), timeout).await
    }

    /// Like [`PubSub::request`], with a payload.
    pub async fn request_with(
        &self,
        subject: impl Into<String>,
        payload: impl Into<Bytes>,
        timeout: Duration,
    ) -> Option<Bytes> {
        let subject: String = subject.into();
        let peers = metrics::peers(&subject);
        let asking = async {
            let request = self.nats.client.request(subject, payload.into());
            let response = tokio::time::timeout(timeout, request).await;
            response.map_err(LogError::unavailable)?.map_err(LogError::unavailable)
        };
        let response = metrics::timed(Operation::Request, peers, asking).await.ok()?;
        Some(response.payload)
    }

    /// Responds to a request; does nothing if the message expects no response.
    pub async fn respond(&self, request: &LiveMessage, payload: impl Into<Bytes>) {
        if let Some(reply) = &request.reply {
            let _ = self.nats.client.publish(reply.clone(), payload.into()).await;
        }
    }
}

impl Subscription {
    /// The next message; `None` once the connection is closed.
    pub async fn next(&mut self) -> Option<LiveMessage> {
        let message = self.subscriber.next().await?;
        Some(LiveMessage {
            subject: message.subject.into_string(),
            payload: message.payload,
            reply: message.reply,
        })
    }
}
