//! `POST /uploads`: bytes in, streamed to storage.

mod again;
mod look;
mod stored;
mod take;

use std::sync::Arc;

use ffapi_commands::{Caller, Handled};
use ffapi_domain::{
    Tenant, UploadId,
    key::Scope,
    upload::{Upload, UploadCommand, UploadRejection},
};
use poem::{Body, Request, Result, web::Data};
use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path},
    payload::Binary,
    types::Any,
};
use serde_json::Value;
use uuid::Uuid;

use self::take::{Sender, Sent, Taken, take};
use crate::{
    auth::Auth,
    content_sniffing,
    idempotency::Key,
    problem::{Kind, Problem},
    reply::Reply,
    state::{Gateway, caller},
    storage_holds::{self, StorageNeed},
    throttle,
    uncancelled::uncancelled,
};

pub use self::look::LookConfig;
pub(crate) use self::stored::state;

pub(crate) struct Uploads;

/// An upload that is wholly stored.
#[derive(Debug, Object)]
#[oai(rename = "Upload", skip_serializing_if_is_none)]
pub(crate) struct UploadBody {
    /// Use it as a job's `input`.
    id: String,
    /// As the sender called it.
    file_name: Option<String>,
    /// Bytes.
    size: u64,
    /// Hex digest.
    sha256: String,
    /// What is in it, as `POST /probe` tells it; absent if no worker could look into it.
    media: Option<Any<Value>>,
}

impl From<UploadRejection> for Problem {
    fn from(rejection: UploadRejection) -> Self {
        Self::new(Kind::Conflict, rejection.to_string())
    }
}

#[OpenApi(prefix_path = "/api/v1")]
impl Uploads {
    /// Upload a file
    ///
    /// The body is the file, up to the account's limit; `Content-Disposition` may carry its name.
    /// Use the `id` of the response as a job's `input`.
    #[oai(path = "/uploads", method = "post", operation_id = "createUpload")]
    async fn create(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        #[oai(name = "Content-Disposition")] disposition: Header<Option<String>>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: Binary<Body>,
    ) -> Result<Reply<201, UploadBody>> {
        let principal = auth.may(Scope::JobsWrite)?;
        let id = UploadId::from_uuid(Uuid::now_v7());
        let key = Key::of("/uploads", key.0, String::new())?;
        let name = disposition.0.as_deref().and_then(file_name);
        let announced = request.header("content-length").and_then(|text| text.parse::<u64>().ok());
        let limits = gateway.directory.limits(&principal.tenant);
        let most = gateway.max_upload.min(limits.max_file_bytes);
        if announced.is_some_and(|bytes| bytes > most) {
            let detail = format!("a file is at most {most} bytes");
            return Err(Problem::new(Kind::TooLarge, detail).into());
        }
        // What is no media is refused by its first bytes, before anything is written for it.
        let bytes = throttle::at(limits.upload_bytes_per_second, body.0.into_bytes_stream());
        let bytes = content_sniffing::look_at(bytes, name.as_deref()).await?;
        let caller = caller(principal, request);
        let wanted = announced.map_or(StorageNeed::UpTo(most), StorageNeed::Exactly);
        let room = storage_holds::hold(&gateway, &principal.tenant, &caller, id, wanted).await?;
        let sender = Sender::new(principal, request, caller);
        let sent = Sent { id, name, key, bytes };
        let Taken { id, handled, replayed } =
            uncancelled(take(Arc::clone(&gateway), sender, sent, room)).await?;
        let body = stored::shown(&gateway, &principal.tenant, id).await?;
        Ok(Reply::new(body)
            .location(format!("/api/v1/uploads/{id}"))
            .version(handled.version)
            .position(handled.position)
            .replayed(replayed))
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
        let principal = auth.may(Scope::JobsRead)?;
        let id: UploadId = id.0.parse().map_err(|_| Problem::not_found("upload"))?;
        let body = stored::shown(&gateway, &principal.tenant, id).await?;
        Ok(Reply::new(body).version(1).unless(if_none_match.0.as_deref()))
    }

    /// Delete an upload
    ///
    /// Before its retention ends. Jobs that have read it already go on; others fail.
    #[oai(path = "/uploads/:id", method = "delete", operation_id = "deleteUpload")]
    async fn remove(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
    ) -> Result<Reply<200, UploadBody>> {
        let principal = auth.may(Scope::JobsWrite)?;
        let id: UploadId = id.0.parse().map_err(|_| Problem::not_found("upload"))?;
        let body = stored::shown(&gateway, &principal.tenant, id).await?;
        let (tenant, caller) = (principal.tenant.clone(), caller(principal, request));
        let handled = uncancelled(expire(Arc::clone(&gateway), tenant, caller, id)).await?;
        Ok(Reply::new(body).version(handled.version).position(handled.position))
    }
}

/// Records that an upload is deleted, then deletes its bytes: nothing is promised that is not there.
async fn expire(
    gateway: Arc<Gateway>,
    tenant: Tenant,
    caller: Caller,
    id: UploadId,
) -> Result<Handled, Problem> {
    let (name, command) = (id.to_string(), UploadCommand::Expire);
    let handled =
        gateway.commands.handle::<Upload>(tenant.as_str(), &name, &caller, command).await?;
    gateway.storage.of(&tenant)?.forget(id).await?;
    Ok(handled)
}

/// `filename="…"` of a `Content-Disposition`; only its last path segment, as browsers do.
fn file_name(disposition: &str) -> Option<String> {
    let value = disposition.split(';').find_map(|part| part.trim().strip_prefix("filename="))?;
    let name = value.trim_matches('"').rsplit(['/', '\\']).next()?;
    let name: String = name.chars().filter(|c| !c.is_control()).take(255).collect();
    (!name.is_empty()).then_some(name)
}
