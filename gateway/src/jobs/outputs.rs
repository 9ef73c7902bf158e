use ffapi_domain::{
    JobId, Tenant,
    job::{JobStatus, JobView},
    location::Location,
};
use poem::{
    Body, Response,
    http::{StatusCode, header},
};
use poem_openapi::Object;

use super::show::{OutputBody, output};
use crate::{
    auth::{Principal, while_authorized},
    problem::{Kind, Problem},
    range::{RangeRequest, requested},
    reply::{Raw, Reply},
    state::Gateway,
};

/// The outputs of a job.
#[derive(Debug, Object)]
pub(crate) struct OutputList {
    data: Vec<OutputBody>,
    has_more: bool,
}

async fn job(gateway: &Gateway, tenant: &Tenant, id: JobId) -> Result<JobView, Problem> {
    let found = gateway.job_in_log(tenant, id).await?;
    Ok(found.ok_or_else(|| Problem::not_found("job"))?.0)
}

pub(crate) async fn list(
    gateway: &Gateway,
    tenant: &Tenant,
    id: JobId,
) -> Result<Reply<200, OutputList>, Problem> {
    let job = job(gateway, tenant, id).await?;
    let base = format!("/api/v1/jobs/{id}");
    let outputs = job.outputs.iter().filter(|_| job.summary.status == JobStatus::Completed);
    let data = outputs.map(|file| output(&base, file)).collect();
    Ok(Reply::new(OutputList { data, has_more: false }).version(job.summary.version))
}

pub(crate) async fn read(
    gateway: &Gateway,
    principal: &Principal,
    id: JobId,
    name: &str,
    range: Option<&str>,
) -> Result<Raw, Problem> {
    let tenant = &principal.tenant;
    let job = job(gateway, tenant, id).await?;
    if job.summary.status != JobStatus::Completed {
        let status = job.summary.status.as_str();
        let detail = format!("the job is {status}; outputs exist once it is completed");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let file = job.outputs.iter().find(|file| file.name.as_ref().is_some_and(|own| own == name));
    let file = file.ok_or_else(|| Problem::not_found("output"))?;
    let location = file.location.as_ref().and_then(|text| text.parse::<Location>().ok());
    let location = location.ok_or_else(|| Problem::not_found("output"))?;
    let storage = gateway.storage.of(tenant)?;
    let size = storage.size(&location).await?;
    let part = match requested(range, size) {
        RangeRequest::Whole => None,
        RangeRequest::Part(part) => Some(part),
        RangeRequest::NotSatisfiable => {
            let detail = format!("the file has {size} bytes");
            return Err(Problem::new(Kind::RangeNotSatisfiable, detail));
        }
    };
    let reading = storage.read(&location, part.clone()).await?;
    let length = reading.range.end.saturating_sub(reading.range.start);
    let mut response = Response::builder()
        .header(header::CONTENT_TYPE, media_type(name))
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, format!("\"{}\"", file.sha256))
        .header(header::CONTENT_LENGTH, length.to_string());
    if let Some(part) = part {
        let last = part.end.saturating_sub(1);
        response = response
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_RANGE, format!("bytes {}-{last}/{size}", part.start));
    }
    let bytes = while_authorized(&gateway.credentials, principal, reading.bytes);
    Ok(Raw(response.body(Body::from_bytes_stream(bytes))))
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("mp4" | "m4v") => "video/mp4",
        Some("mov") => "video/quicktime",
        Some("mkv") => "video/x-matroska",
        Some("webm") => "video/webm",
        Some("avi") => "video/x-msvideo",
        Some("ts" | "m2ts" | "mts") => "video/mp2t",
        Some("flv") => "video/x-flv",
        Some("gif") => "image/gif",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("webp") => "image/webp",
        Some("mp3") => "audio/mpeg",
        Some("m4a") => "audio/mp4",
        Some("aac") => "audio/aac",
        Some("ogg" | "oga" | "opus") => "audio/ogg",
        Some("wav") => "audio/wav",
        Some("flac") => "audio/flac",
        Some("m3u8") => "application/vnd.apple.mpegurl",
        Some("mpd") => "application/dash+xml",
        Some("m4s") => "video/iso.segment",
        Some("vtt") => "text/vtt; charset=utf-8",
        _ => "application/octet-stream",
    }
}
