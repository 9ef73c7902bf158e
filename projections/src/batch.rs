//! Answers: which batches does a tenant have, and how far are they?

use std::collections::BTreeMap;

use ffapi_domain::{
    BatchId, Decider, JobId, Tenant, Timestamp,
    batch::{Batch, BatchEvent, BatchView, Counts},
    job::JobStatus,
};
use ffapi_nats::{Codec, Decision, Message};
use sqlx::{PgConnection, types::Json};

use crate::{Database, JobList, Projection, ProjectionError, erasure::Gone, error::Flaw, storable};

/// The read model's writer.
#[derive(Debug)]
pub struct BatchList;

/// A batch and how its jobs stand.
pub type Counted = (BatchView, Counts);

impl Projection for BatchList {
    const NAME: &'static str = "batch";
    const TABLES: &'static [&'static str] = &["batch"];
    const PERSONAL: &'static [&'static str] = &[Batch::CATEGORY];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
    ) -> Result<(), ProjectionError> {
        for message in batch {
            let Some((Batch::CATEGORY, tenant, id)) = message.address() else { continue };
            let sequence = message.sequence;
            let poison = |flaw| ProjectionError::Poison { sequence, flaw };
            let senseless = |why| poison(Flaw::Senseless(why));
            let id: BatchId = id.parse().map_err(|_| senseless("its subject names no batch"))?;
            let tenant: Tenant =
                tenant.parse().map_err(|_| senseless("its subject names no tenant"))?;
            let decision: Decision<BatchEvent> = codec
                .decode(&message.payload)
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
            let row = row.ok_or_else(|| senseless("it does not begin with a submission"))?;
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
        gone: &Gone<'_>,
    ) -> Result<(), ProjectionError> {
        gone.delete(transaction, "DELETE FROM batch WHERE tenant = $1 AND id = ANY($2)").await
    }
}

/// One batch of a tenant, with the sequence of the newest message folded in.
///
/// # Errors
/// When the database does not answer.
pub async fn find(
    database: &Database,
    tenant: &Tenant,
    id: BatchId,
) -> Result<Option<(Counted, u64)>, ProjectionError> {
    let found: Option<(Json<BatchView>, i64)> =
        sqlx::query_as("SELECT doc, sequence FROM batch WHERE id = $1 AND tenant = $2")
            .bind(id.to_string())
            .bind(tenant.as_str())
            .fetch_optional(&database.pool)
            .await?;
    let Some((Json(view), sequence)) = found else { return Ok(None) };
    let counted = counted(database, vec![view]).await?.pop();
    Ok(counted.map(|counted| (counted, u64::try_from(sequence).unwrap_or(0))))
}

/// A page of a tenant's batches, the newest first, older than `after`.
///
/// # Errors
/// When the database does not answer.
pub async fn page(
    database: &Database,
    tenant: &Tenant,
    after: Option<BatchId>,
    limit: u32,
) -> Result<Vec<Counted>, ProjectionError> {
    let rows: Vec<(Json<BatchView>,)> = sqlx::query_as(
        "SELECT doc FROM batch WHERE tenant = $1 AND ($2::text IS NULL OR id < $2)
         ORDER BY id DESC LIMIT $3",
    )
    .bind(tenant.as_str())
    .bind(after.map(|after| after.to_string()))
    .bind(i64::from(limit))
    .fetch_all(&database.pool)
    .await?;
    counted(database, rows.into_iter().map(|(Json(view),)| view).collect()).await
}

/// How all jobs of a tenant's batches stand, and how many batches it has.
///
/// # Errors
/// When the database does not answer.
pub async fn totals(
    database: &Database,
    tenant: &Tenant,
) -> Result<(u64, Counts), ProjectionError> {
    let (batches, jobs): (i64, i64) = sqlx::query_as(
        "SELECT count(*), coalesce(sum((doc->>'total')::bigint), 0)::bigint
         FROM batch WHERE tenant = $1",
    )
    .bind(tenant.as_str())
    .fetch_one(&database.pool)
    .await?;
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT status, count(*) FROM job_list
         WHERE tenant = $1 AND batch_id IS NOT NULL GROUP BY status",
    )
    .bind(tenant.as_str())
    .fetch_all(&database.pool)
    .await?;
    let mut counts = Counts::default();
    for (status, jobs) in &rows {
        count(&mut counts, status, *jobs);
    }
    promise(&mut counts, u32::try_from(jobs).unwrap_or(u32::MAX));
    Ok((u64::try_from(batches).unwrap_or(0), counts))
}

/// How each made job of a batch stands, and up to which sequence of the log that is so.
///
/// # Errors
/// When the database does not answer.
pub async fn statuses(
    database: &Database,
    id: BatchId,
) -> Result<(Vec<(JobId, JobStatus)>, u64), ProjectionError> {
    // One statement sees one state of both tables.
    let rows: Vec<(Option<String>, Option<String>, i64)> = sqlx::query_as(
        "SELECT j.id, j.status, c.sequence FROM projection_checkpoint c
         LEFT JOIN job_list j ON j.batch_id = $1 WHERE c.name = $2",
    )
    .bind(id.to_string())
    .bind(JobList::NAME)
    .fetch_all(&database.pool)
    .await?;
    let sequence = rows.first().map_or(0, |(_, _, sequence)| u64::try_from(*sequence).unwrap_or(0));
    let known = rows.into_iter().filter_map(|(job, status, _)| {
        let status = serde_json::from_value(status?.into()).ok()?;
        Some((job?.parse().ok()?, status))
    });
    Ok((known.collect(), sequence))
}

async fn counted(
    database: &Database,
    views: Vec<BatchView>,
) -> Result<Vec<Counted>, ProjectionError> {
    let ids: Vec<String> = views.iter().map(|view| view.id.to_string()).collect();
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT batch_id, status, count(*) FROM job_list
         WHERE batch_id = ANY($1) GROUP BY batch_id, status",
    )
    .bind(&ids)
    .fetch_all(&database.pool)
    .await?;
    let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
    for (batch, status, jobs) in &rows {
        count(counts.entry(batch.as_str()).or_default(), status, *jobs);
    }
    let views = views.into_iter().zip(&ids).map(|(view, id)| {
        let mut counts = counts.get(id.as_str()).copied().unwrap_or_default();
        promise(&mut counts, view.total);
        (view, counts)
    });
    Ok(views.collect())
}

fn count(counts: &mut Counts, status: &str, jobs: i64) {
    if let Ok(status) = serde_json::from_value::<JobStatus>(status.into()) {
        counts.add(status, u32::try_from(jobs).unwrap_or(u32::MAX));
    }
}

/// Jobs that are promised and not made yet wait as well.
fn promise(counts: &mut Counts, total: u32) {
    counts.add(JobStatus::Queued, total.saturating_sub(counts.total));
}
