//! What each job was charged and made, for sums by day, kind, codec, status and label.

use std::collections::BTreeMap;

use ffapi_domain::{
    Decider, JobId, Tenant,
    job::{EventMetadata, JobEvent, JobStatus, main_codec},
    quota::{Quota, QuotaEvent},
};
use ffapi_nats::{Codec, Decision, Message};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use crate::{
    Database, Projection, ProjectionError,
    fold::{JobRow, column, fold, sequences},
    storable,
};

/// Writes the read model.
#[derive(Debug)]
pub struct Usage;

impl Projection for Usage {
    type Prepared = ();

    const NAME: &'static str = "usage";
    const TABLES: &'static [&'static str] = &["usage"];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
        _prepared: &(),
    ) -> Result<(), ProjectionError> {
        // A job's minutes are settled after its submission, which may be in the same batch.
        fold::<UsedByJob>(transaction, codec, batch).await?;
        for message in batch {
            let Some((Quota::CATEGORY, ..)) = message.address() else { continue };
            let decision: Decision<QuotaEvent> = codec
                .read(message)
                .await
                .map_err(|error| ProjectionError::from_codec(message.sequence, error))?;
            for event in &decision.events {
                let QuotaEvent::Settled { job, micros } = event else { continue };
                sqlx::query("UPDATE usage SET micros = micros + $2 WHERE id = $1")
                    .bind(job.to_string())
                    .bind(i64::try_from(*micros).unwrap_or(i64::MAX))
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        Ok(())
    }
}

/// The row of a job, without what it is charged.
#[derive(Debug, Clone, FromRow)]
struct UsedByJob {
    id: String,
    tenant: String,
    day: String,
    kind: String,
    status: String,
    codec: String,
    seconds: f64,
    cpu_seconds: f64,
    bytes: i64,
}

impl JobRow for UsedByJob {
    fn apply(row: Option<Self>, event: &JobEvent, meta: &EventMetadata) -> Option<Self> {
        let day = || meta.at.to_string().chars().take("2026-11-29".len()).collect();
        let mut row = match (row, event) {
            (Some(row), _) => row,
            (None, JobEvent::Submitted { spec }) => Self {
                id: meta.id.to_string(),
                tenant: meta.tenant.to_string(),
                day: day(),
                kind: spec.request.kind().to_owned(),
                status: String::new(),
                codec: "none".to_owned(),
                seconds: 0.0,
                cpu_seconds: 0.0,
                bytes: 0,
            },
            (None, _) => return None,
        };
        if let Some(status) = JobStatus::after(event) {
            status.as_str().clone_into(&mut row.status);
            if status.is_over() {
                row.day = day();
            }
        }
        if let JobEvent::OutputsSealed { outputs, spent, .. } = event {
            let spent = spent.as_ref().filter(|spent| spent.is_plausible());
            main_codec(outputs, spent).clone_into(&mut row.codec);
            row.seconds = spent.map_or(0.0, |spent| spent.seconds);
            row.cpu_seconds = spent.and_then(|spent| spent.cpu_seconds).unwrap_or(0.0);
            let bytes = outputs.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size));
            row.bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        }
        Some(row)
    }

    async fn load(
        transaction: &mut PgConnection,
        ids: &[String],
    ) -> Result<BTreeMap<JobId, Self>, ProjectionError> {
        let rows: Vec<Self> = sqlx::query_as(
            "SELECT id, tenant, day, kind, status, codec, seconds, cpu_seconds, bytes FROM usage
             WHERE id = ANY($1)",
        )
        .bind(ids)
        .fetch_all(transaction)
        .await?;
        Ok(rows.into_iter().filter_map(|row| Some((row.id.parse().ok()?, row))).collect())
    }

    async fn store(
        transaction: &mut PgConnection,
        rows: &[(Self, u64)],
    ) -> Result<(), ProjectionError> {
        sqlx::query(
            "INSERT INTO usage
                 (id, tenant, day, kind, status, codec, seconds, cpu_seconds, bytes, sequence)
             SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
                                  $6::text[], $7::float8[], $8::float8[], $9::bigint[],
                                  $10::bigint[])
             ON CONFLICT (id) DO UPDATE SET
                 day = excluded.day, status = excluded.status, codec = excluded.codec,
                 seconds = excluded.seconds, cpu_seconds = excluded.cpu_seconds,
                 bytes = excluded.bytes, sequence = excluded.sequence",
        )
        .bind(column(rows, |row| row.id.clone()))
        .bind(column(rows, |row| row.tenant.clone()))
        .bind(column(rows, |row| row.day.clone()))
        .bind(column(rows, |row| row.kind.clone()))
        .bind(column(rows, |row| row.status.clone()))
        .bind(column(rows, |row| storable::text(&row.codec).into_owned()))
        .bind(column(rows, |row| row.seconds))
        .bind(column(rows, |row| row.cpu_seconds))
        .bind(column(rows, |row| row.bytes))
        .bind(sequences(rows))
        .execute(transaction)
        .await?;
        Ok(())
    }
}

/// What jobs are grouped by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageGroup {
    /// The day on which they ended (UTC), or were submitted if they have not.
    Day,
    /// The month of that day.
    Month,
    /// Their kind.
    Kind,
    /// Codec of the first video output, else of the first audio output; `none` without one.
    Codec,
    /// Their status.
    Status,
    /// The value of a label; empty without it, and once it is erased.
    Label(String),
}

/// Which of a tenant's jobs are summed, and by what.
#[derive(Debug, Clone, Default)]
pub struct UsageQuery {
    /// The groups, in the order of the result's keys.
    pub group_by: Vec<UsageGroup>,
    /// Only jobs of this day, like `2026-11-29`, or later.
    pub from: Option<String>,
    /// Only jobs of earlier days than this.
    pub to: Option<String>,
}

/// The sums of one group.
#[derive(Debug, Clone, FromRow)]
pub struct UsageRow {
    /// One for each of `group_by`.
    pub keys: Vec<String>,
    /// Number of jobs.
    pub jobs: i64,
    /// Number of those that completed.
    pub completed: i64,
    /// Charged media time in microseconds.
    pub micros: i64,
    /// Seconds of work on the attempts that made outputs.
    pub seconds: f64,
    /// Their CPU time over all threads, in seconds.
    pub cpu_seconds: f64,
    /// Size of the outputs in bytes.
    pub bytes: i64,
}

impl UsageRow {
    /// Adds the sums of another group.
    pub fn add(&mut self, other: &Self) {
        self.jobs = self.jobs.saturating_add(other.jobs);
        self.completed = self.completed.saturating_add(other.completed);
        self.micros = self.micros.saturating_add(other.micros);
        self.seconds += other.seconds;
        self.cpu_seconds += other.cpu_seconds;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// The sums of up to `limit` groups, ordered by their keys.
///
/// # Errors
/// When the database does not respond.
pub async fn sums(
    database: &Database,
    tenant: &Tenant,
    query: &UsageQuery,
    limit: u32,
) -> Result<Vec<UsageRow>, ProjectionError> {
    let mut sql: QueryBuilder<Postgres> = QueryBuilder::new("SELECT ARRAY[");
    for (index, group) in query.group_by.iter().enumerate() {
        if index > 0 {
            sql.push(", ");
        }
        match group {
            UsageGroup::Day => sql.push("usage.day"),
            UsageGroup::Month => sql.push("left(usage.day, 7)"),
            UsageGroup::Kind => sql.push("usage.kind"),
            UsageGroup::Codec => sql.push("usage.codec"),
            UsageGroup::Status => sql.push("usage.status"),
            UsageGroup::Label(name) => {
                sql.push("coalesce(job_list.doc #>> ARRAY['metadata', ");
                sql.push_bind(name);
                sql.push("], '')")
            }
        };
    }
    sql.push(
        "]::text[] AS keys, count(*) AS jobs,
         count(*) FILTER (WHERE usage.status = 'completed') AS completed, coalesce(sum(micros), 0)::bigint AS micros,
         coalesce(sum(seconds), 0) AS seconds, coalesce(sum(cpu_seconds), 0) AS cpu_seconds,
         coalesce(sum(bytes), 0)::bigint AS bytes FROM usage",
    );
    if query.group_by.iter().any(|group| matches!(group, UsageGroup::Label(_))) {
        sql.push(" LEFT JOIN job_list ON job_list.id = usage.id");
    }
    sql.push(" WHERE usage.tenant = ").push_bind(tenant.as_str());
    if let Some(from) = &query.from {
        sql.push(" AND usage.day >= ").push_bind(from);
    }
    if let Some(to) = &query.to {
        sql.push(" AND usage.day < ").push_bind(to);
    }
    sql.push(" GROUP BY 1 ORDER BY 1 LIMIT ").push_bind(i64::from(limit));
    Ok(sql.build_query_as().fetch_all(database.measured()).await?)
}

/// What the jobs of all tenants were charged and made.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct UsageTotals {
    /// The state that they are in.
    pub status: String,
    /// Their number.
    pub jobs: i64,
    /// Microseconds of media that were charged.
    pub micros: i64,
    /// Seconds of work.
    pub seconds: f64,
    /// Bytes of outputs.
    pub bytes: i64,
}

/// The sums over all tenants by status, of jobs from a day on, like `2026-11-29`; of all if it is
/// empty.
///
/// # Errors
/// When the database is unavailable.
pub async fn totals(
    database: &Database,
    from_day: &str,
) -> Result<Vec<UsageTotals>, ProjectionError> {
    let rows = sqlx::query_as(
        "SELECT status, count(*) AS jobs, coalesce(sum(micros), 0)::bigint AS micros,
                coalesce(sum(seconds), 0) AS seconds, coalesce(sum(bytes), 0)::bigint AS bytes
         FROM usage WHERE day >= $1 GROUP BY status",
    );
    Ok(rows.bind(from_day).fetch_all(database.measured()).await?)
}
