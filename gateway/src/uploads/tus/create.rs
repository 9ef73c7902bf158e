//! `POST /uploads` of tus: begins an upload, possibly with its first bytes, or joins parts.

use std::{collections::BTreeSet, sync::Arc};

use ffapi_domain::{
    UploadId,
    storage_quota::{StorageQuota, StorageQuotaCommand},
};
use poem::{Request, Response, http::StatusCode};
use uuid::Uuid;

use super::{
    append::{Append, CONTENT_TYPE, append, upload_length},
    client::Tus,
    description::Description,
    finish::finish,
    headers::answer,
    metadata,
    target::{Target, UPLOADS, target},
};
use crate::{
    clock,
    problem::{Kind, Problem},
    request_context::caller,
    uploads::receive::Uploader,
};

/// Parts that may be joined.
const MAX_PARTS: usize = 1_000;

pub(super) async fn create(tus: &Tus, request: &mut Request) -> Result<Response, Problem> {
    let metadata = request.header("upload-metadata").map(str::to_owned);
    if let Some(metadata) = &metadata {
        metadata::file_name(metadata)?;
    }
    let concat = request.header("upload-concat").map(str::to_owned);
    let uploader = Uploader::new(&tus.principal, request, caller(&tus.principal, request));
    let id = UploadId::from_uuid(Uuid::now_v7());
    let created = |id: UploadId| {
        answer(StatusCode::CREATED).header("location", format!("/api/v1/uploads/{id}"))
    };
    let is_part = match concat.as_deref() {
        None => false,
        Some("partial") => true,
        Some(concat) => {
            let parts = parts_of(concat)?;
            join(tus, uploader, id, parts, metadata).await?;
            return Ok(created(id).finish());
        }
    };
    let length = upload_length(request)?;
    let is_deferred = request.header("upload-defer-length") == Some("1");
    if length.is_some() == is_deferred {
        let detail = "exactly one of `Upload-Length` and `Upload-Defer-Length: 1` is needed";
        return Err(Problem::header(Kind::Malformed, "Upload-Length", detail));
    }
    if length == Some(0) && !is_part {
        return Err(Problem::header(Kind::Invalid, "Upload-Length", "the file is empty"));
    }
    let max = tus.max_bytes();
    if length.is_some_and(|length| length > max) {
        let problem = Problem::new(Kind::TooLarge, format!("a file is at most {max} bytes"));
        return Err(problem.with_header("tus-max-size", max.to_string()));
    }
    let touched = clock::now().as_millis();
    let description = Description { length, metadata, is_part, touched, writer: None };
    hold(tus, request, id, &description, max).await?;
    let storage = tus.gateway.storage.of(&tus.principal.tenant);
    storage.begin_partial(id, description.encode()?).await?;
    let mut response = created(id).header("upload-expires", description.expires());
    if request.content_type() == Some(CONTENT_TYPE) {
        let first = Append::first(request)?;
        let offset = append(tus, request, uploader, id, first).await?;
        response = response.header("upload-offset", offset);
    }
    Ok(response.finish())
}

/// Holds storage for the whole upload, for as long as it may take.
async fn hold(
    tus: &Tus,
    request: &Request,
    id: UploadId,
    description: &Description,
    max: u64,
) -> Result<(), Problem> {
    let (gateway, tenant) = (&tus.gateway, &tus.principal.tenant);
    let (least, most) = description.length.map_or((1, max), |length| (length, length));
    let command = StorageQuotaCommand::Hold {
        thing: id.to_string(),
        least,
        most,
        until: description.held_until(),
        limit: gateway.credentials.limits(tenant).storage_bytes,
    };
    let (name, caller) = (tenant.as_str(), caller(&tus.principal, request));
    gateway.commands.handle::<StorageQuota>(name, name, &caller, command).await?;
    Ok(())
}

/// The uploads in `final;/api/v1/uploads/… /api/v1/uploads/…`.
fn parts_of(concat: &str) -> Result<Vec<UploadId>, Problem> {
    let malformed = |detail: &str| Problem::header(Kind::Malformed, "Upload-Concat", detail);
    let urls = concat.strip_prefix("final;");
    let urls = urls.ok_or_else(|| malformed("it is `partial`, or `final;` and the parts' URLs"))?;
    let part = |url: &str| {
        // Absolute URLs are as good.
        let path = url.find(UPLOADS).and_then(|at| url.get(at..));
        match path.and_then(target) {
            Some(Target::One(id)) => Ok(id),
            _ => Err(malformed("a part is not the URL of an upload")),
        }
    };
    let parts: Vec<UploadId> = urls.split_whitespace().map(part).collect::<Result<_, _>>()?;
    if parts.is_empty() || parts.len() > MAX_PARTS {
        return Err(malformed("a file has 1 to 1000 parts"));
    }
    Ok(parts)
}

/// Makes one upload of complete parts, which are then deleted.
async fn join(
    tus: &Tus,
    uploader: Uploader,
    id: UploadId,
    parts: Vec<UploadId>,
    metadata: Option<String>,
) -> Result<(), Problem> {
    let (mut sources, mut seen, mut length) = (Vec::new(), BTreeSet::new(), 0_u64);
    let max = tus.max_bytes();
    for part in parts {
        let (description, partial) = tus.partial(part).await?;
        if !description.is_part || !description.is_complete_at(partial.size()) {
            let detail = format!("{part} is no complete part (`Upload-Concat: partial`)");
            return Err(Problem::header(Kind::Conflict, "Upload-Concat", detail));
        }
        if !seen.insert(part) {
            let detail = format!("{part} is named twice");
            return Err(Problem::header(Kind::Malformed, "Upload-Concat", detail));
        }
        length = length.saturating_add(partial.size());
        if length > max {
            let problem = Problem::new(Kind::TooLarge, format!("a file is at most {max} bytes"));
            return Err(problem.with_header("tus-max-size", max.to_string()));
        }
        sources.push((part, partial));
    }
    finish(Arc::clone(&tus.gateway), uploader, id, sources, metadata).await.map(drop)
}
