//! Batches of a tenant, with the number of jobs by status.

use std::collections::BTreeMap;

use ffapi_domain::{
    BatchId, Decider, JobId, Tenant, Timestamp,
    batch::{Batch, BatchEvent, BatchView, Counts},
    job::JobStatus,
};
use ffapi_nats::{Codec, Decision, Message};
use sqlx::{PgConnection, types::Json};

use crate::{
    Database, JobList, Projection, ProjectionError, erasure::ErasedAggregates, error::Flaw,
    storable,
};

/// Writes the read model.
#[derive(Debug)]
pub struct BatchList;

/// A batch, and the number of its jobs by status.
pub type BatchWithCounts = (BatchView, Counts);

impl Projection for BatchList {
    type Prepared = ();

    const NAME: &'static str = "batch";
    const TABLES: &'static [&'static str] = &["batch"];
    const PERSONAL: &'static [&'static str] = &[Batch::CATEGORY];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
        _prepared: &(),
    ) -> Result<(), ProjectionError> {
        for message in batch {
            let Some((Batch::CATEGORY, tenant, id)) = message.address() else { continue };
            let sequence = message.sequence;
            let poison = |flaw| ProjectionError::Poison { sequence, flaw };
            let invalid = |why| poison(Flaw::Invalid(why));
            let id: BatchId = id.parse().map_err(|_| invalid("its subject names no batch"))?;
            let tenant: Tenant =
                tenant.parse().map_err(|_| invalid("its subject names no tenant"))?;
            let decision: Decision<BatchEvent> = codec
                .read(message)
                .await
                .map_err(|error| ProjectionError::from_codec(sequence, error))?;
            let row: Option<(Json<BatchView>,)> =
                sqlx::query_as("SELECT doc FROM batch WHERE id = $1")
                    .bind(id.to_string())
                    .fetch_optional(&mut *transaction)
                    .await?;
            let at = Timestamp::from_millis(decision.at);
            let row = decision.events.iter().fold(row.map(|(Json(row),)| row), |row, event| {
                BatchView::apply(row, event, id, &tenant, at)
            });
            let row = row.ok_or_else(|| invalid("it does not begin with a submission"))?;
            sqlx::query(
                "INSERT INTO batch (id, tenant, sequence, doc) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, doc = excluded.doc",
            )
            .bind(id.to_string())
            .bind(tenant.as_str())
            .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
            .bind(storable::document(&row).map_err(poison)?)
            .execute(&mut *transaction)
            .await?;
        }
        Ok(())
    }

    async fn forget(
        &self,
        transaction: &mut PgConnection,
        erased: &ErasedAggregates<'_>,
    ) -> Result<(), ProjectionError> {
        erased.delete(transaction, "DELETE FROM batch WHERE tenant = $1 AND id = ANY($2)").await
    }
}

/// One batch of a tenant, and the sequence of the newest message applied to it.
///
/// # Errors
/// When the database does not respond.
pub async fn find(
    database: &Database,
    tenant: &Tenant,
    id: BatchId,
) -> Result<Option<(BatchWithCounts, u64)>, ProjectionError> {
    let found: Option<(Json<BatchView>, i64)> =
        sqlx::query_as("SELECT doc, sequence FROM batch WHERE id = $1 AND tenant = $2")
            .bind(id.to_string())
            .bind(tenant.as_str())
            .fetch_optional(database.measured())
            .await?;
    let Some((Json(view), sequence)) = found else { return Ok(None) };
    let batch = with_counts(database, vec![view]).await?.pop();
    Ok(batch.map(|batch| (batch, u64::try_from(sequence).unwrap_or(0))))
}

/// Up to `limit` of a tenant's batches that are older than `after`, newest first.
///
/// # Errors
/// When the database does not respond.
pub async fn page(
    database: &Database,
    tenant: &Tenant,
    after: Option<BatchId>,
    limit: u32,
) -> Result<Vec<BatchWithCounts>, ProjectionError> {
    let rows: Vec<(Json<BatchView>,)> = sqlx::query_as(
        "SELECT doc FROM batch WHERE tenant = $1 AND ($2::text IS NULL OR id < $2)
         ORDER BY id DESC LIMIT $3",
    )
    .bind(tenant.as_str())
    .bind(after.map(|after| after.to_string()))
    .bind(i64::from(limit))
    .fetch_all(database.measured())
    .await?;
    with_counts(database, rows.into_iter().map(|(Json(view),)| view).collect()).await
}

/// The number of a tenant's batches, and of the jobs in all of them by status.
///
/// # Errors
/// When the database does not respond.
pub async fn totals(
    database: &Database,
    tenant: &Tenant,
) -> Result<(u64, Counts), ProjectionError> {
    let (batches, jobs): (i64, i64) = sqlx::query_as(
        "SELECT count(*), coalesce(sum((doc->>'total')::bigint), 0)::bigint
         FROM batch WHERE tenant = $1",
    )
    .bind(tenant.as_str())
    .fetch_one(database.measured())
    .await?;
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT status, count(*) FROM job_list
         WHERE tenant = $1 AND batch_id IS NOT NULL GROUP BY status",
    )
    .bind(tenant.as_str())
    .fetch_all(database.measured())
    .await?;
    let mut counts = Counts::default();
    for (status, jobs) in &rows {
        add_jobs(&mut counts, status, *jobs);
    }
    add_unsubmitted(&mut counts, u32::try_from(jobs).unwrap_or(u32::MAX));
    Ok((u64::try_from(batches).unwrap_or(0), counts))
}

/// The status of each submitted job of a batch, and the log sequence up to which it is current.
///
/// # Errors
/// When the database does not respond.
pub async fn statuses(
    database: &Database,
    id: BatchId,
) -> Result<(Vec<(JobId, JobStatus)>, u64), ProjectionError> {
    // A single statement, so that both tables are read in the same state.
    let rows: Vec<(Option<String>, Option<String>, i64)> = sqlx::query_as(
        "SELECT j.id, j.status, c.sequence FROM projection_checkpoint c
         LEFT JOIN job_list j ON j.batch_id = $1 WHERE c.name = $2",
    )
    .bind(id.to_string())
    .bind(JobList::NAME)
    .fetch_all(database.measured())
    .await?;
    let sequence = rows.first().map_or(0, |(_, _, sequence)| u64::try_from(*sequence).unwrap_or(0));
    let known = rows.into_iter().filter_map(|(job, status, _)| {
        let status = serde_json::from_value(status?.into()).ok()?;
        Some((job?.parse().ok()?, status))
    });
    Ok((known.collect(), sequence))
}

/// Adds the number of jobs by status to each batch.
async fn with_counts(
    database: &Database,
    views: Vec<BatchView>,
) -> Result<Vec<BatchWithCounts>, ProjectionError> {
    let ids: Vec<String> = views.iter().map(|view| view.id.to_string()).collect();
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT batch_id, status, count(*) FROM job_list
         WHERE batch_id = ANY($1) GROUP BY batch_id, status",
    )
    .bind(&ids)
    .fetch_all(database.measured())
    .await?;
    let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
    for (batch, status, jobs) in &rows {
        add_jobs(counts.entry(batch.as_str()).or_default(), status, *jobs);
    }
    let views = views.into_iter().zip(&ids).map(|(view, id)| {
        let mut counts = counts.get(id.as_str()).copied().unwrap_or_default();
        add_unsubmitted(&mut counts, view.total);
        (view, counts)
    });
    Ok(views.collect())
}

/// Adds a number of jobs by the status column.
fn add_jobs(counts: &mut Counts, status: &str, jobs: i64) {
    if let Ok(status) = serde_json::from_value::<JobStatus>(status.into()) {
        counts.add(status, u32::try_from(jobs).unwrap_or(u32::MAX));
    }
}

/// Counts the jobs of a batch that are not submitted yet as queued.
fn add_unsubmitted(counts: &mut Counts, total: u32) {
    counts.add(JobStatus::Queued, total.saturating_sub(counts.total));
}
