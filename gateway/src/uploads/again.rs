//! Sending the same file again under the same key.

use ffapi_domain::{UploadId, upload::UploadState};
use ffapi_storage::Storage;

use super::stored;
use crate::{auth::Principal, idempotency::Key, problem::Problem, state::Gateway};

/// The id that a key stands for.
pub(super) struct Reserved {
    pub(super) id: UploadId,
    /// An earlier request stored it.
    pub(super) replayed: bool,
}

/// Reserves a key for bytes that are stored already: only then it is known whether they are the
/// same as before.
pub(super) async fn reserve(
    gateway: &Gateway,
    principal: &Principal,
    storage: &Storage,
    key: Key,
    own: UploadId,
) -> Result<Reserved, Problem> {
    let id = match key.reserve(gateway, principal, &own).await {
        Ok(id) => id,
        Err(problem) => {
            storage.forget(own).await?;
            return Err(problem);
        }
    };
    let state = stored::state(gateway, &principal.tenant, id).await?;
    Ok(match state {
        _ if id == own => Reserved { id, replayed: false },
        UploadState::Completed { .. } => {
            storage.forget(own).await?;
            Reserved { id, replayed: true }
        }
        // Whoever reserved it went no further.
        UploadState::Unknown => {
            storage.rename(own, id).await?;
            Reserved { id, replayed: false }
        }
        // What the key stood for is gone; this is another upload.
        UploadState::Expired => Reserved { id: own, replayed: false },
    })
}
