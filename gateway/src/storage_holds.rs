//! Holds on an account's storage quota for uploads, made before their first byte is read.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ffapi_commands::{Caller, Commands, HandleError};
use ffapi_domain::{
    Tenant, UploadId,
    storage_quota::{StorageQuota, StorageQuotaCommand, StorageQuotaRejection},
};
use ffapi_nats::CodecError;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::CredentialStore,
    clock,
    metrics::{self, Limit},
};

/// How long a hold lasts if its gateway does not extend it any more.
const HOLD_DURATION: Duration = Duration::from_mins(10);
/// How often holds are extended, those of one tenant in one message.
const EXTEND_INTERVAL: Duration = Duration::from_mins(3);
/// Attempts to release a hold, and the delay between the first two; it doubles each time.
const RELEASE_ATTEMPTS: u32 = 8;
const RELEASE_RETRY_DELAY: Duration = Duration::from_millis(100);

/// How much storage an upload needs, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StorageNeed {
    /// The size is known, for example from `Content-Length`.
    Exactly(u64),
    /// The size is unknown; at most this many.
    UpTo(u64),
}

/// Storage that is held for an upload. Released when this is dropped, also if the upload is
/// aborted.
#[derive(Debug)]
pub(crate) struct StorageHold {
    holds: Arc<StorageHolds>,
    tenant: Tenant,
    caller: Caller,
    /// The upload.
    pub(crate) id: UploadId,
    settled: bool,
    /// The number of bytes held.
    pub(crate) bytes: u64,
}

/// Bytes that this gateway holds for uploads in progress, by tenant and upload.
#[derive(Debug)]
pub(crate) struct StorageHolds {
    commands: Arc<Commands>,
    credentials: Arc<CredentialStore>,
    by_tenant: Mutex<BTreeMap<Tenant, BTreeMap<String, u64>>>,
}

/// Why storage is not held.
pub(crate) type StorageHoldError = HandleError<StorageQuotaRejection>;

impl StorageHolds {
    pub(crate) fn new(commands: Arc<Commands>, credentials: Arc<CredentialStore>) -> Self {
        Self { commands, credentials, by_tenant: Mutex::default() }
    }

    fn add(&self, tenant: &Tenant, id: UploadId, bytes: u64) {
        let mut by_tenant = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        by_tenant.entry(tenant.clone()).or_default().insert(id.to_string(), bytes);
    }

    fn remove(&self, tenant: &Tenant, id: UploadId) {
        let mut by_tenant = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(holds) = by_tenant.get_mut(tenant) else { return };
        holds.remove(&id.to_string());
        if holds.is_empty() {
            by_tenant.remove(tenant);
        }
    }

    fn all(&self) -> BTreeMap<Tenant, BTreeMap<String, u64>> {
        self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes that a tenant has stored or holds; none if its storage aggregate cannot be decoded.
    pub(crate) async fn taken(&self, tenant: &Tenant) -> Result<Option<u64>, CodecError> {
        let name = tenant.as_str();
        match self.commands.state::<StorageQuota>(name, name).await {
            Ok(kept) => Ok(Some(kept.taken())),
            Err(CodecError::Unreadable(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Holds storage for an upload.
    ///
    /// # Errors
    /// When the account's storage quota is exhausted.
    pub(crate) async fn hold(
        self: &Arc<Self>,
        tenant: &Tenant,
        caller: &Caller,
        id: UploadId,
        need: StorageNeed,
    ) -> Result<StorageHold, StorageHoldError> {
        let (least, most) = match need {
            StorageNeed::Exactly(bytes) => (bytes, bytes),
            StorageNeed::UpTo(most) => (1, most),
        };
        let (name, thing) = (tenant.as_str(), id.to_string());
        let limit = self.credentials.limits(tenant).storage_bytes;
        let until = clock::now().plus(HOLD_DURATION);
        let command = StorageQuotaCommand::Hold { thing: thing.clone(), least, most, until, limit };
        let mut hold = StorageHold {
            holds: Arc::clone(self),
            tenant: tenant.clone(),
            caller: caller.clone(),
            id,
            settled: false,
            bytes: least,
        };
        let held = self.commands.handle::<StorageQuota>(name, name, caller, command).await;
        let held = held.inspect_err(|error| {
            // A rejected hold need not be released; after any other error it may exist.
            hold.settled = matches!(error, HandleError::Rejected(_));
            if hold.settled {
                metrics::limit_reached(Limit::Storage);
            }
        })?;
        if let StorageNeed::UpTo(_) = need {
            hold.bytes = held.state.held(&thing);
        }
        self.add(tenant, id, hold.bytes);
        Ok(hold)
    }

    /// Extends the holds of uploads in progress until `stop` is cancelled.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        let caller = Caller::process("gateway");
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EXTEND_INTERVAL) => {}
            }
            for (tenant, holds) in self.all() {
                let (name, until) = (tenant.as_str(), clock::now().plus(HOLD_DURATION));
                let command = StorageQuotaCommand::Extend { holds, until };
                if let Err(error) =
                    self.commands.handle::<StorageQuota>(name, name, &caller, command).await
                {
                    tracing::debug!(%error, %tenant, "storage holds are not extended yet");
                }
            }
        }
    }
}

impl StorageHold {
    /// The upload is stored and counted from the log: the hold need not be released.
    pub(crate) fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for StorageHold {
    fn drop(&mut self) {
        // From here on it is not extended any more.
        self.holds.remove(&self.tenant, self.id);
        if self.settled {
            return;
        }
        let (commands, tenant) = (Arc::clone(&self.holds.commands), self.tenant.clone());
        let (caller, id) = (self.caller.clone(), self.id);
        tokio::spawn(async move {
            let (name, thing) = (tenant.as_str(), id.to_string());
            for attempt in 0..RELEASE_ATTEMPTS {
                let command = StorageQuotaCommand::Release { thing: thing.clone() };
                match commands.handle::<StorageQuota>(name, name, &caller, command).await {
                    Ok(_) => return,
                    Err(error) => {
                        tracing::debug!(
                            %error,
                            upload = %id,
                            "a storage hold is not released yet"
                        );
                    }
                }
                tokio::time::sleep(RELEASE_RETRY_DELAY.saturating_mul(1 << attempt)).await;
            }
        });
    }
}
