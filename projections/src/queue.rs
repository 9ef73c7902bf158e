//! Queued and running jobs.

use std::collections::BTreeMap;

use ffapi_domain::{
    Decider, JobId, Tenant, Timestamp,
    job::{EventMetadata, Job, JobEvent, JobStatus, Priority, QueueEntry},
};
use ffapi_nats::{Codec, Message};
use sqlx::{PgConnection, types::Json};

use crate::{
    Database, Projection, ProjectionError,
    erasure::ErasedAggregates,
    fold::{JobRow, column, documents, fold, millis, sequences},
};

/// Writes the read model.
#[derive(Debug)]
pub struct Queue;

/// Numbers of a tenant's queued and running jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Depth {
    /// Number of queued jobs by priority.
    pub queued: BTreeMap<Priority, u64>,
    /// Number of jobs that are being processed.
    pub processing: u64,
    /// When the job that has been queued longest was queued.
    pub oldest: Option<Timestamp>,
}

impl Projection for Queue {
    type Prepared = ();

    const NAME: &'static str = "queue";
    const TABLES: &'static [&'static str] = &["queue"];
    // The rows have no personal fields, but a message that was parked for one may be applied after
    // an erasure.
    const PERSONAL: &'static [&'static str] = &[Job::CATEGORY];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
        _prepared: &(),
    ) -> Result<(), ProjectionError> {
        fold::<QueueEntry>(transaction, codec, batch).await
    }

    async fn forget(
        &self,
        transaction: &mut PgConnection,
        erased: &ErasedAggregates<'_>,
    ) -> Result<(), ProjectionError> {
        erased.delete(transaction, "DELETE FROM queue WHERE tenant = $1 AND id = ANY($2)").await
    }
}

impl JobRow for QueueEntry {
    fn apply(row: Option<Self>, event: &JobEvent, meta: &EventMetadata) -> Option<Self> {
        Self::apply(row, event, meta)
    }

    async fn load(
        transaction: &mut PgConnection,
        ids: &[String],
    ) -> Result<BTreeMap<JobId, Self>, ProjectionError> {
        let rows: Vec<(Json<Self>,)> = sqlx::query_as("SELECT doc FROM queue WHERE id = ANY($1)")
            .bind(ids)
            .fetch_all(transaction)
            .await?;
        Ok(rows.into_iter().map(|(Json(entry),)| (entry.id, entry)).collect())
    }

    async fn store(
        transaction: &mut PgConnection,
        rows: &[(Self, u64)],
    ) -> Result<(), ProjectionError> {
        sqlx::query(
            "INSERT INTO queue (id, tenant, status, priority, since, sequence, doc)
             SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::smallint[],
                                  $5::bigint[], $6::bigint[], $7::jsonb[])
             ON CONFLICT (id) DO UPDATE SET
                 status = excluded.status, priority = excluded.priority, since = excluded.since,
                 sequence = excluded.sequence, doc = excluded.doc",
        )
        .bind(column(rows, |entry| entry.id.to_string()))
        .bind(column(rows, |entry| entry.tenant.to_string()))
        .bind(column(rows, |entry| entry.status.as_str()))
        .bind(column(rows, |entry| entry.priority as i16))
        .bind(column(rows, |entry| millis(entry.since)))
        .bind(sequences(rows))
        .bind(documents(rows)?)
        .execute(transaction)
        .await?;
        Ok(())
    }
}

/// Numbers of a tenant's queued and running jobs.
///
/// # Errors
/// When the database does not respond.
pub async fn depth(database: &Database, tenant: &Tenant) -> Result<Depth, ProjectionError> {
    let rows: Vec<(String, i16, i64, i64)> = sqlx::query_as(
        "SELECT status, priority, count(*), min(since) FROM queue
         WHERE tenant = $1 AND status IN ('queued', 'processing') GROUP BY status, priority",
    )
    .bind(tenant.as_str())
    .fetch_all(database.measured())
    .await?;
    let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
    let mut depth = Depth::default();
    for (status, priority, count, since) in rows {
        if status == JobStatus::Processing.as_str() {
            depth.processing = depth.processing.saturating_add(unsigned(count));
            continue;
        }
        let known = [Priority::Low, Priority::Normal, Priority::High];
        let priority = known.into_iter().find(|known| *known as i16 == priority);
        depth.queued.insert(priority.unwrap_or_default(), unsigned(count));
        let since = Timestamp::from_millis(unsigned(since));
        depth.oldest = Some(depth.oldest.map_or(since, |oldest| oldest.min(since)));
    }
    Ok(depth)
}
