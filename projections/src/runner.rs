mod erase;
mod parked;

use std::time::{Duration, Instant, SystemTime};

use ffapi_domain::Tenant;
use ffapi_nats::{
    Codec, CodecError, Log, Message, PubSub, Reader, failpoint, subject,
    trace::{self, TraceContext},
};
use serde::de::IgnoredAny;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use self::parked::Parked;
use crate::{
    Checkpoint, Database, ProjectionError,
    erasure::{ErasedAggregates, erased},
    metrics::{self, Committed, ProjectionState},
};

/// One read model: how a batch of messages changes its rows.
pub trait Projection: Send + Sync {
    /// What [`Projection::apply`] needs in addition to the batch and its rows.
    type Prepared: Default + Send + Sync;

    /// Its name, as in its checkpoint.
    const NAME: &'static str;
    /// Its tables, which a rebuild creates again.
    const TABLES: &'static [&'static str];
    /// Categories whose personal fields may be in its rows. When a tenant is erased, its messages
    /// of these categories are applied again.
    const PERSONAL: &'static [&'static str] = &[];

    /// Reads from the log what a batch needs, before its transaction begins: a transaction that
    /// waited for the log would keep its locks. Messages that cannot be decoded are left to
    /// [`Projection::apply`].
    fn prepare(
        &self,
        _connection: &mut PgConnection,
        _codec: &Codec,
        _batch: &[Message],
    ) -> impl Future<Output = Result<Self::Prepared, ProjectionError>> + Send {
        async { Ok(Self::Prepared::default()) }
    }

    /// Writes the changes of a batch, or of a part of the one that was prepared. Messages arrive in
    /// log order, each once; the transaction is committed as a whole or rolled back. Only rows are
    /// read here, and data keys.
    fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
        prepared: &Self::Prepared,
    ) -> impl Future<Output = Result<(), ProjectionError>> + Send;

    /// Deletes the rows of aggregates before their messages are applied again. Only needed if there
    /// are [`Projection::PERSONAL`] categories.
    fn forget(
        &self,
        _transaction: &mut PgConnection,
        _erased: &ErasedAggregates<'_>,
    ) -> impl Future<Output = Result<(), ProjectionError>> + Send {
        async { Ok(()) }
    }

    /// Removes a tenant's personal data from rows that are not rebuilt from messages. Called after the
    /// batch with the erasure was applied.
    fn erase(
        &self,
        _transaction: &mut PgConnection,
        _tenant: &Tenant,
    ) -> impl Future<Output = Result<(), ProjectionError>> + Send {
        async { Ok(()) }
    }
}

/// Applies the log to one read model, in the served tables or in those of a rebuild.
#[derive(Debug)]
pub struct Runner<P> {
    database: Database,
    log: Log,
    codec: Codec,
    projection: P,
    /// The schema of a rebuild; `None` for the served tables.
    pub(crate) schema: Option<String>,
}

/// A committed batch.
#[derive(Debug, Clone, Copy)]
pub struct Applied {
    /// Sequence of its last message.
    pub sequence: u64,
    /// Number of messages in it.
    pub messages: usize,
}

/// The subject on which a read model's new position is published.
pub fn position_subject(name: &str) -> String {
    subject::projection_position(name)
}

const MAX_BATCH_SIZE: usize = 1000;
/// Bytes of the messages of a transaction, beyond which no further one is added.
const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;
/// Minimum time between two commits: each is a disk write that competes with those of the log.
const MIN_COMMIT_INTERVAL: Duration = Duration::from_millis(10);
/// How long the connection may be idle before it is checked.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl<P: Projection> Runner<P> {
    /// A runner for this read model, on the served tables.
    pub const fn new(database: Database, log: Log, codec: Codec, projection: P) -> Self {
        Self { database, log, codec, projection, schema: None }
    }

    /// Applies the log until `stop` is cancelled. Only one runner per read model is active, others
    /// wait.
    ///
    /// # Errors
    /// When log and rows diverged, which needs an operator. All other errors are retried.
    pub async fn run(&self, stop: &CancellationToken) -> Result<(), ProjectionError> {
        metrics::prepare(P::NAME);
        loop {
            let outcome = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                outcome = self.follow() => outcome,
            };
            match outcome {
                Err(error @ ProjectionError::Diverged { .. }) => {
                    self.enter(ProjectionState::Diverged);
                    return Err(error);
                }
                Err(error) => {
                    self.enter(ProjectionState::Retrying);
                    metrics::restarted(P::NAME);
                    tracing::warn!(projection = P::NAME, %error, "restarting the read model");
                }
                Ok(()) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
        }
    }

    /// Shows what is done with the served tables; a rebuild is not shown.
    fn enter(&self, state: ProjectionState) {
        if self.schema.is_none() {
            metrics::state_changed(P::NAME, state);
        }
    }

    async fn follow(&self) -> Result<(), ProjectionError> {
        let (mut connection, mut checkpoint) = self.begin().await?;
        self.enter(ProjectionState::Running);
        metrics::position_changed(P::NAME, checkpoint.sequence);
        let mut parked = Parked::load(&mut connection, P::NAME).await?;
        let mut reader = self.log.follow(checkpoint.sequence.saturating_add(1));
        let pub_sub = PubSub::new(self.log.nats().clone());
        let mut commit_interval = tokio::time::interval(MIN_COMMIT_INTERVAL);
        commit_interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let Ok(first) = tokio::time::timeout(IDLE_CHECK_INTERVAL, reader.next()).await else {
                // A database that was restored or replaced may have lost what was committed.
                connection.ping().await?;
                continue;
            };
            // A single message is committed at once; under load, each commit has many.
            commit_interval.tick().await;
            let batch = batch_from(first, &mut reader).await;
            let mut rest = batch.as_slice();
            while !rest.is_empty() {
                let applied;
                (applied, rest) =
                    self.commit_start(&mut connection, &mut checkpoint, &mut parked, rest).await?;
                tracing::trace!(projection = P::NAME, ?applied, "applied");
                pub_sub.publish(position_subject(P::NAME), applied.sequence.to_string()).await;
            }
        }
    }

    /// Applies the log from the checkpoint to its current end; returns that sequence.
    ///
    /// # Errors
    /// When the log or the database fails, or they diverged.
    pub async fn catch_up(&self) -> Result<u64, ProjectionError> {
        let last = self.log.last_sequence().await?;
        let (mut connection, mut checkpoint) = self.begin().await?;
        let mut parked = Parked::load(&mut connection, P::NAME).await?;
        let mut reader = self.log.follow(checkpoint.sequence.saturating_add(1));
        while checkpoint.sequence < last {
            let first = reader.next().await;
            let batch = batch_from(first, &mut reader).await;
            let mut rest = batch.as_slice();
            while !rest.is_empty() {
                (_, rest) =
                    self.commit_start(&mut connection, &mut checkpoint, &mut parked, rest).await?;
            }
        }
        Ok(checkpoint.sequence)
    }

    /// A connection with the exclusive right to write these tables, and their checkpoint.
    async fn begin(&self) -> Result<(PgConnection, Checkpoint), ProjectionError> {
        let mut connection = self.database.session().await?;
        if let Some(schema) = &self.schema {
            let path = AssertSqlSafe(format!("SET search_path = {schema}, public"));
            sqlx::query(path).execute(&mut connection).await?;
        }
        let lock_name = format!("{}{}", self.schema.as_deref().unwrap_or_default(), P::NAME);
        let mut reported = false;
        while !lock(&mut connection, &lock_name).await? {
            if !reported {
                self.enter(ProjectionState::Waiting);
                tracing::info!(name = P::NAME, "waiting: another projector writes this read model");
                reported = true;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        // Served tables must never go back behind a published position, so their commits wait for
        // the disk. A rebuild is not served until the switch.
        if self.schema.is_some() {
            sqlx::query("SET synchronous_commit = off").execute(&mut connection).await?;
        }
        // Rows are always looked up by key: a new table without statistics must not be scanned
        // sequentially.
        sqlx::query("SET enable_seqscan = off").execute(&mut connection).await?;
        let checkpoint = Checkpoint::load(&mut connection, P::NAME, self.log.identity()).await?;
        self.check_divergence(&checkpoint).await?;
        Ok((connection, checkpoint))
    }

    /// The log must still have the message of the checkpoint at its sequence.
    async fn check_divergence(&self, checkpoint: &Checkpoint) -> Result<(), ProjectionError> {
        if checkpoint.sequence == 0 {
            return Ok(());
        }
        let diverged = |why: String| ProjectionError::Diverged { name: P::NAME, why };
        let Some(message) = self.log.at(checkpoint.sequence).await? else {
            if self.log.discards_old() && self.log.last_sequence().await? >= checkpoint.sequence {
                return Ok(());
            }
            return Err(diverged(format!("it is at {}, the log ends before", checkpoint.sequence)));
        };
        let found = match self.codec.read::<IgnoredAny>(&message).await {
            Ok(decision) => Some(decision.command_id.to_string()),
            Err(CodecError::Unreadable(_)) => None,
            // While the key store is unavailable, nothing is known about the message.
            Err(error @ CodecError::Log(_)) => {
                return Err(ProjectionError::from_codec(message.sequence, error));
            }
        };
        if checkpoint.command_id.is_some() && found != checkpoint.command_id {
            return Err(diverged(format!("message {} is another one", checkpoint.sequence)));
        }
        Ok(())
    }

    /// Applies the start of a batch: all of it, unless that is too much for one transaction. Returns
    /// what was applied, and the rest.
    async fn commit_start<'a>(
        &self,
        connection: &mut PgConnection,
        checkpoint: &mut Checkpoint,
        parked: &mut Parked,
        batch: &'a [Message],
    ) -> Result<(Applied, &'a [Message]), ProjectionError> {
        let (mut start, mut rest) = (batch, [].as_slice());
        loop {
            let outcome = self.commit(connection, checkpoint, parked, start).await;
            match outcome {
                Err(ProjectionError::TooLarge { messages }) if messages < start.len() => {
                    (start, rest) = batch.split_at_checked(messages.max(1)).unwrap_or((batch, &[]));
                    // What was rolled back may have parked messages.
                    *parked = Parked::load(connection, P::NAME).await?;
                }
                outcome => return Ok((outcome?, rest)),
            }
        }
    }

    async fn decision(&self, message: &Message) -> Option<LastDecision> {
        let decision = self.codec.read::<IgnoredAny>(message).await.ok()?;
        Some(LastDecision {
            command_id: decision.command_id.to_string(),
            at: decision.at,
            context: decision.traceparent.as_deref().and_then(TraceContext::parse),
        })
    }

    /// Applies messages in one transaction, in a span that is linked to the last of them.
    async fn commit(
        &self,
        connection: &mut PgConnection,
        checkpoint: &mut Checkpoint,
        parked: &mut Parked,
        batch: &[Message],
    ) -> Result<Applied, ProjectionError> {
        let span = trace::batch_span(&self.log, P::NAME, batch.len());
        let committing = self.commit_within(&span, connection, checkpoint, parked, batch);
        let committed = committing.instrument(span.clone()).await;
        if !matches!(committed, Ok(_) | Err(ProjectionError::TooLarge { .. })) {
            span.record("otel.status_code", "error");
        }
        committed
    }

    async fn commit_within(
        &self,
        span: &Span,
        connection: &mut PgConnection,
        checkpoint: &mut Checkpoint,
        parked: &mut Parked,
        batch: &[Message],
    ) -> Result<Applied, ProjectionError> {
        let (Some(last), messages) = (batch.last(), batch.len()) else {
            return Ok(Applied { sequence: checkpoint.sequence, messages: 0 });
        };
        let start = Instant::now();
        let decision = self.decision(last).await;
        trace::link(span, decision.as_ref().and_then(|decision| decision.context));
        let made_at = decision.as_ref().map(|decision| decision.at);
        let command_id = decision.map(|decision| decision.command_id);
        let erased = erased(&self.codec, batch).await?;
        for tenant in &erased {
            self.erase_before(connection, checkpoint, parked, tenant).await?;
        }
        let prepared = self.projection.prepare(connection, &self.codec, batch).await?;
        let mut transaction = connection.begin().await?;
        self.apply(&mut transaction, parked, batch, &prepared).await?;
        for tenant in &erased {
            self.projection.erase(&mut transaction, tenant).await?;
        }
        let mut advanced = checkpoint.clone();
        advanced.advance(&mut transaction, last.sequence, command_id).await?;
        failpoint::hit(format_args!("projector.before_commit.{}", P::NAME));
        transaction.commit().await?;
        failpoint::hit(format_args!("projector.after_commit.{}", P::NAME));
        *checkpoint = advanced;
        if self.schema.is_none() {
            let delay = made_at.map(age);
            let (sequence, time) = (last.sequence, start.elapsed());
            metrics::committed(P::NAME, Committed { messages, sequence, time, delay });
        }
        Ok(Applied { sequence: last.sequence, messages })
    }
}

/// The last decision of a batch.
struct LastDecision {
    command_id: String,
    /// When it was made, in milliseconds since 1970.
    at: u64,
    /// The span that made it.
    context: Option<TraceContext>,
}

/// The time since a decision was made.
fn age(at: u64) -> Duration {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    now.saturating_sub(Duration::from_millis(at))
}

/// A message and all later ones that are available without waiting, up to a limit.
async fn batch_from(first: Message, reader: &mut Reader) -> Vec<Message> {
    let mut pending = first.pending;
    let mut batch = vec![first];
    let mut bytes = batch.iter().map(|message| message.payload.len()).sum::<usize>();
    while batch.len() < MAX_BATCH_SIZE && bytes < MAX_BATCH_BYTES {
        // Each message has the number of later ones when it was sent; there may be more by now.
        let next = match reader.next_buffered() {
            Some(next) => next,
            None if pending > 0 => reader.next().await,
            None => break,
        };
        pending = next.pending;
        bytes = bytes.saturating_add(next.payload.len());
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
