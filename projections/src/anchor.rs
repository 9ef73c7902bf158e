//! Anchors: signed hashes that are stored outside the database. They reveal a database whose rows
//! and hash chain were rewritten completely.

use std::time::Duration;

use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier, VerifyingKey};
use ffapi_nats::SignedHeads;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    Database, ProjectionError,
    metrics::{self, Signing},
};

/// A table whose rows form a hash chain that is signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashChain {
    /// The archive of the log.
    #[default]
    Archive,
    /// The audit records that are not decisions.
    AuditNote,
}

impl HashChain {
    /// The name of the table.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::AuditNote => "audit_note",
        }
    }
}

/// The signed hash of a table at a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The table that it covers.
    #[serde(default)]
    pub of: HashChain,
    /// Stream sequence of the last message that it covers.
    pub sequence: u64,
    /// The hash at that sequence, in hex.
    pub hash: String,
    /// Ed25519 signature of table, sequence and hash, in hex.
    pub signature: String,
}

/// Verifies anchors. It holds only public keys and cannot sign.
#[derive(Debug, Clone)]
pub struct AnchorVerifier {
    keys: Vec<VerifyingKey>,
    anchors: SignedHeads,
}

/// Signs anchors.
#[derive(Debug, Clone)]
pub struct AnchorSigner {
    key: SigningKey,
    anchors: SignedHeads,
}

/// The bytes are not a valid public key.
#[derive(Debug, thiserror::Error)]
#[error("not a valid ed25519 public key")]
pub struct InvalidVerifyingKey;

/// How often new rows are signed.
const SIGNING_INTERVAL: Duration = Duration::from_secs(10);

/// The text that is signed.
fn signed_text(of: HashChain, sequence: u64, hash: &str) -> String {
    format!("ffapi {} {sequence} {hash}", of.table())
}

/// The public key of a signing key.
pub fn verifying_key(signing_key: [u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(&signing_key).verifying_key().to_bytes()
}

impl AnchorVerifier {
    /// Uses the public keys of all signing keys that were or are in use, and the stream of anchors.
    ///
    /// # Errors
    /// When one of them is not a valid key.
    pub fn new(
        keys: impl IntoIterator<Item = [u8; 32]>,
        anchors: SignedHeads,
    ) -> Result<Self, InvalidVerifyingKey> {
        let key = |key| VerifyingKey::from_bytes(&key).map_err(|_| InvalidVerifyingKey);
        Ok(Self { keys: keys.into_iter().map(key).collect::<Result<_, _>>()?, anchors })
    }

    /// True if its signature is valid, by any of the keys.
    pub fn holds(&self, anchor: &Anchor) -> bool {
        let bytes = hex::decode(&anchor.signature).unwrap_or_default();
        Signature::from_slice(&bytes).is_ok_and(|signature| {
            let text = signed_text(anchor.of, anchor.sequence, &anchor.hash);
            self.keys.iter().any(|key| key.verify(text.as_bytes(), &signature).is_ok())
        })
    }

    /// All anchors.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn anchors(&self) -> Result<Vec<Anchor>, ProjectionError> {
        let payloads = self.anchors.all().await?;
        // One that cannot be parsed is returned with an invalid signature.
        let (of, sequence, empty) = (HashChain::Archive, 0, String::new);
        let invalid = || Anchor { of, sequence, hash: empty(), signature: empty() };
        let parse = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_else(|_| invalid());
        Ok(payloads.iter().map(|bytes| parse(bytes)).collect())
    }
}

impl AnchorSigner {
    /// Uses a signing key, and the stream of anchors.
    pub fn new(key: [u8; 32], anchors: SignedHeads) -> Self {
        Self { key: SigningKey::from_bytes(&key), anchors }
    }

    /// Signs the newest hash of a table, if there are rows after the anchor at `last`; returns the
    /// sequence of the newest anchor.
    ///
    /// # Errors
    /// When the database or the server does not respond.
    pub async fn sign(
        &self,
        database: &Database,
        of: HashChain,
        last: u64,
    ) -> Result<u64, ProjectionError> {
        let newest: Option<(i64, Vec<u8>)> = sqlx::query_as(match of {
            HashChain::Archive => {
                "SELECT sequence, hash FROM archive ORDER BY sequence DESC LIMIT 1"
            }
            HashChain::AuditNote => {
                "SELECT sequence, hash FROM audit_note ORDER BY sequence DESC LIMIT 1"
            }
        })
        .fetch_optional(database.measured())
        .await?;
        let Some((sequence, hash)) = newest else { return Ok(last) };
        let (sequence, hash) = (u64::try_from(sequence).unwrap_or(0), hex::encode(hash));
        if sequence <= last {
            return Ok(last);
        }
        let signature = self.key.sign(signed_text(of, sequence, &hash).as_bytes());
        let anchor = Anchor { of, sequence, hash, signature: hex::encode(signature.to_bytes()) };
        let payload = serde_json::to_vec(&anchor)
            .map_err(|error| ffapi_nats::LogError::Corrupt(error.to_string()))?;
        self.anchors.append(payload).await?;
        Ok(sequence)
    }

    /// Signs both tables periodically until `stop` is cancelled, and a last time then.
    pub async fn run(&self, database: &Database, stop: &CancellationToken) {
        metrics::prepare_signing();
        let mut last = [(HashChain::Archive, 0), (HashChain::AuditNote, 0)];
        loop {
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(SIGNING_INTERVAL) => false,
            };
            for (of, last) in &mut last {
                match self.sign(database, *of, *last).await {
                    Ok(newest) => {
                        *last = newest;
                        metrics::anchored(Signing::Signed);
                    }
                    Err(error) => {
                        metrics::anchored(Signing::Failed);
                        tracing::warn!(%error, of = of.table(), "signing failed");
                    }
                }
            }
            if stopping {
                return;
            }
        }
    }
}
