//! The dispatch process manager: events in, releases out.
//!
//! A fold of the whole log that knows which jobs wait and which are out, and one pure question:
//! given the free slots now, which jobs go next? Releases are events on `ev.dispatch._.<pool>`,
//! appended with an expected sequence, so a deposed dispatcher is refused by the log.
//!
//! Tenants share the slots by weight: each has a virtual time that runs by what its jobs really took,
//! divided by its weight, and the one that is furthest behind is next (`share`). Within a tenant the
//! lanes high, normal and low come first in that order, until one has waited so long that it is worth
//! a lane; within a lane batches and keys take turns (`line`).

mod caps;
mod choose;
mod explain;
mod fair_queue;
mod share;
pub mod simulate;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::{
    caps::Caps,
    explain::{BlockReason, PLACES, Place, PlacesQuestion, Waited},
};
use self::{
    fair_queue::{Flow, Queue},
    share::Shares,
};
use crate::{
    BatchId, JobId, KeyId, Tenant, Timestamp,
    job::{JobEvent, Membership, Priority},
    media::{Hardware, Pool},
};

/// The subject category of releases.
pub const CATEGORY: &str = "dispatch";

/// What a dispatcher wrote into the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DispatchEvent {
    /// These jobs may be taken, in this order.
    #[serde(rename = "dispatch.released")]
    Released {
        /// One round.
        jobs: Vec<Release>,
    },
    /// These were released and not started, and the pool has no worker any more: they wait again, in
    /// their old places.
    #[serde(rename = "dispatch.taken_back")]
    TakenBack {
        /// Under the numbers under which they were released.
        jobs: Vec<Release>,
    },
}

/// One job's permission to be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Which.
    pub job: JobId,
    /// Whose.
    pub tenant: Tenant,
    /// Under which number.
    pub attempt: u32,
    /// Why it was not sooner, if it waited a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited: Option<Waited>,
}

/// A job that is out: released, and perhaps started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// Whose.
    pub tenant: Tenant,
    /// Under which number.
    pub attempt: u32,
    /// What it was released to.
    pub pool: Pool,
    /// The worker, once one started it.
    pub worker: Option<String>,
    /// Who asked for it.
    pub key: Option<KeyId>,
    batch: Option<BatchId>,
    /// When it started, or was released.
    since: Timestamp,
    /// What its tenant was charged for it in advance.
    charged: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    tenant: Tenant,
    attempt: u32,
    flow: Flow,
    /// Since when it could go.
    ready: Timestamp,
    /// True while a timer holds it back.
    timed: bool,
}

/// What is known of a job that may still run.
#[derive(Debug, Clone, Copy, Default)]
struct KnownJob {
    /// The number of its next attempt.
    attempt: u32,
    priority: Priority,
    wish: Hardware,
    key: Option<KeyId>,
    batch: Option<Membership>,
    /// Since when it waited for the attempt that is open.
    ready: Timestamp,
}

/// What the dispatcher knows.
#[derive(Debug, Clone, Default)]
pub struct Dispatch {
    caps: Caps,
    waiting: BTreeMap<JobId, Waiting>,
    /// The waiting jobs without a timer.
    queues: BTreeMap<Tenant, Queue>,
    /// The waiting jobs with one.
    timers: BTreeSet<(Timestamp, JobId)>,
    shares: Shares,
    out: BTreeMap<JobId, InFlight>,
    out_of: BTreeMap<Tenant, usize>,
    out_in: BTreeMap<Pool, usize>,
    out_by: BTreeMap<KeyId, usize>,
    out_batch: BTreeMap<BatchId, usize>,
    live: BTreeMap<JobId, KnownJob>,
    /// When jobs last waited for a pool that had no worker.
    absent: BTreeMap<Pool, Timestamp>,
}

impl Dispatch {
    /// One that knows nothing yet but what may be out at once.
    pub fn new(caps: Caps) -> Self {
        Self { caps, ..Self::default() }
    }

    /// What may be out at once.
    pub const fn caps(&self) -> &Caps {
        &self.caps
    }

    /// What may be out at once, to fold in accounts and keys.
    pub const fn caps_mut(&mut self) -> &mut Caps {
        &mut self.caps
    }

    /// Folds in one event of a job; `key` is who caused it, if it was the holder of one.
    pub fn job(
        &mut self,
        job: JobId,
        tenant: &Tenant,
        key: Option<KeyId>,
        at: Timestamp,
        event: &JobEvent,
    ) {
        match event {
            JobEvent::Submitted { spec } => {
                let live = KnownJob {
                    attempt: 1,
                    priority: spec.priority,
                    wish: spec.hardware.unwrap_or_default(),
                    key,
                    batch: spec.batch,
                    ready: at,
                };
                self.live.insert(job, live);
                self.wait(job, tenant, at, spec.not_before);
            }
            JobEvent::AttemptStarted { attempt, worker, pool, .. } => {
                self.leave(job);
                self.live.entry(job).or_default().attempt = attempt.saturating_add(1);
                let known = Pool::ALL.iter().find(|known| known.as_str() == pool);
                let pool = known.copied().unwrap_or(Pool::Cpu);
                self.go_out(job, tenant, *attempt, pool, Some(worker.clone()), at);
            }
            JobEvent::AttemptFailed { retry_at, .. } => {
                self.come_back(job, at);
                self.wait(job, tenant, at, *retry_at);
            }
            JobEvent::AttemptAbandoned { .. } => {
                self.come_back(job, at);
                // Through no fault of its own: it keeps its place.
                let ready = self.live.get(&job).map_or(at, |live| live.ready);
                self.wait(job, tenant, ready, None);
            }
            JobEvent::Retried { next_attempt, .. } => {
                self.live.entry(job).or_default().attempt = *next_attempt;
                self.wait(job, tenant, at, None);
            }
            JobEvent::PriorityChanged { priority } => {
                if let Some(live) = self.live.get_mut(&job) {
                    live.priority = *priority;
                }
                if let Some(waiting) = self.leave(job) {
                    let due = waiting.timed.then_some(waiting.ready);
                    self.wait(job, tenant, waiting.ready, due);
                }
            }
            JobEvent::Cancelled {} | JobEvent::Completed { .. } | JobEvent::Failed { .. } => {
                self.leave(job);
                self.come_back(job, at);
                if matches!(event, JobEvent::Completed { .. }) {
                    self.live.remove(&job);
                }
            }
            JobEvent::CancelRequested { .. }
            | JobEvent::OutputsSealed { .. }
            | JobEvent::OutputsExpired {} => {}
        }
    }

    /// Folds in what was written of a pool.
    pub fn written(&mut self, pool: Pool, at: Timestamp, event: &DispatchEvent) {
        // As it was then: a conductor that comes later folds to the same shares.
        self.wake(at);
        match event {
            DispatchEvent::Released { jobs } => {
                for release in jobs {
                    self.released(pool, at, release);
                }
            }
            DispatchEvent::TakenBack { jobs } => {
                for release in jobs {
                    self.taken_back(pool, at, release);
                }
            }
        }
    }

    fn released(&mut self, pool: Pool, at: Timestamp, release: &Release) {
        // A job cancelled between the decision and the append is no longer waiting.
        let current = self.waiting.get(&release.job);
        let Some(flow) = current.filter(|w| w.attempt == release.attempt).map(|w| w.flow) else {
            return;
        };
        if let Some(queue) = self.queues.get_mut(&release.tenant) {
            queue.took_turn(&flow, at);
        }
        self.leave(release.job);
        self.go_out(release.job, &release.tenant, release.attempt, pool, None, at);
    }

    fn taken_back(&mut self, pool: Pool, at: Timestamp, release: &Release) {
        let still = |out: &InFlight| {
            out.worker.is_none() && out.pool == pool && out.attempt == release.attempt
        };
        // Somebody may have started it after all.
        if !self.out.get(&release.job).is_some_and(still) {
            return;
        }
        self.come_back(release.job, at);
        let ready = self.live.get(&release.job).map_or(at, |live| live.ready);
        self.wait(release.job, &release.tenant, ready, None);
    }

    /// What was released to pools that have no worker any more, was not started, and may go elsewhere.
    pub fn stranded(&self, present: &BTreeSet<Pool>) -> BTreeMap<Pool, Vec<Release>> {
        let mut stranded: BTreeMap<Pool, Vec<Release>> = BTreeMap::new();
        for (job, out) in self.out.iter().filter(|(_, out)| out.worker.is_none()) {
            let wish = self.live.get(job).map(|live| live.wish).unwrap_or_default();
            if !present.contains(&out.pool) && wish.pool(present) != out.pool {
                let InFlight { tenant, attempt, pool, .. } = out;
                let release =
                    Release { job: *job, tenant: tenant.clone(), attempt: *attempt, waited: None };
                stranded.entry(*pool).or_default().push(release);
            }
        }
        stranded
    }

    /// True if a job waits or runs.
    pub fn is_live(&self, job: JobId) -> bool {
        self.waiting.contains_key(&job) || self.out.contains_key(&job)
    }

    /// How many are out in a pool.
    pub fn out_in(&self, pool: Pool) -> usize {
        self.out_in.get(&pool).copied().unwrap_or(0)
    }

    /// When the next timer is due, if any.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The jobs that are out.
    pub const fn out(&self) -> &BTreeMap<JobId, InFlight> {
        &self.out
    }

    /// How many wait, timers included.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Lets the jobs whose timers are due stand in line.
    fn wake(&mut self, now: Timestamp) {
        while let Some((due, job)) = self.timers.first().copied() {
            if due > now {
                break;
            }
            self.timers.pop_first();
            if let Some(waiting) = self.waiting.get_mut(&job) {
                waiting.timed = false;
                let (tenant, flow) = (waiting.tenant.clone(), waiting.flow);
                self.stand_in_line(&tenant, flow, (due, job));
            }
        }
    }

    fn stand_in_line(&mut self, tenant: &Tenant, flow: Flow, place: (Timestamp, JobId)) {
        self.queues.entry(tenant.clone()).or_default().insert(flow, place);
        self.shares.activate(tenant);
    }

    fn wait(&mut self, job: JobId, tenant: &Tenant, ready: Timestamp, timer: Option<Timestamp>) {
        let Some(live) = self.live.get_mut(&job) else { return };
        let flow = Flow {
            wish: live.wish,
            priority: live.priority,
            batch: live.batch.map(|batch| (batch.id, batch.max_parallel)),
            key: live.key,
        };
        let ready = timer.unwrap_or(ready);
        live.ready = ready;
        let timed = timer.is_some();
        let waiting = Waiting { tenant: tenant.clone(), attempt: live.attempt, flow, ready, timed };
        self.waiting.insert(job, waiting);
        if timed {
            self.timers.insert((ready, job));
        } else {
            self.stand_in_line(tenant, flow, (ready, job));
        }
    }

    fn leave(&mut self, job: JobId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&job)?;
        if waiting.timed {
            self.timers.remove(&(waiting.ready, job));
        } else if let Some(queue) = self.queues.get_mut(&waiting.tenant) {
            queue.remove(&waiting.flow, (waiting.ready, job));
            if queue.is_empty() {
                self.queues.remove(&waiting.tenant);
                self.shares.deactivate(&waiting.tenant);
            }
        }
        Some(waiting)
    }

    fn go_out(
        &mut self,
        job: JobId,
        tenant: &Tenant,
        attempt: u32,
        pool: Pool,
        worker: Option<String>,
        since: Timestamp,
    ) {
        let live = self.live.get(&job);
        let key = live.and_then(|live| live.key);
        let batch = live.and_then(|live| live.batch).map(|batch| batch.id);
        let before = self.out.remove(&job);
        let charged = match &before {
            Some(before) => before.charged,
            None => self.shares.charge(tenant, self.caps.weight(tenant)),
        };
        if let Some(before) = &before {
            less(&mut self.out_in, &before.pool);
        } else {
            more(&mut self.out_of, tenant.clone());
            for key in key.into_iter().flat_map(|key| self.caps.line(key)) {
                more(&mut self.out_by, key);
            }
            batch.inspect(|batch| more(&mut self.out_batch, *batch));
        }
        more(&mut self.out_in, pool);
        let tenant = tenant.clone();
        self.out
            .insert(job, InFlight { tenant, attempt, pool, worker, key, batch, since, charged });
    }

    fn come_back(&mut self, job: JobId, at: Timestamp) {
        let Some(out) = self.out.remove(&job) else { return };
        less(&mut self.out_in, &out.pool);
        less(&mut self.out_of, &out.tenant);
        for key in out.key.into_iter().flat_map(|key| self.caps.line(key)) {
            less(&mut self.out_by, &key);
        }
        out.batch.inspect(|batch| less(&mut self.out_batch, batch));
        let took = out.worker.is_some().then(|| at.since(out.since));
        self.shares.settle(&out.tenant, self.caps.weight(&out.tenant), out.charged, took);
    }
}

fn more<K: Ord>(counts: &mut BTreeMap<K, usize>, of: K) {
    let count = counts.entry(of).or_default();
    *count = count.saturating_add(1);
}

fn less<K: Ord>(counts: &mut BTreeMap<K, usize>, of: &K) {
    if let Some(count) = counts.get_mut(of) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(of);
        }
    }
}
