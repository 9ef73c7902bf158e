use bytes::Bytes;
use serde::Deserialize;

use crate::{
    LogError, Nats,
    client::parse,
    metrics::{Operation, timed},
    read, subject,
    topology::AUDIT,
};

/// Audit records that are not decisions: rejected requests and reads. The stream is bounded, the
/// oldest records are discarded.
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
    /// Uses the stream of this server.
    pub const fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Stores a record. `subject` is `<tenant>.<action>`, without the prefix `audit.`.
    ///
    /// # Errors
    /// When the server does not respond; the record may be stored all the same.
    pub async fn append(&self, subject: &str, payload: Bytes) -> Result<(), LogError> {
        let reply = self.nats.client.request(subject::note(subject), payload);
        let response = timed(Operation::Publish, AUDIT, self.nats.await_response(reply)).await?;
        parse::<Ack>(&response.payload).map(|_| ())
    }

    /// True if there is a record on this subject.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn holds(&self, subject: &str) -> Result<bool, LogError> {
        Ok(read::newest(&self.nats, AUDIT, &subject::note(subject)).await?.is_some())
    }
}
