use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use bytes::Bytes;
use rmpv::Value;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    Decision, LogError, Message, Vault,
    upcast::{SCHEMA, upcast},
    vault::{DataKey, seal, unseal},
};

/// Encodes decisions as MessagePack maps and encrypts their personal fields.
///
/// A personal field in plain text is extension 1. It is stored as extension 2: nonce and
/// ciphertext, authenticated with the command id and the field's path, so that no ciphertext can be
/// moved to another field. If the tenant's data key was deleted, it is decoded as extension 3:
/// erased. Extension 4 is like 2, for a data key that was created when an account was reopened: the
/// generation of that key precedes the nonce.
#[derive(Debug, Clone)]
pub struct Codec {
    vault: Vault,
}

/// Why bytes could not be decoded, or a decision not encoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Corrupt, or written by a newer version of ffapi.
    #[error("a decision cannot be read: {0}")]
    Unreadable(String),
    /// The data key could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

const CLEAR: i8 = 1;
const SEALED: i8 = 2;
const ERASED: i8 = 3;
const SEALED_GENERATION: i8 = 4;

/// The error for bytes that cannot be decoded. It quotes only the names of our own fields and no
/// contents: errors are logged, and logs outlive an erasure.
fn unreadable(error: impl std::fmt::Display) -> CodecError {
    const KNOWN: [&str; 9] = [
        "invalid type",
        "invalid value",
        "invalid length",
        "unknown variant",
        "unknown field",
        "duplicate field",
        "wrong msgpack marker",
        "IO error",
        "depth limit exceeded",
    ];
    let text = error.to_string();
    let missing = text.split_once("missing field `").and_then(|(_, rest)| rest.split('`').next());
    let known = KNOWN.iter().find(|known| text.contains(**known));
    CodecError::Unreadable(match (missing, known) {
        (Some(field), _) => format!("missing field `{field}`"),
        (None, Some(known)) => (*known).to_owned(),
        (None, None) => "a value has the wrong type".to_owned(),
    })
}

/// True if the key store accepts this tenant name. For any other name a lookup would never succeed,
/// and its error could not be distinguished from an outage.
fn is_valid_tenant(tenant: &&str) -> bool {
    (1..=64).contains(&tenant.len())
        && tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl Codec {
    /// A codec that uses the data keys of this vault.
    pub const fn new(vault: Vault) -> Self {
        Self { vault }
    }

    /// Drops a tenant's cached data key, because it may have been deleted.
    pub async fn forget(&self, tenant: &str) {
        self.vault.forget(tenant).await;
    }

    /// Encodes a decision and encrypts its personal fields.
    ///
    /// # Errors
    /// When the data key cannot be read.
    pub async fn encode<E: Serialize + Sync>(
        &self,
        decision: &Decision<E>,
    ) -> Result<Bytes, CodecError> {
        let clear = rmp_serde::to_vec_named(decision).map_err(unreadable)?;
        let mut value = rmpv::decode::read_value(&mut clear.as_slice()).map_err(unreadable)?;
        let key = self.vault.data_key(&decision.tenant, 0).await?;
        FieldCipher { key: &key, id: decision.command_id }.walk(
            &mut value,
            "",
            Direction::Encrypt,
        )?;
        let mut bytes = Vec::with_capacity(clear.len().saturating_add(64));
        rmpv::encode::write_value(&mut bytes, &value).map_err(unreadable)?;
        Ok(bytes.into())
    }

    /// Reads a decision of one aggregate, whose type the caller knows from the message's subject.
    ///
    /// # Errors
    /// When the message is not such a decision, or the data key cannot be read.
    pub async fn read<E: DeserializeOwned>(
        &self,
        message: &Message,
    ) -> Result<Decision<E>, CodecError> {
        let value = self.clear(message).await?;
        from_value(&value)
    }

    /// Reads a decision of any aggregate. `E` is an enum of the events of all categories; each event
    /// is deserialized as `{category: event}`, where the category is that of the message's subject.
    ///
    /// # Errors
    /// When the message is not a decision of a category that `E` has, or the data key cannot be read.
    pub async fn read_any<E: DeserializeOwned>(
        &self,
        message: &Message,
    ) -> Result<Decision<E>, CodecError> {
        let mut value = self.clear(message).await?;
        let category = message.category();
        if let Some(Value::Array(events)) = field_mut(&mut value, "events") {
            for event in events {
                *event = Value::Map(vec![(category.into(), std::mem::replace(event, Value::Nil))]);
            }
        }
        from_value(&value)
    }

    /// Reads a decision of one aggregate, and waits while the key store is unavailable. One that
    /// cannot be decoded is logged, and `None`.
    pub async fn read_or_skip<E: DeserializeOwned>(
        &self,
        message: &Message,
    ) -> Option<Decision<E>> {
        match until_available(|| self.read(message)).await {
            Ok(decision) => Some(decision),
            Err(Unreadable(why)) => {
                tracing::error!(sequence = message.sequence, why, "unreadable message skipped");
                None
            }
        }
    }

    /// The decision of a message in the present format, its personal fields decrypted.
    async fn clear(&self, message: &Message) -> Result<Value, CodecError> {
        let bytes = &message.payload;
        let mut value = rmpv::decode::read_value(&mut &bytes[..]).map_err(unreadable)?;
        let tenant = field(&value, "tenant")
            .and_then(Value::as_str)
            .filter(is_valid_tenant)
            .ok_or_else(|| CodecError::Unreadable("no tenant".to_owned()))?;
        let id = field(&value, "command_id").and_then(|value| match value {
            Value::Binary(bytes) => Uuid::from_slice(bytes).ok(),
            Value::String(text) => text.as_str()?.parse().ok(),
            _ => None,
        });
        let id = id.ok_or_else(|| CodecError::Unreadable("no command id".to_owned()))?;
        let schema = field(&value, "schema").and_then(Value::as_u64).unwrap_or(0);
        let key = self.vault.data_key(tenant, newest_generation(&value)).await?;
        FieldCipher { key: &key, id }.walk(&mut value, "", Direction::Decrypt)?;
        upcast(message.category(), schema, value)
    }
}

/// A field of a decision.
fn field<'a>(decision: &'a Value, name: &str) -> Option<&'a Value> {
    let entries = decision.as_map()?;
    entries.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
}

/// Like [`field`], to be changed.
fn field_mut<'a>(decision: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let Value::Map(entries) = decision else { return None };
    entries.iter_mut().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
}

fn from_value<E: DeserializeOwned>(decision: &Value) -> Result<Decision<E>, CodecError> {
    let mut clear = Vec::new();
    rmpv::encode::write_value(&mut clear, decision).map_err(unreadable)?;
    let decision: Decision<E> = rmp_serde::from_slice(&clear).map_err(unreadable)?;
    Ok(Decision { schema: SCHEMA, ..decision })
}

/// A message is corrupt, or was written by a newer version of ffapi: why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a decision cannot be read: {0}")]
pub struct Unreadable(pub String);

/// Delay between two attempts to read while the log or the key store is unavailable.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// Repeats a read until the log and the key store are available. The first failure is logged.
///
/// # Errors
/// When what is read cannot be decoded.
pub async fn until_available<T, F>(read: impl FnMut() -> F) -> Result<T, Unreadable>
where
    F: Future<Output = Result<T, CodecError>>,
{
    let mut is_reported = false;
    let delays = ConstantBuilder::default().with_delay(RETRY_DELAY).without_max_times();
    let answered = read
        .retry(delays)
        .when(|error| matches!(error, CodecError::Log(_)))
        .notify(|error, _| {
            if !std::mem::replace(&mut is_reported, true) {
                tracing::warn!(%error, "waiting for the log or the key store");
            }
        })
        .await;
    // Only the error that is not retried is left.
    answered.map_err(|error| match error {
        CodecError::Unreadable(why) => Unreadable(why),
        CodecError::Log(error) => Unreadable(error.to_string()),
    })
}

impl Codec {
    /// Encrypts a value that is stored outside the log under a tenant's data key, authenticated
    /// with `context`; `None` if the tenant is erased.
    ///
    /// # Errors
    /// When the data key cannot be read.
    pub async fn seal(
        &self,
        tenant: &str,
        context: &str,
        clear: &[u8],
    ) -> Result<Option<Vec<u8>>, LogError> {
        let key = self.vault.data_key(tenant, 0).await?;
        let Some(cipher) = &key.cipher else { return Ok(None) };
        let sealed = seal(cipher, context.as_bytes(), clear)?;
        Ok(Some([key.generation.to_be_bytes().as_slice(), &sealed].concat()))
    }

    /// Decrypts what [`Codec::seal`] returned; `None` if its key was deleted or `context` differs.
    ///
    /// # Errors
    /// When the data key cannot be read.
    pub async fn open(
        &self,
        tenant: &str,
        context: &str,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, LogError> {
        let Some(written_under) = generation(SEALED_GENERATION, sealed) else { return Ok(None) };
        let key = self.vault.data_key(tenant, written_under).await?;
        let Some(cipher) = key.cipher.filter(|_| key.generation == written_under) else {
            return Ok(None);
        };
        let sealed = sealed.get(GENERATION_BYTES..).unwrap_or_default();
        Ok(unseal(&cipher, context.as_bytes(), sealed))
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Encrypt,
    Decrypt,
}

/// Encrypts or decrypts the personal fields of one decision.
struct FieldCipher<'a> {
    key: &'a DataKey,
    id: Uuid,
}

impl FieldCipher<'_> {
    fn walk(&self, value: &mut Value, path: &str, direction: Direction) -> Result<(), CodecError> {
        match value {
            Value::Map(entries) => {
                for (key, value) in entries {
                    let path = format!("{path}/{}", key.as_str().unwrap_or_default());
                    self.walk(value, &path, direction)?;
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.walk(item, &format!("{path}/{index}"), direction)?;
                }
            }
            Value::Ext(tag, bytes) => {
                let aad = format!("{}{path}", self.id);
                let written_under = generation(*tag, bytes);
                match (direction, *tag, &self.key.cipher) {
                    (Direction::Encrypt, CLEAR, Some(cipher)) if self.key.generation == 0 => {
                        *bytes = seal(cipher, aad.as_bytes(), bytes)?;
                        *tag = SEALED;
                    }
                    (Direction::Encrypt, CLEAR, Some(cipher)) => {
                        let sealed = seal(cipher, aad.as_bytes(), bytes)?;
                        *bytes = [self.key.generation.to_be_bytes().as_slice(), &sealed].concat();
                        *tag = SEALED_GENERATION;
                    }
                    (Direction::Decrypt, SEALED | SEALED_GENERATION, Some(cipher))
                        if written_under == Some(self.key.generation) =>
                    {
                        let prefix = if *tag == SEALED { 0 } else { GENERATION_BYTES };
                        let sealed = bytes.get(prefix..).unwrap_or_default();
                        *bytes = unseal(cipher, aad.as_bytes(), sealed).ok_or_else(|| {
                            let why = "a personal field failed authentication";
                            CodecError::Unreadable(why.to_owned())
                        })?;
                        *tag = CLEAR;
                    }
                    (_, CLEAR | SEALED | ERASED | SEALED_GENERATION, _) => {
                        *tag = ERASED;
                        bytes.clear();
                    }
                    (_, other, _) => {
                        return Err(CodecError::Unreadable(format!("unknown extension {other}")));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Length of a stored key generation.
const GENERATION_BYTES: usize = size_of::<u64>();

/// The generation of the data key that a field was encrypted under.
fn generation(tag: i8, bytes: &[u8]) -> Option<u64> {
    match tag {
        SEALED => Some(0),
        SEALED_GENERATION => {
            bytes.first_chunk::<GENERATION_BYTES>().map(|number| u64::from_be_bytes(*number))
        }
        _ => None,
    }
}

/// The newest key generation that any field of a decision was encrypted under.
fn newest_generation(value: &Value) -> u64 {
    match value {
        Value::Map(entries) => {
            entries.iter().map(|(_, value)| newest_generation(value)).max().unwrap_or(0)
        }
        Value::Array(items) => items.iter().map(newest_generation).max().unwrap_or(0),
        Value::Ext(tag, bytes) => generation(*tag, bytes).unwrap_or(0),
        _ => 0,
    }
}
