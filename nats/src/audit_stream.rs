use bytes::Bytes;
use serde::Deserialize;

use crate::{LogError, Nats, client::parse, read, topology::AUDIT};

/// Facts that no decision holds, in a stream of bounded size: refusals, and who looked at what.
#[derive(Debug, Clone)]
pub struct AuditStream {
    nats: Nats,
}

#[derive(Deserialize)]
struct Ack {
    #[serde(rename = "seq")]
    _seq: u64,
}

impl AuditStream {
    /// In this server.
    pub const fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Keeps a note on `audit.<tenant>.<what>`.
    ///
    /// # Errors
    /// When the server does not answer; it may be kept all the same.
    pub async fn keep(&self, subject: &str, payload: Bytes) -> Result<(), LogError> {
        let asking = self.nats.client.request(format!("audit.{subject}"), payload);
        let answer = self.nats.answer(asking).await?;
        parse::<Ack>(&answer.payload).map(|_| ())
    }

    /// True if there is a note on this subject.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn holds(&self, subject: &str) -> Result<bool, LogError> {
        Ok(read::newest(&self.nats, AUDIT, &format!("audit.{subject}")).await?.is_some())
    }
}
