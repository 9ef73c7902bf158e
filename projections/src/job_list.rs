//! The list of a tenant's jobs.

use std::collections::BTreeMap;

use ffapi_domain::{
    BatchId, Decider, JobId, Tenant, Timestamp,
    job::{EventMetadata, Job, JobEvent, JobStatus, JobSummary, PresetRef},
};
use ffapi_nats::{Codec, Message};
use sqlx::{PgConnection, QueryBuilder, types::Json};

use crate::{
    Database, Projection, ProjectionError,
    erasure::ErasedAggregates,
    fold::{JobRow, column, documents, fold, millis, sequences},
    storable,
};

/// Writes the read model.
#[derive(Debug)]
pub struct JobList;

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only jobs with one of these statuses; with any if empty.
    pub statuses: Vec<JobStatus>,
    /// Only jobs of this batch.
    pub batch: Option<BatchId>,
    /// Only jobs that used this preset.
    pub preset: Option<UsedPreset>,
    /// Only jobs of one of these kinds; of any if empty.
    pub kinds: Vec<&'static str>,
    /// Only jobs submitted at or after this time.
    pub created_after: Option<Timestamp>,
    /// Only jobs submitted before this time.
    pub created_before: Option<Timestamp>,
    /// Only jobs with all of these labels.
    pub metadata: BTreeMap<String, String>,
    /// Oldest first instead of newest first.
    pub oldest_first: bool,
    /// Only jobs after this one in the order of the list: the cursor.
    pub after: Option<JobId>,
}

/// A preset that jobs used.
#[derive(Debug, Clone)]
pub struct UsedPreset {
    /// Its name.
    pub name: String,
    /// Its version; any if none is given.
    pub version: Option<u32>,
    /// Whose it is; anyone's if none is given.
    pub owner: Option<PresetOwner>,
}

/// Whose preset it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresetOwner {
    /// The tenant's own.
    Tenant,
    /// One of the operator, for all tenants.
    Operator,
}

impl From<PresetRef> for UsedPreset {
    fn from(PresetRef { name, version, global }: PresetRef) -> Self {
        let owner = if global { PresetOwner::Operator } else { PresetOwner::Tenant };
        Self { name, version: Some(version), owner: Some(owner) }
    }
}

impl Projection for JobList {
    type Prepared = ();

    const NAME: &'static str = "job_list";
    const TABLES: &'static [&'static str] = &["job_list"];
    const PERSONAL: &'static [&'static str] = &[Job::CATEGORY];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
        _prepared: &(),
    ) -> Result<(), ProjectionError> {
        fold::<JobSummary>(transaction, codec, batch).await
    }

    async fn forget(
        &self,
        transaction: &mut PgConnection,
        erased: &ErasedAggregates<'_>,
    ) -> Result<(), ProjectionError> {
        erased.delete(transaction, "DELETE FROM job_list WHERE tenant = $1 AND id = ANY($2)").await
    }
}

impl JobRow for JobSummary {
    fn apply(row: Option<Self>, event: &JobEvent, meta: &EventMetadata) -> Option<Self> {
        Self::apply(row, event, meta)
    }

    async fn load(
        transaction: &mut PgConnection,
        ids: &[String],
    ) -> Result<BTreeMap<JobId, Self>, ProjectionError> {
        let rows: Vec<(Json<Self>,)> =
            sqlx::query_as("SELECT doc FROM job_list WHERE id = ANY($1)")
                .bind(ids)
                .fetch_all(transaction)
                .await?;
        Ok(rows.into_iter().map(|(Json(job),)| (job.id, job)).collect())
    }

    async fn store(
        transaction: &mut PgConnection,
        rows: &[(Self, u64)],
    ) -> Result<(), ProjectionError> {
        sqlx::query(
            "INSERT INTO job_list (id, tenant, kind, status, created_at, sequence, doc, batch_id)
             SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[],
                                  $5::bigint[], $6::bigint[], $7::jsonb[], $8::text[])
             ON CONFLICT (id) DO UPDATE SET
                 status = excluded.status, sequence = excluded.sequence, doc = excluded.doc",
        )
        .bind(column(rows, |job| job.id.to_string()))
        .bind(column(rows, |job| job.tenant.to_string()))
        .bind(column(rows, |job| storable::text(&job.kind).into_owned()))
        .bind(column(rows, |job| job.status.as_str()))
        .bind(column(rows, |job| millis(job.created_at)))
        .bind(sequences(rows))
        .bind(documents(rows)?)
        .bind(column(rows, |job| job.batch_id.map(|batch| batch.to_string())))
        .execute(transaction)
        .await?;
        Ok(())
    }
}

/// Up to `limit` of a tenant's jobs, newest first unless the filter has `oldest_first`.
///
/// # Errors
/// When the database does not respond.
pub async fn page(
    database: &Database,
    tenant: &Tenant,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<JobSummary>, ProjectionError> {
    let mut query = QueryBuilder::new("SELECT doc FROM job_list WHERE tenant = ");
    query.push_bind(tenant.as_str().to_owned());
    if !filter.statuses.is_empty() {
        let statuses = filter.statuses.iter().map(|status| status.as_str().to_owned());
        query.push(" AND status = ANY(").push_bind(statuses.collect::<Vec<_>>()).push(")");
    }
    if !filter.kinds.is_empty() {
        query.push(" AND kind = ANY(").push_bind(filter.kinds.clone()).push(")");
    }
    if let Some(batch) = filter.batch {
        query.push(" AND batch_id = ").push_bind(batch.to_string());
    }
    if let Some(preset) = &filter.preset {
        let mut used =
            serde_json::Map::from_iter([("name".to_owned(), preset.name.clone().into())]);
        if let Some(version) = preset.version {
            used.insert("version".to_owned(), version.into());
        }
        query.push(" AND doc @> ").push_bind(serde_json::json!({ "preset": used }));
        let global = serde_json::json!({ "preset": { "global": true } });
        match preset.owner {
            Some(PresetOwner::Operator) => {
                query.push(" AND doc @> ").push_bind(global);
            }
            Some(PresetOwner::Tenant) => {
                query.push(" AND NOT doc @> ").push_bind(global);
            }
            None => {}
        }
    }
    if let Some(after) = filter.created_after {
        query.push(" AND created_at >= ").push_bind(millis(after));
    }
    if let Some(before) = filter.created_before {
        query.push(" AND created_at < ").push_bind(millis(before));
    }
    if !filter.metadata.is_empty() {
        let labels = serde_json::json!({ "metadata": filter.metadata });
        query.push(" AND doc @> ").push_bind(labels);
    }
    // Ids sort by time, so they are both the order and the cursor.
    let (operator, order) = if filter.oldest_first { (" > ", " ASC") } else { (" < ", " DESC") };
    if let Some(after) = filter.after {
        query.push(" AND id").push(operator).push_bind(after.to_string());
    }
    query.push(" ORDER BY id").push(order).push(" LIMIT ").push_bind(i64::from(limit));
    let rows: Vec<(Json<JobSummary>,)> =
        query.build_query_as().fetch_all(database.measured()).await?;
    Ok(rows.into_iter().map(|(Json(job),)| job).collect())
}
