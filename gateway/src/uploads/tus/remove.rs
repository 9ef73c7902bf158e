//! Deletion of uploads in parts.

use ffapi_domain::{
    storage_quota::{StorageQuota, StorageQuotaCommand},
    upload::UploadState,
};

use super::continued::Continued;
use crate::{
    problem::Problem,
    uploads::{expire, stored},
};

/// Deletes an upload in parts and releases its storage. What a request stores at this moment is deleted
/// here, or by that request, which finds that no storage is held.
pub(super) async fn remove(upload: &Continued) -> Result<(), Problem> {
    let storage = upload.gateway.storage.of(&upload.tenant);
    storage.drop_partial(upload.id).await?;
    let release = StorageQuotaCommand::Release { thing: upload.id.to_string() };
    let (name, commands) = (upload.tenant.as_str(), &upload.gateway.commands);
    commands.handle::<StorageQuota>(name, name, &upload.caller, release).await?;
    Ok(storage.drop_partial(upload.id).await?)
}

/// Deletes an upload, complete or not.
pub(super) async fn terminate(upload: Continued) -> Result<(), Problem> {
    let Continued { gateway, tenant, caller, id } = upload.clone();
    let mut state = stored::state(&gateway, &tenant, id).await?;
    if state == UploadState::Unknown {
        let description = gateway.storage.of(&tenant).partial_description(id).await?;
        description.ok_or_else(|| Problem::not_found("upload"))?;
        remove(&upload).await?;
        // It may have been completed meanwhile.
        state = stored::state(&gateway, &tenant, id).await?;
    } else if state == UploadState::Expired {
        return Err(Problem::not_found("upload"));
    }
    if let UploadState::Completed { .. } = state {
        expire(gateway, tenant, caller, id).await?;
    }
    Ok(())
}
