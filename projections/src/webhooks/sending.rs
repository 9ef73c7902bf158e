//! What senders need of the rows: endpoints with something due, what is due, what became of it.

use std::{collections::BTreeMap, time::Duration};

use ffapi_domain::{
    JobId, Tenant, Timestamp, WebhookId,
    webhook::{WebhookView, wants},
};
use ffapi_nats::Codec;
use sqlx::{Connection, PgConnection, postgres::PgPoolOptions, types::Json};

use super::{ByHook, matching::wake, sealed};
use crate::{Database, ProjectionError, fold::millis, storable};

/// An endpoint that a sender has for a while.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// What the log says of it.
    pub view: WebhookView,
    /// Failures in a row.
    pub failures: u32,
    /// Since when nothing worked.
    pub failing_since: Option<Timestamp>,
    /// As of which message of the log: one that changed meanwhile is taken anew.
    sequence: i64,
    /// Whose it is: a sender that lost it finds nothing due.
    lease: i32,
}

/// Something to be sent.
#[derive(Debug, Clone)]
pub struct Due {
    /// The `webhook-id`.
    pub id: String,
    /// Byte for byte what is signed and sent.
    pub body: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// What became of one try.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Of what.
    pub id: String,
    /// Which try: 1 for the first.
    pub number: u32,
    /// When.
    pub at: Timestamp,
    /// How long it took.
    pub latency: Duration,
    /// Of the answer, if there was one.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<String>,
    /// The start of the answer.
    pub body: Option<String>,
    /// True if it was taken.
    pub delivered: bool,
    /// When it is tried again; none for never.
    pub next_at: Option<Timestamp>,
}

/// A sender that is there. Its number is locked in a session of its own: when it dies, whatever it had
/// taken is free at once.
#[derive(Debug)]
pub struct Alive {
    connection: PgConnection,
    number: i32,
}

/// Tells locks of senders from others.
const SENDERS: i32 = 770_077;

impl Alive {
    /// Says that the sender of this number is there.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn new(database: &Database, number: i32) -> Result<Self, ProjectionError> {
        let options = database.pool.connect_options();
        let alone = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(3));
        let mut connection =
            alone.connect_with((*options).clone()).await?.acquire().await?.detach();
        sqlx::query("SELECT pg_advisory_lock($1, $2)")
            .bind(SENDERS)
            .bind(number)
            .execute(&mut connection)
            .await?;
        Ok(Self { connection, number })
    }

    /// True if its session still stands.
    pub async fn holds(&mut self) -> bool {
        self.connection.ping().await.is_ok()
    }
}

/// View, failures in a row, since when, as of which message, and the sealed address.
type Claimed = (Json<WebhookView>, i32, Option<i64>, i64, Option<Vec<u8>>);

/// The tenants that have something due are found one after the other by their index, and of each as many
/// endpoints as it may have yet, so that one with very many costs no more than others.
const CLAIM: &str = "
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

/// How many endpoints a sender takes.
#[derive(Debug, Clone, Copy)]
pub struct Share<'a> {
    /// Now, at most.
    pub most: usize,
    /// Of one tenant, with those that the sender has already.
    pub of_tenant: usize,
    /// Those that the sender has already, by tenant.
    pub held: &'a BTreeMap<Tenant, usize>,
    /// For how long.
    pub lease: Duration,
}

/// Takes endpoints with something due, each for a while: no other sender has them meanwhile. Tenants go in
/// turn, those of which the sender has fewest first.
///
/// # Errors
/// When the database or the key store does not answer; what was taken is free again after the lease.
pub async fn claim(
    database: &Database,
    codec: &Codec,
    sender: &Alive,
    now: Timestamp,
    share: Share<'_>,
) -> Result<Vec<Endpoint>, ProjectionError> {
    let signed = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let tenants: Vec<&str> = share.held.keys().map(Tenant::as_str).collect();
    let held: Vec<i64> = share.held.values().map(|held| signed(*held)).collect();
    let rows: Vec<Claimed> = sqlx::query_as(CLAIM)
        .bind(sender.number)
        .bind(millis(now))
        .bind(millis(now.plus(share.lease)))
        .bind(signed(share.most))
        .bind(i64::from(SENDERS))
        .bind(signed(share.of_tenant))
        .bind(tenants)
        .bind(held)
        .fetch_all(&database.pool)
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

/// What can be sent to an endpoint now: of each thing its first event that is still due, and nothing
/// while that one waits for its next try. Nothing, if it is no longer ours or no longer as it was.
///
/// # Errors
/// When the database does not answer.
pub async fn due(
    database: &Database,
    endpoint: &Endpoint,
    now: Timestamp,
    most: u32,
) -> Result<Vec<Due>, ProjectionError> {
    let rows: Vec<(String, String, i32)> = sqlx::query_as(
        "SELECT id, body, attempts FROM delivery d
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
    .bind(i64::from(most))
    .bind(endpoint.sequence)
    .bind(endpoint.lease)
    .fetch_all(&database.pool)
    .await?;
    let due = rows.into_iter().map(|(id, body, attempts)| Due {
        id,
        body,
        attempts: u32::try_from(attempts).unwrap_or(0),
    });
    Ok(due.collect())
}

/// Writes down what became of some tries, and keeps the endpoint for another while.
///
/// # Errors
/// When the database does not answer.
pub async fn record(
    database: &Database,
    endpoint: &Endpoint,
    outcomes: &[Outcome],
    leased_until: Timestamp,
) -> Result<(), ProjectionError> {
    let hook = endpoint.view.id;
    let mut connection = database.pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    // The endpoint before its deliveries, as everybody locks them.
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
    .bind(storable::some(outcome.error.as_deref()))
    .bind(storable::some(outcome.body.as_deref()))
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

/// Gives an endpoint back, and says when there is something to send to it next.
///
/// # Errors
/// When the database does not answer; the lease then runs out by itself.
pub async fn release(
    database: &Database,
    endpoint: &Endpoint,
    open_until: Timestamp,
) -> Result<(), ProjectionError> {
    let id = endpoint.view.id.to_string();
    let mut connection = database.pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    // Locked first: whoever writes a due row says so on this one, before or after us, and never
    // between our looking and our writing.
    sqlx::query("SELECT 1 FROM webhook WHERE id = $1 FOR UPDATE")
        .bind(&id)
        .execute(&mut *transaction)
        .await?;
    // What its owner changed meanwhile begins with a clean slate.
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

/// Writes due rows for a quarter of an attempt, for the endpoints that want to know: progress does not
/// stand in the log. Writing them again changes nothing.
///
/// # Errors
/// When the database does not answer.
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
    let mut woken = ByHook::new();
    for (Json(view),) in rows.iter().filter(|(Json(view),)| wants(&view.events, "job.progress")) {
        // After what is known of the job so far, and before what comes.
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
        woken.insert(view.id, millis(at));
    }
    wake(&mut transaction, &woken).await?;
    transaction.commit().await?;
    Ok(())
}
