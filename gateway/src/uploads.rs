//! `POST /uploads`: bytes in, streamed to storage.

mod again;
mod look;
mod stored;

use std::sync::Arc;

use ffapi_commands::{Caller, Handled};

use ffapi_domain::{
    Personal, UploadId,
    key::Scope,
    upload::{Upload, UploadCommand, UploadRejection},
};
use ffapi_nats::failpoint;
use poem::{Body, Request, Result, web::Data};
use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path},
    payload::Binary,
    types::Any,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    audit_notes::AuditRecord,
    auth::{Auth, Principal},
    content_sniffing::{self, Chunks},
    idempotency::Key,
    problem::{Kind, Problem},
    reply::Reply,
    scanner::{OnFailure, Scan, ScannerConfig, Verdict},
    state::{Gateway, caller},
    storage_holds::{self, StorageNeed},
    throttle,
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
        let sent = Sent { name, key, most: room.bytes, bytes };
        let taken = take(&gateway, request, principal, &caller, id, sent).await?;
        // What is there under its own name is counted from the log; nothing else is held any longer.
        if taken.id == id {
            room.settle();
        }
        let Taken { id, handled, replayed } = taken;
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
        let (tenant, caller) = (principal.tenant.as_str(), caller(principal, request));
        // First the word, then the bytes: nobody is promised what is not there.
        let handled = gateway
            .commands
            .handle::<Upload>(tenant, &id.to_string(), &caller, UploadCommand::Expire)
            .await
            .map_err(Problem::from)?;
        let storage = gateway.storage.of(&principal.tenant).map_err(Problem::from)?;
        storage.forget(id).await.map_err(Problem::from)?;
        Ok(Reply::new(body).version(handled.version).position(handled.position))
    }
}

/// What somebody sends.
struct Sent {
    name: Option<String>,
    key: Option<Key>,
    /// No more bytes than this.
    most: u64,
    bytes: Chunks,
}

/// An upload that was taken.
struct Taken {
    id: UploadId,
    handled: Handled,
    /// An earlier request stored it.
    replayed: bool,
}

/// Reads, looks at and records what somebody sends.
async fn take(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
    caller: &Caller,
    mut id: UploadId,
    Sent { name, key, most, bytes }: Sent,
) -> Result<Taken, Problem> {
    let scan = Scan::default();
    let bytes = match &gateway.scanner {
        Some(config) => scan.watch(config, bytes),
        None => bytes,
    };
    let storage = gateway.storage.of(&principal.tenant)?;
    let received = storage.receive(id, bytes, most).await;
    let verdict = scan.verdict();
    if let Some(config) = &gateway.scanner
        // What broke off otherwise says so itself.
        && (received.is_ok() || matches!(verdict, Verdict::Found(_)))
        && let Err(problem) = scanned(gateway, request, principal, config, &verdict)
    {
        if received.is_ok() {
            storage.forget(id).await?;
        }
        return Err(problem);
    }
    let received = received?;
    failpoint::hit("gateway.after_bytes");
    let media = look::look(gateway, request, principal, id, &received.sha256).await;
    let media = match media {
        Ok(media) => media.map(|facts| Value::clone(&facts)),
        Err(problem) => {
            storage.forget(id).await?;
            return Err(problem);
        }
    };
    let mut replayed = false;
    if let Some(key) = key {
        let sent = format!("{} {}", received.sha256, name.as_deref().unwrap_or_default());
        let key = key.sent_with(sent);
        let reserved = again::reserve(gateway, principal, &storage, key, id).await?;
        (id, replayed) = (reserved.id, reserved.replayed);
    }
    if let Some(problem) = gateway.has_closed(&principal.tenant).await {
        storage.forget(id).await?;
        return Err(problem);
    }
    let command = UploadCommand::Complete {
        file_name: name.map_or(Personal::Erased, Personal::Clear),
        size: received.size,
        sha256: received.sha256,
        media: media.map(Personal::Clear),
    };
    let tenant = principal.tenant.as_str();
    let handled = gateway.commands.handle::<Upload>(tenant, &id.to_string(), caller, command).await;
    let handled = handled?;
    if let Some(problem) = gateway.has_closed(&principal.tenant).await {
        // Its erasure began in between: it may have looked for files before this one was there.
        storage.forget(id).await?;
        return Err(problem);
    }
    Ok(Taken { id, handled, replayed })
}

/// What a scan means for an upload.
fn scanned(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
    config: &ScannerConfig,
    verdict: &Verdict,
) -> Result<(), Problem> {
    match verdict {
        Verdict::Clean => Ok(()),
        Verdict::Found(name) => {
            gateway.audit.note(AuditRecord::about(request, principal, "upload.refused_virus"));
            let detail = format!("the scanner found {name} in it");
            Err(Problem::field(Kind::Invalid, "#body", detail))
        }
        Verdict::Failed(why) => {
            tracing::warn!(why, "an upload was not scanned");
            gateway.audit.note(AuditRecord::about(request, principal, "upload.not_scanned"));
            match config.on_failure {
                OnFailure::Accept => Ok(()),
                OnFailure::Refuse => {
                    let detail = "uploads cannot be scanned at the moment, so none is taken";
                    Err(Problem::new(Kind::Unavailable, detail))
                }
            }
        }
    }
}

/// `filename="…"` of a `Content-Disposition`; only its last path segment, as browsers do.
fn file_name(disposition: &str) -> Option<String> {
    let value = disposition.split(';').find_map(|part| part.trim().strip_prefix("filename="))?;
    let name = value.trim_matches('"').rsplit(['/', '\\']).next()?;
    let name: String = name.chars().filter(|c| !c.is_control()).take(255).collect();
    (!name.is_empty()).then_some(name)
}
