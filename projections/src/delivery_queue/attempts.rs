//! The attempts of a sender that has leased an endpoint.

use std::time::Duration;

use ffapi_domain::{Timestamp, WebhookId};
use sqlx::{Connection, PgConnection};

use super::Endpoint;
use crate::{Database, ProjectionError, fold::millis, storable};

/// A delivery that is due.
#[derive(Debug, Clone)]
pub struct Due {
    /// The `webhook-id` header.
    pub id: String,
    /// The exact request body, which is signed and sent.
    pub body: String,
    /// Number of attempts so far.
    pub attempts: u32,
    /// W3C trace context of the event, if it is known.
    pub traceparent: Option<String>,
}

/// The outcome of one attempt.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Id of the delivery.
    pub id: String,
    /// Attempt number, from 1.
    pub number: u32,
    /// When the attempt was made.
    pub at: Timestamp,
    /// Duration of the attempt.
    pub latency: Duration,
    /// HTTP status of the response, if there was one.
    pub status: Option<u16>,
    /// Why there was no response.
    pub error: Option<String>,
    /// The beginning of the response body.
    pub body: Option<String>,
    /// True if the receiver accepted it.
    pub delivered: bool,
    /// Time of the next attempt; `None` if there is none.
    pub next_at: Option<Timestamp>,
}

/// The deliveries that can be sent to an endpoint now: for each resource its first event that is
/// due, and none while that one waits for its next attempt. None if the lease was lost or the
/// endpoint was changed.
///
/// # Errors
/// When the database does not respond.
pub async fn due(
    database: &Database,
    endpoint: &Endpoint,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Due>, ProjectionError> {
    let rows: Vec<(String, String, i32, Option<String>)> = sqlx::query_as(
        "SELECT id, body, attempts, traceparent FROM delivery d
         WHERE hook_id = $1 AND state = 'due' AND next_at <= $2 AND NOT EXISTS (
             SELECT 1 FROM delivery e
             WHERE e.hook_id = d.hook_id AND e.thing = d.thing AND e.state = 'due'
               AND (e.sequence, e.index) < (d.sequence, d.index))
           AND EXISTS (
             SELECT 1 FROM webhook w WHERE w.id = $1 AND w.status = 'enabled'
               AND w.sequence = $4 AND w.lease = $5)
         ORDER BY sequence, index LIMIT $3",
    )
    .bind(endpoint.view.id.to_string())
    .bind(millis(now))
    .bind(i64::from(limit))
    .bind(endpoint.sequence)
    .bind(endpoint.lease)
    .fetch_all(database.measured())
    .await?;
    let due = rows.into_iter().map(|(id, body, attempts, traceparent)| Due {
        id,
        body,
        traceparent,
        attempts: u32::try_from(attempts).unwrap_or(0),
    });
    Ok(due.collect())
}

/// Records the outcomes of attempts, and extends the lease of the endpoint.
///
/// # Errors
/// When the database does not respond.
pub async fn record(
    database: &Database,
    endpoint: &Endpoint,
    outcomes: &[Outcome],
    leased_until: Timestamp,
) -> Result<(), ProjectionError> {
    let hook = endpoint.view.id;
    let mut connection = database.pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    // Lock the endpoint before its deliveries, like all other transactions.
    sqlx::query("UPDATE webhook SET leased_until = $2 WHERE id = $1 AND lease = $3")
        .bind(hook.to_string())
        .bind(millis(leased_until))
        .bind(endpoint.lease)
        .execute(&mut *transaction)
        .await?;
    for outcome in outcomes {
        record_one(&mut transaction, hook, outcome).await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn record_one(
    connection: &mut PgConnection,
    hook: WebhookId,
    outcome: &Outcome,
) -> Result<(), ProjectionError> {
    let number = i32::try_from(outcome.number).unwrap_or(i32::MAX);
    sqlx::query(
        "INSERT INTO delivery_attempt
             (hook_id, delivery_id, number, at, status, latency_ms, error, body)
         SELECT $1, $2, 1 + coalesce((SELECT max(number) FROM delivery_attempt
                                      WHERE hook_id = $1 AND delivery_id = $2), 0),
                $3, $4, $5, $6, $7
         FROM delivery WHERE hook_id = $1 AND id = $2",
    )
    .bind(hook.to_string())
    .bind(&outcome.id)
    .bind(millis(outcome.at))
    .bind(outcome.status.map(i32::from))
    .bind(i32::try_from(outcome.latency.as_millis()).unwrap_or(i32::MAX))
    .bind(storable::optional(outcome.error.as_deref()))
    .bind(storable::optional(outcome.body.as_deref()))
    .execute(&mut *connection)
    .await?;
    let (state, delivered_at) = match (outcome.delivered, outcome.next_at) {
        (true, _) => ("delivered", Some(millis(outcome.at))),
        (false, Some(_)) => ("due", None),
        (false, None) => ("failed", None),
    };
    sqlx::query(
        "UPDATE delivery SET state = $3, attempts = $4, next_at = coalesce($5, next_at),
             delivered_at = $6 WHERE hook_id = $1 AND id = $2 AND state = 'due'",
    )
    .bind(hook.to_string())
    .bind(&outcome.id)
    .bind(state)
    .bind(number)
    .bind(outcome.next_at.map(millis))
    .bind(delivered_at)
    .execute(connection)
    .await?;
    Ok(())
}
