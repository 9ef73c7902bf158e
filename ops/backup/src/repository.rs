use bytes::Bytes;
use ffapi_storage::{Listed, PlainStore};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    BackupError, Identities, Manifest, Recipients,
    manifest::FORMAT,
    object::{self, sha256},
};

/// The backups of one log in a store.
///
/// | key | contents |
/// |---|---|
/// | `log.json` | which log it is |
/// | `backups/<id>.json` | a manifest |
/// | `streams/<stream>/<first>-<last>-<digest>.age` | a chunk |
/// | `vault/<digest>.age` | a vault |
/// | `epochs/<number>.json` | a restore that raised the epoch |
#[derive(Debug, Clone)]
pub struct Repository {
    store: PlainStore,
    recipients: Option<Recipients>,
    identities: Option<Identities>,
}

/// The backups of a store.
#[derive(Debug, Default)]
pub struct Backups {
    /// Those that can be read, oldest first.
    pub readable: Vec<Manifest>,
    /// Why others cannot be read: their manifests are damaged, or of another version of ffapi.
    pub unreadable: Vec<BackupError>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LogName {
    format: u32,
    log_id: Uuid,
}

const LOG_NAME: &str = "log.json";
const MANIFESTS: &str = "backups";
const EPOCHS: &str = "epochs";

impl Repository {
    /// The backups in a store, to be listed.
    pub const fn new(store: PlainStore) -> Self {
        Self { store, recipients: None, identities: None }
    }

    /// Allows backups to be made.
    #[must_use]
    pub fn encrypt_to(self, recipients: Recipients) -> Self {
        Self { recipients: Some(recipients), ..self }
    }

    /// Allows backups to be read.
    #[must_use]
    pub fn decrypt_with(self, identities: Identities) -> Self {
        Self { identities: Some(identities), ..self }
    }

    /// Checks that the store has backups of this log or of none.
    pub(crate) async fn claim(&self, log_id: Uuid) -> Result<(), BackupError> {
        let name = LogName { format: FORMAT, log_id };
        let found = if let Some(bytes) = self.store.get(LOG_NAME).await? {
            parse::<LogName>(LOG_NAME, &bytes)?
        } else {
            self.store.put(LOG_NAME, json(&name)?).await?;
            name
        };
        check_format(LOG_NAME, found.format)?;
        if found.log_id == log_id {
            return Ok(());
        }
        Err(BackupError::refused(format!(
            "the store has backups of log {}, and this is log {log_id}: use another folder of it",
            found.log_id
        )))
    }

    /// All backups. One that cannot be read does not hide the others.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn backups(&self) -> Result<Backups, BackupError> {
        let mut backups = Backups::default();
        for listed in self.store.list(MANIFESTS).await? {
            // Deleted since.
            let Some(bytes) = self.store.get(&listed.key).await? else { continue };
            match Self::parse_manifest(&listed.key, &bytes) {
                Ok(manifest) => backups.readable.push(manifest),
                Err(error) => backups.unreadable.push(error),
            }
        }
        backups.readable.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        Ok(backups)
    }

    /// The newest backup, if there is one: of all epochs, or of one.
    ///
    /// # Errors
    /// When the store fails, or its manifest is damaged.
    pub async fn newest(&self, epoch: Option<u32>) -> Result<Option<Manifest>, BackupError> {
        for listed in self.store.list(MANIFESTS).await?.into_iter().rev() {
            let Some(bytes) = self.store.get(&listed.key).await? else { continue };
            let manifest = Self::parse_manifest(&listed.key, &bytes)?;
            if epoch.is_none_or(|epoch| manifest.epoch == epoch) {
                return Ok(Some(manifest));
            }
        }
        Ok(None)
    }

    /// One backup by its id.
    ///
    /// # Errors
    /// When there is none of this id, its manifest is damaged, or the store fails.
    pub async fn backup(&self, id: &str) -> Result<Manifest, BackupError> {
        let key = manifest_key(id);
        let bytes = self.store.get(&key).await?;
        let missing = || BackupError::refused(format!("there is no backup {id}"));
        Self::parse_manifest(&key, &bytes.ok_or_else(missing)?)
    }

    fn parse_manifest(key: &str, bytes: &[u8]) -> Result<Manifest, BackupError> {
        let manifest: Manifest = parse(key, bytes)?;
        check_format(key, manifest.format)?;
        Ok(manifest)
    }

    pub(crate) async fn publish(&self, manifest: &Manifest) -> Result<(), BackupError> {
        Ok(self.store.put(&manifest_key(&manifest.id), json(manifest)?).await?)
    }

    pub(crate) async fn retract(&self, id: &str) -> Result<(), BackupError> {
        Ok(self.store.remove(&manifest_key(id)).await?)
    }

    /// Reserves the number of a new epoch, above `above`, for one restore.
    pub(crate) async fn reserve_epoch(&self, above: u32, why: &str) -> Result<u32, BackupError> {
        let mut epoch = above.saturating_add(1);
        // The epoch of a backup that cannot be read was reserved as well, if a restore began it.
        for backup in self.backups().await?.readable {
            epoch = epoch.max(backup.epoch.saturating_add(1));
        }
        loop {
            let key = format!("{EPOCHS}/{epoch:010}.json");
            let text = serde_json::json!({ "restore": why }).to_string();
            if self.store.put_new(&key, text.into()).await? {
                return Ok(epoch);
            }
            epoch = epoch.saturating_add(1);
        }
    }

    /// Compresses and encrypts, outside of the runtime's threads.
    pub(crate) async fn seal(&self, clear: Vec<u8>) -> Result<Bytes, BackupError> {
        let none = || BackupError::refused("no recipient is configured");
        let recipients = self.recipients.clone().ok_or_else(none)?;
        let sealing = tokio::task::spawn_blocking(move || object::seal(&recipients, &clear));
        sealing.await.map_err(std::io::Error::other)?
    }

    /// Reads an object and checks its digest.
    pub(crate) async fn fetch(&self, key: &str, digest: &str) -> Result<Bytes, BackupError> {
        let missing = || BackupError::damaged(key, "it is missing");
        let bytes = self.store.get(key).await?.ok_or_else(missing)?;
        if sha256(&bytes) == digest {
            return Ok(bytes);
        }
        Err(BackupError::damaged(key, format!("its {} bytes have another SHA-256", bytes.len())))
    }

    /// Reads an object, checks, decrypts and decompresses it.
    pub(crate) async fn open(&self, key: &str, digest: &str) -> Result<Vec<u8>, BackupError> {
        let none = || BackupError::refused("an identity file is needed (--identity)");
        let identities = self.identities.clone().ok_or_else(none)?;
        let (sealed, key) = (self.fetch(key, digest).await?, key.to_owned());
        let opening = tokio::task::spawn_blocking(move || object::open(&identities, &key, &sealed));
        opening.await.map_err(std::io::Error::other)?
    }

    pub(crate) async fn put(&self, key: &str, bytes: Bytes) -> Result<(), BackupError> {
        Ok(self.store.put(key, bytes).await?)
    }

    pub(crate) async fn list(&self, beneath: &str) -> Result<Vec<Listed>, BackupError> {
        Ok(self.store.list(beneath).await?)
    }

    pub(crate) async fn remove(&self, key: &str) -> Result<(), BackupError> {
        Ok(self.store.remove(key).await?)
    }
}

fn manifest_key(id: &str) -> String {
    format!("{MANIFESTS}/{id}.json")
}

fn json(value: &impl Serialize) -> Result<Bytes, BackupError> {
    let text = serde_json::to_vec_pretty(value);
    Ok(text.map_err(|error| BackupError::refused(error.to_string()))?.into())
}

fn parse<T: for<'a> Deserialize<'a>>(key: &str, bytes: &[u8]) -> Result<T, BackupError> {
    serde_json::from_slice(bytes).map_err(|error| BackupError::damaged(key, error.to_string()))
}

fn check_format(key: &str, format: u32) -> Result<(), BackupError> {
    if format == FORMAT {
        return Ok(());
    }
    Err(BackupError::refused(format!(
        "{key} has format {format}; this version of ffapi reads format {FORMAT}"
    )))
}
