//! Leases of endpoints: the right to send their deliveries.

use std::{collections::BTreeMap, time::Duration};

use ffapi_domain::{Tenant, Timestamp, webhook::WebhookView};
use ffapi_nats::Codec;
use sqlx::{Connection, PgConnection, types::Json};

use crate::{Database, ProjectionError, fold::millis, webhooks::sealed};

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
    pub(super) sequence: i64,
    /// Number of the sender that has the lease: one that lost it finds nothing due.
    pub(super) lease: i32,
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
        let mut connection = database.session().await?;
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
