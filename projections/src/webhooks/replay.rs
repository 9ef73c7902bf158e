//! Replays: sending all events after a position again. The projector only records the request; this
//! task processes it page by page, so that a long replay does not delay new events.

use std::time::{Duration, SystemTime};

use ffapi_domain::{Tenant, Timestamp, WebhookId};
use ffapi_nats::{Codec, Log, Message, PageLimits, failpoint, subject};
use sqlx::PgConnection;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{ToMatch, Webhooks, endpoints::Endpoints, prepared::Receivers};
use crate::{
    Database, ProjectionError,
    delivery_queue::{NewDelivery, enqueue},
};

/// Messages per page.
const PAGE: PageLimits = PageLimits { messages: 500, bytes: 16 * 1024 * 1024 };
/// An index after all events of a message.
const AFTER_ALL: i32 = i32::MAX;
/// How often new requests are looked up.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The advisory lock of the process that works on replays, held by its session; others wait for it.
const REPLAY_LOCK: i64 = 0x7265_706c_6179;

/// Processes replay requests.
#[derive(Debug)]
pub struct Replays {
    database: Database,
    codec: Codec,
    webhooks: Webhooks,
    /// The session of this process, once it has one.
    session: Mutex<Option<Session>>,
}

/// The database session of a process that works on replays, or waits for the lock.
#[derive(Debug)]
struct Session {
    connection: PgConnection,
    is_locked: bool,
}

/// A requested replay and its progress.
#[derive(Debug, sqlx::FromRow)]
struct Progress {
    hook_id: String,
    tenant: String,
    after_sequence: i64,
    after_index: i32,
    until: i64,
}

impl Replays {
    /// Replays events of this log into these rows.
    pub const fn new(database: Database, log: Log, codec: Codec) -> Self {
        Self { database, codec, webhooks: Webhooks::new(log), session: Mutex::const_new(None) }
    }

    /// Processes requests until `stop` is cancelled. Only one process works at a time.
    pub async fn run(&self, stop: &CancellationToken) {
        self.run_until(stop).await;
        // Releases the lock.
        *self.session.lock().await = None;
    }

    async fn run_until(&self, stop: &CancellationToken) {
        loop {
            let worked = tokio::select! {
                () = stop.cancelled() => return,
                worked = self.step() => worked,
            };
            match worked {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "a replay of webhooks failed and will be retried");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }

    /// Processes one page of one replay; false if there is none, it has to be retried, or another
    /// process holds the lock.
    ///
    /// # Errors
    /// When the log, the key store or the database does not respond. Other replays take turns
    /// before the retry.
    pub async fn step(&self) -> Result<bool, ProjectionError> {
        let mut session = self.session.lock().await;
        // Taken out, so that one that fails is not used again.
        let mut own = match session.take() {
            Some(own) => own,
            None => Session { connection: self.database.session().await?, is_locked: false },
        };
        let progress = own.next().await?;
        *session = Some(own);
        let Some(progress) = progress else { return Ok(false) };
        let worked = self.work(&progress).await;
        if !matches!(worked, Ok(true)) {
            progress.count_page().execute(&self.database.pool).await?;
        }
        worked
    }

    /// Processes one page; false if it has to be retried. No transaction is open while the log is read.
    /// If another process believes to have the lock as well, one of both advances the replay.
    async fn work(&self, progress: &Progress) -> Result<bool, ProjectionError> {
        let filter = subject::tenant(&progress.tenant);
        let (sequence, _) = progress.after();
        let page = self.webhooks.log.page_within(&filter, progress.from(), PAGE).await?.messages;
        // The request itself is a message at `until`: a page without it is not the last one, even
        // if it is short because the server lags.
        let last = page.last().map_or(sequence, |last| last.sequence);
        let reached = Some(last).filter(|last| *last < progress.until());
        if reached.is_some() && page.is_empty() {
            return Ok(false);
        }
        let mut connection = self.database.pool.acquire().await?;
        let endpoint = Endpoints::load_one(&mut connection, &progress.hook_id).await?;
        drop(connection);
        let matched = self.matched(progress, &endpoint, &page).await?;
        let mut transaction = self.database.pool.begin().await?;
        // Lock the endpoint before its rows, like all other transactions. If it was changed or
        // disabled meanwhile, the page is processed again once it is enabled.
        let advanced = endpoint.is_unchanged(&mut transaction, &progress.hook_id).await?
            && progress.advance(&mut transaction, reached).await?;
        if advanced {
            enqueue(&mut transaction, &matched).await?;
            failpoint::hit("webhooks.before_replayed");
            transaction.commit().await?;
            failpoint::hit("webhooks.after_replayed");
        }
        Ok(advanced)
    }

    /// The deliveries for a page of messages, due now.
    async fn matched(
        &self,
        progress: &Progress,
        endpoint: &Endpoints,
        page: &[Message],
    ) -> Result<Vec<NewDelivery>, ProjectionError> {
        let (Ok(hook), Ok(tenant)) = (progress.hook_id.parse(), progress.tenant.parse::<Tenant>())
        else {
            return Ok(vec![]);
        };
        let mut matched = Vec::new();
        let messages = page.iter().filter(|message| message.sequence < progress.until());
        let receivers = Receivers::Only(hook);
        let read = self.webhooks.read(&self.codec, endpoint, messages.clone(), receivers).await?;
        for sequence in messages.map(|message| message.sequence) {
            // Messages that cannot be decoded are skipped, as in the original delivery.
            let Some(public) = read.public(sequence) else { continue };
            let to_match = ToMatch { tenant: &tenant, sequence, public, only: Some(hook) };
            self.webhooks.find(endpoint, to_match, &mut matched);
        }
        matched.retain(|delivery| delivery.position > progress.after());
        // Due now, so that replayed deliveries do not take precedence over new ones.
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        let at = Timestamp::from_millis(u64::try_from(now).unwrap_or(u64::MAX));
        for delivery in &mut matched {
            (delivery.resend, delivery.at) = (true, at);
        }
        Ok(matched)
    }
}

impl Session {
    /// The next replay; none if there is none, or another process works on them.
    async fn next(&mut self) -> Result<Option<Progress>, ProjectionError> {
        if !self.is_locked {
            let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(REPLAY_LOCK);
            self.is_locked = lock.fetch_one(&mut self.connection).await?;
        }
        if self.is_locked { next(&mut self.connection).await } else { Ok(None) }
    }
}

/// The next replay is one of the tenant with the fewest processed pages: a short replay does not
/// wait for a long one.
async fn next(connection: &mut PgConnection) -> Result<Option<Progress>, ProjectionError> {
    let next = sqlx::query_as(
        "SELECT hook_id, replay.tenant, after_sequence, after_index, until
         FROM replay JOIN webhook ON webhook.id = hook_id
         WHERE status = 'enabled'
         ORDER BY (SELECT sum(pages) FROM replay AS own WHERE own.tenant = replay.tenant), pages
         LIMIT 1",
    );
    Ok(next.fetch_optional(connection).await?)
}

type Statement<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

impl Progress {
    fn after(&self) -> (u64, u32) {
        let sequence = u64::try_from(self.after_sequence).unwrap_or(0);
        (sequence, u32::try_from(self.after_index).unwrap_or(0))
    }

    /// Sequence of the first message that has events after the position.
    fn from(&self) -> u64 {
        let (sequence, _) = self.after();
        let next =
            if self.after_index == AFTER_ALL { sequence.saturating_add(1) } else { sequence };
        next.max(1)
    }

    fn until(&self) -> u64 {
        u64::try_from(self.until).unwrap_or(0)
    }

    /// Counts a page without progress, so that other tenants take their turns.
    fn count_page(&self) -> Statement<'_> {
        sqlx::query("UPDATE replay SET pages = pages + 1 WHERE hook_id = $1").bind(&self.hook_id)
    }

    /// Stores the progress, or deletes a finished replay; false if the request was changed or
    /// deleted meanwhile.
    async fn advance(
        &self,
        connection: &mut PgConnection,
        reached: Option<u64>,
    ) -> Result<bool, ProjectionError> {
        const UNCHANGED: &str =
            "WHERE (hook_id, after_sequence, after_index, until) = ($1, $2, $3, $4)";
        let statement = match reached {
            Some(reached) => format!(
                "UPDATE replay SET after_sequence = {reached}, after_index = {AFTER_ALL},
                     pages = pages + 1 {UNCHANGED}"
            ),
            None => format!("DELETE FROM replay {UNCHANGED}"),
        };
        // Contains only constants and a number.
        let updated = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(&self.hook_id)
            .bind(self.after_sequence)
            .bind(self.after_index)
            .bind(self.until)
            .execute(connection)
            .await?;
        Ok(updated.rows_affected() == 1)
    }
}

/// A request to replay all events after a position, up to the request itself.
pub(super) struct ReplayRequest {
    pub(super) hook: WebhookId,
    pub(super) tenant: Tenant,
    /// Sequence and index of the last event that is not replayed.
    pub(super) after: (u64, u32),
    /// Stream sequence of the request.
    pub(super) until: u64,
}

impl ReplayRequest {
    /// Stores it. An unfinished replay of the same endpoint is merged with it.
    pub(super) async fn write(&self, connection: &mut PgConnection) -> Result<(), ProjectionError> {
        let (sequence, index) = self.after;
        sqlx::query(
            "INSERT INTO replay (hook_id, tenant, after_sequence, after_index, until)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (hook_id) DO UPDATE SET
                 (after_sequence, after_index) = (
                     SELECT * FROM (VALUES (replay.after_sequence, replay.after_index),
                                           (excluded.after_sequence, excluded.after_index))
                         AS place (sequence, index)
                     ORDER BY sequence, index LIMIT 1),
                 until = GREATEST(replay.until, excluded.until)",
        )
        .bind(self.hook.to_string())
        .bind(self.tenant.as_str())
        .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
        .bind(i32::try_from(index).unwrap_or(i32::MAX))
        .bind(i64::try_from(self.until).unwrap_or(i64::MAX))
        .execute(connection)
        .await?;
        Ok(())
    }
}
