use ffapi_domain::{AnyEvent, Category, Decider, Personal, account::Account, key::Key};
use ffapi_nats::{Codec, Decision, Message};
use sqlx::PgConnection;

use super::{AuditRow, actor, event_parts, request_id};
use crate::{Projection, ProjectionError, erasure::ErasedAggregates};

/// Writes the read model of decisions about keys and accounts.
#[derive(Debug)]
pub struct AuditDecisions;

impl Projection for AuditDecisions {
    type Prepared = ();

    const NAME: &'static str = "audit_decision";
    const TABLES: &'static [&'static str] = &["audit_decision"];
    const PERSONAL: &'static [&'static str] = &[Key::CATEGORY, Account::CATEGORY];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
        _prepared: &(),
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

/// True for the categories whose events are audit rows.
const fn is_audited(category: Category) -> bool {
    match category {
        Category::Key | Category::Account | Category::Restoration => true,
        Category::Batch
        | Category::Dispatch
        | Category::Job
        | Category::KeyQuota
        | Category::Output
        | Category::Preset
        | Category::QueueQuota
        | Category::Quota
        | Category::StorageQuota
        | Category::Upload
        | Category::Webhook
        | Category::WebhookQuota => false,
    }
}

/// The rows of a message.
pub(super) async fn rows(
    codec: &Codec,
    message: &Message,
) -> Result<Vec<AuditRow>, ProjectionError> {
    let Some((category, _, target)) = message.address() else { return Ok(vec![]) };
    if !Category::of(category).is_some_and(is_audited) {
        return Ok(vec![]);
    }
    let decision: Decision<AnyEvent> = codec
        .read_any(message)
        .await
        .map_err(|error| ProjectionError::from_codec(message.sequence, error))?;
    let address: Option<Personal<String>> = decision.address();
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let row = |(index, event): (usize, &AnyEvent)| {
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
            target: target.to_owned(),
            request_id: request_id(&decision),
            detail,
        }
        .storable()
    };
    Ok(decision.events.iter().enumerate().map(row).collect())
}
