use ffapi_domain::{
    Decider, Personal,
    account::{Account, AccountEvent},
    key::{Key, KeyEvent},
    restoration::{self, LogEvent},
};
use ffapi_nats::{Codec, Decision, Message};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::PgConnection;

use super::{AuditRow, actor, event_parts, request_id};
use crate::{Projection, ProjectionError, erasure::ErasedAggregates};

/// Writes the read model of decisions about keys and accounts.
#[derive(Debug)]
pub struct AuditDecisions;

impl Projection for AuditDecisions {
    const NAME: &'static str = "audit_decision";
    const TABLES: &'static [&'static str] = &["audit_decision"];
    const PERSONAL: &'static [&'static str] = &[Key::CATEGORY, Account::CATEGORY];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
    ) -> Result<(), ProjectionError> {
        for message in batch {
            for row in rows(codec, message).await? {
                insert(transaction, row).await?;
            }
        }
        Ok(())
    }

    async fn forget(
        &self,
        transaction: &mut PgConnection,
        erased: &ErasedAggregates<'_>,
    ) -> Result<(), ProjectionError> {
        let statement = "DELETE FROM audit_decision WHERE tenant = $1 AND target = ANY($2)";
        erased.delete(transaction, statement).await
    }
}

async fn insert(transaction: &mut PgConnection, row: AuditRow) -> Result<(), ProjectionError> {
    sqlx::query(
        "INSERT INTO audit_decision (sequence, index, at, tenant, actor, address,
                         action, target, request_id, detail)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(row.sequence)
    .bind(row.index)
    .bind(row.at)
    .bind(row.tenant)
    .bind(row.actor)
    .bind(row.address)
    .bind(row.action)
    .bind(row.target)
    .bind(row.request_id)
    .bind(row.detail)
    .execute(transaction)
    .await?;
    Ok(())
}

/// The rows of a message.
pub(super) async fn rows(
    codec: &Codec,
    message: &Message,
) -> Result<Vec<AuditRow>, ProjectionError> {
    match message.address() {
        Some((Key::CATEGORY, ..)) => typed::<KeyEvent>(codec, message).await,
        Some((Account::CATEGORY, ..)) => typed::<AccountEvent>(codec, message).await,
        Some((restoration::CATEGORY, ..)) => typed::<LogEvent>(codec, message).await,
        _ => Ok(vec![]),
    }
}

async fn typed<E: Serialize + DeserializeOwned>(
    codec: &Codec,
    message: &Message,
) -> Result<Vec<AuditRow>, ProjectionError> {
    let decision: Decision<E> = codec
        .decode(&message.payload)
        .await
        .map_err(|error| ProjectionError::from_codec(message.sequence, error))?;
    let target = message.address().map(|(_, _, id)| id.to_owned()).unwrap_or_default();
    let address: Option<Personal<String>> = decision.address();
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let row = |(index, event): (usize, &E)| {
        let (action, detail) = event_parts(event);
        AuditRow {
            source: "decision".to_owned(),
            sequence: signed(message.sequence),
            index: i32::try_from(index).unwrap_or(i32::MAX),
            at: signed(decision.at),
            tenant: decision.tenant.clone(),
            actor: actor(&decision.actor),
            address: address.as_ref().and_then(Personal::as_ref).cloned(),
            action,
            target: target.clone(),
            request_id: request_id(&decision),
            detail,
        }
        .storable()
    };
    Ok(decision.events.iter().enumerate().map(row).collect())
}
