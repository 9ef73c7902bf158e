//! The process managers' runner: the folds are in `domain`, the effects are here.

mod batches;
mod broken;
mod places;
mod queue_quota;
mod release;
mod storage_quota;
mod stragglers;
mod vanished;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ffapi_commands::{Caller, Commands};
use ffapi_domain::{
    BatchId, Decider, JobId, Tenant, Timestamp,
    account::{Account, AccountEvent, Tiers},
    batch::{self, Batch, BatchEvent, Batches},
    dispatch::{self, Caps, Dispatch, DispatchEvent},
    job::{self, Job, JobEvent},
    key::{Key, KeyEvent},
    media::Pool,
    queue_quota::{QueueQuota, QueueQuotaEvent, QueueQuotaTracker},
    quota::{Due, Quota, QuotaCommand, QuotaEvent, QuotaTracker},
    storage_quota::{StorageQuota, StorageQuotaEvent, StorageQuotaTracker},
    upload::{Upload, UploadEvent},
};
use ffapi_nats::{
    Actor, CodecError, Decision, LogError, Message, Position, PubSub, Work, failpoint,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{broken::Broken, stragglers::Stragglers};
use crate::{
    PRESENCE, Roster, clock,
    cloud_events::{self, Source},
    leadership,
    leadership::Leadership,
    self_heartbeat::INTERVAL,
};

/// How jobs are put in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchedulingConfig {
    /// Seconds of waiting that are worth a level of priority.
    pub aging: u64,
}

impl Default for SchedulingConfig {
    fn default() -> Self {
        Self { aging: 600 }
    }
}

/// Follows the log, releases jobs to free slots, and sees batches through.
#[derive(Debug)]
pub struct Conductor {
    commands: Arc<Commands>,
    ledger: QuotaTracker,
    rooms: QueueQuotaTracker,
    kept: StorageQuotaTracker,
    /// The newest message that is folded in.
    folded: u64,
    live: PubSub,
    work: Work,
    state: Dispatch,
    batches: Batches,
    /// What came in for accounts that are being erased or are erased, to be called off.
    stragglers: Stragglers,
    /// Who asked for each batch that is not over.
    asked: BTreeMap<BatchId, Caller>,
    /// Heard in a task of its own, so that nothing we wait for makes us deaf.
    roster: Arc<Mutex<Roster>>,
    leadership: Leadership,
    /// What cannot be read, and is passed over.
    broken: Broken,
    /// Sequence of each pool's last release round.
    last_round: BTreeMap<Pool, u64>,
    /// The fold is as new as the log was when we came.
    caught_up: bool,
    reconciled: Option<Instant>,
}

const TICK: Duration = Duration::from_millis(200);
const RECONCILE: Duration = Duration::from_secs(30);
/// At most so many messages are folded before anything else has its turn.
const BURST: usize = 500;

impl Conductor {
    /// Over this log.
    pub fn new(commands: Arc<Commands>, tiers: Tiers, scheduling: &SchedulingConfig) -> Self {
        let caps = Caps::new(tiers, Duration::from_secs(scheduling.aging));
        let nats = commands.log().nats().clone();
        Self {
            commands,
            ledger: QuotaTracker::default(),
            rooms: QueueQuotaTracker::default(),
            kept: StorageQuotaTracker::default(),
            folded: 0,
            live: PubSub::new(nats.clone()),
            work: Work::new(nats),
            state: Dispatch::new(caps),
            batches: Batches::default(),
            stragglers: Stragglers::default(),
            asked: BTreeMap::new(),
            roster: Arc::default(),
            leadership: Leadership::new(),
            broken: Broken::default(),
            last_round: BTreeMap::new(),
            caught_up: false,
            reconciled: None,
        }
    }

    /// Works until told to stop.
    ///
    /// # Errors
    /// When the log cannot be had at the start. Later trouble is waited out.
    pub async fn run(mut self, stop: &CancellationToken) -> Result<(), LogError> {
        let mut workers = self.live.listen(format!("{PRESENCE}.>")).await?;
        let echoing = leadership::echo(self.leadership.me());
        let mut echo = self.live.listen(echoing.clone()).await?;
        let mut conductors = self.live.listen(format!("{}.>", leadership::SUBJECT)).await?;
        let mut questions = self.live.listen(dispatch::PLACES).await?;
        let came = Arc::new(Notify::new());
        let (roster, told) = (Arc::clone(&self.roster), Arc::clone(&came));
        let live = self.live.clone();
        let _hearing = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut speak = tokio::time::interval(INTERVAL);
            speak.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let lock = || roster.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                tokio::select! {
                    _ = speak.tick() => live.tell(echoing.clone(), leadership::NOBODY).await,
                    Some(_) = echo.next() => lock().hear_ourselves(),
                    Some(heard) = workers.next() => {
                        let mut roster = lock();
                        let before = roster.pools();
                        roster.hear(&heard.payload);
                        if roster.pools() != before {
                            told.notify_one();
                        }
                    }
                    else => return,
                }
            }
        }));
        let first_new = self.commands.log().last_sequence().await?.saturating_add(1);
        self.caught_up = first_new == 1;
        let mut reader = self.commands.log().follow(1);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut beat = tokio::time::interval(leadership::BEAT);
        loop {
            let mut due = false;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                mut message = reader.next() => {
                    // A burst is folded before the next round, which looks at all of it at once.
                    self.fold(&message, first_new).await;
                    for _ in 1..BURST {
                        let Some(next) = reader.next_at_hand() else { break };
                        message = next;
                        self.fold(&message, first_new).await;
                    }
                    self.caught_up |= message.sequence.saturating_add(1) >= first_new;
                    due = true;
                }
                () = came.notified() => due = true,
                Some(heard) = conductors.next() => self.leadership.hear(&heard.payload),
                _ = beat.tick() => {
                    let subject = format!("{}.{}", leadership::SUBJECT, self.leadership.me());
                    self.live.tell(subject, self.leadership.me().to_owned()).await;
                }
                Some(question) = questions.next() => {
                    if self.caught_up && self.leadership.acting() {
                        self.tell_places(&question).await;
                    }
                }
                _ = tick.tick() => {
                    let present = self.roster().pools().into_keys().collect();
                    self.state.look_for_workers(&present, clock::now());
                    due = true;
                }
            }
            if due && self.caught_up && self.leadership.acting() {
                self.act().await;
            }
        }
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fold(&mut self, message: &Message, first_new: u64) {
        self.folded = message.sequence;
        let Some((category, tenant, id)) = message.address() else { return };
        if category == dispatch::CATEGORY {
            let Some(pool) = Pool::ALL.iter().copied().find(|pool| pool.as_str() == id) else {
                return;
            };
            self.last_round.insert(pool, message.sequence);
            if let Some(decision) = self.decode::<DispatchEvent>(message).await {
                let at = Timestamp::from_millis(decision.at);
                for event in &decision.events {
                    self.state.written(pool, at, event);
                }
            }
        } else if category == Job::CATEGORY {
            let parsed = (id.parse::<JobId>(), tenant.parse::<Tenant>());
            let (Ok(job_id), Ok(tenant)) = parsed else { return };
            if self.broken.holds(&message.subject) {
                return;
            }
            let Some(decision) = self.decode::<JobEvent>(message).await else {
                // Nobody can do anything with it any more: it holds no slot that others wait for.
                self.broken.add(&message.subject);
                let over = JobEvent::Cancelled {};
                self.state.job(job_id, &tenant, None, clock::now(), &over);
                return;
            };
            let key = match &decision.actor {
                Actor::Key(key) => key.parse().ok(),
                Actor::Worker(_) | Actor::Process(_) => None,
            };
            let at = Timestamp::from_millis(decision.at);
            for event in &decision.events {
                self.state.job(job_id, &tenant, key, at, event);
                self.ledger.job(job_id, event);
                self.batches.job(job_id, event);
                self.rooms.job(&tenant, job_id, event);
                self.kept.job(&tenant, job_id, event);
            }
            self.stragglers.job(&tenant, job_id, &decision.events, self.state.caps());
            if message.sequence >= first_new && self.leadership.acting() {
                failpoint::hit("conductor.before_announce");
                let events = decision.events.iter().map(job::public);
                let source = Source { tenant: &tenant, id, position: self.position(message), at };
                cloud_events::publish(&self.live, source, events).await;
            }
        } else if category == Batch::CATEGORY {
            let parsed = (id.parse::<BatchId>(), tenant.parse::<Tenant>());
            let (Ok(batch_id), Ok(tenant)) = parsed else { return };
            let Some(decision) = self.decode::<BatchEvent>(message).await else { return };
            let at = Timestamp::from_millis(decision.at);
            for event in &decision.events {
                self.batches.batch(batch_id, &tenant, at, event);
                self.rooms.batch(&tenant, event);
            }
            self.stragglers.batch(&tenant, batch_id, &decision.events, self.state.caps());
            self.remember_who(batch_id, &decision);
            if message.sequence >= first_new && self.leadership.acting() {
                let events = decision.events.iter().map(batch::public);
                let source = Source { tenant: &tenant, id, position: self.position(message), at };
                cloud_events::publish(&self.live, source, events).await;
            }
        } else if category == Quota::CATEGORY {
            let Ok(tenant) = tenant.parse() else { return };
            let Some(decision) = self.decode::<QuotaEvent>(message).await else { return };
            let live = |job| self.state.is_live(job);
            for event in &decision.events {
                self.ledger.quota(&tenant, id, event, live);
            }
        } else if category == QueueQuota::CATEGORY {
            let Ok(tenant) = tenant.parse() else { return };
            let Some(decision) = self.decode::<QueueQuotaEvent>(message).await else { return };
            let at = Timestamp::from_millis(decision.at);
            decision.events.iter().for_each(|event| self.rooms.room(&tenant, at, event));
        } else if category == Account::CATEGORY {
            let Ok(tenant) = tenant.parse() else { return };
            let Some(decision) = self.decode::<AccountEvent>(message).await else { return };
            decision.events.iter().for_each(|event| self.state.caps_mut().account(&tenant, event));
            if decision.events.contains(&AccountEvent::Erased {}) {
                self.kept.erased(&tenant);
            }
            self.commands.forget(tenant.as_str()).await;
        } else if category == Upload::CATEGORY {
            let (Ok(upload), Ok(tenant)) = (id.parse(), tenant.parse()) else { return };
            let Some(decision) = self.decode::<UploadEvent>(message).await else { return };
            decision.events.iter().for_each(|event| self.kept.upload(&tenant, upload, event));
        } else if category == StorageQuota::CATEGORY {
            let Ok(tenant) = tenant.parse() else { return };
            let Some(decision) = self.decode::<StorageQuotaEvent>(message).await else { return };
            decision.events.iter().for_each(|event| self.kept.kept(&tenant, event));
        } else if category == Key::CATEGORY {
            let Ok(key) = id.parse() else { return };
            let Some(decision) = self.decode::<KeyEvent>(message).await else { return };
            decision.events.iter().for_each(|event| self.state.caps_mut().key(key, event));
        }
    }

    fn position(&self, message: &Message) -> Position {
        let epoch = self.commands.log().identity().epoch;
        Position { epoch, sequence: message.sequence, index: 0 }
    }

    /// Reads a decision; one that nobody can read concerns nobody here.
    async fn decode<E: serde::de::DeserializeOwned>(
        &self,
        message: &Message,
    ) -> Option<Decision<E>> {
        loop {
            match self.commands.codec().decode(&message.payload).await {
                Ok(decision) => return Some(decision),
                Err(CodecError::Unreadable(why)) => {
                    tracing::error!(sequence = message.sequence, why, "message passed over");
                    return None;
                }
                Err(CodecError::Log(error)) => {
                    tracing::warn!(%error, "waiting for the key store");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    async fn act(&mut self) {
        let connected = self.commands.log().nats().connected_for().unwrap_or(RECONCILE);
        // After a break the server may have lost what was only in its memory.
        let due = |at: Instant| at.elapsed() > RECONCILE.min(connected);
        if self.reconciled.is_none_or(due) {
            match self.reconcile().await {
                Ok(()) => self.reconciled = Some(Instant::now()),
                Err(error) => tracing::warn!(%error, "the queue cannot be compared"),
            }
        }
        self.call_off_stragglers().await;
        self.take_over_from_the_vanished().await;
        self.settle().await;
        self.make_room().await;
        self.count_what_is_kept().await;
        self.see_batches_through().await;
        let pools = self.roster().pools();
        let present = pools.keys().copied().collect();
        if let Err(error) = self.take_back(&present).await {
            tracing::warn!(%error, "what a pool without workers holds was not taken back");
        }
        for (pool, slots) in pools {
            if let Err(error) = self.release(pool, &present, slots).await {
                tracing::warn!(%error, pool = pool.as_str(), "a round was not released");
            }
        }
    }

    /// Settles what jobs that are over had reserved. Repeating it is harmless.
    async fn settle(&mut self) {
        for Due { job, tenant, month, micros } in self.ledger.due() {
            let subject = format!("ev.{}.{tenant}.{month}", Quota::CATEGORY);
            if self.broken.holds(&subject) {
                continue;
            }
            let command = QuotaCommand::Settle { job, micros };
            let caller = Caller::process("quota");
            let tenant = tenant.as_str();
            let settled = self.commands.handle::<Quota>(tenant, &month, &caller, command).await;
            if let Err(error) = settled
                && !self.broken.explains(&subject, &error)
            {
                tracing::warn!(%error, %job, "minutes are not settled yet");
            }
        }
    }
}
