//! Runs the process managers: their state is folded in `ffapi-domain`, their side effects are here.

mod batches;
mod fold;
mod jobs;
mod lost_workers;
mod missing_inputs;
mod origins;
mod queue_guard;
mod queue_metrics;
mod queue_positions;
mod queue_quota;
mod release;
mod storage_quota;
mod stragglers;
mod unreadable;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ffapi_commands::{Caller, Commands};
use ffapi_domain::{
    BatchId, Decider,
    account::Tiers,
    batch::BatchTracker,
    dispatch::{self, Caps, Dispatch},
    media::Pool,
    queue_quota::QueueQuotaTracker,
    quota::{Due, Quota, QuotaCommand, QuotaTracker},
    storage_quota::StorageQuotaTracker,
};
use ffapi_nats::{LogError, Message, Position, PubSub, Work, subject};
use ffapi_storage::duration_setting;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{
    origins::Origins, queue_guard::QueueGuard, stragglers::Stragglers,
    unreadable::UnreadableAggregates,
};
use crate::{
    Roster, clock, leadership, leadership::Leadership, metrics, self_heartbeat::ECHO_INTERVAL,
};

/// Settings of the order in which jobs are released.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchedulingConfig {
    /// The wait that counts as much as one level of priority.
    #[serde(with = "duration_setting::seconds")]
    pub aging: Duration,
}

impl Default for SchedulingConfig {
    fn default() -> Self {
        Self { aging: Duration::from_mins(10) }
    }
}

/// Follows the log, releases jobs to free slots, and advances batches.
#[derive(Debug)]
pub struct Conductor {
    commands: Arc<Commands>,
    quotas: QuotaTracker,
    queue_quotas: QueueQuotaTracker,
    storage_quotas: StorageQuotaTracker,
    /// Sequence of the newest message that has been folded.
    last_folded: u64,
    pubsub: PubSub,
    work: Work,
    dispatch: Dispatch,
    batches: BatchTracker,
    /// Jobs and batches to cancel, because they arrived after the erasure of their accounts began.
    stragglers: Stragglers,
    /// The traces that attempts continue.
    origins: Origins,
    /// The caller that submitted each batch that has not ended.
    batch_callers: BTreeMap<BatchId, Caller>,
    /// Updated by a separate task, so that a blocked conductor still receives heartbeats.
    roster: Arc<Mutex<Roster>>,
    leadership: Leadership,
    /// Aggregates that cannot be read and are skipped.
    unreadable: UnreadableAggregates,
    /// Sequence of each pool's last release message, for optimistic concurrency.
    last_round: BTreeMap<Pool, u64>,
    /// True once everything that was in the log at start has been folded.
    caught_up: bool,
    /// True if more messages may be at hand than were folded at once.
    is_behind: bool,
    /// When the work queue was last compared with the released jobs.
    reconciled: Option<Instant>,
    queue_guard: Arc<QueueGuard>,
    /// When the queue was last counted for metrics.
    counted: Option<Instant>,
}

/// How often due work is looked for without new messages.
const TICK_INTERVAL: Duration = Duration::from_millis(200);
/// How often the work queue is compared with the released jobs.
const RECONCILE_INTERVAL: Duration = Duration::from_secs(30);
/// Messages that are folded in one go, before other events are handled.
const MAX_FOLDED_AT_ONCE: usize = 500;

impl Conductor {
    /// Creates a conductor with an empty state; `commands` provides the log.
    pub fn new(commands: Arc<Commands>, tiers: Tiers, scheduling: &SchedulingConfig) -> Self {
        let caps = Caps::new(tiers, scheduling.aging);
        let nats = commands.log().nats().clone();
        Self {
            commands,
            quotas: QuotaTracker::default(),
            queue_quotas: QueueQuotaTracker::default(),
            storage_quotas: StorageQuotaTracker::default(),
            last_folded: 0,
            pubsub: PubSub::new(nats.clone()),
            work: Work::new(nats),
            dispatch: Dispatch::new(caps),
            batches: BatchTracker::default(),
            stragglers: Stragglers::default(),
            origins: Origins::default(),
            batch_callers: BTreeMap::new(),
            roster: Arc::default(),
            leadership: Leadership::new(),
            unreadable: UnreadableAggregates::default(),
            last_round: BTreeMap::new(),
            caught_up: false,
            is_behind: false,
            reconciled: None,
            queue_guard: Arc::default(),
            counted: None,
        }
    }

    /// Runs until `stop` is cancelled.
    ///
    /// # Errors
    /// When the log is unavailable at the start. Later failures are retried.
    pub async fn run(mut self, stop: &CancellationToken) -> Result<(), LogError> {
        metrics::conductor::prepare();
        let mut workers = self.pubsub.subscribe(subject::worker_presence(">")).await?;
        let echo_subject = leadership::echo_subject(self.leadership.me());
        let mut echo = self.pubsub.subscribe(echo_subject.clone()).await?;
        let mut conductors = self.pubsub.subscribe(subject::conductor_presence(">")).await?;
        let mut questions = self.pubsub.subscribe(dispatch::QUEUE_POSITIONS).await?;
        let pools_changed = Arc::new(Notify::new());
        let (roster, notify) = (Arc::clone(&self.roster), Arc::clone(&pools_changed));
        let pubsub = self.pubsub.clone();
        let _receiving = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut send_echo = tokio::time::interval(ECHO_INTERVAL);
            send_echo.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let lock = || roster.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                tokio::select! {
                    _ = send_echo.tick() => {
                        pubsub.publish(echo_subject.clone(), leadership::ECHO_PAYLOAD).await;
                    }
                    Some(_) = echo.next() => lock().receive_own_heartbeat(),
                    Some(heartbeat) = workers.next() => {
                        let mut roster = lock();
                        let before = roster.pools();
                        roster.receive(&heartbeat.payload);
                        if roster.pools() != before {
                            notify.notify_one();
                        }
                    }
                    else => return,
                }
            }
        }));
        let guarding = Arc::clone(&self.queue_guard).run(self.work.clone());
        let _guarding = AbortOnDropHandle::new(tokio::spawn(guarding));
        let first_new = self.commands.log().last_sequence().await?.saturating_add(1);
        self.caught_up = first_new == 1;
        let mut reader = self.commands.log().follow(1);
        let mut tick = tokio::time::interval(TICK_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut heartbeat = tokio::time::interval(leadership::HEARTBEAT_INTERVAL);
        loop {
            let mut due = false;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                mut message = reader.next() => {
                    // Messages at hand are folded before the next round, which then covers all of
                    // them.
                    self.fold(&message, first_new).await;
                    self.is_behind = true;
                    for _ in 1..MAX_FOLDED_AT_ONCE {
                        let Some(next) = reader.next_buffered() else {
                            self.is_behind = false;
                            break;
                        };
                        message = next;
                        self.fold(&message, first_new).await;
                    }
                    self.caught_up |= message.sequence.saturating_add(1) >= first_new;
                    due = true;
                }
                () = pools_changed.notified() => due = true,
                Some(message) = conductors.next() => self.leadership.receive(&message.payload),
                _ = heartbeat.tick() => {
                    let subject = subject::conductor_presence(self.leadership.me());
                    self.pubsub.publish(subject, self.leadership.me().to_owned()).await;
                }
                Some(question) = questions.next() => {
                    if self.caught_up && self.leadership.is_leader() {
                        self.answer_queue_query(&question).await;
                    }
                }
                _ = tick.tick() => {
                    let present = self.roster().pools().into_keys().collect();
                    self.dispatch.record_absent_pools(&present, clock::now());
                    self.count_queue();
                    due = true;
                }
            }
            let is_acting = self.caught_up && self.leadership.is_leader();
            self.queue_guard.set_acting(is_acting);
            if due && is_acting {
                let start = Instant::now();
                self.act().await;
                metrics::conductor::round_done(start.elapsed());
            }
        }
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn position(&self, message: &Message) -> Position {
        let epoch = self.commands.log().identity().epoch;
        Position { epoch, sequence: message.sequence, index: 0 }
    }

    /// Carries out everything that is due.
    async fn act(&mut self) {
        let connected = self.commands.log().nats().connected_for().unwrap_or(RECONCILE_INTERVAL);
        // After a reconnect the server may have lost tasks that were only in its memory.
        let due = |at: Instant| at.elapsed() > RECONCILE_INTERVAL.min(connected);
        if self.queue_guard.take_recreated() || self.reconciled.is_none_or(due) {
            self.reconciled = None;
            match self.reconcile().await {
                Ok(()) => self.reconciled = Some(Instant::now()),
                Err(error) => tracing::warn!(%error, "cannot reconcile the work queue"),
            }
        }
        self.cancel_stragglers().await;
        self.abandon_lost_attempts().await;
        self.settle_media_minutes().await;
        self.settle_queue_quotas().await;
        self.record_storage_usage().await;
        self.advance_batches().await;
        Box::pin(self.fail_missing_inputs()).await;
        let pools = self.roster().pools();
        let present = pools.keys().copied().collect();
        if let Err(error) = self.recall_stranded(&present).await {
            tracing::warn!(%error, "jobs of a pool without workers were not taken back");
        }
        for (pool, slots) in pools {
            if let Err(error) = self.release(pool, &present, slots).await {
                tracing::warn!(%error, pool = pool.as_str(), "cannot release jobs to a pool");
            }
        }
    }

    /// Settles the media minutes that ended jobs had reserved. Idempotent.
    async fn settle_media_minutes(&mut self) {
        for Due { job, tenant, month, micros } in self.quotas.due() {
            let subject = subject::aggregate(Quota::CATEGORY, &tenant, &month);
            if self.unreadable.contains(&subject) {
                continue;
            }
            let command = QuotaCommand::Settle { job, micros };
            let caller = Caller::process("quota");
            let tenant = tenant.as_str();
            let settled = self.commands.handle::<Quota>(tenant, &month, &caller, command).await;
            if let Err(error) = settled
                && !self.unreadable.record_failure(&subject, &error)
            {
                tracing::warn!(%error, %job, "cannot settle media minutes yet");
            }
        }
    }
}
