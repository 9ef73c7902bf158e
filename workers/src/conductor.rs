//! The dispatch process manager's runner: the fold is in `domain`, the effects are here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use commands::{Caller, Commands};
use domain::{
    Decider, JobId, Tenant,
    account::{Account, AccountEvent, Tiers},
    dispatch::{self, Caps, Dispatch, DispatchEvent, Release},
    job::{Job, JobCommand, JobEvent},
    key::{Key, KeyEvent},
    media::Pool,
    quota::{Due, Ledger, Quota, QuotaCommand, QuotaEvent},
};
use nats::{
    Actor, AppendError, CodecError, Decision, Draft, Live, LogError, Message, Position, Work,
    failpoint,
};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

use crate::{
    PRESENCE, Roster, announce::announce, clock, insist::insist, leadership,
    leadership::Leadership, task,
};

/// Follows the log and releases jobs to free slots.
#[derive(Debug)]
pub struct Conductor {
    commands: Arc<Commands>,
    caps: Caps,
    ledger: Ledger,
    live: Live,
    work: Work,
    state: Dispatch,
    /// Heard in a task of its own, so that nothing we wait for makes us deaf.
    roster: Arc<Mutex<Roster>>,
    leadership: Leadership,
    /// Sequence of each pool's last release round.
    last_round: BTreeMap<Pool, u64>,
    /// The fold is as new as the log was when we came.
    caught_up: bool,
    started: Instant,
    reconciled: Option<Instant>,
}

const TICK: Duration = Duration::from_millis(200);
const RECONCILE: Duration = Duration::from_secs(30);
/// How long we must have heard the others ourselves before their silence means something.
const EARS_OPEN: Duration = Duration::from_secs(8);
/// At most so many messages are folded before anything else has its turn.
const BURST: usize = 500;
/// At most so many releases in one message.
const MAX_ROUND: usize = 1000;

impl Conductor {
    /// Over this log.
    pub fn new(commands: Arc<Commands>, tiers: Tiers) -> Self {
        let nats = commands.log().nats().clone();
        Self {
            commands,
            caps: Caps::new(tiers),
            ledger: Ledger::default(),
            live: Live::new(nats.clone()),
            work: Work::new(nats),
            state: Dispatch::default(),
            roster: Arc::default(),
            leadership: Leadership::new(),
            last_round: BTreeMap::new(),
            caught_up: false,
            started: Instant::now(),
            reconciled: None,
        }
    }

    /// Works until told to stop.
    ///
    /// # Errors
    /// When the log cannot be had at the start. Later trouble is waited out.
    pub async fn run(mut self, stop: &CancellationToken) -> Result<(), LogError> {
        let mut workers = self.live.listen(format!("{PRESENCE}.>")).await?;
        let mut conductors = self.live.listen(format!("{}.>", leadership::SUBJECT)).await?;
        let came = Arc::new(Notify::new());
        let (roster, told) = (Arc::clone(&self.roster), Arc::clone(&came));
        let _hearing = AbortOnDropHandle::new(tokio::spawn(async move {
            while let Some(heard) = workers.next().await {
                let mut roster = roster.lock().unwrap_or_else(PoisonError::into_inner);
                let before = roster.pools();
                roster.hear(&heard.payload);
                if roster.pools() != before {
                    told.notify_one();
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
                _ = tick.tick() => due = true,
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
        let Some((category, tenant, id)) = message.address() else { return };
        if category == dispatch::CATEGORY {
            let Some(pool) = Pool::ALL.iter().copied().find(|pool| pool.as_str() == id) else {
                return;
            };
            self.last_round.insert(pool, message.sequence);
            if let Some(decision) = self.decode::<DispatchEvent>(message).await {
                for event in &decision.events {
                    self.state.released(pool, event);
                }
            }
        } else if category == Job::CATEGORY {
            let parsed = (id.parse::<JobId>(), tenant.parse::<Tenant>());
            let (Ok(job), Ok(tenant)) = parsed else { return };
            let Some(decision) = self.decode::<JobEvent>(message).await else { return };
            let key = match &decision.actor {
                Actor::Key(key) => key.parse().ok(),
                Actor::Worker(_) | Actor::Process(_) => None,
            };
            for event in &decision.events {
                self.state.job(job, &tenant, key, event);
                self.ledger.job(job, event);
            }
            if message.sequence >= first_new && self.leadership.acting() {
                let epoch = self.commands.log().identity().epoch;
                let position = Position { epoch, sequence: message.sequence, index: 0 };
                failpoint::hit("conductor.before_announce");
                announce(&self.live, job, &tenant, position, &decision).await;
            }
        } else if category == Quota::CATEGORY {
            let Ok(tenant) = tenant.parse() else { return };
            let Some(decision) = self.decode::<QuotaEvent>(message).await else { return };
            decision.events.iter().for_each(|event| self.ledger.quota(&tenant, id, event));
        } else if category == Account::CATEGORY {
            let Ok(tenant) = tenant.parse() else { return };
            let Some(decision) = self.decode::<AccountEvent>(message).await else { return };
            decision.events.iter().for_each(|event| self.caps.account(&tenant, event));
        } else if category == Key::CATEGORY {
            let Ok(key) = id.parse() else { return };
            let Some(decision) = self.decode::<KeyEvent>(message).await else { return };
            decision.events.iter().for_each(|event| self.caps.key(key, event));
        }
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
        self.take_over_from_the_vanished().await;
        self.settle().await;
        let pools = self.roster().pools();
        let present = pools.keys().copied().collect();
        for (pool, slots) in pools {
            if let Err(error) = self.release((pool, &present), slots).await {
                tracing::warn!(%error, pool = pool.as_str(), "a round was not released");
            }
        }
    }

    /// Settles what jobs that are over had reserved. Repeating it is harmless.
    async fn settle(&self) {
        for Due { job, tenant, month, micros } in self.ledger.due() {
            let command = QuotaCommand::Settle { job, micros };
            let caller = Caller::process("quota");
            let tenant = tenant.as_str();
            let settled = self.commands.handle::<Quota>(tenant, &month, &caller, command).await;
            if let Err(error) = settled {
                tracing::warn!(%error, %job, "minutes are not settled yet");
            }
        }
    }

    /// Releases as many jobs as a pool has free slots, and one for whoever is free next.
    async fn release(
        &mut self,
        (pool, present): (Pool, &BTreeSet<Pool>),
        slots: usize,
    ) -> Result<(), AppendError> {
        let free = slots.saturating_add(1).saturating_sub(self.state.out_in(pool)).min(MAX_ROUND);
        if free == 0 {
            return Ok(());
        }
        let jobs = self.state.choose((pool, present), free, &self.caps, clock::now());
        if jobs.is_empty() {
            return Ok(());
        }
        let event = DispatchEvent::Released { jobs: jobs.clone() };
        let command_id = Uuid::now_v7();
        let decision = Decision {
            command_id,
            correlation_id: command_id,
            causation: None,
            actor: Actor::Process("dispatch".to_owned()),
            tenant: "_".to_owned(),
            at: clock::now().as_millis(),
            traceparent: None,
            address: None,
            schema: 1,
            events: vec![event.clone()],
        };
        let payload =
            self.commands.codec().encode(&decision).await.map_err(|error| match error {
                CodecError::Log(error) => error,
                CodecError::Unreadable(why) => LogError::Corrupt(why),
            })?;
        let draft = Draft {
            subject: format!("ev.{}._.{}", dispatch::CATEGORY, pool.as_str()),
            expected: self.last_round.get(&pool).copied().unwrap_or(0),
            command_id,
            payload,
        };
        failpoint::hit("conductor.before_release");
        match self.commands.log().append(draft).await {
            Ok(sequence) => {
                failpoint::hit("conductor.after_release");
                self.last_round.insert(pool, sequence);
                self.state.released(pool, &event);
                self.offer(pool, &jobs).await;
                failpoint::hit("conductor.after_offer");
                Ok(())
            }
            // Another conductor was faster; its round comes to us by the log.
            Err(AppendError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn offer(&self, pool: Pool, jobs: &[Release]) {
        let offers = jobs.iter().map(|release| async move {
            let task = task::encode(release).into();
            self.work.offer(pool.as_str(), &task::name(release), task).await
        });
        for outcome in futures::future::join_all(offers).await {
            if let Err(error) = outcome {
                // The next comparison offers it again.
                tracing::warn!(%error, "a released task was not offered");
            }
        }
    }

    /// Offers again what was released, not started, and is not in the queue.
    async fn reconcile(&self) -> Result<(), LogError> {
        for pool in Pool::ALL.iter().copied() {
            let waiting = self.state.out().iter();
            let waiting = waiting.filter(|(_, out)| out.pool == pool && out.worker.is_none());
            let mut lost: Vec<Release> = waiting
                .map(|(job, out)| Release {
                    job: *job,
                    tenant: out.tenant.clone(),
                    attempt: out.attempt,
                })
                .collect();
            if lost.is_empty() {
                continue;
            }
            let queued = self.work.names(pool.as_str()).await?;
            lost.retain(|release| !queued.contains(&task::name(release)));
            self.offer(pool, &lost).await;
        }
        Ok(())
    }

    /// The attempts whose workers are not there any more: found dead by another worker, or silent
    /// while we were listening long enough.
    fn vanished(&self) -> Vec<(Release, String)> {
        let connected = self.commands.log().nats().connected_for();
        let listening = connected.is_some_and(|since| since >= EARS_OPEN)
            && self.started.elapsed() >= EARS_OPEN;
        let roster = self.roster();
        let gone = |worker: &String| roster.buried(worker) || (listening && !roster.knows(worker));
        self.state
            .out()
            .iter()
            .filter_map(|(job, out)| {
                let worker = out.worker.clone().filter(gone)?;
                let release =
                    Release { job: *job, tenant: out.tenant.clone(), attempt: out.attempt };
                Some((release, worker))
            })
            .collect()
    }

    async fn take_over_from_the_vanished(&mut self) {
        self.roster().forget_the_gone();
        for (release, worker) in self.vanished() {
            let command = JobCommand::AbandonAttempt {
                attempt: release.attempt,
                reason: format!("worker {worker} vanished"),
            };
            let caller = Caller::process("dispatch");
            // A refusal means that the attempt ended after all.
            let outcome = insist(&self.commands, &caller, &release, command).await;
            tracing::warn!(job = %release.job, worker, ?outcome, "worker vanished");
        }
    }
}
