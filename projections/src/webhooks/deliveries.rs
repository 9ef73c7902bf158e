use ffapi_domain::{Tenant, Timestamp, WebhookId};
use sqlx::FromRow;

use crate::{Database, ProjectionError, fold::millis};

/// What became of one event for one endpoint.
#[derive(Debug, Clone, FromRow)]
pub struct DeliveryRow {
    /// The `webhook-id`.
    pub id: String,
    /// Of what it tells.
    pub thing: String,
    /// Where its event stands in the log.
    pub sequence: i64,
    /// Within its message.
    pub index: i32,
    /// Its kind.
    #[sqlx(rename = "type")]
    pub kind: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// `due`, `delivered` or `failed`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it is tried next, while it is due.
    pub next_at: i64,
    /// When it was taken.
    pub delivered_at: Option<i64>,
}

/// One try.
#[derive(Debug, Clone, FromRow)]
pub struct AttemptRow {
    /// Of which delivery.
    pub delivery_id: String,
    /// 1 for the first.
    pub number: i32,
    /// Milliseconds since 1970.
    pub at: i64,
    /// Of the answer, if there was one.
    pub status: Option<i32>,
    /// How long it took.
    pub latency_ms: i32,
    /// Why there was no answer.
    pub error: Option<String>,
    /// The start of the answer.
    pub body: Option<String>,
}

/// A page of what was or is to be sent to an endpoint, the newest first, with every try of each.
///
/// # Errors
/// When the database does not answer.
pub async fn deliveries(
    database: &Database,
    tenant: &Tenant,
    hook: WebhookId,
    state: Option<&str>,
    before: Option<(i64, i32, String)>,
    limit: u32,
) -> Result<Vec<(DeliveryRow, Vec<AttemptRow>)>, ProjectionError> {
    let (sequence, index, id) = before.unwrap_or((i64::MAX, i32::MAX, String::new()));
    let rows: Vec<DeliveryRow> = sqlx::query_as(
        "SELECT id, thing, sequence, index, type, created_at, state, attempts, next_at,
                delivered_at
         FROM delivery WHERE hook_id = $1 AND tenant = $2 AND ($3::text IS NULL OR state = $3)
           AND ((sequence, index) < ($4, $5) OR ((sequence, index) = ($4, $5) AND id > $6))
         ORDER BY sequence DESC, index DESC, id LIMIT $7",
    )
    .bind(hook.to_string())
    .bind(tenant.as_str())
    .bind(state)
    .bind(sequence)
    .bind(index)
    .bind(id)
    .bind(i64::from(limit))
    .fetch_all(&database.pool)
    .await?;
    let ids: Vec<&String> = rows.iter().map(|row| &row.id).collect();
    let attempts: Vec<AttemptRow> = sqlx::query_as(
        "SELECT delivery_id, number, at, status, latency_ms, error, body FROM delivery_attempt
         WHERE hook_id = $1 AND delivery_id = ANY($2) ORDER BY delivery_id, number",
    )
    .bind(hook.to_string())
    .bind(ids)
    .fetch_all(&database.pool)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let own = attempts.iter().filter(|attempt| attempt.delivery_id == row.id);
        let own = own.cloned().collect();
        (row, own)
    });
    Ok(rows.collect())
}

/// How many records of deliveries before a moment there are that are not due any more.
///
/// # Errors
/// When the database does not answer.
pub async fn count_deliveries(
    database: &Database,
    before: Timestamp,
) -> Result<u64, ProjectionError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM delivery WHERE created_at < $1 AND state <> 'due'",
    )
    .bind(millis(before))
    .fetch_one(&database.pool)
    .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Forgets what was sent or given up before a moment; answers how many rows that were.
///
/// # Errors
/// When the database does not answer.
pub async fn forget_deliveries(
    database: &Database,
    before: Timestamp,
) -> Result<u64, ProjectionError> {
    let gone = sqlx::query(
        "WITH gone AS (
             DELETE FROM delivery WHERE created_at < $1 AND state <> 'due'
             RETURNING hook_id, id),
         tries AS (
             DELETE FROM delivery_attempt a USING gone
             WHERE a.hook_id = gone.hook_id AND a.delivery_id = gone.id)
         SELECT count(*) FROM gone",
    )
    .bind(millis(before))
    .fetch_one(&database.pool)
    .await?;
    // The endpoints that jobs and batches brought go with the last of what they were told.
    sqlx::query(
        "DELETE FROM webhook w WHERE thing IS NOT NULL AND doc->>'created_at' < $1
           AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.hook_id = w.id)
           AND NOT EXISTS (SELECT 1 FROM job_list j WHERE j.id = w.thing
                           AND j.status IN ('queued', 'processing'))
           AND NOT EXISTS (SELECT 1 FROM job_list j WHERE j.batch_id = w.thing
                           AND j.status IN ('queued', 'processing'))",
    )
    .bind(before.to_string())
    .execute(&database.pool)
    .await?;
    let count: i64 = sqlx::Row::get(&gone, 0);
    Ok(u64::try_from(count).unwrap_or(0))
}
