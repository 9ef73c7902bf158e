//! Answers: how long do such jobs take?

use std::collections::BTreeMap;

use domain::{
    job::JobEvent,
    media::{Pace as Learned, Spent},
};
use nats::{Codec, Message};
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
        let mut spent: BTreeMap<u64, Spent> = BTreeMap::new();
        for (sequence, decision) in decisions(codec, batch).await?.into_values().flatten() {
            let of_event = decision.events.into_iter().find_map(|event| match event {
                JobEvent::OutputsSealed { spent, .. } => spent,
                _ => None,
            });
            spent.extend(of_event.map(|spent| (sequence, spent)));
        }
        for (sequence, spent) in spent {
            let class = &*storable::text(&spent.effort.class);
            if let Some(learned) = Learned::learn(load(&mut *transaction, class).await?, &spent) {
                store(transaction, class, learned, sequence).await?;
            }
        }
        Ok(())
    }
}

type Row = (f64, f64, i64);

fn learned((seconds, bytes, jobs): Row) -> Learned {
    Learned { seconds, bytes, jobs: u64::try_from(jobs).unwrap_or(0) }
}

async fn load(
    connection: &mut PgConnection,
    class: &str,
) -> Result<Option<Learned>, ProjectionError> {
    let row: Option<Row> = sqlx::query_as("SELECT seconds, bytes, jobs FROM pace WHERE class = $1")
        .bind(class)
        .fetch_optional(connection)
        .await?;
    Ok(row.map(learned))
}

async fn store(
    connection: &mut PgConnection,
    class: &str,
    learned: Learned,
    sequence: u64,
) -> Result<(), ProjectionError> {
    sqlx::query(
        "INSERT INTO pace (class, seconds, bytes, jobs, sequence) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (class) DO UPDATE SET
             seconds = excluded.seconds, bytes = excluded.bytes, jobs = excluded.jobs,
             sequence = excluded.sequence",
    )
    .bind(class)
    .bind(learned.seconds)
    .bind(learned.bytes)
    .bind(i64::try_from(learned.jobs).unwrap_or(i64::MAX))
    .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    Ok(())
}

/// How fast jobs of a class went; none before the first.
///
/// # Errors
/// When the database does not answer.
pub async fn of(database: &Database, class: &str) -> Result<Option<Learned>, ProjectionError> {
    let mut connection = database.pool.acquire().await?;
    load(&mut connection, class).await
}
