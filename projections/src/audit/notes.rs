use domain::{Personal, Tenant, audit::AuditEvent};
use nats::{Codec, Decision, Message};
use serde_json::json;
use sqlx::PgConnection;

use super::AuditRow;
use crate::{Database, Projection, ProjectionError, archive::chain};

/// The writer of what was noted beside the log.
#[derive(Debug)]
pub struct AuditNotes;

impl Projection for AuditNotes {
    const NAME: &'static str = "audit_note";
    const TABLES: &'static [&'static str] = &["audit_note"];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
    ) -> Result<(), ProjectionError> {
        let last: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT hash FROM audit_note ORDER BY sequence DESC LIMIT 1")
                .fetch_optional(&mut *transaction)
                .await?;
        let mut hash = last.unwrap_or_default();
        for message in batch {
            hash = chain(&hash, message.sequence, &message.subject, &message.payload);
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
            .bind(&message.subject)
            .bind(message.payload.as_ref())
            .bind(&hash)
            .execute(&mut *transaction)
            .await?;
        }
        Ok(())
    }
}

/// The row that a note makes.
pub(super) async fn row(codec: &Codec, message: &Message) -> Result<AuditRow, ProjectionError> {
    let sequence = message.sequence;
    let decision: Decision<AuditEvent> = codec
        .decode(&message.payload)
        .await
        .map_err(|error| ProjectionError::from_codec(sequence, error))?;
    let Some(AuditEvent::Noted { action, key, address, request, request_id, count, first, last }) =
        decision.events.first()
    else {
        return Err(ProjectionError::Poison { sequence, why: "it notes nothing".to_owned() });
    };
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let request = request.as_ref().and_then(Personal::as_ref);
    Ok(AuditRow {
        source: "note".to_owned(),
        sequence: signed(sequence),
        index: 0,
        at: signed(last.as_millis()),
        tenant: decision.tenant,
        actor: key.map(|key| key.to_string()).unwrap_or_default(),
        address: address.as_ref().cloned(),
        action: action.clone(),
        target: String::new(),
        request_id: request_id.clone(),
        detail: json!({ "count": count, "first": first, "last": last, "request": request }),
    })
}

/// Takes what is personal of an erased tenant out of the notes' rows: what each says is read anew from
/// its payload, which the chain is over.
///
/// # Errors
/// When the database does not answer.
pub async fn erase_notes(
    database: &Database,
    codec: &Codec,
    tenant: &Tenant,
) -> Result<(), ProjectionError> {
    codec.forget(tenant.as_str()).await;
    let kept: Vec<(i64, String, Vec<u8>)> =
        sqlx::query_as("SELECT sequence, subject, payload FROM audit_note WHERE tenant = $1")
            .bind(tenant.as_str())
            .fetch_all(&database.pool)
            .await?;
    for (sequence, subject, payload) in kept {
        let at = u64::try_from(sequence).unwrap_or(0);
        let message = Message { sequence: at, subject, payload: payload.into(), pending: 0 };
        let row = row(codec, &message).await?;
        sqlx::query("UPDATE audit_note SET address = $2, detail = $3 WHERE sequence = $1")
            .bind(sequence)
            .bind(row.address)
            .bind(row.detail)
            .execute(&database.pool)
            .await?;
    }
    Ok(())
}
