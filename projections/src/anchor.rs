//! What is signed and kept outside the database, so that a database rewritten from end to end, chain
//! and all, is found to be another one.

use std::time::Duration;

use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier, VerifyingKey};
use ffapi_nats::SignedHeads;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{Database, ProjectionError};

/// What is chained, and signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chained {
    /// The archive of the log.
    #[default]
    Archive,
    /// What was noted beside it.
    AuditNote,
}

impl Chained {
    /// Its table.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::AuditNote => "audit_note",
        }
    }
}

/// The hash that a table had at a sequence, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Which table's.
    #[serde(default)]
    pub of: Chained,
    /// Of the last message that it covers.
    pub sequence: u64,
    /// Hex of the hash there.
    pub hash: String,
    /// Hex of an ed25519 signature of both.
    pub signature: String,
}

/// Says which anchors are ours. It holds nothing that could sign another.
#[derive(Debug, Clone)]
pub struct Notary {
    key: VerifyingKey,
    anchors: SignedHeads,
}

/// Signs anchors.
#[derive(Debug, Clone)]
pub struct AnchorSigner {
    key: SigningKey,
    anchors: SignedHeads,
}

/// These bytes are no key that a signature could be checked with.
#[derive(Debug, thiserror::Error)]
#[error("it is the public half of no ed25519 key")]
pub struct NoVerifyingKey;

/// How often what is new is signed.
const BEAT: Duration = Duration::from_secs(10);

fn words(of: Chained, sequence: u64, hash: &str) -> String {
    format!("ffapi {} {sequence} {hash}", of.table())
}

/// The public half of a signing key.
pub fn verifying_key(signing_key: [u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(&signing_key).verifying_key().to_bytes()
}

impl Notary {
    /// With the public half of a signing key, over the anchors' stream.
    ///
    /// # Errors
    /// When the bytes are no such key.
    pub fn new(key: [u8; 32], anchors: SignedHeads) -> Result<Self, NoVerifyingKey> {
        let key = VerifyingKey::from_bytes(&key).map_err(|_| NoVerifyingKey)?;
        Ok(Self { key, anchors })
    }

    /// True if we signed it.
    pub fn holds(&self, anchor: &Anchor) -> bool {
        let bytes = hex::decode(&anchor.signature).unwrap_or_default();
        Signature::from_slice(&bytes).is_ok_and(|signature| {
            let words = words(anchor.of, anchor.sequence, &anchor.hash);
            self.key.verify(words.as_bytes(), &signature).is_ok()
        })
    }

    /// Every anchor there is.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn anchors(&self) -> Result<Vec<Anchor>, ProjectionError> {
        let payloads = self.anchors.all().await?;
        // One that cannot be read has no signature that holds.
        let (of, sequence, nothing) = (Chained::Archive, 0, String::new);
        let broken = || Anchor { of, sequence, hash: nothing(), signature: nothing() };
        let read = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_else(|_| broken());
        Ok(payloads.iter().map(|bytes| read(bytes)).collect())
    }
}

impl AnchorSigner {
    /// With a signing key, over the anchors' stream.
    pub fn new(key: [u8; 32], anchors: SignedHeads) -> Self {
        Self { key: SigningKey::from_bytes(&key), anchors }
    }

    /// Signs what a table has now, if it grew since the anchor at `last`; answers the newest.
    ///
    /// # Errors
    /// When the database or the server does not answer.
    pub async fn sign(
        &self,
        database: &Database,
        of: Chained,
        last: u64,
    ) -> Result<u64, ProjectionError> {
        let newest: Option<(i64, Vec<u8>)> = sqlx::query_as(match of {
            Chained::Archive => "SELECT sequence, hash FROM archive ORDER BY sequence DESC LIMIT 1",
            Chained::AuditNote => {
                "SELECT sequence, hash FROM audit_note ORDER BY sequence DESC LIMIT 1"
            }
        })
        .fetch_optional(&database.pool)
        .await?;
        let Some((sequence, hash)) = newest else { return Ok(last) };
        let (sequence, hash) = (u64::try_from(sequence).unwrap_or(0), hex::encode(hash));
        if sequence <= last {
            return Ok(last);
        }
        let signature = self.key.sign(words(of, sequence, &hash).as_bytes());
        let anchor = Anchor { of, sequence, hash, signature: hex::encode(signature.to_bytes()) };
        let payload = serde_json::to_vec(&anchor)
            .map_err(|error| ffapi_nats::LogError::Corrupt(error.to_string()))?;
        self.anchors.keep(payload).await?;
        Ok(sequence)
    }

    /// Signs every so often until told to stop, and once more then.
    pub async fn run(&self, database: &Database, stop: &CancellationToken) {
        let mut last = [(Chained::Archive, 0), (Chained::AuditNote, 0)];
        loop {
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(BEAT) => false,
            };
            for (of, last) in &mut last {
                match self.sign(database, *of, *last).await {
                    Ok(newest) => *last = newest,
                    Err(error) => tracing::warn!(%error, of = of.table(), "not signed"),
                }
            }
            if stopping {
                return;
            }
        }
    }
}
