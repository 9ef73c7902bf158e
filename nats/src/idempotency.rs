use async_nats::{HeaderMap, jetstream::stream::DirectGetErrorKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{LogError, Nats, client::parse, topology::IDEM};

/// Which resource a client's `Idempotency-Key` stands for, for 48 hours.
#[derive(Debug, Clone)]
pub struct Idempotency {
    nats: Nats,
}

/// What a key stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The id that the resource has, or will have once somebody finishes the request.
    pub resource: String,
    /// Hash of the request body.
    pub fingerprint: String,
}

/// Whose a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// Ours, just now.
    Now,
    /// An earlier request's.
    Before(Reservation),
}

#[derive(Deserialize)]
struct Ack {
    #[serde(rename = "seq")]
    _seq: u64,
}

impl Idempotency {
    /// In this server.
    pub const fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Reserves a key for a resource, before the resource exists, so that any gateway can finish
    /// a request that died half-way.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn reserve(
        &self,
        tenant: &str,
        route: &str,
        key: &str,
        reservation: &Reservation,
    ) -> Result<Reserved, LogError> {
        let subject = subject(tenant, route, key);
        let payload = serde_json::to_vec(reservation)
            .map_err(|error| LogError::Corrupt(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
        let client = &self.nats.client;
        let asking = client.request_with_headers(subject.clone(), headers, payload.into());
        let answer = self.nats.answer(asking).await?;
        match parse::<Ack>(&answer.payload) {
            Ok(_) => return Ok(Reserved::Now),
            Err(LogError::Server { code: 10_071 | 10_164, .. }) => {}
            Err(error) => return Err(error),
        }
        let before = self.kept(subject).await?;
        let before = before.ok_or_else(|| LogError::unavailable("a reservation has just ended"))?;
        // A repetition of our own unanswered write looks like somebody else's.
        Ok(if before == *reservation { Reserved::Now } else { Reserved::Before(before) })
    }

    /// What a key stands for, if somebody reserved it.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn find(
        &self,
        tenant: &str,
        route: &str,
        key: &str,
    ) -> Result<Option<Reservation>, LogError> {
        self.kept(subject(tenant, route, key)).await
    }

    /// Forgets every key of a tenant's.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn erase(&self, tenant: &str) -> Result<(), LogError> {
        let stream = self.nats.jetstream.get_stream_no_info(IDEM).await;
        let stream = stream.map_err(LogError::unavailable)?;
        let filter = format!("idem.{tenant}.>");
        stream.purge().filter(filter).await.map_err(LogError::unavailable)?;
        Ok(())
    }

    async fn kept(&self, subject: String) -> Result<Option<Reservation>, LogError> {
        let stream =
            self.nats.jetstream.get_stream_no_info(IDEM).await.map_err(LogError::unavailable)?;
        let asking = async {
            match stream.direct_get_last_for_subject(subject).await {
                Ok(message) => Ok(Some(message)),
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        let found = self.nats.answer(asking).await?;
        let read = found.map(|found| serde_json::from_slice(&found.payload)).transpose();
        read.map_err(|error| LogError::Corrupt(error.to_string()))
    }
}

/// Where a client's key is kept, whatever it holds.
fn subject(tenant: &str, route: &str, key: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(route.as_bytes());
    hash.update([0]);
    hash.update(key.as_bytes());
    format!("idem.{tenant}.{}", hex::encode(hash.finalize()))
}
