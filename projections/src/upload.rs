//! Uploads that are stored.

use ffapi_domain::{
    Decider, Personal, Tenant, Timestamp, UploadId,
    upload::{Upload, UploadEvent},
};
use ffapi_nats::{Codec, Decision, Message};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, types::Json};

use crate::{
    Database, Projection, ProjectionError, erasure::ErasedAggregates, error::Flaw, storable,
};

/// Writes the read model.
#[derive(Debug)]
pub struct Uploads;

/// A stored upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadRow {
    /// Its id.
    pub id: UploadId,
    /// File name as the client sent it.
    pub file_name: Personal<String>,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 as a hex digest.
    pub sha256: String,
    /// When it was completely received.
    pub created_at: Timestamp,
}

impl Projection for Uploads {
    type Prepared = ();

    const NAME: &'static str = "upload";
    const TABLES: &'static [&'static str] = &["upload"];
    const PERSONAL: &'static [&'static str] = &[Upload::CATEGORY];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
        _prepared: &(),
    ) -> Result<(), ProjectionError> {
        for message in batch {
            let Some((Upload::CATEGORY, tenant, id)) = message.address() else { continue };
            let sequence = message.sequence;
            let flaw = Flaw::Invalid("its subject names no upload");
            let id: UploadId =
                id.parse().map_err(|_| ProjectionError::Poison { sequence, flaw })?;
            let decision: Decision<UploadEvent> = codec
                .read(message)
                .await
                .map_err(|error| ProjectionError::from_codec(sequence, error))?;
            for event in decision.events {
                match event {
                    UploadEvent::Completed { file_name, size, sha256, .. } => {
                        let created_at = Timestamp::from_millis(decision.at);
                        let row = UploadRow { id, file_name, size, sha256, created_at };
                        store(transaction, tenant, &row, sequence).await?;
                    }
                    UploadEvent::Expired {} => {
                        sqlx::query("DELETE FROM upload WHERE id = $1")
                            .bind(id.to_string())
                            .execute(&mut *transaction)
                            .await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn forget(
        &self,
        transaction: &mut PgConnection,
        erased: &ErasedAggregates<'_>,
    ) -> Result<(), ProjectionError> {
        erased.delete(transaction, "DELETE FROM upload WHERE tenant = $1 AND id = ANY($2)").await
    }
}

async fn store(
    transaction: &mut PgConnection,
    tenant: &str,
    row: &UploadRow,
    sequence: u64,
) -> Result<(), ProjectionError> {
    let poison = |flaw| ProjectionError::Poison { sequence, flaw };
    sqlx::query(
        "INSERT INTO upload (id, tenant, sequence, doc) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, doc = excluded.doc",
    )
    .bind(row.id.to_string())
    .bind(storable::text(tenant))
    .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
    .bind(storable::document(row).map_err(poison)?)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Which of a tenant's uploads to list.
#[derive(Debug, Clone, Copy)]
pub struct UploadFilter {
    /// Only uploads that were completed after this stream sequence.
    pub completed_after: u64,
    /// Only uploads older than this one: the cursor.
    pub before: Option<UploadId>,
}

/// Up to `limit` of a tenant's uploads, newest first.
///
/// # Errors
/// When the database does not respond.
pub async fn page(
    database: &Database,
    tenant: &Tenant,
    filter: UploadFilter,
    limit: u32,
) -> Result<Vec<UploadRow>, ProjectionError> {
    let rows: Vec<(Json<UploadRow>,)> = sqlx::query_as(
        "SELECT doc FROM upload
         WHERE tenant = $1 AND sequence > $2 AND ($3::text IS NULL OR id < $3)
         ORDER BY id DESC LIMIT $4",
    )
    .bind(tenant.as_str())
    .bind(i64::try_from(filter.completed_after).unwrap_or(i64::MAX))
    .bind(filter.before.map(|id| id.to_string()))
    .bind(i64::from(limit))
    .fetch_all(database.measured())
    .await?;
    Ok(rows.into_iter().map(|(Json(row),)| row).collect())
}

/// The number of uploads of all tenants that are stored, and their bytes.
///
/// # Errors
/// When the database is unavailable.
pub async fn totals(database: &Database) -> Result<(i64, i64), ProjectionError> {
    let row = sqlx::query_as(
        "SELECT count(*), coalesce(sum((doc ->> 'size')::bigint), 0)::bigint FROM upload",
    );
    Ok(row.fetch_one(database.measured()).await?)
}
