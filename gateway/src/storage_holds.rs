//! Room for what is about to be stored, held before its first byte is read.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    Tenant, UploadId,
    storage_quota::{StorageQuota, StorageQuotaCommand, StorageQuotaRejection},
};

use ffapi_nats::CodecError;
use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    problem::{Kind, Problem},
    state::Gateway,
};

/// How long room is held for an upload whose gateway does not say any more that it goes on.
const TERM: Duration = Duration::from_mins(10);
/// How often it says so, of all uploads of a tenant in one message.
const RENEW: Duration = Duration::from_mins(3);
/// Tries to give room back, and how long between the first two; it doubles.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a tenant that are kept, and held for what is being stored; none where the log cannot be read.
pub(crate) async fn taken(gateway: &Gateway, tenant: &Tenant) -> Result<Option<u64>, Problem> {
    let name = tenant.as_str();
    match gateway.commands.state::<StorageQuota>(name, name).await {
        Ok(kept) => Ok(Some(kept.taken())),
        Err(CodecError::Unreadable(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How much room an upload needs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StorageNeed {
    /// Its sender says how long it is, or it is there already.
    Exactly(u64),
    /// Nobody knows; no more than this.
    UpTo(u64),
}

/// Room that is held for an upload, and given back when this goes, also with a sender that breaks off.
#[derive(Debug)]
pub(crate) struct StorageHold {
    gateway: Arc<Gateway>,
    tenant: Tenant,
    caller: Caller,
    id: UploadId,
    used: bool,
    /// So many bytes.
    pub(crate) bytes: u64,
}

/// Bytes that this gateway holds for uploads under way, by tenant and upload.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    of: Mutex<BTreeMap<Tenant, BTreeMap<String, u64>>>,
}

impl Holds {
    fn add(&self, tenant: &Tenant, id: UploadId, bytes: u64) {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.entry(tenant.clone()).or_default().insert(id.to_string(), bytes);
    }

    fn remove(&self, tenant: &Tenant, id: UploadId) {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(holds) = of.get_mut(tenant) else { return };
        holds.remove(&id.to_string());
        if holds.is_empty() {
            of.remove(tenant);
        }
    }

    fn all(&self) -> BTreeMap<Tenant, BTreeMap<String, u64>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Holds room for an upload.
///
/// # Errors
/// When the account keeps too much already.
pub(crate) async fn hold(
    gateway: &Arc<Gateway>,
    tenant: &Tenant,
    caller: &Caller,
    id: UploadId,
    wanted: StorageNeed,
) -> Result<StorageHold, Problem> {
    let (least, most) = match wanted {
        StorageNeed::Exactly(bytes) => (bytes, bytes),
        StorageNeed::UpTo(most) => (1, most),
    };
    let (name, thing) = (tenant.as_str(), id.to_string());
    let limit = gateway.directory.limits(tenant).storage_bytes;
    let until = clock::now().plus(TERM);
    let command = StorageQuotaCommand::Hold { thing: thing.clone(), least, most, until, limit };
    let mut room = StorageHold {
        gateway: Arc::clone(gateway),
        tenant: tenant.clone(),
        caller: caller.clone(),
        id,
        used: false,
        bytes: least,
    };
    if let Err(error) = gateway.commands.handle::<StorageQuota>(name, name, caller, command).await {
        // Of a refusal there is nothing to give back; of anything else nobody knows.
        room.used = matches!(error, HandleError::Rejected(_));
        return Err(error.into());
    }
    if let StorageNeed::UpTo(_) = wanted {
        room.bytes = gateway.commands.state::<StorageQuota>(name, name).await?.held(&thing);
    }
    gateway.holds.add(tenant, id, room.bytes);
    Ok(room)
}

impl StorageHold {
    /// What it was held for is there: it is counted from the log.
    pub(crate) fn settle(mut self) {
        self.used = true;
    }
}

impl Drop for StorageHold {
    fn drop(&mut self) {
        // It is not held any longer from here on.
        self.gateway.holds.remove(&self.tenant, self.id);
        if self.used {
            return;
        }
        let (gateway, tenant) = (Arc::clone(&self.gateway), self.tenant.clone());
        let (caller, id) = (self.caller.clone(), self.id);
        tokio::spawn(async move {
            let (name, thing) = (tenant.as_str(), id.to_string());
            for attempt in 0..TRIES {
                let command = StorageQuotaCommand::Release { thing: thing.clone() };
                match gateway.commands.handle::<StorageQuota>(name, name, &caller, command).await {
                    Ok(_) => return,
                    Err(error) => {
                        tracing::debug!(%error, upload = %id, "its room is not given back yet");
                    }
                }
                tokio::time::sleep(PAUSE.saturating_mul(1 << attempt)).await;
            }
        });
    }
}

/// Holds for longer what is still being stored, until told to stop.
pub(crate) async fn run(gateway: Arc<Gateway>, stop: &CancellationToken) {
    let caller = Caller::process("gateway");
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RENEW) => {}
        }
        for (tenant, holds) in gateway.holds.all() {
            let (name, until) = (tenant.as_str(), clock::now().plus(TERM));
            let command = StorageQuotaCommand::Extend { holds, until };
            if let Err(error) =
                gateway.commands.handle::<StorageQuota>(name, name, &caller, command).await
            {
                tracing::debug!(%error, %tenant, "room is not held for longer yet");
            }
        }
    }
}

impl From<StorageQuotaRejection> for Problem {
    fn from(rejection: StorageQuotaRejection) -> Self {
        match rejection {
            StorageQuotaRejection::Full { .. } => Self::new(
                Kind::TooLarge,
                format!(
                    "{rejection}; DELETE /uploads/{{id}} frees what an upload takes, outputs go \
                     after the time that they are kept, and an admin can give the account more \
                     `storage_bytes`"
                ),
            ),
            StorageQuotaRejection::Busy => {
                Self::too_many(format!("{rejection}; wait for some of them"), 5)
            }
        }
    }
}
