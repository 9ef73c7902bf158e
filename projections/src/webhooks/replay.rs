//! Everything after a position, once more. The one reader only writes down that somebody asked, and this
//! works it off page by page, so that nobody's long past keeps everybody's present waiting.

use std::{collections::BTreeSet, time::Duration};

use domain::{HookId, Tenant, Timestamp};
use nats::{Codec, CodecError, Log, Message, failpoint};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::{
    Webhooks,
    endpoints::Endpoints,
    matching::{Matched, store},
};
use crate::{Database, ProjectionError, fold::millis, told};

/// Messages read at once.
const PAGE: usize = 500;
/// How often it is looked whether somebody asked.
const LOOK: Duration = Duration::from_millis(250);

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
    asked: i64,
    asked_at: i64,
    after_sequence: i64,
    after_index: i32,
}

impl Replays {
    /// Of this log, into these rows.
    pub const fn new(database: Database, log: Log, codec: Codec) -> Self {
        Self { database, codec, webhooks: Webhooks::new(log) }
    }

    /// Works until told to stop. As many as like may do so at once.
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

    /// Sees to one page of one replay; false if nobody asked for any.
    async fn step(&self) -> Result<bool, ProjectionError> {
        let Some(asked) = self.next().await? else { return Ok(false) };
        let filter = format!("ev.*.{}.>", asked.tenant);
        let from = u64::try_from(asked.after_sequence).unwrap_or(0).max(1);
        let until = u64::try_from(asked.asked).unwrap_or(0);
        let page = self.webhooks.log.page(&filter, from, PAGE).await?;
        let last = page.last().map(|last| last.sequence);
        // A message's events all come before the next message.
        let reached = last.filter(|last| page.len() >= PAGE && *last < until);
        let matched = self.matched(&asked, &page, until).await?;
        let mut transaction = self.database.pool.begin().await?;
        // The endpoint before what is its own, as everybody locks them.
        let hooks: BTreeSet<HookId> = matched.iter().map(|one| one.hook).collect();
        Endpoints::default().lock(&mut transaction, hooks).await?;
        if asked.moved(&mut transaction, reached).await? {
            store(&mut transaction, &matched).await?;
            failpoint::hit("webhooks.before_replayed");
            transaction.commit().await?;
            failpoint::hit("webhooks.after_replayed");
        }
        Ok(true)
    }

    /// Whoever had the fewest pages comes next: a short past does not wait for a long one.
    async fn next(&self) -> Result<Option<Wish>, ProjectionError> {
        let next = sqlx::query_as(
            "SELECT hook_id, replay.tenant, asked, asked_at, after_sequence, after_index
             FROM replay JOIN webhook ON webhook.id = hook_id
             WHERE status = 'enabled' ORDER BY pages, asked LIMIT 1",
        );
        Ok(next.fetch_optional(&self.database.pool).await?)
    }

    /// What of a page is to be sent.
    async fn matched(
        &self,
        asked: &Wish,
        page: &[Message],
        until: u64,
    ) -> Result<Vec<Matched>, ProjectionError> {
        let (Ok(hook), Ok(tenant)) = (asked.hook_id.parse(), asked.tenant.parse::<Tenant>()) else {
            return Ok(vec![]);
        };
        let tenants = BTreeSet::from([asked.tenant.clone()]);
        let mut connection = self.database.pool.acquire().await?;
        let endpoints = Endpoints::load(&mut connection, &tenants, &BTreeSet::new()).await?;
        drop(connection);
        let mut matched = Vec::new();
        for message in page.iter().filter(|message| message.sequence < until) {
            let told = match told::told(&self.codec, message).await {
                Ok(Some(told)) => told,
                // What cannot be read was passed over then, and is now.
                Ok(None) | Err(CodecError::Unreadable(_)) => continue,
                Err(error) => return Err(ProjectionError::from_codec(until, error)),
            };
            let place = (message.sequence, &told);
            let only = (&endpoints, Some(hook));
            self.webhooks.find(&self.codec, only, &tenant, place, &mut matched).await?;
        }
        matched.retain(|matched| matched.place > asked.after());
        let at = Timestamp::from_millis(u64::try_from(asked.asked_at).unwrap_or(0));
        for matched in &mut matched {
            (matched.again, matched.at) = (true, at);
        }
        Ok(matched)
    }
}

impl Wish {
    fn after(&self) -> (u64, u32) {
        let sequence = u64::try_from(self.after_sequence).unwrap_or(0);
        (sequence, u32::try_from(self.after_index).unwrap_or(0))
    }

    /// Notes how far it is, or that it is over; false if somebody else did, or nobody wants it any more.
    async fn moved(
        &self,
        connection: &mut PgConnection,
        reached: Option<u64>,
    ) -> Result<bool, ProjectionError> {
        let statement = match reached {
            Some(_) => {
                "UPDATE replay SET after_sequence = $5, after_index = 2147483647, pages = pages + 1
                 WHERE (hook_id, asked, after_sequence, after_index) = ($1, $2, $3, $4)"
            }
            None => {
                "DELETE FROM replay
                 WHERE (hook_id, asked, after_sequence, after_index) = ($1, $2, $3, $4)
                     AND $5::bigint IS NULL"
            }
        };
        let done = sqlx::query(statement)
            .bind(&self.hook_id)
            .bind(self.asked)
            .bind(self.after_sequence)
            .bind(self.after_index)
            .bind(reached.map(|reached| i64::try_from(reached).unwrap_or(i64::MAX)))
            .execute(connection)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

/// Writes down that somebody asked for everything after a place, up to where they asked.
pub(super) async fn ask(
    connection: &mut PgConnection,
    (hook, tenant): (HookId, &Tenant),
    (sequence, index): (u64, u32),
    (asked, at): (u64, Timestamp),
) -> Result<(), ProjectionError> {
    sqlx::query(
        "INSERT INTO replay (hook_id, asked, tenant, asked_at, after_sequence, after_index)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(hook.to_string())
    .bind(i64::try_from(asked).unwrap_or(i64::MAX))
    .bind(tenant.as_str())
    .bind(millis(at))
    .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
    .bind(i32::try_from(index).unwrap_or(i32::MAX))
    .execute(connection)
    .await?;
    Ok(())
}
