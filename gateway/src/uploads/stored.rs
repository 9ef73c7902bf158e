//! Uploads of an account. Those from before its last erasure are gone, whatever their events say.

use ffapi_domain::{
    Personal, Tenant, UploadId,
    upload::{Upload, UploadEvent, UploadState},
};
use poem_openapi::types::Any;

use super::UploadBody;
use crate::{problem::Problem, state::Gateway};

/// The state of an upload.
pub(crate) async fn state(
    gateway: &Gateway,
    tenant: &Tenant,
    id: UploadId,
) -> Result<UploadState, Problem> {
    let (name, id) = (tenant.as_str(), id.to_string());
    let (state, sequence) = gateway.commands.state_at::<Upload>(name, &id).await?;
    let begins_after = gateway.credentials.account(tenant).begins_after;
    Ok(match state {
        UploadState::Completed { .. } if sequence <= begins_after => UploadState::Expired,
        state => state,
    })
}

/// The representation of a stored upload.
pub(super) async fn shown(
    gateway: &Gateway,
    tenant: &Tenant,
    id: UploadId,
) -> Result<UploadBody, Problem> {
    let history = gateway.commands.history::<Upload>(tenant.as_str(), &id.to_string()).await?;
    let begins_after = gateway.credentials.account(tenant).begins_after;
    let current = history.iter().filter(|(sequence, _)| *sequence > begins_after);
    let mut stored = None;
    for event in current.flat_map(|(_, decision)| &decision.events) {
        stored = match event {
            UploadEvent::Completed { file_name, size, sha256, media } => Some(UploadBody {
                id: id.to_string(),
                file_name: file_name.as_ref().cloned(),
                size: *size,
                sha256: sha256.clone(),
                media: media.as_ref().and_then(Personal::as_ref).cloned().map(Any),
            }),
            UploadEvent::Expired {} => None,
        };
    }
    stored.ok_or_else(|| Problem::not_found("upload"))
}
