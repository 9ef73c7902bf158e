//! Repeated uploads with the same idempotency key.

use ffapi_domain::{UploadId, upload::UploadState};
use ffapi_storage::TenantStorage;

use super::stored;
use crate::{auth::Principal, idempotency::Key, problem::Problem, state::Gateway};

/// The upload that an idempotency key stands for.
pub(super) struct Reserved {
    pub(super) id: UploadId,
    /// True if an earlier request stored it.
    pub(super) replayed: bool,
}

/// Reserves a key for bytes that are already stored: only then their hash can be compared with the
/// earlier request's.
pub(super) async fn reserve(
    gateway: &Gateway,
    principal: &Principal,
    storage: &TenantStorage,
    key: Key,
    own: UploadId,
) -> Result<Reserved, Problem> {
    let id = match key.reserve(&gateway.idempotency, &principal.tenant, &own).await {
        Ok(id) => id,
        Err(error) => {
            storage.forget(own).await?;
            return Err(error.into());
        }
    };
    let state = stored::state(gateway, &principal.tenant, id).await?;
    Ok(match state {
        _ if id == own => Reserved { id, replayed: false },
        UploadState::Completed { .. } => {
            storage.forget(own).await?;
            Reserved { id, replayed: true }
        }
        // The earlier request did not get beyond the reservation.
        UploadState::Unknown => {
            storage.rename(own, id).await?;
            Reserved { id, replayed: false }
        }
        // The earlier upload is gone; this is a new one.
        UploadState::Expired => Reserved { id: own, replayed: false },
    })
}
