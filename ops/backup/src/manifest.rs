use std::collections::BTreeMap;

use ffapi_domain::Timestamp;
use ffapi_projections::Digest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The format that this version writes; others are refused.
pub(crate) const FORMAT: u32 = 1;

/// One backup: which objects it consists of. It is stored last, so that a backup is complete or not
/// there, and holds nothing personal: it is not encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    pub format: u32,
    /// Its id: time, epoch and position.
    pub id: String,
    /// When it was made.
    pub at: Timestamp,
    /// The log.
    pub log_id: Uuid,
    /// The epoch of the log.
    pub epoch: u32,
    /// Stream sequence of the last message of the log that it has.
    pub sequence: u64,
    /// The version of ffapi that made it.
    pub version: String,
    /// The chunks of each stream, oldest first.
    pub streams: BTreeMap<String, Vec<Chunk>>,
    /// The newest vault when it was made.
    pub vault: VaultObject,
    /// The read models, for their verification; empty where it was made without.
    #[serde(default)]
    pub read_models: Vec<Digest>,
}

/// Consecutive messages of one stream, in one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The key of the object.
    pub key: String,
    /// Stream sequence of the first message.
    pub first: u64,
    /// Stream sequence of the last message.
    pub last: u64,
    /// Number of messages.
    pub messages: u64,
    /// When the first message was stored.
    pub first_at: Timestamp,
    /// When the last message was stored.
    pub last_at: Timestamp,
    /// Size of the messages in bytes.
    pub clear_bytes: u64,
    /// Size of the object in bytes.
    pub bytes: u64,
    /// SHA-256 digest of the object.
    pub sha256: String,
    /// Hash of the audit trail's chain after the last message; of the log only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
}

/// The object with the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultObject {
    /// The key of the object.
    pub key: String,
    /// When it was stored.
    pub at: Timestamp,
    /// Size of the object in bytes.
    pub bytes: u64,
    /// SHA-256 digest of the object.
    pub sha256: String,
    /// SHA-256 digest of its contents before encryption: unchanged ones are not stored again.
    pub contents: String,
}

impl Manifest {
    /// The chunks of a stream.
    pub fn chunks(&self, stream: &str) -> &[Chunk] {
        self.streams.get(stream).map_or(&[], Vec::as_slice)
    }

    /// The keys and sizes of all objects that it needs, without the vault.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.streams.values().flatten().map(|chunk| chunk.key.as_str())
    }

    /// The size of all of its objects in bytes.
    pub fn bytes(&self) -> u64 {
        let chunks = self.streams.values().flatten().map(|chunk| chunk.bytes);
        chunks.fold(self.vault.bytes, u64::saturating_add)
    }
}
