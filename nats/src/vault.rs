use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::kv::{CreateErrorKind, Entry, Operation, Store, UpdateErrorKind};
use bytes::Bytes;
use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Generate, Payload},
};
use futures::{StreamExt, TryFutureExt};
use tokio::sync::RwLock;

use crate::{
    LogError, Nats,
    metrics::{self, timed},
    topology::VAULT,
};

/// Secrets and data keys in a key-value store that supports deletion. Each value is encrypted under
/// the configured master key.
#[derive(Clone)]
pub struct Vault {
    store: Store,
    ciphers: Arc<Ciphers>,
    /// Data keys by tenant. Entries expire, so that a deleted key is unusable everywhere within a
    /// minute.
    cache: Arc<RwLock<HashMap<String, CachedKey>>>,
}

/// A data key, and when it was looked up.
type CachedKey = (Instant, DataKey);

/// One tenant's key for personal fields.
#[derive(Clone)]
pub(crate) struct DataKey {
    /// `None` once the key is deleted.
    pub(crate) cipher: Option<Arc<XChaCha20Poly1305>>,
    /// Generation of the key: 0 for the first, higher each time that the account was reopened. Of a
    /// deleted key: all keys up to this generation are deleted.
    pub(crate) generation: u64,
}

impl DataKey {
    /// False if data encrypted under this generation proves that there is a newer key.
    const fn covers(&self, generation: u64) -> bool {
        match self.cipher {
            Some(_) => generation <= self.generation,
            // The next key has the generation of the deletion before it.
            None => generation < self.generation,
        }
    }
}

/// The master keys that the vault's values may be encrypted under.
#[derive(Clone)]
pub struct MasterKeys {
    /// The one that values are encrypted under from now on.
    pub current: [u8; 32],
    /// Others that are tried for decryption: the previous one, and the next one.
    pub others: Vec<[u8; 32]>,
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKeys(..)")
    }
}

/// How many values of the vault are encrypted under which master key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyUsage {
    /// Under the current one.
    pub current: usize,
    /// Under another one that is configured.
    pub others: usize,
    /// Under none that is configured.
    pub unreadable: usize,
}

/// The ciphers of the master keys.
struct Ciphers {
    current: XChaCha20Poly1305,
    others: Vec<XChaCha20Poly1305>,
}

impl Ciphers {
    fn new(keys: &MasterKeys) -> Self {
        let cipher = |key: &[u8; 32]| XChaCha20Poly1305::new(&Key::from(*key));
        Self { current: cipher(&keys.current), others: keys.others.iter().map(cipher).collect() }
    }

    /// Decrypts with the first key that fits.
    fn unseal(&self, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut ciphers = std::iter::once(&self.current).chain(&self.others);
        ciphers.find_map(|cipher| unseal(cipher, aad, sealed))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

impl Vault {
    /// Opens the store with the master key.
    ///
    /// # Errors
    /// When the store is missing or the server does not respond.
    pub async fn open(nats: &Nats, master_key: &[u8; 32]) -> Result<Self, LogError> {
        let keys = MasterKeys { current: *master_key, others: vec![] };
        Self::open_with(nats, &keys).await
    }

    /// Opens the store while the master key is rotated.
    ///
    /// # Errors
    /// When the store is missing or the server does not respond.
    pub async fn open_with(nats: &Nats, keys: &MasterKeys) -> Result<Self, LogError> {
        let store = nats.jetstream.get_key_value("VAULT").await.map_err(LogError::unavailable)?;
        Ok(Self { store, ciphers: Arc::new(Ciphers::new(keys)), cache: Arc::default() })
    }

    /// How many values the vault has, by the master key that they are encrypted under.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn usage(&self) -> Result<KeyUsage, LogError> {
        let mut usage = KeyUsage::default();
        let mut names = self.store.keys().await.map_err(LogError::unavailable)?;
        while let Some(name) = names.next().await {
            let name = name.map_err(LogError::unavailable)?;
            let Some(entry) = self.value(&name).await? else { continue };
            let count = if unseal(&self.ciphers.current, name.as_bytes(), &entry.value).is_some() {
                &mut usage.current
            } else if self.ciphers.unseal(name.as_bytes(), &entry.value).is_some() {
                &mut usage.others
            } else {
                &mut usage.unreadable
            };
            *count = count.saturating_add(1);
        }
        Ok(usage)
    }

    /// Encrypts everything under the current master key that is under another, and returns how many
    /// values. Others may use the vault meanwhile: what they change is left to them.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn rewrap(&self) -> Result<usize, LogError> {
        let mut rewrapped = 0_usize;
        let mut names = self.store.keys().await.map_err(LogError::unavailable)?;
        while let Some(name) = names.next().await {
            let name = name.map_err(LogError::unavailable)?;
            let Some(entry) = self.value(&name).await? else { continue };
            let aad = name.as_bytes();
            if unseal(&self.ciphers.current, aad, &entry.value).is_some() {
                continue;
            }
            let Some(clear) = self.ciphers.unseal(aad, &entry.value) else { continue };
            let sealed = Bytes::from(seal(&self.ciphers.current, aad, &clear)?);
            match self.store.update(&name, sealed, entry.revision).await {
                Ok(_) => rewrapped = rewrapped.saturating_add(1),
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
                Err(error) => return Err(LogError::unavailable(error)),
            }
        }
        Ok(rewrapped)
    }

    /// The tenant's data key, created on first use; without a cipher once it is deleted. A cached
    /// key is ignored if it is older than `written_under`.
    pub(crate) async fn data_key(
        &self,
        tenant: &str,
        written_under: u64,
    ) -> Result<DataKey, LogError> {
        if let Some((at, cached)) = self.cache.read().await.get(tenant)
            && at.elapsed() < KEY_CACHE_TTL
            && cached.covers(written_under)
        {
            return Ok(cached.clone());
        }
        let name = format!("dek.{tenant}");
        let found = self.entry(&name).await?;
        let key = match found {
            Some(entry) if entry.operation == Operation::Put => {
                self.open_key(&name, &entry.value)?
            }
            Some(deleted) => DataKey { cipher: None, generation: deleted.revision },
            None => self.create_key(&name).await?,
        };
        self.cache.write().await.insert(tenant.to_owned(), (Instant::now(), key.clone()));
        Ok(key)
    }

    async fn entry(&self, name: &str) -> Result<Option<Entry>, LogError> {
        let reading = async { self.store.entry(name).await.map_err(LogError::unavailable) };
        timed(metrics::Operation::Get, VAULT, reading).await
    }

    /// The entry of a value that was not deleted.
    async fn value(&self, name: &str) -> Result<Option<Entry>, LogError> {
        let found = self.entry(name).await?;
        Ok(found.filter(|entry| entry.operation == Operation::Put))
    }

    /// Deletes a tenant's data key: its personal fields can never be read again.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn erase(&self, tenant: &str) -> Result<(), LogError> {
        let name = format!("dek.{tenant}");
        self.store.purge(&name).await.map_err(LogError::unavailable)?;
        self.forget(tenant).await;
        Ok(())
    }

    /// Creates a new data key for a tenant whose key was deleted. What was encrypted under the
    /// previous one stays unreadable. Does nothing if the tenant has a key.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn reopen(&self, tenant: &str) -> Result<(), LogError> {
        let name = format!("dek.{tenant}");
        let found = self.entry(&name).await?;
        if let Some(deleted) = found.filter(|entry| entry.operation != Operation::Put) {
            let key: [u8; 32] = Key::generate().into();
            let value = [deleted.revision.to_be_bytes().as_slice(), &key].concat();
            let sealed = seal(&self.ciphers.current, name.as_bytes(), &value)?;
            // Compare-and-swap: of concurrent calls one succeeds.
            let updated = self.store.update(&name, Bytes::from(sealed), deleted.revision).await;
            updated.map_err(LogError::unavailable)?;
        }
        self.forget(tenant).await;
        Ok(())
    }

    /// Drops a tenant's data key from the cache.
    pub(crate) async fn forget(&self, tenant: &str) {
        self.cache.write().await.remove(tenant);
    }

    /// Deletes one secret, if it exists.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn remove(&self, name: &str) -> Result<(), LogError> {
        self.store.purge(name).await.map_err(LogError::unavailable)
    }

    /// Deletes every secret whose name starts with `prefix`.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn purge(&self, prefix: &str) -> Result<(), LogError> {
        let mut names = self.store.keys().await.map_err(LogError::unavailable)?;
        while let Some(name) = names.next().await {
            let name = name.map_err(LogError::unavailable)?;
            if name.starts_with(prefix) {
                self.store.purge(&name).await.map_err(LogError::unavailable)?;
            }
        }
        Ok(())
    }

    /// Stores a secret until it is taken or deleted.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn put(&self, name: &str, clear: &[u8]) -> Result<(), LogError> {
        let sealed = seal(&self.ciphers.current, name.as_bytes(), clear)?;
        let storing = self.store.put(name, Bytes::from(sealed)).map_err(LogError::unavailable);
        timed(metrics::Operation::Publish, VAULT, storing).await?;
        Ok(())
    }

    /// Stores a secret if there is none of that name; returns the stored one.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn put_if_absent(&self, name: &str, clear: &[u8]) -> Result<Vec<u8>, LogError> {
        let sealed = seal(&self.ciphers.current, name.as_bytes(), clear)?;
        match self.store.create(name, Bytes::from(sealed)).await {
            Ok(_) => Ok(clear.to_vec()),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                let taken = || LogError::unavailable("the secret was taken in the meantime");
                self.read(name).await?.ok_or_else(taken)
            }
            Err(error) => Err(LogError::unavailable(error)),
        }
    }

    /// Reads a secret, if it exists.
    ///
    /// # Errors
    /// When the server does not respond, or the secret was stored under another master key.
    pub async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, LogError> {
        let Some(entry) = self.value(name).await? else { return Ok(None) };
        self.ciphers.unseal(name.as_bytes(), &entry.value).map(Some).ok_or_else(wrong_master_key)
    }

    /// Reads a secret and deletes it. Of concurrent calls at most one gets it.
    ///
    /// # Errors
    /// When the server does not respond, or the secret was stored under another master key.
    pub async fn take(&self, name: &str) -> Result<Option<Vec<u8>>, LogError> {
        let mut tried = None;
        loop {
            let Some(entry) = self.value(name).await? else { return Ok(None) };
            let revision = entry.revision;
            // Taken concurrently, or no response: in both cases it must not be handed out.
            if tried == Some(revision) {
                return Ok(None);
            }
            if self.store.purge_expect_revision(name, Some(revision)).await.is_err() {
                // Unless it was only encrypted again in between.
                tried = Some(revision);
                continue;
            }
            return self
                .ciphers
                .unseal(name.as_bytes(), &entry.value)
                .map(Some)
                .ok_or_else(wrong_master_key);
        }
    }

    async fn create_key(&self, name: &str) -> Result<DataKey, LogError> {
        let bytes: [u8; 32] = Key::generate().into();
        let sealed = seal(&self.ciphers.current, name.as_bytes(), &bytes)?;
        match self.store.create(name, Bytes::from(sealed)).await {
            Ok(_) => Ok(first_key(bytes)),
            // Another process created it first: use that one.
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                let value = self.store.get(name).await.map_err(LogError::unavailable)?;
                let value =
                    value.ok_or_else(|| LogError::Corrupt("missing data key".to_owned()))?;
                self.open_key(name, &value)
            }
            Err(error) => Err(LogError::unavailable(error)),
        }
    }

    fn open_key(&self, name: &str, sealed: &[u8]) -> Result<DataKey, LogError> {
        let clear = self.ciphers.unseal(name.as_bytes(), sealed).ok_or_else(wrong_master_key)?;
        // The first key of a tenant is stored alone, a later one after its generation.
        match clear.split_last_chunk::<32>().ok_or_else(wrong_master_key)? {
            ([], key) => Ok(first_key(*key)),
            (generation, key) => {
                let generation = generation.try_into().map_err(|_| wrong_master_key())?;
                Ok(DataKey { generation: u64::from_be_bytes(generation), ..first_key(*key) })
            }
        }
    }
}

fn wrong_master_key() -> LogError {
    LogError::Misconfigured(
        "the vault cannot be decrypted with the configured master key".to_owned(),
    )
}

/// A data key of generation 0.
fn first_key(key: [u8; 32]) -> DataKey {
    DataKey { cipher: Some(Arc::new(XChaCha20Poly1305::new(&Key::from(key)))), generation: 0 }
}

/// How long a data key is cached.
const KEY_CACHE_TTL: Duration = Duration::from_mins(1);
const NONCE_BYTES: usize = 24;

/// Encrypts; returns the nonce, then ciphertext and tag.
pub(crate) fn seal(
    cipher: &XChaCha20Poly1305,
    aad: &[u8],
    clear: &[u8],
) -> Result<Vec<u8>, LogError> {
    let nonce = XNonce::generate();
    let sealed = cipher
        .encrypt(&nonce, Payload { msg: clear, aad })
        .map_err(|error| LogError::Corrupt(error.to_string()))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

pub(crate) fn unseal(cipher: &XChaCha20Poly1305, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
    let nonce = XNonce::try_from(nonce).ok()?;
    cipher.decrypt(&nonce, Payload { msg: sealed, aad }).ok()
}
