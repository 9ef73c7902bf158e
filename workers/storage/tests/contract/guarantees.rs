pub(crate) mod outputs;
pub(crate) mod reads;
pub(crate) mod staging;
pub(crate) mod uploads;

use std::io::Write;

use bytes::Bytes;
use ffapi_domain::{JobId, Tenant, UploadId, location::Location, media::Overwrite};
use ffapi_storage::{Staged, Storage, StorageError, TenantStorage};
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A store as one tenant sees it.
pub(crate) struct Store {
    pub(crate) all: Storage,
    pub(crate) tenant: Tenant,
    pub(crate) storage: TenantStorage,
}

/// A location in the deployment's own store.
pub(crate) fn at(store: &Store, path: &str) -> Location {
    store.storage.canonical(path.parse().unwrap())
}

pub(crate) fn upload(number: u128) -> UploadId {
    UploadId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn staged(attempt: u32) -> Staged {
    Staged { job: JobId::from_uuid(Uuid::from_u128(7)), attempt, name: "output".to_owned() }
}

impl Store {
    pub(crate) fn new(all: &Storage, number: usize) -> Self {
        let tenant: Tenant = format!("tenant-{number}").parse().unwrap();
        Self { all: all.clone(), storage: all.of(&tenant), tenant }
    }

    pub(crate) async fn bytes(&self, location: &Location) -> Vec<u8> {
        let reading = self.storage.read(location, None).await.unwrap();
        let chunks: Vec<Bytes> = reading.bytes.try_collect().await.unwrap();
        chunks.concat()
    }

    pub(crate) async fn exists(&self, location: &Location) -> bool {
        self.storage.stat(location).await.unwrap().is_some()
    }

    /// Stages bytes for an output of an attempt; returns their hash.
    pub(crate) async fn stage(&self, attempt: u32, to: &Location, bytes: &[u8]) -> String {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let (staged, running) = (staged(attempt), CancellationToken::new());
        let received = self.storage.stage(&staged, file, to, running).await.unwrap();
        assert_eq!(received.sha256, hex::encode(Sha256::digest(bytes)));
        assert_eq!(received.size, bytes.len() as u64);
        received.sha256
    }

    pub(crate) async fn publish(
        &self,
        attempt: u32,
        to: &Location,
        sha256: &str,
        overwrite: Overwrite,
    ) -> Result<(), StorageError> {
        self.storage.publish(&staged(attempt), to, sha256, overwrite).await
    }

    /// Stores an object.
    pub(crate) async fn put(&self, to: &Location, bytes: &[u8]) {
        let sha256 = self.stage(99, to, bytes).await;
        self.publish(99, to, &sha256, Overwrite::Replace).await.unwrap();
        self.storage.drop_staging(staged(99).job, 99, to).await;
    }
}
