use ffapi_domain::{Personal, Tenant, audit::AuditEvent};
use ffapi_nats::{Codec, CodecError, Decision, Message};
use serde_json::json;
use sqlx::PgConnection;

use super::AuditRow;
use crate::{
    Database, Projection, ProjectionError,
    anchor::HashChain,
    archive::{previous_hash, row_hash},
    storable,
};

/// Writes the read model of the audit stream.
#[derive(Debug)]
pub struct AuditNotes;

impl Projection for AuditNotes {
    type Prepared = ();

    const NAME: &'static str = "audit_note";
    const TABLES: &'static [&'static str] = &["audit_note"];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
        _prepared: &(),
    ) -> Result<(), ProjectionError> {
        let Some(first) = batch.first() else { return Ok(()) };
        let mut hash = previous_hash(transaction, HashChain::AuditNote, first.sequence).await?;
        for message in batch {
            let subject = storable::text(&message.subject);
            hash = row_hash(&hash, message.sequence, &subject, &message.payload);
            let row = row(codec, message).await?;
            sqlx::query(
                "INSERT INTO audit_note (sequence, at, tenant, actor, address, action, target,
                     request_id, detail, subject, payload, hash)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            )
            .bind(row.sequence)
            .bind(row.at)
            .bind(row.tenant)
            .bind(row.actor)
            .bind(row.address)
            .bind(row.action)
            .bind(row.target)
            .bind(row.request_id)
            .bind(row.detail)
            .bind(&*subject)
            .bind(message.payload.as_ref())
            .bind(&hash)
            .execute(&mut *transaction)
            .await?;
        }
        Ok(())
    }
}

/// Action of a note that cannot be decoded. Notes are independent of each other, so that it is
/// stored instead of parked, and the hash chain has no gaps.
pub(super) const UNREADABLE: &str = "note.unreadable";

/// The row of a note.
pub(super) async fn row(codec: &Codec, message: &Message) -> Result<AuditRow, ProjectionError> {
    let decision: Decision<AuditEvent> = match codec.read(message).await {
        Ok(decision) => decision,
        Err(CodecError::Unreadable(_)) => return Ok(unreadable(message)),
        Err(error) => return Err(ProjectionError::from_codec(message.sequence, error)),
    };
    let Some(AuditEvent::Noted { action, key, address, request, request_id, count, first, last }) =
        decision.events.first()
    else {
        return Ok(unreadable(message));
    };
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let request = request.as_ref().and_then(Personal::as_ref);
    Ok(AuditRow {
        source: "note".to_owned(),
        sequence: signed(message.sequence),
        index: 0,
        at: signed(last.as_millis()),
        tenant: decision.tenant,
        actor: key.map(|key| key.to_string()).unwrap_or_default(),
        address: address.as_ref().cloned(),
        action: action.clone(),
        target: String::new(),
        request_id: request_id.clone(),
        detail: json!({ "count": count, "first": first, "last": last, "request": request }),
    }
    .storable())
}

fn unreadable(message: &Message) -> AuditRow {
    AuditRow {
        source: "note".to_owned(),
        sequence: i64::try_from(message.sequence).unwrap_or(i64::MAX),
        index: 0,
        at: 0,
        tenant: message.subject.split('.').nth(1).unwrap_or_default().to_owned(),
        actor: String::new(),
        address: None,
        action: UNREADABLE.to_owned(),
        target: String::new(),
        request_id: None,
        detail: json!({}),
    }
    .storable()
}

/// Removes an erased tenant's personal data from the rows of notes: they are decoded again from
/// their payloads, which stay unchanged since the hash chain covers them.
///
/// # Errors
/// When the database does not respond.
pub async fn erase_notes(
    database: &Database,
    codec: &Codec,
    tenant: &Tenant,
) -> Result<(), ProjectionError> {
    codec.forget(tenant.as_str()).await;
    let rows: Vec<(i64, String, Vec<u8>)> =
        sqlx::query_as("SELECT sequence, subject, payload FROM audit_note WHERE tenant = $1")
            .bind(tenant.as_str())
            .fetch_all(database.measured())
            .await?;
    for (sequence, subject, payload) in rows {
        let at = u64::try_from(sequence).unwrap_or(0);
        let message = Message { sequence: at, subject, payload: payload.into(), pending: 0 };
        let row = row(codec, &message).await?;
        sqlx::query("UPDATE audit_note SET address = $2, detail = $3 WHERE sequence = $1")
            .bind(sequence)
            .bind(row.address)
            .bind(row.detail)
            .execute(database.measured())
            .await?;
    }
    Ok(())
}
