use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::kv::{CreateErrorKind, Operation, Store};
use bytes::Bytes;
use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Generate, Payload},
};
use futures::StreamExt;
use tokio::sync::RwLock;

use crate::{LogError, Nats};

/// Secrets and data keys in a deletable store, each value encrypted under the configured key.
#[derive(Clone)]
pub struct Vault {
    store: Store,
    cipher: Arc<XChaCha20Poly1305>,
    /// When each was looked up: one that is erased is forgotten everywhere within a minute.
    known: Arc<RwLock<HashMap<String, Looked>>>,
}

/// A data key, and when it was looked up.
type Looked = (Instant, DataKey);

/// One tenant's key for personal fields.
#[derive(Clone)]
pub(crate) struct DataKey {
    /// None once it was erased.
    pub(crate) cipher: Option<Arc<XChaCha20Poly1305>>,
    /// Which key of this tenant it is: 0 for the first, a higher one each time that the account was
    /// opened anew. Of an erased one: no key up to this number exists any more.
    pub(crate) generation: u64,
}

impl DataKey {
    /// False if what was written under this generation proves that there is a newer key.
    const fn covers(&self, generation: u64) -> bool {
        match self.cipher {
            Some(_) => generation <= self.generation,
            // A key that is made anew has the number of the erasure before it.
            None => generation < self.generation,
        }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

impl Vault {
    /// Opens it with the master key.
    ///
    /// # Errors
    /// When the store is missing or the server does not answer.
    pub async fn open(nats: &Nats, master_key: &[u8; 32]) -> Result<Self, LogError> {
        let store = nats.jetstream.get_key_value("VAULT").await.map_err(LogError::unavailable)?;
        let cipher = Arc::new(XChaCha20Poly1305::new(&Key::from(*master_key)));
        Ok(Self { store, cipher, known: Arc::default() })
    }

    /// The tenant's data key, made on first use; without a cipher once it was erased. What is known of
    /// it is not believed if something was written under a newer one.
    pub(crate) async fn data_key(
        &self,
        tenant: &str,
        written_under: u64,
    ) -> Result<DataKey, LogError> {
        if let Some((at, known)) = self.known.read().await.get(tenant)
            && at.elapsed() < BELIEVED
            && known.covers(written_under)
        {
            return Ok(known.clone());
        }
        let name = format!("dek.{tenant}");
        let found = self.store.entry(&name).await.map_err(LogError::unavailable)?;
        let key = match found {
            Some(entry) if entry.operation == Operation::Put => {
                self.open_key(&name, &entry.value)?
            }
            Some(erased) => DataKey { cipher: None, generation: erased.revision },
            None => self.make_key(&name).await?,
        };
        self.known.write().await.insert(tenant.to_owned(), (Instant::now(), key.clone()));
        Ok(key)
    }

    /// Erases every personal field of a tenant, for ever: their key is gone.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn erase(&self, tenant: &str) -> Result<(), LogError> {
        let name = format!("dek.{tenant}");
        self.store.purge(&name).await.map_err(LogError::unavailable)?;
        self.forget(tenant).await;
        Ok(())
    }

    /// Gives a tenant whose data key was erased another one. What was written under the one before
    /// stays unreadable.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn reopen(&self, tenant: &str) -> Result<(), LogError> {
        let name = format!("dek.{tenant}");
        let found = self.store.entry(&name).await.map_err(LogError::unavailable)?;
        if let Some(erased) = found.filter(|entry| entry.operation != Operation::Put) {
            let key: [u8; 32] = Key::generate().into();
            let value = [erased.revision.to_be_bytes().as_slice(), &key].concat();
            let sealed = seal(&self.cipher, name.as_bytes(), &value)?;
            // Of two who do this at once, one does.
            let made = self.store.update(&name, Bytes::from(sealed), erased.revision).await;
            made.map_err(LogError::unavailable)?;
        }
        self.forget(tenant).await;
        Ok(())
    }

    /// Looks a tenant's data key up anew when it is needed next.
    pub(crate) async fn forget(&self, tenant: &str) {
        self.known.write().await.remove(tenant);
    }

    /// Forgets one secret; there may be none.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn remove(&self, name: &str) -> Result<(), LogError> {
        self.store.purge(name).await.map_err(LogError::unavailable)
    }

    /// Forgets every secret whose name begins so.
    ///
    /// # Errors
    /// When the server does not answer.
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

    /// Keeps a secret until somebody takes it.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn put(&self, name: &str, clear: &[u8]) -> Result<(), LogError> {
        let sealed = seal(&self.cipher, name.as_bytes(), clear)?;
        self.store.put(name, Bytes::from(sealed)).await.map_err(LogError::unavailable)?;
        Ok(())
    }

    /// Keeps a secret if there is none of that name; answers the one that is kept.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn put_first(&self, name: &str, clear: &[u8]) -> Result<Vec<u8>, LogError> {
        let sealed = seal(&self.cipher, name.as_bytes(), clear)?;
        match self.store.create(name, Bytes::from(sealed)).await {
            Ok(_) => Ok(clear.to_vec()),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                let gone = || LogError::unavailable("the secret was taken meanwhile");
                self.read(name).await?.ok_or_else(gone)
            }
            Err(error) => Err(LogError::unavailable(error)),
        }
    }

    /// A secret, if it is kept.
    ///
    /// # Errors
    /// When the server does not answer, or it was not kept under our master key.
    pub async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, LogError> {
        let found = self.store.entry(name).await.map_err(LogError::unavailable)?;
        let Some(entry) = found.filter(|entry| entry.operation == Operation::Put) else {
            return Ok(None);
        };
        let wrong =
            || LogError::Misconfigured("the vault does not open with the master key".to_owned());
        unseal(&self.cipher, name.as_bytes(), &entry.value).map(Some).ok_or_else(wrong)
    }

    /// Hands out a secret and forgets it: of two who take it at once, one has it.
    ///
    /// # Errors
    /// When the server does not answer, or it was not kept under our master key.
    pub async fn take(&self, name: &str) -> Result<Option<Vec<u8>>, LogError> {
        let found = self.store.entry(name).await.map_err(LogError::unavailable)?;
        let Some(entry) = found.filter(|entry| entry.operation == Operation::Put) else {
            return Ok(None);
        };
        let taken = self.store.purge_expect_revision(name, Some(entry.revision)).await;
        if taken.is_err() {
            // Somebody else has it, or nobody answers: either way it is not ours to give.
            return Ok(None);
        }
        let wrong =
            || LogError::Misconfigured("the vault does not open with the master key".to_owned());
        unseal(&self.cipher, name.as_bytes(), &entry.value).map(Some).ok_or_else(wrong)
    }

    async fn make_key(&self, name: &str) -> Result<DataKey, LogError> {
        let bytes: [u8; 32] = Key::generate().into();
        let sealed = seal(&self.cipher, name.as_bytes(), &bytes)?;
        match self.store.create(name, Bytes::from(sealed)).await {
            Ok(_) => Ok(first(bytes)),
            // Another process made it first: that one counts.
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                let value = self.store.get(name).await.map_err(LogError::unavailable)?;
                let value = value.ok_or_else(|| LogError::Corrupt("no data key".to_owned()))?;
                self.open_key(name, &value)
            }
            Err(error) => Err(LogError::unavailable(error)),
        }
    }

    fn open_key(&self, name: &str, sealed: &[u8]) -> Result<DataKey, LogError> {
        let wrong = || {
            LogError::Misconfigured(
                "the vault does not open with the configured master key".to_owned(),
            )
        };
        let clear = unseal(&self.cipher, name.as_bytes(), sealed).ok_or_else(wrong)?;
        // The first key of a tenant stands alone; a later one after its generation.
        match clear.split_last_chunk::<32>().ok_or_else(wrong)? {
            ([], key) => Ok(first(*key)),
            (generation, key) => {
                let generation = generation.try_into().map_err(|_| wrong())?;
                Ok(DataKey { generation: u64::from_be_bytes(generation), ..first(*key) })
            }
        }
    }
}

/// A tenant's first data key.
fn first(key: [u8; 32]) -> DataKey {
    DataKey { cipher: Some(Arc::new(XChaCha20Poly1305::new(&Key::from(key)))), generation: 0 }
}

/// How long a data key is believed to be there.
const BELIEVED: Duration = Duration::from_mins(1);
const NONCE: usize = 24;

/// Nonce, then ciphertext and tag.
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
    let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
    let nonce = XNonce::try_from(nonce).ok()?;
    cipher.decrypt(&nonce, Payload { msg: sealed, aad }).ok()
}
