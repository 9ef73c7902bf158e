use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ffapi_domain::{Decider, Personal};
use ffapi_nats::{
    Actor, AppendError, AppendRequest, Codec, CodecError, Decision, Log, LogError, PageLimits,
    Snapshot, failpoint, personal, subject,
    trace::{self, TraceContext},
};
use serde::{Serialize, de::DeserializeOwned};
use tracing::{debug_span, field::Empty};
use uuid::Uuid;

use crate::{
    cache::{Cache, Loaded},
    metrics,
    outcome::{Appended, CommandOutcome},
    write_locks::WriteLocks,
};

/// Handles commands: loads the aggregate, decides and appends to the log.
#[derive(Debug, Clone)]
pub struct Commands {
    log: Log,
    codec: Codec,
    cache: Cache,
    write_locks: Arc<WriteLocks>,
}

/// The caller of a command and its tracing context.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The actor recorded in the decision.
    pub actor: Actor,
    /// Id of the request that caused this command.
    pub correlation_id: Uuid,
    /// What caused the command, if it was not a request: an event's position.
    pub causation: Option<String>,
    /// W3C trace context of what caused this command; the current span comes before it.
    pub traceparent: Option<String>,
    /// The client's address.
    pub address: Option<Personal<String>>,
}

impl Caller {
    /// An internal process that acts on its own account.
    pub fn process(name: &str) -> Self {
        Self {
            actor: Actor::Process(name.to_owned()),
            correlation_id: Uuid::now_v7(),
            causation: None,
            traceparent: None,
            address: None,
        }
    }
}

/// One aggregate's decisions, oldest first, each with its stream sequence.
pub type History<E> = Vec<(u64, Decision<E>)>;

/// Why a command had no effect: a rejection, or a failure.
#[derive(Debug, thiserror::Error)]
pub enum HandleError<R: std::error::Error> {
    /// The aggregate rejected the command.
    #[error("rejected: {0}")]
    Rejected(R),
    /// The caller's `If-Match` is out of date; this is the current version.
    #[error("the version is {0}")]
    VersionMismatch(u64),
    /// Too many concurrent writers.
    #[error("too many concurrent writers")]
    Contended,
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The decision could not be encoded, or a stored one could not be decoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The decision is too large for one message.
    #[error("the decision is {size} bytes; at most {max} fit")]
    TooLarge {
        /// Encoded size in bytes.
        size: usize,
        /// Maximum size in bytes.
        max: usize,
    },
}

/// The state after an append, and what was appended.
type AfterAppend<D> = (Loaded<<D as Decider>::State>, Decision<<D as Decider>::Event>);

/// Everything that handling needs in addition to the command itself.
struct Target<'a> {
    subject: String,
    tenant: &'a str,
    caller: &'a Caller,
    command_id: Uuid,
}

/// Attempts for one command; from the second on, only writers in other processes can conflict.
const MAX_ATTEMPTS: u32 = 16;
/// What is read of a history at once.
const PAGE: PageLimits = PageLimits { messages: 1_000, bytes: 1024 * 1024 };

impl Commands {
    /// Creates a handler over this log.
    pub fn new(log: Log, codec: Codec) -> Self {
        metrics::prepare();
        Self { log, codec, cache: Cache::new(), write_locks: Arc::new(WriteLocks::new()) }
    }

    /// The underlying log.
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// The codec of the decisions.
    pub const fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Drops what is cached in memory for a tenant whose data key was deleted.
    pub async fn forget(&self, tenant: &str) {
        self.codec.forget(tenant).await;
        self.cache.forget(tenant);
    }

    /// Handles one command.
    ///
    /// # Errors
    /// See [`HandleError`]; after `Log` the outcome is unknown, and the same command may be
    /// retried.
    pub async fn handle<D>(
        &self,
        tenant: &str,
        id: &str,
        caller: &Caller,
        command: D::Command,
    ) -> Result<CommandOutcome<D>, HandleError<D::Rejection>>
    where
        D: Decider,
        D::Event: Serialize + DeserializeOwned,
        D::State: Clone + 'static,
    {
        self.handle_if::<D>(tenant, id, caller, command, None).await
    }

    /// Handles one command if the aggregate still has the given version.
    ///
    /// # Errors
    /// As [`Commands::handle`], plus `VersionMismatch`.
    pub async fn handle_if<D>(
        &self,
        tenant: &str,
        id: &str,
        caller: &Caller,
        command: D::Command,
        version: Option<u64>,
    ) -> Result<CommandOutcome<D>, HandleError<D::Rejection>>
    where
        D: Decider,
        D::Event: Serialize + DeserializeOwned,
        D::State: Clone + 'static,
    {
        let start = Instant::now();
        let subject = subject::aggregate(D::CATEGORY, tenant, id);
        let target = Target { subject, tenant, caller, command_id: Uuid::now_v7() };
        let span = debug_span!(
            "command",
            otel.name = %format_args!("command {}", D::CATEGORY),
            ffapi.aggregate = D::CATEGORY,
            ffapi.aggregate.id = id,
            ffapi.outcome = Empty,
        );
        let cause = caller.traceparent.as_deref().and_then(TraceContext::parse);
        let handling = Box::pin(self.handle_target::<D>(&target, command, version));
        let outcome = trace::beneath(span.clone(), cause, handling).await;
        span.record("ffapi.outcome", metrics::outcome_name(&outcome));
        metrics::handled(D::CATEGORY, start.elapsed(), &outcome);
        outcome
    }

    async fn handle_target<D>(
        &self,
        target: &Target<'_>,
        command: D::Command,
        version: Option<u64>,
    ) -> Result<CommandOutcome<D>, HandleError<D::Rejection>>
    where
        D: Decider,
        D::Event: Serialize + DeserializeOwned,
        D::State: Clone + 'static,
    {
        // An uncached aggregate is first assumed to be empty: commands that create one need no
        // read, because the append expects an empty subject, and rejections are checked again after
        // a refresh.
        let mut loaded = self.cache.get::<D::State>(&target.subject).unwrap_or_default();
        let mut fresh = false;
        let mut guard = None;
        for attempt in 0..MAX_ATTEMPTS {
            let mismatch = version.is_some_and(|version| version != loaded.version);
            let outcome = D::decide(&loaded.state, command.clone());
            if !fresh && (mismatch || !matches!(&outcome, Ok(events) if !events.is_empty())) {
                // A rejection or a no-op that is based on a stale fold proves nothing.
                loaded = self.refresh::<D>(&target.subject, loaded).await?;
                fresh = true;
                continue;
            }
            if mismatch {
                return Err(HandleError::VersionMismatch(loaded.version));
            }
            let events = outcome.map_err(HandleError::Rejected)?;
            if events.is_empty() {
                return Ok(CommandOutcome::new(self.epoch(), loaded, None));
            }
            if let Some((after, decision)) = self.append::<D>(target, &loaded, events).await? {
                self.cache.put(&target.subject, after.clone());
                let appended = Appended { previous: loaded.sequence, decision };
                return Ok(CommandOutcome::new(self.epoch(), after, Some(appended)));
            }
            metrics::retried();
            match &guard {
                None => guard = self.write_locks.lock(&target.subject).await,
                Some(_) => tokio::time::sleep(jitter(attempt, target.command_id)).await,
            }
            loaded = self.refresh::<D>(&target.subject, loaded).await?;
            fresh = true;
        }
        Err(HandleError::Contended)
    }

    /// The current state of an aggregate, read from the log.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn state<D>(&self, tenant: &str, id: &str) -> Result<D::State, CodecError>
    where
        D: Decider,
        D::Event: DeserializeOwned,
        D::State: Clone + 'static,
    {
        Ok(self.state_at::<D>(tenant, id).await?.0)
    }

    /// The current state, and the sequence of its newest message; 0 if there is none.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn state_at<D>(&self, tenant: &str, id: &str) -> Result<(D::State, u64), CodecError>
    where
        D: Decider,
        D::Event: DeserializeOwned,
        D::State: Clone + 'static,
    {
        let subject = subject::aggregate(D::CATEGORY, tenant, id);
        let cached = self.cache.get::<D::State>(&subject).unwrap_or_default();
        let loaded = self.refresh::<D>(&subject, cached).await?;
        Ok((loaded.state, loaded.sequence))
    }

    /// All decisions about one aggregate.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn history<D>(&self, tenant: &str, id: &str) -> Result<History<D::Event>, CodecError>
    where
        D: Decider,
        D::Event: DeserializeOwned,
    {
        let mut history = Vec::new();
        self.visit::<D>(tenant, id, |sequence, decision| history.push((sequence, decision)))
            .await?;
        Ok(history)
    }

    /// Passes all decisions about one aggregate to `visit`, oldest first, each with its stream
    /// sequence. Keeps only a part of them in memory.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn visit<D>(
        &self,
        tenant: &str,
        id: &str,
        visit: impl FnMut(u64, Decision<D::Event>) + Send,
    ) -> Result<(), CodecError>
    where
        D: Decider,
        D::Event: DeserializeOwned,
    {
        let subject = subject::aggregate(D::CATEGORY, tenant, id);
        self.visit_from::<D>(&subject, 1, visit).await
    }

    /// Passes the decisions on a subject, from a stream sequence on, to `visit`.
    async fn visit_from<D>(
        &self,
        subject: &str,
        mut from: u64,
        mut visit: impl FnMut(u64, Decision<D::Event>) + Send,
    ) -> Result<(), CodecError>
    where
        D: Decider,
        D::Event: DeserializeOwned,
    {
        loop {
            let page = self.log.page_within(subject, from, PAGE).await?;
            for message in &page.messages {
                visit(message.sequence, self.codec.read(message).await?);
            }
            match page.messages.last() {
                Some(last) if page.has_more => from = last.sequence.saturating_add(1),
                _ => return Ok(()),
            }
        }
    }

    /// Folds in what was appended since.
    async fn refresh<D>(
        &self,
        subject: &str,
        mut loaded: Loaded<D::State>,
    ) -> Result<Loaded<D::State>, CodecError>
    where
        D: Decider,
        D::Event: DeserializeOwned,
        D::State: Clone + 'static,
    {
        if loaded.sequence == 0
            && let Some(snapshot) = self.snapshot::<D>(subject).await?
        {
            self.cache.put(subject, snapshot.clone());
            return Ok(snapshot);
        }
        let (known, from) = (loaded.sequence, loaded.sequence.saturating_add(1));
        let fold = |sequence, decision: Decision<D::Event>| {
            loaded.version = loaded.version.saturating_add(decision.events.len() as u64);
            let state = std::mem::take(&mut loaded.state);
            loaded.state = decision.events.iter().fold(state, D::evolve);
            loaded.sequence = sequence;
        };
        self.visit_from::<D>(subject, from, fold).await?;
        if loaded.sequence > known {
            self.cache.put(subject, loaded.clone());
        }
        Ok(loaded)
    }

    /// The snapshot in the newest message, for aggregates whose messages carry one.
    async fn snapshot<D>(&self, subject: &str) -> Result<Option<Loaded<D::State>>, CodecError>
    where
        D: Decider,
        D::Event: DeserializeOwned,
    {
        if D::snapshot(&D::State::default()).is_none() {
            return Ok(None);
        }
        let Some(message) = self.log.newest(subject).await? else { return Ok(None) };
        let decision: Decision<D::Event> = self.codec.read(&message).await?;
        Ok(decision.snapshot.and_then(|Snapshot { version, state }| {
            Some(Loaded { state: D::from_snapshot(&state)?, sequence: message.sequence, version })
        }))
    }

    /// Appends a decision; returns the state after it and the decision, or `None` on conflict.
    async fn append<D>(
        &self,
        target: &Target<'_>,
        loaded: &Loaded<D::State>,
        events: Vec<D::Event>,
    ) -> Result<Option<AfterAppend<D>>, HandleError<D::Rejection>>
    where
        D: Decider,
        D::Event: Serialize,
        D::State: Clone,
    {
        let state = events.iter().fold(loaded.state.clone(), D::evolve);
        let version = loaded.version.saturating_add(events.len() as u64);
        let caller = target.caller;
        let actor = caller.actor.clone();
        let mut decision =
            Decision::new(target.command_id, actor, target.tenant, now_millis(), events);
        decision.correlation_id = caller.correlation_id;
        decision.causation.clone_from(&caller.causation);
        let span = trace::current().map(|context| context.to_string());
        decision.traceparent = span.or_else(|| caller.traceparent.clone());
        decision.address = caller.address.as_ref().map(personal).transpose()?;
        decision.snapshot = D::snapshot(&state).map(|state| Snapshot { version, state });
        let request = AppendRequest {
            subject: target.subject.clone(),
            expected: loaded.sequence,
            command_id: target.command_id,
            payload: self.codec.encode(&decision).await?,
        };
        failpoint::hit(format_args!("commands.before_append.{}", D::CATEGORY));
        let outcome = self.log.append(request).await;
        failpoint::hit(format_args!("commands.after_append.{}", D::CATEGORY));
        match outcome {
            Ok(sequence) => Ok(Some((Loaded { state, sequence, version }, decision))),
            Err(AppendError::Conflict) => Ok(None),
            Err(AppendError::TooLarge { size, max }) => Err(HandleError::TooLarge { size, max }),
            Err(AppendError::Log(error)) => Err(error.into()),
        }
    }

    fn epoch(&self) -> u32 {
        self.log.identity().epoch
    }
}

/// A delay that differs between commands and grows with each attempt.
fn jitter(attempt: u32, command_id: Uuid) -> Duration {
    let spread = u64::from(command_id.as_bytes()[15]);
    Duration::from_micros(spread.saturating_mul(20).saturating_mul(u64::from(attempt) + 1))
}

fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
