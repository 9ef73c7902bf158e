//! Receiving an upload. This runs in a task of its own, so that a request which is reset after its
//! last byte leaves either an upload or nothing.

use std::sync::Arc;

use ffapi_commands::{Caller, CommandOutcome, HandleError};
use ffapi_domain::{
    Personal, UploadId,
    upload::{Upload, UploadCommand, UploadState},
};
use ffapi_nats::failpoint;
use ffapi_storage::StorageError;
use poem::Request;
use serde_json::Value;
use uuid::Uuid;

use super::{
    inspect,
    reserve::{Identity, Reserved, StoredFile, reserve},
    stored,
};
use crate::{
    audit_notes::AuditRecord,
    auth::Principal,
    content_sniffing::{self, Chunks},
    metrics::{self, UploadOutcome},
    problem::{Kind, Problem},
    scanner::{OnFailure, Scan, ScannerConfig, Verdict},
    state::Gateway,
    storage_holds::StorageHold,
};

/// The caller of an upload. The request itself is not kept, because it ends with its connection.
pub(super) struct Uploader {
    principal: Principal,
    caller: Caller,
    record: AuditRecord,
}

impl Uploader {
    pub(super) fn new(principal: &Principal, request: &Request, caller: Caller) -> Self {
        let record = AuditRecord::about(request, principal, "upload.created");
        Self { principal: principal.clone(), caller, record }
    }

    pub(super) const fn caller(&self) -> &Caller {
        &self.caller
    }
}

/// A file that is being uploaded.
pub(super) struct IncomingFile {
    pub(super) identity: Identity,
    pub(super) name: Option<String>,
    /// Its `Content-Length`.
    pub(super) announced: Option<u64>,
    /// Bytes that it may have.
    pub(super) max: u64,
    pub(super) bytes: Chunks,
}

/// An accepted upload.
pub(super) struct Received {
    pub(super) id: UploadId,
    pub(super) handled: CommandOutcome<Upload>,
    /// True if an earlier request stored it.
    pub(super) replayed: bool,
}

/// Stores, inspects and records a file, and releases the storage hold if it was not needed.
pub(super) async fn receive_held(
    gateway: Arc<Gateway>,
    uploader: Uploader,
    file: IncomingFile,
    hold: StorageHold,
) -> Result<Received, Problem> {
    let received = receive(gateway, uploader, file).await?;
    // A file under its own id is counted from the log; in any other case the hold is released.
    if received.id == hold.id {
        hold.settle();
    }
    Ok(received)
}

/// Stores, inspects and records a file.
pub(super) async fn receive(
    gateway: Arc<Gateway>,
    uploader: Uploader,
    file: IncomingFile,
) -> Result<Received, Problem> {
    let stored = store(&gateway, &uploader, file).await;
    metrics::uploaded(match &stored {
        Ok(received) if received.replayed => UploadOutcome::Replayed,
        Ok(_) => UploadOutcome::Accepted,
        Err(problem) if problem.kind().status() < 500 => UploadOutcome::Rejected,
        Err(_) => UploadOutcome::Failed,
    });
    stored
}

/// Stores, inspects and records a file. A failure deletes what was stored for this request, and nothing
/// else.
async fn store(
    gateway: &Gateway,
    uploader: &Uploader,
    file: IncomingFile,
) -> Result<Received, Problem> {
    let IncomingFile { identity, name, announced, max, bytes } = file;
    let Uploader { principal, caller, record } = uploader;
    let id = match &identity {
        Identity::New(id) | Identity::OfKey(id, _) => *id,
        Identity::OfParts(_) => UploadId::from_uuid(Uuid::now_v7()),
    };
    let scan = Scan::default();
    let mut bytes = match &gateway.scanner {
        Some(config) => scan.tee(config, bytes),
        None => bytes,
    };
    let storage = gateway.storage.of(&principal.tenant);
    let stored = storage.receive(id, &mut bytes, max).await;
    if matches!(stored, Err(StorageError::TooLarge { .. })) {
        content_sniffing::drain(bytes).await;
    }
    let verdict = scan.verdict();
    if let Some(config) = &gateway.scanner
        // Any other failure of storing is reported below.
        && (stored.is_ok() || matches!(verdict, Verdict::Found(_)))
        && let Err(problem) = check_verdict(gateway, record, config, &verdict)
    {
        if stored.is_ok() {
            storage.forget(id).await?;
        }
        return Err(problem);
    }
    let stored = stored?;
    // A reset of HTTP/2 without an error code ends a body as if it were whole.
    if let Some(announced) = announced.filter(|announced| *announced != stored.size) {
        storage.forget(id).await?;
        let detail = format!("{} of {announced} bytes were received", stored.size);
        return Err(StorageError::Interrupted(detail).into());
    }
    metrics::bytes_uploaded(stored.size);
    failpoint::hit("gateway.after_bytes");
    let media = inspect::inspect(gateway, principal, record, id, &stored.sha256).await;
    let media = match media {
        Ok(media) => media.map(|facts| Value::clone(&facts)),
        Err(problem) => {
            storage.forget(id).await?;
            return Err(problem);
        }
    };
    let fingerprint = format!("{} {}", stored.sha256, name.as_deref().unwrap_or_default());
    let file = StoredFile { id, storage: &storage, fingerprint };
    let Reserved { id, replayed } = reserve(gateway, principal, &file, identity).await?;
    if let Some(problem) = gateway.has_closed(&principal.tenant).await {
        storage.forget(id).await?;
        return Err(problem);
    }
    let command = UploadCommand::Complete {
        file_name: name.map_or(Personal::Erased, Personal::Clear),
        size: stored.size,
        sha256: stored.sha256,
        media: media.map(Personal::Clear),
    };
    let tenant = principal.tenant.as_str();
    let handled = gateway.commands.handle::<Upload>(tenant, &id.to_string(), caller, command).await;
    if let Err(HandleError::Rejected(_)) = &handled
        && stored::state(gateway, &principal.tenant, id).await? == UploadState::Expired
    {
        // It was recorded and deleted just before; its id is not used again.
        storage.forget(id).await?;
    }
    let handled = handled?;
    if let Some(problem) = gateway.has_closed(&principal.tenant).await {
        // The erasure of the account began in between, and may have deleted files before this one
        // existed.
        storage.forget(id).await?;
        return Err(problem);
    }
    Ok(Received { id, handled, replayed })
}

/// Rejects an upload with a virus, or one that could not be scanned, as configured.
fn check_verdict(
    gateway: &Gateway,
    record: &AuditRecord,
    config: &ScannerConfig,
    verdict: &Verdict,
) -> Result<(), Problem> {
    match verdict {
        Verdict::Clean => Ok(()),
        Verdict::Found(name) => {
            gateway.audit.note(record.of("upload.refused_virus"));
            let detail = format!("the virus scanner found {name}");
            Err(Problem::field(Kind::Invalid, "#", detail))
        }
        Verdict::Failed(why) => {
            tracing::warn!(why, "an upload was not scanned");
            gateway.audit.note(record.of("upload.not_scanned"));
            match config.on_failure {
                OnFailure::Accept => Ok(()),
                OnFailure::Refuse => {
                    let detail = "uploads cannot be scanned at the moment and are not accepted";
                    Err(Problem::new(Kind::Unavailable, detail))
                }
            }
        }
    }
}
