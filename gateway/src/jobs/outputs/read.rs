use ffapi_domain::{JobId, job::JobStatus, location::Location};
use futures::TryStreamExt;
use poem::Body;

use super::{
    download_limits,
    file_response::{FileRequest, Sent, ServedFile},
    lookup,
};
use crate::{
    auth::{Principal, while_authorized},
    metrics,
    problem::{Kind, Problem},
    reply::Raw,
    state::Gateway,
};

pub(super) async fn read(
    gateway: &Gateway,
    principal: &Principal,
    id: JobId,
    name: &str,
    request: FileRequest<'_>,
) -> Result<Raw, Problem> {
    let tenant = &principal.tenant;
    let index = lookup::find(gateway, tenant, id).await?;
    if index.status != JobStatus::Completed {
        let status = index.status.as_str();
        let detail = format!("the job is {status}; outputs exist once it is completed");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    if let Some(at) = index.deleted_at {
        return Err(Problem::new(Kind::Gone, format!("the job's outputs were deleted at {at}")));
    }
    let file = index.files.get(name).ok_or_else(|| Problem::not_found("output"))?;
    let location = file.location.as_ref().and_then(|text| Location::try_from(text.clone()).ok());
    let location = location.ok_or_else(|| Problem::not_found("output"))?;
    if location.is_put() {
        let detail =
            format!("this output was put at {}, where the client has it", location.shown());
        return Err(Problem::new(Kind::NotFound, detail));
    }
    let storage = gateway.storage.of(tenant);
    let size = storage.size(&location).await?;
    if size != file.size {
        let detail = "a later job has replaced this output";
        return Err(Problem::new(Kind::NotFound, detail));
    }
    let served = ServedFile {
        name,
        sha256: &file.sha256,
        modified: index.modified,
        size,
        expires_at: index.expires_at,
    };
    let sent = served.answer(&request)?;
    if !matches!(sent, Sent::NotModified)
        && let Some(redirect) = served.redirect(&request, principal, &storage, &location).await?
    {
        return Ok(Raw(redirect));
    }
    let response = served.response(&request, &sent, principal);
    let part = match sent {
        Sent::NotModified => return Ok(Raw(response.finish())),
        Sent::Whole => None,
        Sent::Part(part) => Some(part),
    };
    let slot = download_limits::slot(tenant).await?;
    let reading = storage.read(&location, part).await?;
    let bytes = download_limits::bounded(reading.bytes, slot);
    let bytes = bytes.inspect_ok(|chunk| metrics::bytes_downloaded(chunk.len() as u64));
    let bytes = while_authorized(&gateway.credentials, principal, bytes);
    Ok(Raw(response.body(Body::from_bytes_stream(bytes))))
}
