//! Answers: which jobs does a tenant have, and how does each stand?

use std::collections::BTreeMap;

use domain::{
    Decider, JobId, Tenant, Timestamp,
    job::{Job, JobEvent, JobStatus, JobView, Recorded},
};
use nats::{Codec, Message};
use sqlx::{PgConnection, QueryBuilder, types::Json};

use crate::{Database, Projection, ProjectionError};

/// The read model's writer.
#[derive(Debug)]
pub struct Jobs;

/// A job's row as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The fold.
    pub job: JobView,
    /// The newest message folded in.
    pub sequence: u64,
}

/// Which jobs a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these.
    pub status: Option<JobStatus>,
    /// Only this kind.
    pub kind: Option<String>,
    /// Asked for at or after.
    pub created_after: Option<Timestamp>,
    /// Asked for before.
    pub created_before: Option<Timestamp>,
    /// Only jobs with these labels.
    pub metadata: BTreeMap<String, String>,
    /// Oldest first instead of newest first.
    pub oldest_first: bool,
    /// Beyond this one.
    pub after: Option<JobId>,
}

impl Projection for Jobs {
    const NAME: &'static str = "jobs";
    const TABLES: &'static [&'static str] = &["job"];
    const SYNCHRONOUS: bool = false;

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
    ) -> Result<(), ProjectionError> {
        let mut changes: BTreeMap<JobId, Vec<(&Message, nats::Decision<JobEvent>)>> =
            BTreeMap::new();
        for message in batch {
            let Some((Job::CATEGORY, _, id)) = message.address() else { continue };
            let poison = |why: String| ProjectionError::Poison { sequence: message.sequence, why };
            let id: JobId = id.parse().map_err(|_| poison(format!("{id} is no job")))?;
            let decision = codec
                .decode(&message.payload)
                .await
                .map_err(|error| ProjectionError::from_codec(message.sequence, error))?;
            changes.entry(id).or_default().push((message, decision));
        }
        if changes.is_empty() {
            return Ok(());
        }
        let mut rows = load(transaction, changes.keys()).await?;
        let mut changed = Vec::new();
        for (id, decisions) in changes {
            let mut row = rows.remove(&id);
            let mut sequence = 0;
            for (message, decision) in decisions {
                let poison = |why: &str| ProjectionError::Poison {
                    sequence: message.sequence,
                    why: why.to_owned(),
                };
                let meta = Recorded {
                    id,
                    tenant: decision.tenant.parse().map_err(|_| poison("no tenant"))?,
                    at: Timestamp::from_millis(decision.at),
                };
                row = decision
                    .events
                    .iter()
                    .fold(row, |row, event| JobView::apply(row, event, &meta));
                if row.is_none() {
                    return Err(poison("it does not begin with a submission"));
                }
                sequence = message.sequence;
            }
            changed.extend(row.map(|job| Row { job, sequence }));
        }
        store(transaction, &changed).await
    }
}

async fn load(
    transaction: &mut PgConnection,
    ids: impl Iterator<Item = &JobId>,
) -> Result<BTreeMap<JobId, JobView>, ProjectionError> {
    let ids: Vec<String> = ids.map(ToString::to_string).collect();
    let rows: Vec<(Json<JobView>,)> = sqlx::query_as("SELECT doc FROM job WHERE id = ANY($1)")
        .bind(&ids)
        .fetch_all(transaction)
        .await?;
    Ok(rows.into_iter().map(|(Json(job),)| (job.id, job)).collect())
}

async fn store(transaction: &mut PgConnection, rows: &[Row]) -> Result<(), ProjectionError> {
    let text = |of: fn(&JobView) -> String| rows.iter().map(|row| of(&row.job)).collect::<Vec<_>>();
    let docs: Result<Vec<serde_json::Value>, _> =
        rows.iter().map(|row| serde_json::to_value(&row.job)).collect();
    let docs = docs.map_err(|error| ProjectionError::Poison {
        sequence: rows.first().map_or(0, |row| row.sequence),
        why: error.to_string(),
    })?;
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let created: Vec<i64> = rows.iter().map(|r| signed(r.job.created_at.as_millis())).collect();
    let sequences: Vec<i64> = rows.iter().map(|row| signed(row.sequence)).collect();
    sqlx::query(
        "INSERT INTO job (id, tenant, kind, status, created_at, sequence, doc)
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[],
                              $5::bigint[], $6::bigint[], $7::jsonb[])
         ON CONFLICT (id) DO UPDATE SET
             status = excluded.status, sequence = excluded.sequence, doc = excluded.doc",
    )
    .bind(text(|job| job.id.to_string()))
    .bind(text(|job| job.tenant.to_string()))
    .bind(text(|job| job.kind.clone()))
    .bind(text(|job| job.status.as_str().to_owned()))
    .bind(created)
    .bind(sequences)
    .bind(docs)
    .execute(transaction)
    .await?;
    Ok(())
}

type Stored = (Json<JobView>, i64);

fn row((Json(job), sequence): Stored) -> Row {
    Row { job, sequence: u64::try_from(sequence).unwrap_or(0) }
}

/// One job of a tenant.
///
/// # Errors
/// When the database does not answer.
pub async fn find(
    database: &Database,
    tenant: &Tenant,
    id: JobId,
) -> Result<Option<Row>, ProjectionError> {
    let found: Option<Stored> =
        sqlx::query_as("SELECT doc, sequence FROM job WHERE id = $1 AND tenant = $2")
            .bind(id.to_string())
            .bind(tenant.as_str())
            .fetch_optional(&database.pool)
            .await?;
    Ok(found.map(row))
}

/// A page of a tenant's jobs, newest first unless the filter says otherwise.
///
/// # Errors
/// When the database does not answer.
pub async fn list(
    database: &Database,
    tenant: &Tenant,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<Row>, ProjectionError> {
    let mut query = QueryBuilder::new("SELECT doc, sequence FROM job WHERE tenant = ");
    query.push_bind(tenant.as_str().to_owned());
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status.as_str());
    }
    if let Some(kind) = &filter.kind {
        query.push(" AND kind = ").push_bind(kind.clone());
    }
    let millis = |time: Timestamp| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
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
    // Ids sort by time, so they are the order and the cursor at once.
    let (beyond, order) = if filter.oldest_first { (" > ", " ASC") } else { (" < ", " DESC") };
    if let Some(after) = filter.after {
        query.push(" AND id").push(beyond).push_bind(after.to_string());
    }
    query.push(" ORDER BY id").push(order).push(" LIMIT ").push_bind(i64::from(limit));
    let rows: Vec<Stored> = query.build_query_as().fetch_all(&database.pool).await?;
    Ok(rows.into_iter().map(row).collect())
}

/// How many of a tenant's jobs wait, by priority, and how many run.
///
/// # Errors
/// When the database does not answer.
pub async fn queue(
    database: &Database,
    tenant: &Tenant,
) -> Result<BTreeMap<String, u64>, ProjectionError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT CASE status WHEN 'queued' THEN doc->>'priority' ELSE 'processing' END AS place,
                count(*)
         FROM job WHERE tenant = $1 AND status IN ('queued', 'processing') GROUP BY place",
    )
    .bind(tenant.as_str())
    .fetch_all(&database.pool)
    .await?;
    Ok(rows.into_iter().map(|(place, n)| (place, u64::try_from(n).unwrap_or(0))).collect())
}
