//! The uploads resource: files are streamed to storage.

mod incoming;
mod inspect;
mod list;
mod receive;
mod reserve;
mod show;
mod stored;
pub(crate) mod then;
mod tus;

use std::sync::Arc;

use ffapi_commands::{Caller, CommandOutcome};
use ffapi_domain::{
    Tenant, UploadId,
    key::Scope,
    upload::{Upload, UploadCommand},
};
use poem::{Body, Request, Result, web::Data};
use poem_openapi::{
    OpenApi,
    param::{Header, Path, Query},
    payload::Binary,
};
use uuid::Uuid;

use self::{
    incoming::{FileBody, StatedSize},
    list::{UploadPage, UploadQuery},
    receive::{IncomingFile, Received, Uploader, receive_held},
    reserve::Identity,
    show::UploadBody,
};
use crate::{
    auth::{Auth, ReadAuth},
    content_sniffing::{self, Chunks},
    idempotency::Key,
    problem::{Kind, Problem},
    reply::Reply,
    request_context::caller,
    state::Gateway,
    storage_holds::StorageNeed,
    throttle,
    uncancelled::uncancelled,
};

pub(crate) use self::{
    stored::{duration, state},
    then::UploadTicket,
    tus::tus,
};

pub(crate) struct Uploads;

/// Bytes that a form may have besides its file.
const MAX_FORM_OVERHEAD: u64 = 1024 * 1024;

#[OpenApi(prefix_path = "/api/v1")]
impl Uploads {
    /// Upload a file
    ///
    /// The body is the file, up to the account's limit; `Content-Disposition` may carry its name. Or it
    /// is a form (`multipart/form-data`) whose only field is the file. Use the `id` of the response as
    /// a job's `input`. With the header `Tus-Resumable` this path and that of an upload speak tus
    /// 1.0.0, the protocol of resumable uploads.
    #[oai(path = "/uploads", method = "post", operation_id = "createUpload")]
    async fn create(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: ReadAuth,
        /// `attachment; filename="video.mp4"`, or with `filename*` as in RFC 6266.
        #[oai(name = "Content-Disposition")]
        _disposition: Header<Option<String>>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: Binary<Body>,
    ) -> Result<Reply<201, UploadBody>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let id = UploadId::from_uuid(Uuid::now_v7());
        let ticket = request.data::<UploadTicket>().cloned();
        let key = ticket.as_ref().map_or(key.0, |ticket| Some(ticket.id.to_string()));
        let key = Key::of("/uploads", key, String::new())?;
        let limits = gateway.credentials.limits(&principal.tenant);
        let granted = ticket.as_ref().and_then(|ticket| ticket.grant.max_bytes);
        let max_bytes = gateway.max_upload.min(limits.max_file_bytes);
        let max_bytes = granted.map_or(max_bytes, |granted| granted.min(max_bytes));
        let bytes = throttle::throttle(limits.upload_bytes_per_second, body.0.into_bytes_stream());
        let stated = request.header("content-length").and_then(|text| text.parse::<u64>().ok());
        if stated.is_some_and(|bytes| bytes > max_bytes.saturating_add(MAX_FORM_OVERHEAD)) {
            return Err(too_large(request, Box::pin(bytes), max_bytes).await.into());
        }
        let FileBody { name, size, bytes } = incoming::open(request, Box::pin(bytes)).await?;
        let (announced, need) = match size {
            StatedSize::Exactly(stated) if stated > max_bytes => {
                return Err(too_large(request, bytes, max_bytes).await.into());
            }
            StatedSize::Exactly(bytes) => (Some(bytes), StorageNeed::Exactly(bytes)),
            StatedSize::LessThan(bytes) => (None, StorageNeed::UpTo(bytes.min(max_bytes))),
            StatedSize::Unknown => (None, StorageNeed::UpTo(max_bytes)),
        };
        // Other than media files are rejected by their first bytes, before anything is written.
        let bytes = content_sniffing::check(bytes, name.as_deref()).await?;
        let caller = caller(principal, request);
        let hold = gateway.storage_holds.hold(&principal.tenant, &caller, id, need).await;
        let hold = hold.map_err(Problem::from)?;
        let uploader = Uploader::new(principal, request, caller);
        let identity = match key {
            Some(key) => Identity::OfKey(id, key),
            None => Identity::New(id),
        };
        let file = IncomingFile { identity, name, announced, max: hold.bytes, bytes };
        let received = uncancelled(receive_held(Arc::clone(&gateway), uploader, file, hold)).await;
        let Received { id, handled, replayed } = received.map_err(|problem| match &ticket {
            Some(_) if problem.is_about_header("Idempotency-Key") => {
                let detail = "this URL was used for another file; it is for one file";
                Problem::field(Kind::Conflict, "#", detail)
            }
            _ => problem,
        })?;
        let mut body = stored::recorded(&gateway, &principal.tenant, id, &handled).await?;
        if let Some(ticket) = &ticket {
            body.job = then::submit(&gateway, request, principal, ticket, id).await?;
        }
        let expires_at = body.expires_at.clone();
        Ok(Reply::new(body)
            .until(expires_at.as_deref())
            .location(format!("/api/v1/uploads/{id}"))
            .version(handled.version)
            .position(handled.position)
            .replayed(replayed))
    }

    /// List uploads
    ///
    /// Newest first.
    #[oai(path = "/uploads", method = "get", operation_id = "listUploads")]
    async fn list(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        limit: Query<Option<u32>>,
        cursor: Query<Option<String>>,
        min_position: Query<Option<String>>,
    ) -> Result<Reply<200, UploadPage>> {
        let principal = auth.require(Scope::JobsRead)?;
        let query = UploadQuery {
            uri: request.original_uri(),
            limit: limit.0,
            cursor: cursor.0,
            min_position: min_position.0,
        };
        Ok(list::list(&gateway, principal, query).await?)
    }

    /// Show an upload
    #[oai(path = "/uploads/:id", method = "get", operation_id = "getUpload")]
    async fn find(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "If-None-Match")] if_none_match: Header<Option<String>>,
    ) -> Result<Reply<200, UploadBody>> {
        let principal = auth.require(Scope::JobsRead)?;
        let id: UploadId = id.0.parse().map_err(|_| Problem::not_found("upload"))?;
        let body = stored::shown(&gateway, &principal.tenant, id).await?;
        let expires_at = body.expires_at.clone();
        let reply = Reply::new(body).until(expires_at.as_deref());
        Ok(reply.version(1).unless(if_none_match.0.as_deref()))
    }

    /// Delete an upload
    ///
    /// Before its retention ends. Jobs that have already read it continue; others fail.
    #[oai(path = "/uploads/:id", method = "delete", operation_id = "deleteUpload")]
    async fn remove(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
    ) -> Result<Reply<200, UploadBody>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let id: UploadId = id.0.parse().map_err(|_| Problem::not_found("upload"))?;
        let body = stored::shown(&gateway, &principal.tenant, id).await?;
        let (tenant, caller) = (principal.tenant.clone(), caller(principal, request));
        let handled = uncancelled(expire(Arc::clone(&gateway), tenant, caller, id)).await?;
        Ok(Reply::new(body).version(handled.version).position(handled.position))
    }
}

/// The problem of a file whose stated size is too large, once its client can receive it.
async fn too_large(request: &Request, bytes: Chunks, max_bytes: u64) -> Problem {
    // A client that waits for `100 Continue` does not send before.
    if request.header("expect").is_none() {
        content_sniffing::drain(bytes).await;
    }
    Problem::new(Kind::TooLarge, format!("a file is at most {max_bytes} bytes"))
}

/// Records that an upload is deleted, then deletes its file: a recorded upload always has its file.
async fn expire(
    gateway: Arc<Gateway>,
    tenant: Tenant,
    caller: Caller,
    id: UploadId,
) -> Result<CommandOutcome<Upload>, Problem> {
    let (name, command) = (id.to_string(), UploadCommand::Expire);
    let handled =
        gateway.commands.handle::<Upload>(tenant.as_str(), &name, &caller, command).await?;
    gateway.storage.of(&tenant).forget(id).await?;
    Ok(handled)
}
