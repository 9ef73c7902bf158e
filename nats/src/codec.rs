use bytes::Bytes;
use rmpv::Value;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    Decision, LogError, Vault,
    vault::{DataKey, seal, unseal},
};

/// Between decisions and bytes: MessagePack maps, personal fields encrypted.
///
/// A personal field arrives as extension 1 around its clear bytes and is stored as extension 2
/// around nonce and ciphertext, bound to its decision and its path in it, so that no ciphertext
/// can be moved elsewhere. When the tenant's key is gone it comes back as extension 3: erased. Under a
/// key that an account was given when it was opened anew it is extension 4, with the number of that key
/// before the nonce.
#[derive(Debug, Clone)]
pub struct Codec {
    vault: Vault,
}

/// Bytes that are no decision of the wanted kind.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Not what was written, or by a newer version of us.
    #[error("a decision cannot be read: {0}")]
    Unreadable(String),
    /// The key store is in trouble.
    #[error(transparent)]
    Log(#[from] LogError),
}

const CLEAR: i8 = 1;
const SEALED: i8 = 2;
const ERASED: i8 = 3;
const SEALED_ANEW: i8 = 4;

/// What is wrong with bytes. It quotes nothing of them but the names of our own fields: it is logged, and
/// what is logged outlives an erasure.
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
        (None, None) => "a value is not what its field holds".to_owned(),
    })
}

/// True of a name that a data key may have: another one can be asked for in no key store, however long one
/// waits for it.
fn is_name(tenant: &&str) -> bool {
    (1..=64).contains(&tenant.len())
        && tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl Codec {
    /// A codec with the data keys of this vault.
    pub const fn new(vault: Vault) -> Self {
        Self { vault }
    }

    /// Looks a tenant's data key up anew when it is needed next: it may be gone.
    pub async fn forget(&self, tenant: &str) {
        self.vault.forget(tenant).await;
    }

    /// Writes a decision.
    ///
    /// # Errors
    /// When the data key cannot be had.
    pub async fn encode<E: Serialize + Sync>(
        &self,
        decision: &Decision<E>,
    ) -> Result<Bytes, CodecError> {
        let clear = rmp_serde::to_vec_named(decision).map_err(unreadable)?;
        let mut value = rmpv::decode::read_value(&mut clear.as_slice()).map_err(unreadable)?;
        let key = self.vault.data_key(&decision.tenant, 0).await?;
        Fields { key: &key, id: decision.command_id }.walk(&mut value, "", Way::In)?;
        let mut bytes = Vec::with_capacity(clear.len().saturating_add(64));
        rmpv::encode::write_value(&mut bytes, &value).map_err(unreadable)?;
        Ok(bytes.into())
    }

    /// Reads a decision.
    ///
    /// # Errors
    /// When the bytes are none, or the data key cannot be had.
    pub async fn decode<E: DeserializeOwned>(
        &self,
        bytes: &[u8],
    ) -> Result<Decision<E>, CodecError> {
        let mut value = rmpv::decode::read_value(&mut &bytes[..]).map_err(unreadable)?;
        let text = |name: &str| {
            let entries = value.as_map()?;
            entries.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
        };
        let tenant = text("tenant")
            .and_then(Value::as_str)
            .filter(is_name)
            .ok_or_else(|| CodecError::Unreadable("no tenant".to_owned()))?;
        let id = text("command_id").and_then(|value| match value {
            Value::Binary(bytes) => Uuid::from_slice(bytes).ok(),
            Value::String(text) => text.as_str()?.parse().ok(),
            _ => None,
        });
        let id = id.ok_or_else(|| CodecError::Unreadable("no command id".to_owned()))?;
        let key = self.vault.data_key(tenant, newest_key(&value)).await?;
        Fields { key: &key, id }.walk(&mut value, "", Way::Out)?;
        let mut clear = Vec::with_capacity(bytes.len());
        rmpv::encode::write_value(&mut clear, &value).map_err(unreadable)?;
        rmp_serde::from_slice(&clear).map_err(unreadable)
    }
}

impl Codec {
    /// Encrypts something of a tenant's that stands outside the log, bound to what it is there for; none
    /// once the tenant is erased.
    ///
    /// # Errors
    /// When the data key cannot be had.
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

    /// What was encrypted so; none if its key is gone, or it was meant for something else.
    ///
    /// # Errors
    /// When the data key cannot be had.
    pub async fn open(
        &self,
        tenant: &str,
        context: &str,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, LogError> {
        let Some(written_under) = generation(SEALED_ANEW, sealed) else { return Ok(None) };
        let key = self.vault.data_key(tenant, written_under).await?;
        let Some(cipher) = key.cipher.filter(|_| key.generation == written_under) else {
            return Ok(None);
        };
        let sealed = sealed.get(NUMBER..).unwrap_or_default();
        Ok(unseal(&cipher, context.as_bytes(), sealed))
    }
}

#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

struct Fields<'a> {
    key: &'a DataKey,
    id: Uuid,
}

impl Fields<'_> {
    fn walk(&self, value: &mut Value, path: &str, way: Way) -> Result<(), CodecError> {
        match value {
            Value::Map(entries) => {
                for (key, value) in entries {
                    let path = format!("{path}/{}", key.as_str().unwrap_or_default());
                    self.walk(value, &path, way)?;
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.walk(item, &format!("{path}/{index}"), way)?;
                }
            }
            Value::Ext(tag, bytes) => {
                let aad = format!("{}{path}", self.id);
                let written_under = generation(*tag, bytes);
                match (way, *tag, &self.key.cipher) {
                    (Way::In, CLEAR, Some(cipher)) if self.key.generation == 0 => {
                        *bytes = seal(cipher, aad.as_bytes(), bytes)?;
                        *tag = SEALED;
                    }
                    (Way::In, CLEAR, Some(cipher)) => {
                        let sealed = seal(cipher, aad.as_bytes(), bytes)?;
                        *bytes = [self.key.generation.to_be_bytes().as_slice(), &sealed].concat();
                        *tag = SEALED_ANEW;
                    }
                    (Way::Out, SEALED | SEALED_ANEW, Some(cipher))
                        if written_under == Some(self.key.generation) =>
                    {
                        let number = if *tag == SEALED { 0 } else { NUMBER };
                        let sealed = bytes.get(number..).unwrap_or_default();
                        *bytes = unseal(cipher, aad.as_bytes(), sealed).ok_or_else(|| {
                            let why = "a personal field was tampered with";
                            CodecError::Unreadable(why.to_owned())
                        })?;
                        *tag = CLEAR;
                    }
                    (_, CLEAR | SEALED | ERASED | SEALED_ANEW, _) => {
                        *tag = ERASED;
                        bytes.clear();
                    }
                    (_, other, _) => {
                        return Err(CodecError::Unreadable(format!("extension {other}")));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Bytes of a key's number.
const NUMBER: usize = size_of::<u64>();

/// Under which of its tenant's keys a field was written.
fn generation(tag: i8, bytes: &[u8]) -> Option<u64> {
    match tag {
        SEALED => Some(0),
        SEALED_ANEW => bytes.first_chunk::<NUMBER>().map(|number| u64::from_be_bytes(*number)),
        _ => None,
    }
}

/// The newest key that anything in a decision was written under.
fn newest_key(value: &Value) -> u64 {
    match value {
        Value::Map(entries) => {
            entries.iter().map(|(_, value)| newest_key(value)).max().unwrap_or(0)
        }
        Value::Array(items) => items.iter().map(newest_key).max().unwrap_or(0),
        Value::Ext(tag, bytes) => generation(*tag, bytes).unwrap_or(0),
        _ => 0,
    }
}
