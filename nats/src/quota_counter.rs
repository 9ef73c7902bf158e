use async_nats::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::{LogError, Nats, client::parse, topology::QUOTA};

/// Counters that many gateways take from, a block at a time: what was handed out is on the disk
/// before it is spent, so a crash costs the rest of one block and never gives anything twice.
#[derive(Debug, Clone)]
pub struct QuotaCounter {
    nats: Nats,
}

/// What became of asking for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// So much is ours to spend; 0 if nothing is left.
    pub granted: u64,
    /// So much is handed out to everybody, this included.
    pub used: u64,
}

#[derive(Serialize, Deserialize)]
struct Counter {
    used: u64,
}

#[derive(Deserialize)]
struct Ack {
    #[serde(rename = "seq")]
    _seq: u64,
}

const ATTEMPTS: u32 = 32;
const WRONG_SEQUENCE: [u64; 2] = [10_071, 10_164];

impl QuotaCounter {
    /// In this server.
    pub const fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Takes up to `block(left)` of what is left of `limit`.
    ///
    /// `name` is subject tokens: whose, of what, and in which window of time.
    ///
    /// # Errors
    /// When the server does not answer; then a block may be lost, never given twice.
    pub async fn lease(
        &self,
        name: &str,
        limit: u64,
        block: impl Fn(u64) -> u64 + Send + Sync,
    ) -> Result<Lease, LogError> {
        let subject = format!("quota.{name}");
        for _ in 0..ATTEMPTS {
            let (used, sequence) = self.read(&subject).await?;
            let left = limit.saturating_sub(used);
            let granted = block(left).min(left);
            if granted == 0 {
                return Ok(Lease { granted, used });
            }
            let used = used.saturating_add(granted);
            if self.write(&subject, sequence, used).await? {
                return Ok(Lease { granted, used });
            }
        }
        Err(LogError::unavailable("too many take from this allowance at once"))
    }

    /// Gives back what is left of a block.
    ///
    /// # Errors
    /// When the server does not answer; then it may be lost.
    pub async fn give_back(&self, name: &str, unspent: u64) -> Result<(), LogError> {
        let subject = format!("quota.{name}");
        for _ in 0..ATTEMPTS {
            let (used, sequence) = self.read(&subject).await?;
            let used = used.saturating_sub(unspent);
            if unspent == 0 || self.write(&subject, sequence, used).await? {
                return Ok(());
            }
        }
        Err(LogError::unavailable("too many take from this allowance at once"))
    }

    /// Writes down what is handed out; false if somebody else did since.
    async fn write(&self, subject: &str, sequence: u64, used: u64) -> Result<bool, LogError> {
        let payload = serde_json::to_vec(&Counter { used })
            .map_err(|error| LogError::Corrupt(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", sequence.to_string());
        let client = &self.nats.client;
        let asking = client.request_with_headers(subject.to_owned(), headers, payload.into());
        let answer = self.nats.answer(asking).await?;
        match parse::<Ack>(&answer.payload) {
            Ok(_) => Ok(true),
            Err(LogError::Server { code, .. }) if WRONG_SEQUENCE.contains(&code) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What is handed out, and at which sequence that stands.
    async fn read(&self, subject: &str) -> Result<(u64, u64), LogError> {
        let stream = self.nats.jetstream.get_stream_no_info(QUOTA).await;
        let stream = stream.map_err(LogError::unavailable)?;
        let asking = stream.direct_get_last_for_subject(subject);
        let found = tokio::select! {
            found = asking => found,
            () = self.nats.broken() => return Err(LogError::unavailable("the connection broke")),
        };
        match found {
            Ok(message) => {
                let counter: Counter = serde_json::from_slice(&message.payload)
                    .map_err(|error| LogError::Corrupt(error.to_string()))?;
                Ok((counter.used, message.sequence))
            }
            Err(error)
                if error.kind() == async_nats::jetstream::stream::DirectGetErrorKind::NotFound =>
            {
                Ok((0, 0))
            }
            Err(error) => Err(LogError::unavailable(error)),
        }
    }
}
