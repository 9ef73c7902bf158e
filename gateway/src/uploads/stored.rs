//! Uploads of an account. Those from before its last erasure are gone, whatever their events say.

use std::time::Duration;

use ffapi_commands::CommandOutcome;
use ffapi_domain::{
    Personal, Tenant, Timestamp, UploadId,
    media::{Micros, unexpected_format},
    upload::{Upload, UploadEvent, UploadState},
};
use poem_openapi::types::Any;
use serde_json::Value;

use super::show::UploadBody;
use crate::{
    log_view::{self, Address, Entry, InLog, LogView},
    problem::Problem,
    state::Gateway,
};

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

/// The duration of an upload, if it was inspected and states one.
pub(crate) async fn duration(
    gateway: &Gateway,
    tenant: &Tenant,
    id: UploadId,
) -> Result<Option<Micros>, Problem> {
    let media = shown(gateway, tenant, id).await?.media;
    let seconds = media.as_ref().and_then(|Any(media)| media.get("duration")?.as_f64());
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Ok(duration.and_then(|duration| u64::try_from(duration.as_micros()).ok()))
}

/// The representation of a stored upload.
pub(super) async fn shown(
    gateway: &Gateway,
    tenant: &Tenant,
    id: UploadId,
) -> Result<UploadBody, Problem> {
    let found = log_view::in_log::<StoredUpload>(&gateway.commands, Address { tenant, id }).await?;
    body(gateway, tenant, found)
}

/// The representation of an upload that was just recorded.
pub(super) async fn recorded(
    gateway: &Gateway,
    tenant: &Tenant,
    id: UploadId,
    outcome: &CommandOutcome<Upload>,
) -> Result<UploadBody, Problem> {
    let of = Address { tenant, id };
    let found = log_view::after::<StoredUpload>(&gateway.commands, of, outcome, None).await?;
    body(gateway, tenant, found)
}

/// What the events of a stored upload say about it.
#[derive(Debug, Clone)]
struct StoredUpload {
    id: UploadId,
    at: Timestamp,
    /// Stream sequence of the message that recorded it.
    sequence: u64,
    file_name: Option<String>,
    size: u64,
    sha256: String,
    media: Option<Value>,
}

impl LogView for StoredUpload {
    type Aggregate = Upload;
    type Id = UploadId;

    fn fold(
        view: Option<Self>,
        Entry { sequence, decision }: &Entry<'_, UploadEvent>,
        of: &Address<'_, UploadId>,
    ) -> Option<Self> {
        decision.events.iter().fold(view, |_, event| match event {
            UploadEvent::Completed { file_name, size, sha256, media } => Some(Self {
                id: of.id,
                at: Timestamp::from_millis(decision.at),
                sequence: *sequence,
                file_name: file_name.as_ref().cloned(),
                size: *size,
                sha256: sha256.clone(),
                media: media.as_ref().and_then(Personal::as_ref).cloned(),
            }),
            UploadEvent::Expired {} => None,
        })
    }
}

fn body(
    gateway: &Gateway,
    tenant: &Tenant,
    found: Option<InLog<StoredUpload>>,
) -> Result<UploadBody, Problem> {
    let begins_after = gateway.credentials.account(tenant).begins_after;
    let stored = found.map(|found| found.view).filter(|stored| stored.sequence > begins_after);
    let stored = stored.ok_or_else(|| Problem::not_found("upload"))?;
    Ok(UploadBody {
        id: stored.id.to_string(),
        warnings: warnings(stored.file_name.as_deref(), stored.media.as_ref()),
        file_name: stored.file_name,
        size: stored.size,
        sha256: stored.sha256,
        created_at: stored.at.to_string(),
        expires_at: expires_at(gateway, stored.at),
        job: None,
        media: stored.media.map(Any),
    })
}

/// When an upload will be deleted; none if it is kept permanently.
pub(super) fn expires_at(gateway: &Gateway, created_at: Timestamp) -> Option<String> {
    gateway.retention.uploads.map(|period| created_at.plus(period).to_string())
}

/// What is unusual about a file of this name with these probed facts.
fn warnings(name: Option<&str>, media: Option<&Value>) -> Vec<String> {
    let Some(media) = media else { return vec![] };
    let format = media.get("format").and_then(Value::as_str).unwrap_or_default();
    let usual = name.and_then(|name| unexpected_format(name, format));
    let misnamed = usual.map(|usual| {
        format!("the name is that of {usual}, but the content is `{format}`; the content counts")
    });
    let streams = media.get("streams").and_then(Value::as_array).into_iter().flatten();
    let unusable = streams.filter_map(|stream| {
        let reason = stream.get("unusable")?.as_str()?.replace('_', " ");
        let (index, kind) = (stream.get("index")?, stream.get("kind")?.as_str()?);
        Some(format!("stream {index} ({kind}) cannot be used: {reason}"))
    });
    misnamed.into_iter().chain(unusable).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_that_does_not_fit_and_unusable_streams_are_warnings() {
        let media = json!({ "format": "mp3", "streams": [
            { "index": 0, "kind": "audio" },
            { "index": 1, "kind": "video", "unusable": "unsupported_codec" },
        ] });
        assert_eq!(
            warnings(Some("a.ac3"), Some(&media)),
            [
                "the name is that of AC-3, but the content is `mp3`; the content counts",
                "stream 1 (video) cannot be used: unsupported codec",
            ]
        );
        assert!(warnings(Some("a.mp3"), Some(&json!({ "format": "mp3" }))).is_empty());
    }
}
