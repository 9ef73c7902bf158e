mod anew;
mod parked;

use std::time::Duration;

use ffapi_domain::Tenant;
use ffapi_nats::{Codec, CodecError, Log, Message, PubSub, Reader, failpoint};
use serde::de::IgnoredAny;
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgPoolOptions};
use tokio_util::sync::CancellationToken;

use self::parked::Parked;
use crate::{
    Checkpoint, Database, ProjectionError,
    erasure::{Gone, erased},
};

/// One read model: how a batch of messages changes its rows.
pub trait Projection: Send + Sync {
    /// Names its checkpoint.
    const NAME: &'static str;
    /// Its tables: what a rebuild makes anew.
    const TABLES: &'static [&'static str];
    /// The categories of what its rows are made of whose messages a data key opens: of a tenant that is
    /// erased they are applied anew.
    const PERSONAL: &'static [&'static str] = &[];

    /// Writes what a batch changes. Messages come in order, each once; all or nothing is kept.
    fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
    ) -> impl Future<Output = Result<(), ProjectionError>> + Send;

    /// Deletes the rows of aggregates that are applied anew. Nothing is to be done where nothing is
    /// [`Projection::PERSONAL`].
    fn forget(
        &self,
        _transaction: &mut PgConnection,
        _gone: &Gone<'_>,
    ) -> impl Future<Output = Result<(), ProjectionError>> + Send {
        async { Ok(()) }
    }

    /// Takes what is personal of a tenant out of rows that no message makes anew.
    fn erase(
        &self,
        _transaction: &mut PgConnection,
        _tenant: &Tenant,
    ) -> impl Future<Output = Result<(), ProjectionError>> + Send {
        async { Ok(()) }
    }
}

/// Follows the log for one read model, into the tables that are served or into a rebuild's.
#[derive(Debug)]
pub struct Runner<P> {
    database: Database,
    log: Log,
    codec: Codec,
    projection: P,
    /// The schema whose tables come before the served ones; none for those.
    pub(crate) schema: Option<String>,
}

/// What a committed batch was.
#[derive(Debug, Clone, Copy)]
pub struct Applied {
    /// Up to here.
    pub sequence: u64,
    /// So many.
    pub messages: usize,
}

/// The subject on which a read model's new position is told.
pub fn position_subject(name: &str) -> String {
    format!("projection.{name}.position")
}

const MAX_BATCH: usize = 1000;
/// The least time between two commits: each costs a write to the disk that the log wants too.
const PACE: Duration = Duration::from_millis(10);
/// How long a runner trusts a connection that it does not use.
const IDLE: Duration = Duration::from_secs(1);

impl<P: Projection> Runner<P> {
    /// For this read model.
    pub const fn new(database: Database, log: Log, codec: Codec, projection: P) -> Self {
        Self { database, log, codec, projection, schema: None }
    }

    /// Follows until told to stop. Only one runner a read model works at a time; others wait.
    ///
    /// # Errors
    /// When log and rows diverged: a person must look. Everything else is waited out.
    pub async fn run(&self, stop: &CancellationToken) -> Result<(), ProjectionError> {
        loop {
            let outcome = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                outcome = self.follow() => outcome,
            };
            match outcome {
                Err(error @ ProjectionError::Diverged { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!(projection = P::NAME, %error, "read model starts again");
                }
                Ok(()) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
        }
    }

    async fn follow(&self) -> Result<(), ProjectionError> {
        let (mut connection, mut checkpoint) = self.begin().await?;
        let mut parked = Parked::load(&mut connection, P::NAME).await?;
        let mut reader = self.log.follow(checkpoint.sequence.saturating_add(1));
        let live = PubSub::new(self.log.nats().clone());
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let Ok(first) = tokio::time::timeout(IDLE, reader.next()).await else {
                // A database that was restored or replaced may be behind what we wrote to it.
                connection.ping().await?;
                continue;
            };
            // One alone is committed at once; in a stream of them, each commit carries many.
            pace.tick().await;
            let batch = batch_from(first, &mut reader).await;
            let applied =
                self.commit(&mut connection, &mut checkpoint, &mut parked, &batch).await?;
            tracing::trace!(projection = P::NAME, ?applied, "applied");
            live.tell(position_subject(P::NAME), applied.sequence.to_string()).await;
        }
    }

    /// Follows from its checkpoint to where the log ends now, and no further.
    pub(crate) async fn catch_up(&self) -> Result<u64, ProjectionError> {
        let last = self.log.last_sequence().await?;
        let (mut connection, mut checkpoint) = self.begin().await?;
        let mut parked = Parked::load(&mut connection, P::NAME).await?;
        let mut reader = self.log.follow(checkpoint.sequence.saturating_add(1));
        while checkpoint.sequence < last {
            let first = reader.next().await;
            let batch = batch_from(first, &mut reader).await;
            self.commit(&mut connection, &mut checkpoint, &mut parked, &batch).await?;
        }
        Ok(checkpoint.sequence)
    }

    /// A connection that alone may write these tables, and how far they are.
    async fn begin(&self) -> Result<(PgConnection, Checkpoint), ProjectionError> {
        // A lock of the session: it ends with the connection, however that ends.
        let options = self.database.pool.connect_options();
        let alone = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(3));
        let mut connection =
            alone.connect_with((*options).clone()).await?.acquire().await?.detach();
        if let Some(schema) = &self.schema {
            let path = AssertSqlSafe(format!("SET search_path = {schema}, public"));
            sqlx::query(path).execute(&mut connection).await?;
        }
        // Should we vanish with our machine, the server lets go of the lock within a minute, and not of a
        // dead connection after two hours.
        sqlx::query(
            "SELECT set_config('tcp_keepalives_idle', '30', false),
                    set_config('tcp_keepalives_interval', '10', false),
                    set_config('tcp_keepalives_count', '3', false)",
        )
        .execute(&mut connection)
        .await?;
        let lock_name = format!("{}{}", self.schema.as_deref().unwrap_or_default(), P::NAME);
        let mut waits = false;
        while !lock(&mut connection, &lock_name).await? {
            if !waits {
                tracing::info!(name = P::NAME, "another projector writes this read model");
                waits = true;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        // What is served never goes back behind a position that was told: its commits reach the
        // disk. A rebuild is nobody's until it is switched in.
        if self.schema.is_some() {
            sqlx::query("SET synchronous_commit = off").execute(&mut connection).await?;
        }
        // Rows are found by key and by nothing else: a new table that nobody has counted yet must
        // not be read from end to end for that.
        sqlx::query("SET enable_seqscan = off").execute(&mut connection).await?;
        let checkpoint = Checkpoint::load(&mut connection, P::NAME, self.log.identity()).await?;
        self.check_divergence(&checkpoint).await?;
        Ok((connection, checkpoint))
    }

    /// The message that the checkpoint names must still be that message.
    async fn check_divergence(&self, checkpoint: &Checkpoint) -> Result<(), ProjectionError> {
        if checkpoint.sequence == 0 {
            return Ok(());
        }
        let diverged = |why: String| ProjectionError::Diverged { name: P::NAME, why };
        let Some(message) = self.log.at(checkpoint.sequence).await? else {
            if self.log.forgets() && self.log.last_sequence().await? >= checkpoint.sequence {
                return Ok(());
            }
            return Err(diverged(format!("it is at {}, the log ends before", checkpoint.sequence)));
        };
        let found = match self.codec.decode::<IgnoredAny>(&message.payload).await {
            Ok(decision) => Some(decision.command_id.to_string()),
            Err(CodecError::Unreadable(_)) => None,
            // A key store that is away says nothing of the message.
            Err(error @ CodecError::Log(_)) => {
                return Err(ProjectionError::from_codec(message.sequence, error));
            }
        };
        if checkpoint.command_id.is_some() && found != checkpoint.command_id {
            return Err(diverged(format!("message {} is another one", checkpoint.sequence)));
        }
        Ok(())
    }

    async fn command_id(&self, message: &Message) -> Option<String> {
        let decision = self.codec.decode::<IgnoredAny>(&message.payload).await.ok()?;
        Some(decision.command_id.to_string())
    }

    async fn commit(
        &self,
        connection: &mut PgConnection,
        checkpoint: &mut Checkpoint,
        parked: &mut Parked,
        batch: &[Message],
    ) -> Result<Applied, ProjectionError> {
        let (Some(last), messages) = (batch.last(), batch.len()) else {
            return Ok(Applied { sequence: checkpoint.sequence, messages: 0 });
        };
        let command_id = self.command_id(last).await;
        let mut transaction = connection.begin().await?;
        self.apply(&mut transaction, parked, batch).await?;
        for tenant in erased(&self.codec, batch).await? {
            self.erase(&mut transaction, parked, &tenant, last.sequence).await?;
        }
        let mut moved = checkpoint.clone();
        moved.advance(&mut transaction, last.sequence, command_id).await?;
        failpoint::hit(format_args!("projector.before_commit.{}", P::NAME));
        transaction.commit().await?;
        failpoint::hit(format_args!("projector.after_commit.{}", P::NAME));
        *checkpoint = moved;
        Ok(Applied { sequence: last.sequence, messages })
    }
}

/// A message and as many as are there already behind it, up to a limit.
async fn batch_from(first: Message, reader: &mut Reader) -> Vec<Message> {
    let mut pending = first.pending;
    let mut batch = vec![first];
    while batch.len() < MAX_BATCH {
        // Each message says what stood behind it when it left the server; more came since.
        let next = match reader.next_at_hand() {
            Some(next) => next,
            None if pending > 0 => reader.next().await,
            None => break,
        };
        pending = next.pending;
        batch.push(next);
    }
    batch
}

async fn lock(connection: &mut PgConnection, name: &str) -> Result<bool, ProjectionError> {
    Ok(sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtext('ffapi projection ' || $1))")
        .bind(name)
        .fetch_one(connection)
        .await?)
}
