//! `POST /uploads` of tus: begins an upload, possibly with its first bytes, or joins parts.

use ffapi_domain::UploadId;
use poem::{Request, Response, http::StatusCode};
use uuid::Uuid;

use super::{
    append::{Append, CONTENT_TYPE, append, upload_length},
    client::Tus,
    continued::{Assumed, Continued},
    description::Description,
    headers::answer,
    join::{join, sources},
    metadata,
    remove::remove,
    target::{Target, UPLOADS, target},
};
use crate::{
    clock,
    problem::{Kind, Problem},
    request_context::caller,
    uncancelled::uncancelled,
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
            let sources = sources(tus, parts_of(concat)?).await?;
            let whole = tus.upload(&uploader, id);
            uncancelled(join(whole, uploader, sources, metadata)).await?;
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
    let mut response = created(id).header("upload-expires", description.expires());
    uncancelled(begin(tus.upload(&uploader, id), description, max)).await?;
    if request.content_type() == Some(CONTENT_TYPE) {
        let first = Append::first(request)?;
        let offset = Box::pin(append(tus, request, uploader, id, first)).await?;
        response = response.header("upload-offset", offset);
    }
    Ok(response.finish())
}

/// Holds storage for the whole upload, for as long as it may take, and then describes it.
async fn begin(upload: Continued, description: Description, max_bytes: u64) -> Result<(), Problem> {
    let (gateway, tenant) = (&upload.gateway, &upload.tenant);
    let assumed = Assumed { offset: 0, length: description.length, max_bytes };
    upload.hold(assumed, description.held_until()).await?;
    let begun = async {
        let encoded = description.encode()?;
        gateway.storage.of(tenant).begin_partial(upload.id, encoded).await?;
        gateway.has_closed(tenant).await.map_or(Ok(()), Err)
    };
    if let Err(problem) = begun.await {
        remove(&upload).await?;
        return Err(problem);
    }
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
