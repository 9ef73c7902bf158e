//! Statistics of job durations, by class and tenant.

use std::collections::BTreeMap;

use ffapi_domain::{
    Tenant,
    job::JobEvent,
    media::{Pace as DurationStats, Spent},
};
use ffapi_nats::{Codec, Message};
use sqlx::PgConnection;

use crate::{Database, Projection, ProjectionError, fold::decisions, storable};

/// Writes the read model.
#[derive(Debug)]
pub struct Pace;

impl Projection for Pace {
    type Prepared = ();

    const NAME: &'static str = "pace";
    const TABLES: &'static [&'static str] = &["pace"];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
        _prepared: &(),
    ) -> Result<(), ProjectionError> {
        // In log order, since newer jobs have more weight.
        let mut spent: BTreeMap<u64, (String, Spent)> = BTreeMap::new();
        for (sequence, decision) in decisions(codec, batch).await?.into_values().flatten() {
            let of_event = decision.events.into_iter().find_map(|event| match event {
                JobEvent::OutputsSealed { spent, .. } => spent,
                _ => None,
            });
            let tenant = decision.tenant;
            spent.extend(of_event.map(|spent| (sequence, (tenant, spent))));
        }
        // Implausible values, which an older version could record, are ignored.
        let plausible = spent.into_iter().filter(|(_, (_, spent))| spent.is_plausible());
        for (sequence, (tenant, spent)) in plausible {
            let class = storable::text(&spent.effort.class);
            let key = StatsKey { class: &class, tenant: &tenant };
            let known = load(&mut *transaction, &key).await?;
            store(transaction, &key, DurationStats::learn(known, &spent), sequence).await?;
        }
        Ok(())
    }
}

type Row = (f64, f64, i64);

fn from_row((seconds, bytes, jobs): Row) -> DurationStats {
    DurationStats { seconds, bytes, jobs: u64::try_from(jobs).unwrap_or(0) }
}

/// Identifies a tenant's jobs of one class.
struct StatsKey<'a> {
    class: &'a str,
    tenant: &'a str,
}

async fn load(
    connection: &mut PgConnection,
    key: &StatsKey<'_>,
) -> Result<Option<DurationStats>, ProjectionError> {
    let row: Option<Row> =
        sqlx::query_as("SELECT seconds, bytes, jobs FROM pace WHERE class = $1 AND tenant = $2")
            .bind(key.class)
            .bind(key.tenant)
            .fetch_optional(connection)
            .await?;
    Ok(row.map(from_row))
}

async fn store(
    connection: &mut PgConnection,
    key: &StatsKey<'_>,
    stats: DurationStats,
    sequence: u64,
) -> Result<(), ProjectionError> {
    sqlx::query(
        "INSERT INTO pace (class, tenant, seconds, bytes, jobs, sequence)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (class, tenant) DO UPDATE SET
             seconds = excluded.seconds, bytes = excluded.bytes, jobs = excluded.jobs,
             sequence = excluded.sequence",
    )
    .bind(key.class)
    .bind(key.tenant)
    .bind(stats.seconds)
    .bind(stats.bytes)
    .bind(i64::try_from(stats.jobs).unwrap_or(i64::MAX))
    .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    Ok(())
}

/// Maximum number of tenants whose jobs of a class are considered: those with the most recent ones.
const MAX_TENANTS: i64 = 1_000;

/// Duration statistics for this tenant's next job of a class; `None` if there was no job of the
/// class yet.
///
/// # Errors
/// When the database does not respond.
pub async fn of(
    database: &Database,
    class: &str,
    tenant: &Tenant,
) -> Result<Option<DurationStats>, ProjectionError> {
    let mut connection = database.pool.acquire().await?;
    let own = load(&mut connection, &StatsKey { class, tenant: tenant.as_str() }).await?;
    let all: Vec<Row> = sqlx::query_as(
        "SELECT seconds, bytes, jobs FROM pace WHERE class = $1 ORDER BY sequence DESC LIMIT $2",
    )
    .bind(class)
    .bind(MAX_TENANTS)
    .fetch_all(&mut *connection)
    .await?;
    let all: Vec<DurationStats> = all.into_iter().map(from_row).collect();
    Ok(DurationStats::of_many(own, &all))
}
