//! The details of each job: its state and its attempts.

use std::collections::BTreeMap;

use ffapi_domain::{
    Decider, JobId, Tenant, Timestamp,
    job::{EventMetadata, FailureCode, Job, JobEvent, JobView},
};
use ffapi_nats::{Codec, Message};
use sqlx::{AssertSqlSafe, PgConnection, types::Json};

use crate::{
    Database, Projection, ProjectionError,
    erasure::ErasedAggregates,
    fold::{JobRow, column, documents, fold, sequences},
};

/// Writes the read model.
#[derive(Debug)]
pub struct JobDetail;

impl Projection for JobDetail {
    type Prepared = ();

    const NAME: &'static str = "job_detail";
    const TABLES: &'static [&'static str] = &["job_detail"];
    const PERSONAL: &'static [&'static str] = &[Job::CATEGORY];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
        _prepared: &(),
    ) -> Result<(), ProjectionError> {
        fold::<JobView>(transaction, codec, batch).await
    }

    async fn forget(
        &self,
        transaction: &mut PgConnection,
        erased: &ErasedAggregates<'_>,
    ) -> Result<(), ProjectionError> {
        erased
            .delete(transaction, "DELETE FROM job_detail WHERE tenant = $1 AND id = ANY($2)")
            .await
    }
}

impl JobRow for JobView {
    fn apply(row: Option<Self>, event: &JobEvent, meta: &EventMetadata) -> Option<Self> {
        Self::apply(row, event, meta)
    }

    async fn load(
        transaction: &mut PgConnection,
        ids: &[String],
    ) -> Result<BTreeMap<JobId, Self>, ProjectionError> {
        let rows: Vec<(Json<Self>,)> =
            sqlx::query_as("SELECT doc FROM job_detail WHERE id = ANY($1)")
                .bind(ids)
                .fetch_all(transaction)
                .await?;
        Ok(rows.into_iter().map(|(Json(job),)| (job.summary.id, job)).collect())
    }

    async fn store(
        transaction: &mut PgConnection,
        rows: &[(Self, u64)],
    ) -> Result<(), ProjectionError> {
        sqlx::query(
            "INSERT INTO job_detail (id, tenant, sequence, doc)
             SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::jsonb[])
             ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, doc = excluded.doc",
        )
        .bind(column(rows, |job| job.summary.id.to_string()))
        .bind(column(rows, |job| job.summary.tenant.to_string()))
        .bind(sequences(rows))
        .bind(documents(rows)?)
        .execute(transaction)
        .await?;
        Ok(())
    }
}

/// A page of jobs whose outputs are due to be deleted.
#[derive(Debug)]
pub struct Kept {
    /// The jobs. A row that cannot be deserialized is skipped.
    pub jobs: Vec<JobView>,
    /// Cursor of the next page; `None` if this is the last one.
    pub next: Option<KeptCursor>,
}

/// A position in the list of these jobs.
#[derive(Debug, Clone)]
pub struct KeptCursor {
    completed_at: String,
    id: String,
}

/// The outputs that are due to be deleted.
#[derive(Debug, Clone, Copy)]
pub struct ExpiredOutputs {
    /// Those of jobs that were completed before, unless the job itself says how long they are kept.
    pub completed_before: Timestamp,
    /// The current time, for jobs that say it themselves.
    pub now: Timestamp,
}

/// Up to `limit` jobs whose outputs are due to be deleted, after the cursor, oldest first.
///
/// # Errors
/// When the database does not respond.
pub async fn page_with_unexpired_outputs(
    database: &Database,
    expired: ExpiredOutputs,
    after: Option<KeptCursor>,
    limit: u32,
) -> Result<Kept, ProjectionError> {
    let cursor =
        after.map(|KeptCursor { completed_at, id }| (completed_at, id)).unwrap_or_default();
    let rows: Vec<(String, String, String)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT doc #>> '{{summary,completed_at}}', id, doc::text FROM job_detail
         WHERE {HAS_OUTPUTS} AND (doc #>> '{{summary,completed_at}}', id) > ($3, $4)
         ORDER BY doc #>> '{{summary,completed_at}}', id LIMIT $5"
    )))
    .bind(expired.completed_before.to_string())
    .bind(expired.now.to_string())
    .bind(cursor.0)
    .bind(cursor.1)
    .bind(i64::from(limit))
    .fetch_all(database.measured())
    .await?;
    let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let last = rows.last().filter(|_| full);
    let next = last.map(|(at, id, _)| KeptCursor { completed_at: at.clone(), id: id.clone() });
    let read = |(_, id, doc): (String, String, String)| {
        let job = serde_json::from_str::<JobView>(&doc).ok();
        if job.is_none() {
            tracing::error!(id, "skipping a row of `job_detail` that cannot be deserialized");
        }
        job
    };
    Ok(Kept { jobs: rows.into_iter().filter_map(read).collect(), next })
}

/// The number of jobs whose outputs are due to be deleted.
///
/// # Errors
/// When the database does not respond.
pub async fn count_with_unexpired_outputs(
    database: &Database,
    expired: ExpiredOutputs,
) -> Result<u64, ProjectionError> {
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT count(*) FROM job_detail WHERE {HAS_OUTPUTS}"
    )))
    .bind(expired.completed_before.to_string())
    .bind(expired.now.to_string())
    .fetch_one(database.measured())
    .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// SQL condition: outputs not expired, in a store, and completed before `$1` or kept until before `$2`. Each side of
/// the `OR` has a partial index.
const HAS_OUTPUTS: &str = "doc #>> '{summary,status}' = 'completed'
    AND doc #>> '{summary,outputs_expired_at}' IS NULL
    AND COALESCE(doc #>> '{summary,output}', '') !~ '^https?://'
    AND jsonb_array_length(doc -> 'outputs') > 0
    AND ((doc #> '{summary,keep}' IS NULL AND doc #>> '{summary,completed_at}' < $1)
        OR (doc #> '{summary,keep}' IS NOT NULL AND doc #>> '{summary,keep_until}' < $2))";

/// Which dead letters to list.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// Only jobs of this tenant.
    pub tenant: Option<Tenant>,
    /// Only jobs that failed with this code.
    pub code: Option<FailureCode>,
    /// Only these jobs.
    pub ids: Option<Vec<JobId>>,
    /// Only jobs older than this one: the cursor.
    pub after: Option<JobId>,
}

/// Up to `limit` jobs that failed after all attempts, newest first.
///
/// # Errors
/// When the database does not respond.
pub async fn dead_letters(
    database: &Database,
    filter: &DeadLetterFilter,
    limit: u32,
) -> Result<Vec<JobView>, ProjectionError> {
    let rows: Vec<(Json<JobView>,)> = sqlx::query_as(
        "SELECT doc FROM job_detail
         WHERE doc @> '{\"summary\": {\"status\": \"failed\", \"dead_lettered\": true}}'
           AND ($1::text IS NULL OR tenant = $1)
           AND ($2::text IS NULL OR doc #>> '{summary,error,code}' = $2)
           AND ($3::text IS NULL OR id < $3)
           AND ($5::text[] IS NULL OR id = ANY($5))
         ORDER BY id DESC LIMIT $4",
    )
    .bind(filter.tenant.as_ref().map(Tenant::as_str))
    .bind(filter.code.map(FailureCode::as_str))
    .bind(filter.after.map(|after| after.to_string()))
    .bind(i64::from(limit))
    .bind(filter.ids.as_ref().map(|ids| ids.iter().map(JobId::to_string).collect::<Vec<_>>()))
    .fetch_all(database.measured())
    .await?;
    Ok(rows.into_iter().map(|(Json(job),)| job).collect())
}

/// The number of jobs that failed after all attempts.
///
/// # Errors
/// When the database does not respond.
pub async fn count_dead_letters(database: &Database) -> Result<u64, ProjectionError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM job_detail
         WHERE doc @> '{\"summary\": {\"status\": \"failed\", \"dead_lettered\": true}}'",
    )
    .fetch_one(database.measured())
    .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// One job of a tenant, and the sequence of the newest message applied to it.
///
/// # Errors
/// When the database does not respond.
pub async fn find(
    database: &Database,
    tenant: &Tenant,
    id: JobId,
) -> Result<Option<(JobView, u64)>, ProjectionError> {
    let found: Option<(Json<JobView>, i64)> =
        sqlx::query_as("SELECT doc, sequence FROM job_detail WHERE id = $1 AND tenant = $2")
            .bind(id.to_string())
            .bind(tenant.as_str())
            .fetch_optional(database.measured())
            .await?;
    Ok(found.map(|(Json(job), sequence)| (job, u64::try_from(sequence).unwrap_or(0))))
}
