use serde::{Deserialize, Serialize};
use sqlx::Connection;

use crate::{Database, Projection, ProjectionError, Webhooks};

/// The deliveries that were due at a position; all others of earlier events had an end. The log does
/// not have that, so backups do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueDeliveries {
    /// Sequence of the last message that was matched with endpoints.
    pub sequence: u64,
    /// What was due.
    pub due: Vec<DueDelivery>,
}

/// One event that is due at one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueDelivery {
    /// The endpoint.
    pub hook: String,
    /// The id of the event.
    pub event: String,
    /// Attempts that were made.
    pub attempts: i32,
}

/// The deliveries that are due now.
///
/// # Errors
/// When the database does not respond.
pub async fn due_deliveries(database: &Database) -> Result<DueDeliveries, ProjectionError> {
    let mut connection = database.pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *transaction)
        .await?;
    let sequence: Option<i64> =
        sqlx::query_scalar("SELECT sequence FROM projection_checkpoint WHERE name = $1")
            .bind(Webhooks::NAME)
            .fetch_optional(&mut *transaction)
            .await?;
    let rows: Vec<(String, String, i32)> = sqlx::query_as(
        "SELECT hook_id, id, attempts FROM delivery WHERE state = 'due' ORDER BY hook_id, id",
    )
    .fetch_all(&mut *transaction)
    .await?;
    let due = rows.into_iter().map(|(hook, event, attempts)| DueDelivery { hook, event, attempts });
    let sequence = u64::try_from(sequence.unwrap_or(0)).unwrap_or(0);
    Ok(DueDeliveries { sequence, due: due.collect() })
}

/// After this read model was built from the log alone: keeps, of the deliveries up to the position,
/// only those that were due. The others would be sent again. Must be called before anything is sent;
/// returns how many deliveries are due.
///
/// # Errors
/// When the database does not respond.
pub async fn settle_deliveries(
    database: &Database,
    known: &DueDeliveries,
) -> Result<u64, ProjectionError> {
    let column = |of: fn(&DueDelivery) -> &str| -> Vec<String> {
        known.due.iter().map(|due| of(due).to_owned()).collect()
    };
    let attempts: Vec<i32> = known.due.iter().map(|due| due.attempts).collect();
    let mut connection = database.pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    sqlx::query(
        "DELETE FROM delivery d WHERE sequence <= $1 AND NOT EXISTS
             (SELECT 1 FROM UNNEST($2::text[], $3::text[]) AS due (hook, event)
              WHERE due.hook = d.hook_id AND due.event = d.id)",
    )
    .bind(i64::try_from(known.sequence).unwrap_or(i64::MAX))
    .bind(column(|due| &due.hook))
    .bind(column(|due| &due.event))
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "UPDATE delivery d SET attempts = due.attempts
         FROM UNNEST($1::text[], $2::text[], $3::int[]) AS due (hook, event, attempts)
         WHERE due.hook = d.hook_id AND due.event = d.id",
    )
    .bind(column(|due| &due.hook))
    .bind(column(|due| &due.event))
    .bind(attempts)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "UPDATE webhook w SET due_at = (SELECT min(next_at) FROM delivery d
             WHERE d.hook_id = w.id AND d.state = 'due')",
    )
    .execute(&mut *transaction)
    .await?;
    let due: i64 = sqlx::query_scalar("SELECT count(*) FROM delivery WHERE state = 'due'")
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(u64::try_from(due).unwrap_or(0))
}
