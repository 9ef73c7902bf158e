use std::{collections::BTreeMap, fmt};

use ffapi_domain::Timestamp;
use ffapi_nats::{Nats, RawStream, Record, topology::VAULT};
use ffapi_projections::delivery_queue::DueDeliveries;
use serde::{Deserialize, Serialize};

use crate::{
    BackupError, Manifest, create::read_stream, manifest::VaultObject, object::sha256,
    repository::Repository, restore,
};

/// What a backup replaces each time, instead of adding to it: old ones are soon deleted, so that an
/// erased tenant is forgotten.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Vault {
    /// Stream sequence of the newest change of the vault.
    pub(crate) last: u64,
    /// The newest message of each key, encrypted under the master key.
    pub(crate) records: Vec<Record>,
    /// Files of the data folder by name: its secrets.
    pub(crate) files: BTreeMap<String, String>,
    /// The webhook deliveries that were due.
    pub(crate) deliveries: DueDeliveries,
}

impl fmt::Debug for Vault {
    /// Without the contents of files, which are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("last", &self.last)
            .field("files", &self.files.keys())
            .finish_non_exhaustive()
    }
}

/// The files of the data folder that was backed up, by name.
///
/// # Errors
/// When the store fails, or the vault is damaged.
pub async fn files(
    repository: &Repository,
    manifest: &Manifest,
) -> Result<BTreeMap<String, String>, BackupError> {
    let vault = restore::newest_vault(repository, manifest).await?;
    Ok(Vault::load(repository, &vault).await?.files)
}

impl Vault {
    /// Reads the vault of a server.
    pub(crate) async fn read(nats: &Nats) -> Result<Self, BackupError> {
        let stream = RawStream::new(nats.clone(), VAULT);
        let last = stream.bounds().await?.last;
        let records = read_stream(&stream, 1, last).await?;
        Ok(Self { last, records, ..Self::default() })
    }

    /// Stores it, unless it is the one of the previous backup.
    pub(crate) async fn store(
        &self,
        repository: &Repository,
        previous: Option<&Manifest>,
        at: Timestamp,
    ) -> Result<VaultObject, BackupError> {
        let clear = rmp_serde::to_vec_named(self)
            .map_err(|error| BackupError::refused(error.to_string()))?;
        let contents = sha256(&clear);
        if let Some(stored) = previous.map(|previous| &previous.vault)
            && stored.contents == contents
        {
            return Ok(stored.clone());
        }
        let sealed = repository.seal(clear).await?;
        let digest = sha256(&sealed);
        let key = format!("vault/{digest}.age");
        let bytes = sealed.len() as u64;
        repository.put(&key, sealed).await?;
        Ok(VaultObject { key, at, bytes, sha256: digest, contents })
    }

    pub(crate) async fn load(
        repository: &Repository,
        object: &VaultObject,
    ) -> Result<Self, BackupError> {
        let clear = repository.open(&object.key, &object.sha256).await?;
        rmp_serde::from_slice(&clear)
            .map_err(|error| BackupError::damaged(&object.key, error.to_string()))
    }
}
