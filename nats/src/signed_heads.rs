use bytes::Bytes;
use serde::Deserialize;

use crate::{
    LogError, Nats,
    client::parse,
    read,
    topology::{ANCHOR, ANCHORS},
};

/// Signed hashes of what is chained, in a stream that forgets nothing.
#[derive(Debug, Clone)]
pub struct SignedHeads {
    nats: Nats,
}

#[derive(Deserialize)]
struct Ack {
    #[serde(rename = "seq")]
    _seq: u64,
}

impl SignedHeads {
    /// In this server.
    pub const fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Keeps one.
    ///
    /// # Errors
    /// When the server does not answer; it may be kept all the same.
    pub async fn keep(&self, anchor: impl Into<Bytes>) -> Result<(), LogError> {
        let answer = self.nats.answer(self.nats.client.request(ANCHOR, anchor.into())).await?;
        parse::<Ack>(&answer.payload).map(|_| ())
    }

    /// All of them, the oldest first.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn all(&self) -> Result<Vec<Bytes>, LogError> {
        let messages = read::load(&self.nats, ANCHORS, ANCHOR, 1).await?;
        Ok(messages.into_iter().map(|message| message.payload).collect())
    }
}
