//! From bytes to an upload. Runs in a task of its own: a request that is reset once its last byte is there
//! leaves either an upload or nothing.

use std::sync::Arc;

use ffapi_commands::{Caller, Handled};
use ffapi_domain::{
    Personal, UploadId,
    upload::{Upload, UploadCommand},
};
use ffapi_nats::failpoint;
use poem::Request;
use serde_json::Value;

use super::{again, look};
use crate::{
    audit_notes::AuditRecord,
    auth::Principal,
    content_sniffing::Chunks,
    idempotency::Key,
    problem::{Kind, Problem},
    scanner::{OnFailure, Scan, ScannerConfig, Verdict},
    state::Gateway,
    storage_holds::StorageHold,
};

/// Who sends something, without the request itself: that ends with its connection.
pub(super) struct Sender {
    principal: Principal,
    caller: Caller,
    record: AuditRecord,
}

impl Sender {
    pub(super) fn new(principal: &Principal, request: &Request, caller: Caller) -> Self {
        let record = AuditRecord::about(request, principal, "upload.created");
        Self { principal: principal.clone(), caller, record }
    }
}

/// What somebody sends.
pub(super) struct Sent {
    pub(super) id: UploadId,
    pub(super) name: Option<String>,
    pub(super) key: Option<Key>,
    pub(super) bytes: Chunks,
}

/// An upload that was taken.
pub(super) struct Taken {
    pub(super) id: UploadId,
    pub(super) handled: Handled,
    /// An earlier request stored it.
    pub(super) replayed: bool,
}

/// Reads, looks at and records what somebody sends, and gives back the room that it does not take.
pub(super) async fn take(
    gateway: Arc<Gateway>,
    sender: Sender,
    sent: Sent,
    room: StorageHold,
) -> Result<Taken, Problem> {
    let id = sent.id;
    let taken = store(&gateway, &sender, sent, room.bytes).await?;
    // What is there under its own name is counted from the log; nothing else is held any longer.
    if taken.id == id {
        room.settle();
    }
    Ok(taken)
}

/// The same with up to `most` bytes.
async fn store(
    gateway: &Gateway,
    sender: &Sender,
    sent: Sent,
    most: u64,
) -> Result<Taken, Problem> {
    let Sent { mut id, name, key, bytes } = sent;
    let Sender { principal, caller, record } = sender;
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
        && let Err(problem) = scanned(gateway, record, config, &verdict)
    {
        if received.is_ok() {
            storage.forget(id).await?;
        }
        return Err(problem);
    }
    let received = received?;
    failpoint::hit("gateway.after_bytes");
    let media = look::look(gateway, principal, record, id, &received.sha256).await;
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
    record: &AuditRecord,
    config: &ScannerConfig,
    verdict: &Verdict,
) -> Result<(), Problem> {
    match verdict {
        Verdict::Clean => Ok(()),
        Verdict::Found(name) => {
            gateway.audit.note(record.of("upload.refused_virus"));
            let detail = format!("the scanner found {name} in it");
            Err(Problem::field(Kind::Invalid, "#body", detail))
        }
        Verdict::Failed(why) => {
            tracing::warn!(why, "an upload was not scanned");
            gateway.audit.note(record.of("upload.not_scanned"));
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
