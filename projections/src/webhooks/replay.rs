//! Everything after a position, once more. The one reader only writes down that somebody asked, and this
//! works it off page by page, so that nobody's long past keeps everybody's present waiting.

use std::time::{Duration, SystemTime};

use ffapi_domain::{Tenant, Timestamp, WebhookId};
use ffapi_nats::{Codec, CodecError, Log, Message, failpoint};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::{
    ToMatch, Webhooks,
    endpoints::Endpoints,
    matching::{Matched, store},
};
use crate::{Database, ProjectionError, public_message};

/// Messages read at once.
const PAGE: usize = 500;
/// The index behind all of a message's events.
const WHOLE: i32 = i32::MAX;
/// How often it is looked whether somebody asked.
const LOOK: Duration = Duration::from_millis(250);
/// The advisory lock of whoever works: the others wait until it is gone.
const ALONE: i64 = 0x7265_706c_6179;

/// Works off what was asked for.
#[derive(Debug)]
pub struct Replays {
    database: Database,
    codec: Codec,
    webhooks: Webhooks,
}

/// What somebody asked for, and how far it is.
#[derive(Debug, sqlx::FromRow)]
struct Wish {
    hook_id: String,
    tenant: String,
    after_sequence: i64,
    after_index: i32,
    until: i64,
}

impl Replays {
    /// Of this log, into these rows.
    pub const fn new(database: Database, log: Log, codec: Codec) -> Self {
        Self { database, codec, webhooks: Webhooks::new(log) }
    }

    /// Works until told to stop. One does at a time, whoever comes first.
    pub async fn run(&self, stop: &CancellationToken) {
        loop {
            let worked = tokio::select! {
                () = stop.cancelled() => return,
                worked = self.step() => worked,
            };
            match worked {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "a replay of webhooks waits"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Sees to one page of one replay; false if there is none, or somebody else is at it.
    ///
    /// # Errors
    /// When log, key store or database do not answer. Others have their turn before it is tried again.
    pub async fn step(&self) -> Result<bool, ProjectionError> {
        let mut alone = self.database.pool.begin().await?;
        let lock = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(ALONE);
        let free = lock.fetch_one(&mut *alone).await?;
        let wish = if free { next(&mut alone).await? } else { None };
        let Some(wish) = wish else {
            // Now, and not once somebody comes by the connection.
            alone.rollback().await?;
            return Ok(false);
        };
        let worked = self.work(&wish).await;
        if !matches!(worked, Ok(true)) {
            wish.pass().execute(&mut *alone).await?;
        }
        alone.commit().await?;
        worked
    }

    /// False if it has to be tried again.
    async fn work(&self, wish: &Wish) -> Result<bool, ProjectionError> {
        let filter = format!("ev.*.{}.>", wish.tenant);
        let (sequence, _) = wish.after();
        let page = self.webhooks.log.page(&filter, wish.from(), PAGE).await?;
        // Where it was asked for stands a message too: a page without it is not the last one, however short
        // it is on a server that lags.
        let last = page.last().map_or(sequence, |last| last.sequence);
        let reached = Some(last).filter(|last| *last < wish.until());
        if reached.is_some() && page.is_empty() {
            return Ok(false);
        }
        let mut connection = self.database.pool.acquire().await?;
        let endpoint = Endpoints::one(&mut connection, &wish.hook_id).await?;
        drop(connection);
        let matched = self.matched(wish, &endpoint, &page).await?;
        let mut transaction = self.database.pool.begin().await?;
        // The endpoint before what is its own, as everybody locks them. Of one that changed meanwhile, or
        // was disabled, the page is seen to again, when it is sent to.
        let moved = endpoint.still_stands(&mut transaction, &wish.hook_id).await?
            && wish.moved(&mut transaction, reached).await?;
        if moved {
            store(&mut transaction, &matched).await?;
            failpoint::hit("webhooks.before_replayed");
            transaction.commit().await?;
            failpoint::hit("webhooks.after_replayed");
        }
        Ok(moved)
    }

    /// What of a page is to be sent, from now on.
    async fn matched(
        &self,
        wish: &Wish,
        endpoint: &Endpoints,
        page: &[Message],
    ) -> Result<Vec<Matched>, ProjectionError> {
        let (Ok(hook), Ok(tenant)) = (wish.hook_id.parse(), wish.tenant.parse::<Tenant>()) else {
            return Ok(vec![]);
        };
        let mut matched = Vec::new();
        for message in page.iter().filter(|message| message.sequence < wish.until()) {
            let told = match public_message::told(&self.codec, message).await {
                Ok(Some(told)) => told,
                // What cannot be read was passed over then, and is now.
                Ok(None) | Err(CodecError::Unreadable(_)) => continue,
                Err(error) => return Err(ProjectionError::from_codec(message.sequence, error)),
            };
            let (tenant, sequence) = (&tenant, message.sequence);
            let to_match = ToMatch { tenant, sequence, told: &told, only: Some(hook) };
            match self.webhooks.find(&self.codec, endpoint, to_match, &mut matched).await {
                Ok(()) | Err(ProjectionError::Poison { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        matched.retain(|matched| matched.place > wish.after());
        // As old as what happens now: it goes before nobody's present.
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        let at = Timestamp::from_millis(u64::try_from(now).unwrap_or(u64::MAX));
        for matched in &mut matched {
            (matched.again, matched.at) = (true, at);
        }
        Ok(matched)
    }
}

/// Whose account had the fewest pages comes next: a short past does not wait for a long one.
async fn next(connection: &mut PgConnection) -> Result<Option<Wish>, ProjectionError> {
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

impl Wish {
    fn after(&self) -> (u64, u32) {
        let sequence = u64::try_from(self.after_sequence).unwrap_or(0);
        (sequence, u32::try_from(self.after_index).unwrap_or(0))
    }

    /// The first message that has something behind the place.
    fn from(&self) -> u64 {
        let (sequence, _) = self.after();
        let next = if self.after_index == WHOLE { sequence.saturating_add(1) } else { sequence };
        next.max(1)
    }

    fn until(&self) -> u64 {
        u64::try_from(self.until).unwrap_or(0)
    }

    /// Lets others have their turn.
    fn pass(&self) -> Statement<'_> {
        sqlx::query("UPDATE replay SET pages = pages + 1 WHERE hook_id = $1").bind(&self.hook_id)
    }

    /// Notes how far it is, or that it is over; false if more was asked for meanwhile, or nobody wants it
    /// any more.
    async fn moved(
        &self,
        connection: &mut PgConnection,
        reached: Option<u64>,
    ) -> Result<bool, ProjectionError> {
        const AS_READ: &str =
            "WHERE (hook_id, after_sequence, after_index, until) = ($1, $2, $3, $4)";
        let statement = match reached {
            Some(reached) => format!(
                "UPDATE replay SET after_sequence = {reached}, after_index = {WHOLE},
                     pages = pages + 1 {AS_READ}"
            ),
            None => format!("DELETE FROM replay {AS_READ}"),
        };
        // Made of this module's own words, and a number.
        let done = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(&self.hook_id)
            .bind(self.after_sequence)
            .bind(self.after_index)
            .bind(self.until)
            .execute(connection)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

/// Somebody asked for everything after a place, up to where they asked.
pub(super) struct Ask {
    pub(super) hook: WebhookId,
    pub(super) tenant: Tenant,
    /// Sequence and index of what came before it.
    pub(super) after: (u64, u32),
    /// Sequence of the asking.
    pub(super) until: u64,
}

impl Ask {
    /// Writes it down. What is still open of the same endpoint becomes part of it.
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
