//! The ids under which stored files become uploads.

use ffapi_domain::{UploadId, upload::UploadState};
use ffapi_storage::TenantStorage;

use super::stored;
use crate::{
    auth::Principal,
    idempotency::{IdempotencyError, Key},
    problem::{Kind, Problem},
    state::Gateway,
};

/// What a file becomes once it is stored and inspected. Until then it has an id that nothing else has.
pub(super) enum Identity {
    /// The upload of this new id.
    New(UploadId),
    /// The upload of a new id, or the one that an idempotency key stands for.
    OfKey(UploadId, Key),
    /// The upload that was begun under an id and consists of its parts.
    OfParts(UploadId),
}

/// The upload that a file became.
pub(super) struct Reserved {
    pub(super) id: UploadId,
    /// True if an earlier request stored it.
    pub(super) replayed: bool,
}

/// A file that is stored under an id of its own.
pub(super) struct StoredFile<'a> {
    pub(super) id: UploadId,
    pub(super) storage: &'a TenantStorage,
    /// Its hash and its name.
    pub(super) fingerprint: String,
}

/// Gives a stored file the id under which it is recorded. Of several files, at any gateways, all that get
/// the same id have the same bytes: whichever is recorded has its file. A file that does not get
/// one is deleted.
pub(super) async fn reserve(
    gateway: &Gateway,
    principal: &Principal,
    file: &StoredFile<'_>,
    identity: Identity,
) -> Result<Reserved, Problem> {
    let reserved = place(gateway, principal, file, identity).await;
    if reserved.as_ref().map_or(true, |reserved| reserved.replayed) {
        file.storage.forget(file.id).await?;
    }
    reserved
}

async fn place(
    gateway: &Gateway,
    principal: &Principal,
    file: &StoredFile<'_>,
    identity: Identity,
) -> Result<Reserved, Problem> {
    let (own, tenant) = (file.id, &principal.tenant);
    let id = match &identity {
        Identity::New(_) => own,
        Identity::OfKey(_, key) => {
            let key = key.with_fingerprint(file.fingerprint.clone());
            key.reserve(&gateway.idempotency, tenant, &own).await?
        }
        Identity::OfParts(target) => {
            let key = Key::of_upload(*target, file.fingerprint.clone());
            let reserved = key.reserve(&gateway.idempotency, tenant, target).await;
            reserved.map_err(|error| match error {
                IdempotencyError::UsedBefore => {
                    Problem::new(Kind::Conflict, "the upload is being completed with other bytes")
                }
                error => error.into(),
            })?
        }
    };
    if id == own {
        return Ok(Reserved { id, replayed: false });
    }
    match (stored::state(gateway, tenant, id).await?, &identity) {
        (UploadState::Completed { .. }, _) => Ok(Reserved { id, replayed: true }),
        // No request has got beyond the reservation.
        (UploadState::Unknown, identity) => {
            let is_of_parts = matches!(identity, Identity::OfParts(_));
            if is_of_parts && file.storage.partial_description(id).await?.is_none() {
                return Err(Problem::not_found("upload"));
            }
            file.storage.rename(own, id).await?;
            Ok(Reserved { id, replayed: false })
        }
        (UploadState::Expired, Identity::OfParts(_)) => Err(Problem::not_found("upload")),
        // The earlier upload is gone; this is a new one.
        (UploadState::Expired, _) => Ok(Reserved { id: own, replayed: false }),
    }
}
