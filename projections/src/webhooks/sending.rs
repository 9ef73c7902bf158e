//! The queries of senders: claim endpoints with due deliveries, list these, record the outcomes.

use std::{collections::BTreeMap, time::Duration};

use ffapi_domain::{
    JobId, Tenant, Timestamp, WebhookId,
    webhook::{WebhookView, wants},
};
use ffapi_nats::Codec;
use sqlx::{Connection, PgConnection, postgres::PgPoolOptions, types::Json};

use super::{DueTimes, matching::update_due_times, sealed};
use crate::{Database, ProjectionError, fold::millis, storable};

/// An endpoint that is leased to a sender.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its settings.
    pub view: WebhookView,
    /// Number of consecutive failures.
    pub failures: u32,
    /// Time of the first of these failures.
    pub failing_since: Option<Timestamp>,
    /// Log sequence of its settings: an endpoint that was changed since must be claimed again.
    sequence: i64,
    /// Number of the sender that has the lease: one that lost it finds nothing due.
    lease: i32,
}

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

/// The session of a running sender. It holds an advisory lock on the sender's number: when the
/// sender dies, the lock is released, and its endpoints can be claimed at once.
#[derive(Debug)]
pub struct SenderSession {
    connection: PgConnection,
    number: i32,
}

/// First key of the senders' advisory locks; distinguishes them from other locks.
const SENDER_LOCK_CLASS: i32 = 770_077;

impl SenderSession {
    /// Opens a session for the sender with this number.
    ///
    /// # Errors
    /// When the database does not respond.
    pub async fn new(database: &Database, number: i32) -> Result<Self, ProjectionError> {
        let options = database.pool.connect_options();
        let single =
            PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(3));
        let mut connection =
            single.connect_with((*options).clone()).await?.acquire().await?.detach();
        sqlx::query("SELECT pg_advisory_lock($1, $2)")
            .bind(SENDER_LOCK_CLASS)
            .bind(number)
            .execute(&mut connection)
            .await?;
        Ok(Self { connection, number })
    }

    /// True if the session is still open, and with it the lock.
    pub async fn holds(&mut self) -> bool {
        self.connection.ping().await.is_ok()
    }
}

/// View, consecutive failures, time of the first failure, sequence, and encrypted URL.
type Claimed = (Json<WebhookView>, i32, Option<i64>, i64, Option<Vec<u8>>);

/// Finds the tenants with due deliveries one by one through an index, and for each only as many
/// endpoints as it may still get, so that a tenant with very many costs no more than others.
const CLAIM_QUERY: &str = "
    WITH RECURSIVE alive AS MATERIALIZED (
        SELECT objid::bigint::integer AS number FROM pg_locks
        WHERE locktype = 'advisory' AND classid = $5::bigint::oid),
    waiting AS (
        (SELECT tenant FROM webhook WHERE status = 'enabled' AND due_at IS NOT NULL
         ORDER BY tenant LIMIT 1)
        UNION ALL
        SELECT (SELECT next.tenant FROM webhook AS next
                WHERE next.status = 'enabled' AND next.due_at IS NOT NULL
                  AND next.tenant > waiting.tenant
                ORDER BY next.tenant LIMIT 1)
        FROM waiting WHERE waiting.tenant IS NOT NULL),
    chosen AS (
        SELECT own.id FROM waiting
        LEFT JOIN unnest($7::text[], $8::bigint[]) AS held (tenant, held) USING (tenant)
        CROSS JOIN LATERAL (
            SELECT id, due_at, row_number() OVER (ORDER BY due_at) AS turn FROM (
                SELECT id, due_at FROM webhook
                WHERE tenant = waiting.tenant AND status = 'enabled' AND due_at <= $2
                  AND open_until <= $2
                  AND (leased_until <= $2 OR lease IS NULL
                       OR lease NOT IN (SELECT number FROM alive))
                ORDER BY due_at LIMIT least($4, $6)) AS first) AS own
        WHERE own.turn + coalesce(held, 0) <= $6
        ORDER BY own.turn + coalesce(held, 0), own.due_at LIMIT $4)
    UPDATE webhook SET lease = $1, leased_until = $3 WHERE id IN (
        SELECT id FROM webhook
        WHERE id IN (SELECT id FROM chosen)
          AND status = 'enabled' AND due_at <= $2 AND open_until <= $2
          AND (leased_until <= $2 OR lease IS NULL OR lease NOT IN (SELECT number FROM alive))
        FOR UPDATE SKIP LOCKED)
    RETURNING doc, failures, failing_since, sequence, sealed";

/// How many endpoints a sender may claim.
#[derive(Debug, Clone, Copy)]
pub struct Share<'a> {
    /// Maximum for this call.
    pub most: usize,
    /// Maximum per tenant, including those that the sender already holds.
    pub of_tenant: usize,
    /// Number of endpoints that the sender already holds, by tenant.
    pub held: &'a BTreeMap<Tenant, usize>,
    /// Duration of the lease.
    pub lease: Duration,
}

/// Leases endpoints with due deliveries; no other sender gets them before the lease ends. Tenants
/// take turns: those of which the sender holds fewest come first.
///
/// # Errors
/// When the database or the key store does not respond; claimed endpoints are free again after the
/// lease.
pub async fn claim(
    database: &Database,
    codec: &Codec,
    sender: &SenderSession,
    now: Timestamp,
    share: Share<'_>,
) -> Result<Vec<Endpoint>, ProjectionError> {
    let signed = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let tenants: Vec<&str> = share.held.keys().map(Tenant::as_str).collect();
    let held: Vec<i64> = share.held.values().map(|held| signed(*held)).collect();
    let rows: Vec<Claimed> = sqlx::query_as(CLAIM_QUERY)
        .bind(sender.number)
        .bind(millis(now))
        .bind(millis(now.plus(share.lease)))
        .bind(signed(share.most))
        .bind(i64::from(SENDER_LOCK_CLASS))
        .bind(signed(share.of_tenant))
        .bind(tenants)
        .bind(held)
        .fetch_all(database.measured())
        .await?;
    let mut endpoints = Vec::with_capacity(rows.len());
    for (Json(view), failures, since, sequence, sealed) in rows {
        endpoints.push(Endpoint {
            view: sealed::open(codec, view, sealed).await?,
            failures: u32::try_from(failures).unwrap_or(0),
            failing_since: since.map(|at| Timestamp::from_millis(u64::try_from(at).unwrap_or(0))),
            sequence,
            lease: sender.number,
        });
    }
    Ok(endpoints)
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

/// Releases an endpoint, and stores when its next delivery is due.
///
/// # Errors
/// When the database does not respond; the lease then expires by itself.
pub async fn release(
    database: &Database,
    endpoint: &Endpoint,
    open_until: Timestamp,
) -> Result<(), ProjectionError> {
    let id = endpoint.view.id.to_string();
    let mut connection = database.pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    // Locked first: a transaction that adds due rows also updates this one, so that it commits
    // either before our query or after our update, never in between.
    sqlx::query("SELECT 1 FROM webhook WHERE id = $1 FOR UPDATE")
        .bind(&id)
        .execute(&mut *transaction)
        .await?;
    // If the settings were changed meanwhile, the failure state is not stored: it starts again.
    sqlx::query(
        "UPDATE webhook SET leased_until = 0, lease = NULL,
             failures = CASE WHEN sequence = $5 THEN $2 ELSE failures END,
             failing_since = CASE WHEN sequence = $5 THEN $3 ELSE failing_since END,
             open_until = CASE WHEN sequence = $5 THEN $4 ELSE open_until END, due_at = (
                 SELECT GREATEST(min(next_at), $4) FROM delivery d
                 WHERE hook_id = $1 AND state = 'due' AND NOT EXISTS (
                     SELECT 1 FROM delivery e
                     WHERE e.hook_id = d.hook_id AND e.thing = d.thing AND e.state = 'due'
                       AND (e.sequence, e.index) < (d.sequence, d.index))
                 HAVING count(*) > 0)
         WHERE id = $1 AND lease = $6",
    )
    .bind(&id)
    .bind(i32::try_from(endpoint.failures).unwrap_or(i32::MAX))
    .bind(endpoint.failing_since.map(millis))
    .bind(millis(open_until))
    .bind(endpoint.sequence)
    .bind(endpoint.lease)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// Enqueues `job.progress` deliveries for the subscribed endpoints, since progress is not in the
/// log. Idempotent by `id`.
///
/// # Errors
/// When the database does not respond.
pub async fn remind(
    database: &Database,
    tenant: &Tenant,
    job: JobId,
    id: &str,
    body: &str,
    at: Timestamp,
) -> Result<(), ProjectionError> {
    let mut connection = database.pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    let rows: Vec<(Json<WebhookView>,)> = sqlx::query_as(
        "SELECT doc FROM webhook WHERE tenant = $1 AND thing IS NULL AND status = 'enabled'
         UNION ALL
         SELECT doc FROM webhook WHERE thing = $2 AND tenant = $1 AND status = 'enabled'",
    )
    .bind(tenant.as_str())
    .bind(job.to_string())
    .fetch_all(&mut *transaction)
    .await?;
    let mut due_times = DueTimes::new();
    for (Json(view),) in rows.iter().filter(|(Json(view),)| wants(&view.events, "job.progress")) {
        // Ordered after the existing deliveries of the job, and before later ones.
        sqlx::query(
            "INSERT INTO delivery (hook_id, id, tenant, thing, sequence, index, type, body,
                                   created_at, next_at, state)
             SELECT $1, $2, $3, $4, coalesce(max(sequence), 0), coalesce(max(index), 0) + 1000,
                    'job.progress', $5, $6, $6, 'due'
             FROM delivery WHERE hook_id = $1 AND thing = $4
             ON CONFLICT (hook_id, id) DO NOTHING",
        )
        .bind(view.id.to_string())
        .bind(id)
        .bind(tenant.as_str())
        .bind(job.to_string())
        .bind(storable::text(body))
        .bind(millis(at))
        .execute(&mut *transaction)
        .await?;
        due_times.insert(view.id, millis(at));
    }
    update_due_times(&mut transaction, &due_times).await?;
    transaction.commit().await?;
    Ok(())
}
