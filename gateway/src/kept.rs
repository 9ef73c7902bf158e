//! Room for what is about to be stored, held before its first byte is read.

use std::{sync::Arc, time::Duration};

use commands::{Caller, HandleError};
use domain::{
    Tenant, UploadId,
    kept::{Kept, KeptCommand, KeptRejection},
};

use crate::{
    clock,
    problem::{Kind, Problem},
    state::Gateway,
};

/// How long room is held for an upload, beside the time that its bytes may take.
const TERM: Duration = Duration::from_hours(1);
/// Bytes a second below which an upload is broken off.
const SLOWEST: u64 = 1_000;

/// Bytes of a tenant that are kept, and held for what is being stored.
pub(crate) async fn taken(gateway: &Gateway, tenant: &Tenant) -> Result<u64, Problem> {
    let name = tenant.as_str();
    Ok(gateway.commands.state::<Kept>(name, name).await?.taken())
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
    let until = clock::now().plus(TERM).plus(Duration::from_secs(most / SLOWEST));
    let command = KeptCommand::Hold { thing: thing.clone(), least, most, until, limit };
    let mut room = Room {
        gateway: Arc::clone(gateway),
        tenant: tenant.clone(),
        caller: caller.clone(),
        id,
        used: false,
        bytes: least,
    };
    if let Err(error) = gateway.commands.handle::<Kept>(name, name, caller, command).await {
        // Of a refusal there is nothing to give back; of anything else nobody knows.
        room.used = matches!(error, HandleError::Rejected(_));
        return Err(error.into());
    }
    if let Wanted::UpTo(_) = wanted {
        room.bytes = gateway.commands.state::<Kept>(name, name).await?.held(&thing);
    }
    Ok(room)
}

impl Room {
    /// What it was held for is there: it is counted from the log.
    pub(crate) fn settle(mut self) {
        self.used = true;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.used {
            return;
        }
        let (gateway, tenant) = (Arc::clone(&self.gateway), self.tenant.clone());
        let (caller, id) = (self.caller.clone(), self.id);
        tokio::spawn(async move {
            let (name, command) = (tenant.as_str(), KeptCommand::Release { thing: id.to_string() });
            let released = gateway.commands.handle::<Kept>(name, name, &caller, command).await;
            if let Err(error) = released {
                // It ends by itself.
                tracing::debug!(%error, upload = %id, "its room is given back later");
            }
        });
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
