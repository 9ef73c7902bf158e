use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use crate::{LogError, Nats};

/// What is told to whoever listens now: progress, presence, control. Nothing of it is kept.
#[derive(Debug, Clone)]
pub struct PubSub {
    nats: Nats,
}

/// An open ear.
#[derive(Debug)]
pub struct Subscription {
    subscriber: async_nats::Subscriber,
}

/// One thing heard.
#[derive(Debug, Clone)]
pub struct LiveMessage {
    /// On which subject.
    pub subject: String,
    /// What.
    pub payload: Bytes,
    reply: Option<async_nats::Subject>,
}

impl PubSub {
    /// Over this connection.
    pub const fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Says something; nobody may be listening.
    pub async fn tell(&self, subject: impl Into<String>, payload: impl Into<Bytes>) {
        // While the server is away there is nobody to tell.
        if self.nats.connected_for().is_some() {
            let _ = self.nats.client.publish(subject.into(), payload.into()).await;
        }
    }

    /// Listens.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn listen(&self, subject: impl Into<String>) -> Result<Subscription, LogError> {
        let subscriber =
            self.nats.client.subscribe(subject.into()).await.map_err(LogError::unavailable)?;
        // Heard from here on, not from some moment later.
        self.nats.client.flush().await.map_err(LogError::unavailable)?;
        Ok(Subscription { subscriber })
    }

    /// Listens among others of a group: each thing is heard by one of them.
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

    /// Asks, and waits for the first answer; none if nobody answers in time.
    pub async fn ask(&self, subject: impl Into<String>, patience: Duration) -> Option<Bytes> {
        self.ask_about(subject, Bytes::new(), patience).await
    }

    /// As `ask`, about something.
    pub async fn ask_about(
        &self,
        subject: impl Into<String>,
        payload: impl Into<Bytes>,
        patience: Duration,
    ) -> Option<Bytes> {
        let request = self.nats.client.request(subject.into(), payload.into());
        let answer = tokio::time::timeout(patience, request).await.ok()?.ok()?;
        Some(answer.payload)
    }

    /// Answers what was asked.
    pub async fn answer(&self, heard: &LiveMessage, payload: impl Into<Bytes>) {
        if let Some(reply) = &heard.reply {
            let _ = self.nats.client.publish(reply.clone(), payload.into()).await;
        }
    }
}

impl Subscription {
    /// The next thing; none once the connection is closed.
    pub async fn next(&mut self) -> Option<LiveMessage> {
        let message = self.subscriber.next().await?;
        Some(LiveMessage {
            subject: message.subject.into_string(),
            payload: message.payload,
            reply: message.reply,
        })
    }
}
