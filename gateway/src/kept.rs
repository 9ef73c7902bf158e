//! Room for what is about to be stored, held before its first byte is read.

use std::{sync::Arc, time::Duration};

use commands::{Caller, HandleError};
use domain::{
    Tenant, UploadId,
    kept::{Kept, KeptCommand, KeptRejection},
};

use nats::CodecError;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    clock,
    problem::{Kind, Problem},
    state::Gateway,
};

/// How long room is held for an upload whose gateway does not say any more that it goes on.
const TERM: Duration = Duration::from_mins(10);
/// How often it says so.
const RENEW: Duration = Duration::from_mins(3);
/// Tries to give room back, and how long between the first two; it doubles.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a tenant that are kept, and held for what is being stored; none where the log cannot be read.
pub(crate) async fn taken(gateway: &Gateway, tenant: &Tenant) -> Result<Option<u64>, Problem> {
    let name = tenant.as_str();
    match gateway.commands.state::<Kept>(name, name).await {
        Ok(kept) => Ok(Some(kept.taken())),
        Err(CodecError::Unreadable(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How much room an upload needs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// Its sender says how long it is, or it is there already.
    Exactly(u64),
    /// Nobody knows; no more than this.
    UpTo(u64),
}

/// Room that is held for an upload, and given back when this goes, also with a sender that breaks off.
#[derive(Debug)]
pub(crate) struct Room {
    gateway: Arc<Gateway>,
    tenant: Tenant,
    caller: Caller,
    id: UploadId,
    used: bool,
    /// So many bytes.
    pub(crate) bytes: u64,
    /// Says from time to time that it is still needed.
    renewing: Option<AbortOnDropHandle<()>>,
}

/// Holds room for an upload.
///
/// # Errors
/// When the account keeps too much already.
pub(crate) async fn hold(
    gateway: &Arc<Gateway>,
    (tenant, caller): (&Tenant, &Caller),
    id: UploadId,
    wanted: Wanted,
) -> Result<Room, Problem> {
    let (least, most) = match wanted {
        Wanted::Exactly(bytes) => (bytes, bytes),
        Wanted::UpTo(most) => (1, most),
    };
    let (name, thing) = (tenant.as_str(), id.to_string());
    let limit = gateway.directory.limits(tenant).storage_bytes;
    let until = clock::now().plus(TERM);
    let command = KeptCommand::Hold { thing: thing.clone(), least, most, until, limit };
    let mut room = Room {
        gateway: Arc::clone(gateway),
        tenant: tenant.clone(),
        caller: caller.clone(),
        id,
        used: false,
        bytes: least,
        renewing: None,
    };
    if let Err(error) = gateway.commands.handle::<Kept>(name, name, caller, command).await {
        // Of a refusal there is nothing to give back; of anything else nobody knows.
        room.used = matches!(error, HandleError::Rejected(_));
        return Err(error.into());
    }
    if let Wanted::UpTo(_) = wanted {
        room.bytes = gateway.commands.state::<Kept>(name, name).await?.held(&thing);
    }
    let renewing =
        tokio::spawn(renew(Arc::clone(gateway), tenant.clone(), caller.clone(), id, room.bytes));
    room.renewing = Some(AbortOnDropHandle::new(renewing));
    Ok(room)
}

impl Room {
    /// What it was held for is there: it is counted from the log.
    pub(crate) fn settle(mut self) {
        self.used = true;
        self.renewing = None;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // It is not held any longer from here on.
        self.renewing = None;
        if self.used {
            return;
        }
        let (gateway, tenant) = (Arc::clone(&self.gateway), self.tenant.clone());
        let (caller, id) = (self.caller.clone(), self.id);
        tokio::spawn(async move {
            let (name, thing) = (tenant.as_str(), id.to_string());
            for attempt in 0..TRIES {
                let command = KeptCommand::Release { thing: thing.clone() };
                match gateway.commands.handle::<Kept>(name, name, &caller, command).await {
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

/// Holds the same room for longer, until it is called off.
async fn renew(gateway: Arc<Gateway>, tenant: Tenant, caller: Caller, id: UploadId, bytes: u64) {
    let name = tenant.as_str();
    loop {
        tokio::time::sleep(RENEW).await;
        let limit = gateway.directory.limits(&tenant).storage_bytes;
        let (thing, until) = (id.to_string(), clock::now().plus(TERM));
        let command = KeptCommand::Hold { thing, least: bytes, most: bytes, until, limit };
        if let Err(error) = gateway.commands.handle::<Kept>(name, name, &caller, command).await {
            tracing::debug!(%error, upload = %id, "its room is not held for longer yet");
        }
    }
}

impl From<KeptRejection> for Problem {
    fn from(rejection: KeptRejection) -> Self {
        match rejection {
            KeptRejection::Full { .. } => Self::new(
                Kind::TooLarge,
                format!(
                    "{rejection}; DELETE /uploads/{{id}} frees what an upload takes, outputs go \
                     after the time that they are kept, and an admin can give the account more \
                     `storage_bytes`"
                ),
            ),
            KeptRejection::Busy => Self::too_many(format!("{rejection}; wait for some of them"), 5),
        }
    }
}
