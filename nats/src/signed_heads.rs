use bytes::Bytes;
use serde::Deserialize;

use crate::{
    LogError, Nats,
    client::parse,
    metrics::{Operation, timed},
    read,
    topology::{ANCHOR, ANCHORS},
};

/// Signed head hashes of the hash chains, in a stream that never discards messages.
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
    /// Uses the stream of this server.
    pub const fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Stores one signed head.
    ///
    /// # Errors
    /// When the server does not respond; it may be stored all the same.
    pub async fn append(&self, anchor: impl Into<Bytes>) -> Result<(), LogError> {
        let reply = self.nats.client.request(ANCHOR, anchor.into());
        let response = timed(Operation::Publish, ANCHORS, self.nats.await_response(reply)).await?;
        parse::<Ack>(&response.payload).map(|_| ())
    }

    /// All signed heads, oldest first.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn all(&self) -> Result<Vec<Bytes>, LogError> {
        let messages = read::load(&self.nats, ANCHORS, ANCHOR, 1).await?;
        Ok(messages.into_iter().map(|message| message.payload).collect())
    }
}
