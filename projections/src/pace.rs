//! Answers: how long do such jobs take?

use std::collections::BTreeMap;

use ffapi_domain::{
    Tenant,
    job::JobEvent,
    media::{Pace as Learned, Spent},
};
use ffapi_nats::{Codec, Message};
use sqlx::PgConnection;

use crate::{Database, Projection, ProjectionError, fold::decisions, storable};

/// The read model's writer.
#[derive(Debug)]
pub struct Pace;

impl Projection for Pace {
    const NAME: &'static str = "pace";
    const TABLES: &'static [&'static str] = &["pace"];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
    ) -> Result<(), ProjectionError> {
        // In the log's order, whatever the batches: the newer counts more.
        let mut spent: BTreeMap<u64, (String, Spent)> = BTreeMap::new();
        for (sequence, decision) in decisions(codec, batch).await?.into_values().flatten() {
            let of_event = decision.events.into_iter().find_map(|event| match event {
                JobEvent::OutputsSealed { spent, .. } => spent,
                _ => None,
            });
            let tenant = decision.tenant;
            spent.extend(of_event.map(|spent| (sequence, (tenant, spent))));
        }
        // What cannot have been is not learned from, also where an older version wrote it down.
        let plausible = spent.into_iter().filter(|(_, (_, spent))| spent.is_plausible());
        for (sequence, (tenant, spent)) in plausible {
            let class = storable::text(&spent.effort.class);
            let whose = Whose { class: &class, tenant: &tenant };
            let known = load(&mut *transaction, &whose).await?;
            store(transaction, &whose, Learned::learn(known, &spent), sequence).await?;
        }
        Ok(())
    }
}

type Row = (f64, f64, i64);

fn learned((seconds, bytes, jobs): Row) -> Learned {
    Learned { seconds, bytes, jobs: u64::try_from(jobs).unwrap_or(0) }
}

/// A tenant's jobs of one class.
struct Whose<'a> {
    class: &'a str,
    tenant: &'a str,
}

async fn load(
    connection: &mut PgConnection,
    whose: &Whose<'_>,
) -> Result<Option<Learned>, ProjectionError> {
    let row: Option<Row> =
        sqlx::query_as("SELECT seconds, bytes, jobs FROM pace WHERE class = $1 AND tenant = $2")
            .bind(whose.class)
            .bind(whose.tenant)
            .fetch_optional(connection)
            .await?;
    Ok(row.map(learned))
}

async fn store(
    connection: &mut PgConnection,
    whose: &Whose<'_>,
    learned: Learned,
    sequence: u64,
) -> Result<(), ProjectionError> {
    sqlx::query(
        "INSERT INTO pace (class, tenant, seconds, bytes, jobs, sequence)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (class, tenant) DO UPDATE SET
             seconds = excluded.seconds, bytes = excluded.bytes, jobs = excluded.jobs,
             sequence = excluded.sequence",
    )
    .bind(whose.class)
    .bind(whose.tenant)
    .bind(learned.seconds)
    .bind(learned.bytes)
    .bind(i64::try_from(learned.jobs).unwrap_or(i64::MAX))
    .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    Ok(())
}

/// Tenants whose jobs of a class are looked at: those that had one last.
const VOICES: i64 = 1_000;

/// How fast jobs of a class went, as far as that says something of this tenant's next one; none before
/// the first.
///
/// # Errors
/// When the database does not answer.
pub async fn of(
    database: &Database,
    class: &str,
    tenant: &Tenant,
) -> Result<Option<Learned>, ProjectionError> {
    let mut connection = database.pool.acquire().await?;
    let own = load(&mut connection, &Whose { class, tenant: tenant.as_str() }).await?;
    let all: Vec<Row> = sqlx::query_as(
        "SELECT seconds, bytes, jobs FROM pace WHERE class = $1 ORDER BY sequence DESC LIMIT $2",
    )
    .bind(class)
    .bind(VOICES)
    .fetch_all(&mut *connection)
    .await?;
    let all: Vec<Learned> = all.into_iter().map(learned).collect();
    Ok(Learned::of_many(own, &all))
}
