//! Outputs that are put at URLs which clients signed: real stores that accept such URLs, and a host that
//! answers as a test wants.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod host;
mod providers;
mod tries;

use std::io::Write;

use ffapi_domain::{
    JobId, Tenant, Timestamp,
    location::{Location, PutTarget},
};
use ffapi_storage::{
    Egress, EgressConfig, PutError, Received, Staged, StagedJob, Storage, TenantStorage,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A deployment with a staged file.
pub(crate) struct Sender {
    _folder: Option<tempfile::TempDir>,
    storage: Storage,
    egress: Egress,
}

fn tenant() -> Tenant {
    "acme".parse().unwrap()
}

fn staged() -> Staged {
    Staged { job: JobId::from_uuid(Uuid::from_u128(7)), attempt: 1, name: "output".to_owned() }
}

fn egress() -> Egress {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let allow = vec!["127.0.0.1/32".parse().unwrap()];
    Egress::new(&EgressConfig { allow, ..EgressConfig::default() }).unwrap()
}

/// The output of a job that is put at a URL.
pub(crate) fn output(url: &str) -> Location {
    Location::put(url, PutTarget::File, Timestamp::from_millis(0)).unwrap()
}

impl Sender {
    /// A deployment that stages in a folder.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(folder.path()).unwrap();
        Self { _folder: Some(folder), ..Self::with(storage) }
    }

    pub(crate) fn with(storage: Storage) -> Self {
        Self { _folder: None, storage, egress: egress() }
    }

    fn tenant_storage(&self) -> TenantStorage {
        self.storage.of(&tenant())
    }

    pub(crate) async fn stage(&self, to: &Location, bytes: &[u8]) -> Received {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let running = CancellationToken::new();
        self.tenant_storage().stage(&staged(), file, to, running).await.unwrap()
    }

    pub(crate) async fn put(&self, to: &Location, sealed: &Received) -> Result<(), PutError> {
        self.tenant_storage().put(&self.egress, &staged(), to, sealed).await
    }

    /// Stages bytes and puts them at a URL.
    pub(crate) async fn send(&self, to: &Location, bytes: &[u8]) -> Result<(), PutError> {
        let sealed = self.stage(to, bytes).await;
        self.put(to, &sealed).await
    }

    /// Drops what is staged; returns the jobs that have anything staged then.
    pub(crate) async fn dropped(&self, to: &Location) -> Vec<StagedJob> {
        self.tenant_storage().clear_staging(staged().job, 1, to).await;
        let later = std::time::SystemTime::now() + std::time::Duration::from_mins(1);
        self.storage.staged_before(later).await.unwrap()
    }
}
