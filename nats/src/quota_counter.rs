use async_nats::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::{
    LogError, Nats,
    client::parse,
    metrics::{Operation, timed},
    read, subject,
    topology::QUOTA,
};

/// Counters of limits that many gateways share. Each leases a block at a time, and a lease is
/// stored before it is spent: a crash loses the rest of one block, and nothing is ever granted
/// twice.
#[derive(Debug, Clone)]
pub struct QuotaCounter {
    nats: Nats,
}

/// The outcome of leasing a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Units granted to the caller; 0 if none are left.
    pub granted: u64,
    /// Units granted to all callers in total, this lease included.
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

/// Attempts of one update while others update the same counter.
const MAX_ATTEMPTS: u32 = 32;

impl QuotaCounter {
    /// Uses the stream of this server.
    pub const fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Leases up to `block(left)` units, where `left` is what remains of `limit`.
    ///
    /// `name` consists of subject tokens: tenant, kind of quota, and time window.
    ///
    /// # Errors
    /// When the server does not respond; then a block may be lost, but is never granted twice.
    pub async fn lease(
        &self,
        name: &str,
        limit: u64,
        block: impl Fn(u64) -> u64 + Send + Sync,
    ) -> Result<Lease, LogError> {
        let subject = subject::quota_counter(name);
        for _ in 0..MAX_ATTEMPTS {
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
        Err(LogError::unavailable("too many concurrent updates of one quota counter"))
    }

    /// Returns the unspent rest of a block.
    ///
    /// # Errors
    /// When the server does not respond; then the rest may be lost.
    pub async fn give_back(&self, name: &str, unspent: u64) -> Result<(), LogError> {
        let subject = subject::quota_counter(name);
        for _ in 0..MAX_ATTEMPTS {
            let (used, sequence) = self.read(&subject).await?;
            let used = used.saturating_sub(unspent);
            if unspent == 0 || self.write(&subject, sequence, used).await? {
                return Ok(());
            }
        }
        Err(LogError::unavailable("too many concurrent updates of one quota counter"))
    }

    /// Stores the total granted; false if it was changed concurrently.
    async fn write(&self, subject: &str, sequence: u64, used: u64) -> Result<bool, LogError> {
        let payload = serde_json::to_vec(&Counter { used })
            .map_err(|error| LogError::Corrupt(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", sequence.to_string());
        let client = &self.nats.client;
        let reply = client.request_with_headers(subject.to_owned(), headers, payload.into());
        let response = timed(Operation::Publish, QUOTA, self.nats.await_response(reply)).await?;
        match parse::<Ack>(&response.payload) {
            Ok(_) => Ok(true),
            Err(error) if error.is_wrong_sequence() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The total granted, and the stream sequence of that value; `(0, 0)` if there is none yet.
    async fn read(&self, subject: &str) -> Result<(u64, u64), LogError> {
        let Some(message) = read::newest(&self.nats, QUOTA, subject).await? else {
            return Ok((0, 0));
        };
        let counter: Counter = serde_json::from_slice(&message.payload)
            .map_err(|error| LogError::Corrupt(error.to_string()))?;
        Ok((counter.used, message.sequence))
    }
}
