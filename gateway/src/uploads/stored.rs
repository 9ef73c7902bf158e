//! What an account has stored. An upload of before its erasure is gone, whatever the log says of it.

use ffapi_domain::{
    Personal, Tenant, UploadId,
    upload::{Upload, UploadEvent, UploadState},
};
use poem_openapi::types::Any;

use super::UploadBody;
use crate::{problem::Problem, state::Gateway};

/// Where an upload stands.
pub(crate) async fn state(
    gateway: &Gateway,
    tenant: &Tenant,
    id: UploadId,
) -> Result<UploadState, Problem> {
    let (name, id) = (tenant.as_str(), id.to_string());
    let (state, sequence) = gateway.commands.state_at::<Upload>(name, &id).await?;
    let begins_after = gateway.directory.account(tenant).begins_after;
    Ok(match state {
        UploadState::Completed { .. } if sequence <= begins_after => UploadState::Expired,
        state => state,
    })
}

/// An upload that is there, as it is shown.
pub(super) async fn shown(
    gateway: &Gateway,
    tenant: &Tenant,
    id: UploadId,
) -> Result<UploadBody, Problem> {
    let history = gateway.commands.history::<Upload>(tenant.as_str(), &id.to_string()).await?;
    let begins_after = gateway.directory.account(tenant).begins_after;
    let own = history.iter().filter(|(sequence, _)| *sequence > begins_after);
    let mut stored = None;
    for event in own.flat_map(|(_, decision)| &decision.events) {
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
