use ffapi_domain::{Tenant, Timestamp, WebhookId};
use sqlx::FromRow;

use crate::{Database, ProjectionError, fold::millis};

/// The delivery of one event to one endpoint.
#[derive(Debug, Clone, FromRow)]
pub struct DeliveryRow {
    /// The `webhook-id` header.
    pub id: String,
    /// Id of the resource that the event is about.
    pub thing: String,
    /// Stream sequence of the event's message.
    pub sequence: i64,
    /// Index of the event in its message, from 0.
    pub index: i32,
    /// The event type.
    #[sqlx(rename = "type")]
    pub kind: String,
    /// When it was created, in milliseconds since 1970.
    pub created_at: i64,
    /// `due`, `delivered` or `failed`.
    pub state: String,
    /// Number of attempts so far.
    pub attempts: i32,
    /// Time of the next attempt while it is due, in milliseconds since 1970.
    pub next_at: i64,
    /// When the receiver accepted it, in milliseconds since 1970.
    pub delivered_at: Option<i64>,
    /// True if events are sent to the endpoint.
    pub enabled: bool,
    /// Until when nothing is sent to the endpoint because attempts failed, in milliseconds since 1970.
    pub paused_until: i64,
    /// The first delivery about the same resource that is due, if that is another one.
    pub after: Option<String>,
}

/// One attempt of a delivery.
#[derive(Debug, Clone, FromRow)]
pub struct AttemptRow {
    /// Id of the delivery.
    pub delivery_id: String,
    /// Attempt number, from 1.
    pub number: i32,
    /// When it was made, in milliseconds since 1970.
    pub at: i64,
    /// HTTP status of the response, if there was one.
    pub status: Option<i32>,
    /// Duration in milliseconds.
    pub latency_ms: i32,
    /// Why there was no response.
    pub error: Option<String>,
    /// The beginning of the response body.
    pub body: Option<String>,
}

/// Up to `limit` deliveries of an endpoint that are older than `before` (sequence, index, id),
/// newest first, each with all of its attempts.
///
/// # Errors
/// When the database does not respond.
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
        "SELECT d.id, d.thing, d.sequence, d.index, d.type, d.created_at, d.state, d.attempts,
                d.next_at, d.delivered_at, coalesce(w.status = 'enabled', false) AS enabled,
                coalesce(w.open_until, 0) AS paused_until,
                CASE WHEN d.state = 'due' THEN (
                    SELECT e.id FROM delivery e
                    WHERE e.hook_id = d.hook_id AND e.thing = d.thing AND e.state = 'due'
                      AND (e.sequence, e.index) < (d.sequence, d.index)
                    ORDER BY e.sequence, e.index LIMIT 1) END AS after
         FROM delivery d LEFT JOIN webhook w ON w.id = d.hook_id
         WHERE d.hook_id = $1 AND d.tenant = $2 AND ($3::text IS NULL OR d.state = $3)
           AND ((d.sequence, d.index) < ($4, $5)
                OR ((d.sequence, d.index) = ($4, $5) AND d.id > $6))
         ORDER BY d.sequence DESC, d.index DESC, d.id LIMIT $7",
    )
    .bind(hook.to_string())
    .bind(tenant.as_str())
    .bind(state)
    .bind(sequence)
    .bind(index)
    .bind(id)
    .bind(i64::from(limit))
    .fetch_all(database.measured())
    .await?;
    let ids: Vec<&String> = rows.iter().map(|row| &row.id).collect();
    let attempts: Vec<AttemptRow> = sqlx::query_as(
        "SELECT delivery_id, number, at, status, latency_ms, error, body FROM delivery_attempt
         WHERE hook_id = $1 AND delivery_id = ANY($2) ORDER BY delivery_id, number",
    )
    .bind(hook.to_string())
    .bind(ids)
    .fetch_all(database.measured())
    .await?;
    let rows = rows.into_iter().map(|row| {
        let own = attempts.iter().filter(|attempt| attempt.delivery_id == row.id);
        let attempts = own.cloned().collect();
        (row, attempts)
    });
    Ok(rows.collect())
}

/// The number of deliveries that were created before a time and are no longer due.
///
/// # Errors
/// When the database does not respond.
pub async fn count_deliveries(
    database: &Database,
    before: Timestamp,
) -> Result<u64, ProjectionError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM delivery WHERE created_at < $1 AND state <> 'due'",
    )
    .bind(millis(before))
    .fetch_one(database.measured())
    .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Deletes the deliveries that were created before a time and are no longer due; returns their
/// number.
///
/// # Errors
/// When the database does not respond.
pub async fn delete_deliveries(
    database: &Database,
    before: Timestamp,
) -> Result<u64, ProjectionError> {
    let deleted = sqlx::query(
        "WITH gone AS (
             DELETE FROM delivery WHERE created_at < $1 AND state <> 'due'
             RETURNING hook_id, id),
         tries AS (
             DELETE FROM delivery_attempt a USING gone
             WHERE a.hook_id = gone.hook_id AND a.delivery_id = gone.id)
         SELECT count(*) FROM gone",
    )
    .bind(millis(before))
    .fetch_one(database.measured())
    .await?;
    // Callback endpoints of jobs and batches are deleted after their last delivery.
    sqlx::query(
        "DELETE FROM webhook w WHERE thing IS NOT NULL AND doc->>'created_at' < $1
           AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.hook_id = w.id)
           AND NOT EXISTS (SELECT 1 FROM job_list j WHERE j.id = w.thing
                           AND j.status IN ('queued', 'processing'))
           AND NOT EXISTS (SELECT 1 FROM job_list j WHERE j.batch_id = w.thing
                           AND j.status IN ('queued', 'processing'))",
    )
    .bind(before.to_string())
    .execute(database.measured())
    .await?;
    let count: i64 = sqlx::Row::get(&deleted, 0);
    Ok(u64::try_from(count).unwrap_or(0))
}
