//! The dispatch process manager: consumes events and produces releases.
//!
//! A fold of the whole log that knows which jobs are waiting and which are in flight, and one pure
//! decision: given the free slots now, which jobs run next? Releases are events on
//! `ev.dispatch._.<pool>`, appended with an expected sequence, so the log rejects those of a
//! superseded dispatcher.
//!
//! Tenants share the slots by weight: each has a virtual time that advances by what its jobs
//! actually took, divided by its weight, and the tenant that is furthest behind is next (`share`).
//! Within a tenant the lanes high, normal and low come first in that order, until waiting has aged
//! a job by a lane; within a lane, batches and keys take turns (`fair_queue`).

mod backlog;
mod caps;
mod choose;
mod explain;
mod fair_queue;
mod held;
mod inputs;
mod share;
pub mod simulate;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::{
    backlog::{Backlog, BacklogGroup, JobFacts, PoolTotals, QUEUE_TOTALS, QueueTotals},
    caps::Caps,
    explain::{BlockReason, QUEUE_POSITIONS, QueuePosition, QueuePositionsRequest, Waited},
    inputs::MissingInput,
};
use self::{
    fair_queue::{Flow, Queue},
    held::HeldJobs,
    inputs::InputJobs,
    share::Shares,
};
use crate::{
    BatchId, Category, JobId, KeyId, Tenant, Timestamp,
    job::{JobEvent, Membership, Priority},
    media::{Hardware, Pool},
};

/// The subject category of releases.
pub const CATEGORY: &str = Category::Dispatch.as_str();

/// What a dispatcher appends to the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DispatchEvent {
    /// Workers may take these jobs, in this order.
    #[serde(rename = "dispatch.released")]
    Released {
        /// The releases of one scheduling round.
        jobs: Vec<Release>,
    },
    /// These jobs were released but not started, and their pool has no workers any more: they
    /// return to the queue at their former positions.
    #[serde(rename = "dispatch.taken_back")]
    TakenBack {
        /// With the attempt numbers under which they were released.
        jobs: Vec<Release>,
    },
}

/// Permission for a worker to take one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The released job.
    pub job: JobId,
    /// The tenant that owns it.
    pub tenant: Tenant,
    /// Number of the attempt that may start.
    pub attempt: u32,
    /// Why it was not released sooner, if it waited for a noticeable time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited: Option<Waited>,
}

/// A job in flight: released, and possibly started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// The tenant that owns it.
    pub tenant: Tenant,
    /// Number of the attempt.
    pub attempt: u32,
    /// The pool that it was released to.
    pub pool: Pool,
    /// The worker that started it, if any.
    pub worker: Option<String>,
    /// The key that submitted it.
    pub key: Option<KeyId>,
    batch: Option<BatchId>,
    /// When it was started, or released if it is not started yet.
    since: Timestamp,
    /// Virtual time that its tenant was charged for it in advance.
    charged: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    tenant: Tenant,
    attempt: u32,
    flow: Flow,
    /// Since when it has been eligible.
    ready: Timestamp,
    /// Why it is not in its tenant's queue, if it is not.
    hold: Hold,
}

/// What keeps a waiting job out of its tenant's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hold {
    /// Nothing: it is in the queue.
    None,
    /// A timer.
    Timer,
    /// Jobs that make its inputs and have not completed.
    Inputs,
}

/// State of a job that may still run.
#[derive(Debug, Clone, Copy, Default)]
struct KnownJob {
    /// Number of its next attempt.
    attempt: u32,
    priority: Priority,
    wish: Hardware,
    key: Option<KeyId>,
    batch: Option<Membership>,
    /// Since when it has waited for its current attempt.
    ready: Timestamp,
    /// The kind of its request.
    kind: &'static str,
    /// When it was submitted, or retried after its end.
    submitted_at: Timestamp,
}

/// State of the dispatcher.
#[derive(Debug, Clone, Default)]
pub struct Dispatch {
    caps: Caps,
    waiting: BTreeMap<JobId, Waiting>,
    /// The waiting jobs that nothing holds.
    queues: BTreeMap<Tenant, Queue>,
    /// The waiting jobs with a timer.
    timers: BTreeSet<(Timestamp, JobId)>,
    inputs: InputJobs,
    held: HeldJobs,
    shares: Shares,
    in_flight: BTreeMap<JobId, InFlight>,
    in_flight_by_tenant: BTreeMap<Tenant, usize>,
    in_flight_by_pool: BTreeMap<Pool, usize>,
    in_flight_by_key: BTreeMap<KeyId, usize>,
    in_flight_by_batch: BTreeMap<BatchId, usize>,
    live: BTreeMap<JobId, KnownJob>,
    /// When jobs last waited for a pool that had no worker.
    absent: BTreeMap<Pool, Timestamp>,
}

impl Dispatch {
    /// Creates a dispatcher that knows nothing but the concurrency limits.
    pub fn new(caps: Caps) -> Self {
        Self { caps, ..Self::default() }
    }

    /// The concurrency limits.
    pub const fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The concurrency limits, to fold in accounts and keys.
    pub const fn caps_mut(&mut self) -> &mut Caps {
        &mut self.caps
    }

    /// Folds in one event of a job; `key` is the API key that caused it, if any.
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
                    kind: spec.request.kind(),
                    submitted_at: at,
                };
                self.live.insert(job, live);
                self.inputs.add(job, spec.request.input_jobs());
                self.enqueue(job, tenant, at, spec.not_before);
            }
            JobEvent::AttemptStarted { attempt, worker, pool, .. } => {
                self.dequeue(job);
                self.live.entry(job).or_default().attempt = attempt.saturating_add(1);
                let known = Pool::ALL.iter().find(|known| known.as_str() == pool);
                let pool = known.copied().unwrap_or(Pool::Cpu);
                self.start_flight(job, tenant, *attempt, pool, Some(worker.clone()), at);
            }
            JobEvent::AttemptFailed { retry_at, .. } => {
                self.end_flight(job, at);
                self.enqueue(job, tenant, at, *retry_at);
            }
            JobEvent::AttemptAbandoned { .. } => {
                self.end_flight(job, at);
                // It was not the job's fault: it keeps its position in the queue.
                let ready = self.live.get(&job).map_or(at, |live| live.ready);
                self.enqueue(job, tenant, ready, None);
            }
            JobEvent::Retried { next_attempt, .. } => {
                let live = self.live.entry(job).or_default();
                (live.attempt, live.submitted_at) = (*next_attempt, at);
                self.enqueue(job, tenant, at, None);
                self.review_readers(self.inputs.readers(job), at);
            }
            JobEvent::PriorityChanged { priority } => {
                if let Some(live) = self.live.get_mut(&job) {
                    live.priority = *priority;
                }
                if let Some(waiting) = self.dequeue(job) {
                    match waiting.hold {
                        Hold::None => self.enqueue(job, tenant, waiting.ready, None),
                        Hold::Timer | Hold::Inputs => {
                            self.enqueue(job, tenant, at, Some(waiting.ready));
                        }
                    }
                }
            }
            JobEvent::Cancelled {} | JobEvent::Completed { .. } | JobEvent::Failed { .. } => {
                self.dequeue(job);
                self.end_flight(job, at);
                let readers = if matches!(event, JobEvent::Completed { .. }) {
                    self.live.remove(&job);
                    self.inputs.completed(job)
                } else {
                    self.inputs.readers(job)
                };
                self.review_readers(readers, at);
            }
            JobEvent::CancelRequested { .. }
            | JobEvent::OutputsSealed { .. }
            | JobEvent::OutputsExpired {}
            | JobEvent::OutputsDeleted { .. } => {}
        }
    }

    /// Folds in a dispatch event of a pool.
    pub fn record_dispatch(&mut self, pool: Pool, at: Timestamp, event: &DispatchEvent) {
        // With the timers as they were then: a dispatcher that replays later reaches the same
        // shares.
        self.fire_timers(at);
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
            queue.record_turn(&flow, at);
        }
        self.dequeue(release.job);
        self.start_flight(release.job, &release.tenant, release.attempt, pool, None, at);
    }

    fn taken_back(&mut self, pool: Pool, at: Timestamp, release: &Release) {
        let still = |flight: &InFlight| {
            flight.worker.is_none() && flight.pool == pool && flight.attempt == release.attempt
        };
        // A worker may have started it meanwhile.
        if !self.in_flight.get(&release.job).is_some_and(still) {
            return;
        }
        self.end_flight(release.job, at);
        let ready = self.live.get(&release.job).map_or(at, |live| live.ready);
        self.enqueue(release.job, &release.tenant, ready, None);
    }

    /// Unstarted releases to pools that have no workers any more and whose jobs may run in another
    /// pool.
    pub fn stranded(&self, present: &BTreeSet<Pool>) -> BTreeMap<Pool, Vec<Release>> {
        let mut stranded: BTreeMap<Pool, Vec<Release>> = BTreeMap::new();
        for (job, flight) in self.in_flight.iter().filter(|(_, flight)| flight.worker.is_none()) {
            let wish = self.live.get(job).map(|live| live.wish).unwrap_or_default();
            if !present.contains(&flight.pool) && wish.pool(present) != flight.pool {
                let InFlight { tenant, attempt, pool, .. } = flight;
                let release =
                    Release { job: *job, tenant: tenant.clone(), attempt: *attempt, waited: None };
                stranded.entry(*pool).or_default().push(release);
            }
        }
        stranded
    }

    /// True if a job is waiting or in flight.
    pub fn is_live(&self, job: JobId) -> bool {
        self.waiting.contains_key(&job) || self.in_flight.contains_key(&job)
    }

    /// Number of jobs in flight in a pool.
    pub fn in_flight_in(&self, pool: Pool) -> usize {
        self.in_flight_by_pool.get(&pool).copied().unwrap_or(0)
    }

    /// When the next timer is due, if any.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The jobs in flight.
    pub const fn in_flight(&self) -> &BTreeMap<JobId, InFlight> {
        &self.in_flight
    }

    /// Number of waiting jobs, including those that are held.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Queues the jobs whose timers are due.
    fn fire_timers(&mut self, now: Timestamp) {
        while let Some((due, job)) = self.timers.first().copied() {
            if due > now {
                break;
            }
            self.timers.pop_first();
            if let Some(waiting) = self.waiting.get_mut(&job) {
                self.held.remove(job, waiting);
                waiting.hold = Hold::None;
                let (tenant, flow) = (waiting.tenant.clone(), waiting.flow);
                self.queue_job(&tenant, flow, (due, job));
            }
        }
    }

    fn queue_job(&mut self, tenant: &Tenant, flow: Flow, entry: (Timestamp, JobId)) {
        self.queues.entry(tenant.clone()).or_default().insert(flow, entry);
        self.shares.activate(tenant);
    }

    fn enqueue(&mut self, job: JobId, tenant: &Tenant, ready: Timestamp, timer: Option<Timestamp>) {
        let Some(live) = self.live.get_mut(&job) else { return };
        let flow = Flow {
            wish: live.wish,
            priority: live.priority,
            batch: live.batch.map(|batch| (batch.id, batch.max_parallel)),
            key: live.key,
        };
        let (since, ready) = (ready, timer.unwrap_or(ready));
        live.ready = ready;
        let attempt = live.attempt;
        let hold = match timer {
            _ if self.awaited(job).is_some() => Hold::Inputs,
            Some(_) => Hold::Timer,
            None => Hold::None,
        };
        let waiting = Waiting { tenant: tenant.clone(), attempt, flow, ready, hold };
        if let Some(replaced) = self.waiting.get(&job) {
            self.held.remove(job, replaced);
        }
        self.held.add(job, &waiting);
        self.waiting.insert(job, waiting);
        match hold {
            Hold::None => self.queue_job(tenant, flow, (ready, job)),
            Hold::Timer => {
                self.timers.insert((ready, job));
            }
            Hold::Inputs => self.record_missing_input(job, since),
        }
    }

    fn dequeue(&mut self, job: JobId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&job)?;
        self.held.remove(job, &waiting);
        match waiting.hold {
            Hold::Timer => {
                self.timers.remove(&(waiting.ready, job));
            }
            Hold::Inputs => self.inputs.stop_waiting(job),
            Hold::None => {
                if let Some(queue) = self.queues.get_mut(&waiting.tenant) {
                    queue.remove(&waiting.flow, (waiting.ready, job));
                    if queue.is_empty() {
                        self.queues.remove(&waiting.tenant);
                        self.shares.deactivate(&waiting.tenant);
                    }
                }
            }
        }
        Some(waiting)
    }

    fn start_flight(
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
        let before = self.in_flight.remove(&job);
        let charged = match &before {
            Some(before) => before.charged,
            None => self.shares.charge(tenant, self.caps.weight(tenant)),
        };
        if let Some(before) = &before {
            decrement(&mut self.in_flight_by_pool, &before.pool);
        } else {
            increment(&mut self.in_flight_by_tenant, tenant.clone());
            for key in key.into_iter().flat_map(|key| self.caps.lineage(key)) {
                increment(&mut self.in_flight_by_key, key);
            }
            batch.inspect(|batch| increment(&mut self.in_flight_by_batch, *batch));
        }
        increment(&mut self.in_flight_by_pool, pool);
        let tenant = tenant.clone();
        self.in_flight
            .insert(job, InFlight { tenant, attempt, pool, worker, key, batch, since, charged });
    }

    fn end_flight(&mut self, job: JobId, at: Timestamp) {
        let Some(flight) = self.in_flight.remove(&job) else { return };
        decrement(&mut self.in_flight_by_pool, &flight.pool);
        decrement(&mut self.in_flight_by_tenant, &flight.tenant);
        for key in flight.key.into_iter().flat_map(|key| self.caps.lineage(key)) {
            decrement(&mut self.in_flight_by_key, &key);
        }
        flight.batch.inspect(|batch| decrement(&mut self.in_flight_by_batch, batch));
        let took = flight.worker.is_some().then(|| at.since(flight.since));
        self.shares.settle(&flight.tenant, self.caps.weight(&flight.tenant), flight.charged, took);
    }
}

fn increment<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
}

fn decrement<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}
