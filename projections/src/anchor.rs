//! What is signed and kept outside the database, so that a database rewritten from end to end, chain
//! and all, is found to be another one.

use std::time::Duration;

use ed25519_dalek::{Signature, Signer, SigningKey, Verifier};
use nats::Anchors;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{Database, ProjectionError};

/// The hash that the archive had at a sequence, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Of the last message that it covers.
    pub sequence: u64,
    /// Hex of the archive's hash there.
    pub hash: String,
    /// Hex of an ed25519 signature of both.
    pub signature: String,
}

/// Signs anchors, and says which are ours.
#[derive(Debug, Clone)]
pub struct Notary {
    key: SigningKey,
    anchors: Anchors,
}

/// How often what is new is signed.
const BEAT: Duration = Duration::from_secs(10);

fn words(sequence: u64, hash: &str) -> String {
    format!("ffapi archive {sequence} {hash}")
}

impl Notary {
    /// With a signing key, over the anchors' stream.
    pub fn new(key: [u8; 32], anchors: Anchors) -> Self {
        Self { key: SigningKey::from_bytes(&key), anchors }
    }

    /// True if we signed it.
    pub fn holds(&self, anchor: &Anchor) -> bool {
        let bytes = hex::decode(&anchor.signature).unwrap_or_default();
        Signature::from_slice(&bytes).is_ok_and(|signature| {
            let words = words(anchor.sequence, &anchor.hash);
            self.key.verifying_key().verify(words.as_bytes(), &signature).is_ok()
        })
    }

    /// Every anchor there is.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn anchors(&self) -> Result<Vec<Anchor>, ProjectionError> {
        let payloads = self.anchors.all().await?;
        // One that cannot be read has no signature that holds.
        let broken = || Anchor { sequence: 0, hash: String::new(), signature: String::new() };
        let read = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_else(|_| broken());
        Ok(payloads.iter().map(|bytes| read(bytes)).collect())
    }

    /// Signs what the archive has now, if it grew since the anchor at `last`; answers the newest.
    ///
    /// # Errors
    /// When the database or the server does not answer.
    pub async fn sign(&self, database: &Database, last: u64) -> Result<u64, ProjectionError> {
        let newest: Option<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT sequence, hash FROM archive ORDER BY sequence DESC LIMIT 1")
                .fetch_optional(&database.pool)
                .await?;
        let Some((sequence, hash)) = newest else { return Ok(last) };
        let (sequence, hash) = (u64::try_from(sequence).unwrap_or(0), hex::encode(hash));
        if sequence <= last {
            return Ok(last);
        }
        let signature = self.key.sign(words(sequence, &hash).as_bytes());
        let anchor = Anchor { sequence, hash, signature: hex::encode(signature.to_bytes()) };
        let payload = serde_json::to_vec(&anchor)
            .map_err(|error| nats::LogError::Corrupt(error.to_string()))?;
        self.anchors.keep(payload).await?;
        Ok(sequence)
    }

    /// Signs every so often until told to stop, and once more then.
    pub async fn run(&self, database: &Database, stop: &CancellationToken) {
        let mut last = 0;
        loop {
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(BEAT) => false,
            };
            match self.sign(database, last).await {
                Ok(newest) => last = newest,
                Err(error) => tracing::warn!(%error, "the archive was not signed"),
            }
            if stopping {
                return;
            }
        }
    }
}
