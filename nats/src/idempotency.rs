use async_nats::HeaderMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    LogError, Nats,
    client::parse,
    metrics::{Operation, timed},
    read, subject,
    topology::IDEM,
};

/// Maps a client's `Idempotency-Key` to the resource that its first request created. Entries expire
/// after 48 hours.
#[derive(Debug, Clone)]
pub struct Idempotency {
    nats: Nats,
}

/// The resource and request that an idempotency key belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Id of the resource; it may not exist yet if the request was interrupted.
    pub resource: String,
    /// Hash of the request body.
    pub fingerprint: String,
}

/// Outcome of reserving a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// This request reserved the key.
    Now,
    /// An earlier request holds the key.
    Before(Reservation),
}

#[derive(Deserialize)]
struct Ack {
    #[serde(rename = "seq")]
    _seq: u64,
}

impl Idempotency {
    /// Uses the stream of this server.
    pub const fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Reserves a key for a resource before the resource exists, so that any gateway can complete a
    /// request that was interrupted.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn reserve(
        &self,
        tenant: &str,
        route: &str,
        key: &str,
        reservation: &Reservation,
    ) -> Result<Reserved, LogError> {
        let subject = key_subject(tenant, route, key);
        let payload = serde_json::to_vec(reservation)
            .map_err(|error| LogError::Corrupt(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
        let client = &self.nats.client;
        let reply = client.request_with_headers(subject.clone(), headers, payload.into());
        let response = timed(Operation::Publish, IDEM, self.nats.await_response(reply)).await?;
        match parse::<Ack>(&response.payload) {
            Ok(_) => return Ok(Reserved::Now),
            Err(error) if error.is_wrong_sequence() => {}
            Err(error) => return Err(error),
        }
        let existing = self.stored(subject).await?;
        let existing =
            existing.ok_or_else(|| LogError::unavailable("the reservation has just expired"))?;
        // A retry of our own write is rejected like a concurrent one.
        Ok(if existing == *reservation { Reserved::Now } else { Reserved::Before(existing) })
    }

    /// The reservation of a key, if there is one.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn find(
        &self,
        tenant: &str,
        route: &str,
        key: &str,
    ) -> Result<Option<Reservation>, LogError> {
        self.stored(key_subject(tenant, route, key)).await
    }

    /// Deletes all keys of a tenant.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn erase(&self, tenant: &str) -> Result<(), LogError> {
        let stream = self.nats.jetstream.get_stream_no_info(IDEM).await;
        let stream = stream.map_err(LogError::unavailable)?;
        let filter = subject::idempotency_keys(tenant);
        stream.purge().filter(filter).await.map_err(LogError::unavailable)?;
        Ok(())
    }

    async fn stored(&self, subject: String) -> Result<Option<Reservation>, LogError> {
        let found = read::newest(&self.nats, IDEM, &subject).await?;
        let read = found.map(|found| serde_json::from_slice(&found.payload)).transpose();
        read.map_err(|error| LogError::Corrupt(error.to_string()))
    }
}

/// The subject of a client's key. Route and key are hashed, since a key may contain any characters.
fn key_subject(tenant: &str, route: &str, key: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(route.as_bytes());
    hash.update([0]);
    hash.update(key.as_bytes());
    subject::idempotency_key(tenant, &hex::encode(hash.finalize()))
}
