//! The dispatch process manager: events in, releases out.
//!
//! A fold of the whole log that knows which jobs wait and which are out, and one pure question:
//! given the free slots now, which jobs go next? Releases are events on `ev.dispatch._.<pool>`,
//! appended with an expected sequence, so a deposed dispatcher is refused by the log.

mod caps;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    JobId, KeyId, Tenant, Timestamp,
    job::{JobEvent, Priority},
    media::{Hardware, Pool},
};

pub use self::caps::Caps;

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
}

/// A job that is out: released, and perhaps started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Out {
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
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    tenant: Tenant,
    attempt: u32,
    priority: Priority,
    not_before: Option<Timestamp>,
    wish: Hardware,
}

/// What is known of a job that is not over.
#[derive(Debug, Clone, Copy, Default)]
struct Live {
    /// The number of its next attempt.
    attempt: u32,
    priority: Priority,
    wish: Hardware,
    key: Option<KeyId>,
}

/// Order among one tenant's ready jobs: most urgent first, then oldest (ids sort by time).
type Rank = (std::cmp::Reverse<Priority>, JobId);

/// What the dispatcher knows.
#[derive(Debug, Clone, Default)]
pub struct Dispatch {
    waiting: BTreeMap<JobId, Waiting>,
    /// The waiting jobs without a timer, by what they like to run on and by tenant.
    ready: BTreeMap<Hardware, BTreeMap<Tenant, BTreeSet<Rank>>>,
    /// The waiting jobs with one.
    timers: BTreeSet<(Timestamp, JobId)>,
    out: BTreeMap<JobId, Out>,
    out_of: BTreeMap<Tenant, usize>,
    out_in: BTreeMap<Pool, usize>,
    out_by: BTreeMap<KeyId, usize>,
    /// The jobs that are not over.
    live: BTreeMap<JobId, Live>,
    /// Whose turn it was last.
    last: Option<Tenant>,
}

impl Dispatch {
    /// Folds in one event of a job; `key` is who caused it, if it was the holder of one.
    pub fn job(&mut self, job: JobId, tenant: &Tenant, key: Option<KeyId>, event: &JobEvent) {
        match event {
            JobEvent::Submitted { spec } => {
                let wish = spec.hardware.unwrap_or_default();
                self.live.insert(job, Live { attempt: 1, priority: spec.priority, wish, key });
                self.wait(job, tenant, spec.not_before);
            }
            JobEvent::AttemptStarted { attempt, worker, pool, .. } => {
                self.leave(job);
                self.live.entry(job).or_default().attempt = attempt.saturating_add(1);
                let known = Pool::ALL.iter().find(|known| known.as_str() == pool);
                let pool = known.copied().unwrap_or(Pool::Cpu);
                self.go_out(job, tenant, *attempt, (pool, Some(worker.clone())));
            }
            JobEvent::AttemptFailed { retry_at, .. } => {
                self.come_back(job);
                self.wait(job, tenant, *retry_at);
            }
            JobEvent::AttemptAbandoned { .. } => {
                self.come_back(job);
                self.wait(job, tenant, None);
            }
            JobEvent::Retried { next_attempt } => {
                self.live.entry(job).or_default().attempt = *next_attempt;
                self.wait(job, tenant, None);
            }
            JobEvent::PriorityChanged { priority } => {
                if let Some(live) = self.live.get_mut(&job) {
                    live.priority = *priority;
                }
                if let Some(waiting) = self.leave(job) {
                    self.wait(job, tenant, waiting.not_before);
                }
            }
            JobEvent::Cancelled {} | JobEvent::Completed { .. } | JobEvent::Failed { .. } => {
                self.leave(job);
                self.come_back(job);
                if matches!(event, JobEvent::Completed { .. }) {
                    self.live.remove(&job);
                }
            }
            JobEvent::CancelRequested { .. } | JobEvent::OutputsSealed { .. } => {}
        }
    }

    /// Folds in one round of a pool's releases.
    pub fn released(&mut self, pool: Pool, event: &DispatchEvent) {
        let DispatchEvent::Released { jobs } = event;
        for release in jobs {
            let current = self.waiting.get(&release.job);
            // A job cancelled between the decision and the append is no longer waiting.
            if current.is_some_and(|w| w.attempt == release.attempt) {
                self.leave(release.job);
                self.go_out(release.job, &release.tenant, release.attempt, (pool, None));
            }
            self.last = Some(release.tenant.clone());
        }
    }

    /// Chooses a pool's next jobs: tenants in turn, each tenant's most urgent and oldest first, none
    /// beyond the caps of tenant and key, until `free` are chosen. `present` are the pools with workers.
    pub fn choose(
        &mut self,
        (pool, present): (Pool, &BTreeSet<Pool>),
        free: usize,
        caps: &Caps,
        now: Timestamp,
    ) -> Vec<Release> {
        self.wake(now);
        let mut lanes: Vec<_> =
            self.ready.iter().filter(|(wish, _)| wish.pool(present) == pool).collect();
        lanes.retain(|(_, tenants)| !tenants.is_empty());
        let tenants: BTreeSet<&Tenant> = lanes.iter().flat_map(|(_, lane)| lane.keys()).collect();
        let tenants: Vec<&Tenant> = tenants.into_iter().collect();
        let start = self.last.as_ref().map_or(0, |last| tenants.partition_point(|t| *t <= last));
        let mut waiting: BTreeMap<&Tenant, Vec<_>> = BTreeMap::new();
        for tenant in &tenants {
            let own = lanes.iter().filter_map(|(_, lane)| lane.get(*tenant));
            waiting.insert(tenant, own.map(|ranks| ranks.iter().peekable()).collect());
        }
        let mut chosen: Vec<Release> = Vec::new();
        let mut taken: BTreeMap<&Tenant, usize> = BTreeMap::new();
        let mut taken_by: BTreeMap<KeyId, usize> = BTreeMap::new();
        let most: BTreeMap<&Tenant, usize> =
            tenants.iter().map(|tenant| (*tenant, caps.of_tenant(tenant))).collect();
        let mut progressed = true;
        while chosen.len() < free && progressed {
            progressed = false;
            for tenant in tenants.iter().cycle().skip(start).take(tenants.len()) {
                let nth = taken.get(tenant).copied().unwrap_or(0);
                let out = self.out_of.get(*tenant).copied().unwrap_or(0);
                if chosen.len() >= free
                    || out.saturating_add(nth) >= most.get(tenant).copied().unwrap_or(0)
                {
                    continue;
                }
                let next = waiting.get_mut(tenant).and_then(|lanes| {
                    loop {
                        let heads = lanes.iter_mut().enumerate();
                        let heads = heads.filter_map(|(lane, ranks)| Some((**ranks.peek()?, lane)));
                        let (_, lane) = heads.min()?;
                        let (_, job) = lanes.get_mut(lane)?.next()?;
                        // A key at its cap waits; others of its tenant do not wait for it.
                        let Some(key) = self.live.get(job).and_then(|live| live.key) else {
                            return Some(*job);
                        };
                        let taken = taken_by.entry(key).or_default();
                        let out = self.out_by.get(&key).copied().unwrap_or(0);
                        if out.saturating_add(*taken) < caps.of_key(key) {
                            *taken = taken.saturating_add(1);
                            return Some(*job);
                        }
                    }
                });
                if let Some((job, attempt)) =
                    next.and_then(|job| Some((job, self.waiting.get(&job)?.attempt)))
                {
                    chosen.push(Release { job, tenant: (*tenant).clone(), attempt });
                    taken.insert(tenant, nth.saturating_add(1));
                    progressed = true;
                }
            }
        }
        chosen
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
    pub const fn out(&self) -> &BTreeMap<JobId, Out> {
        &self.out
    }

    /// How many wait, timers included.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn wake(&mut self, now: Timestamp) {
        while let Some((due, job)) = self.timers.first().copied() {
            if due > now {
                break;
            }
            self.timers.pop_first();
            if let Some(waiting) = self.waiting.get_mut(&job) {
                waiting.not_before = None;
                let rank = (std::cmp::Reverse(waiting.priority), job);
                let lane = self.ready.entry(waiting.wish).or_default();
                lane.entry(waiting.tenant.clone()).or_default().insert(rank);
            }
        }
    }

    fn wait(&mut self, job: JobId, tenant: &Tenant, not_before: Option<Timestamp>) {
        let Some(Live { attempt, priority, wish, .. }) = self.live.get(&job).copied() else {
            return;
        };
        if let Some(due) = not_before {
            self.timers.insert((due, job));
        } else {
            let lane = self.ready.entry(wish).or_default();
            let ranks = lane.entry(tenant.clone()).or_default();
            ranks.insert((std::cmp::Reverse(priority), job));
        }
        let waiting = Waiting { tenant: tenant.clone(), attempt, priority, not_before, wish };
        self.waiting.insert(job, waiting);
    }

    fn leave(&mut self, job: JobId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&job)?;
        if let Some(due) = waiting.not_before {
            self.timers.remove(&(due, job));
        }
        let lane = self.ready.get_mut(&waiting.wish);
        if let Some((lane, ranks)) = lane.and_then(|lane| {
            let mut ranks = lane.remove(&waiting.tenant)?;
            ranks.remove(&(std::cmp::Reverse(waiting.priority), job));
            Some((lane, ranks))
        }) && !ranks.is_empty()
        {
            lane.insert(waiting.tenant.clone(), ranks);
        }
        Some(waiting)
    }

    fn go_out(
        &mut self,
        job: JobId,
        tenant: &Tenant,
        attempt: u32,
        (pool, worker): (Pool, Option<String>),
    ) {
        let key = self.live.get(&job).and_then(|live| live.key);
        let out = Out { tenant: tenant.clone(), attempt, pool, worker, key };
        let before = self.out.insert(job, out);
        if let Some(before) = &before {
            self.leave_pool(before.pool);
        }
        let count = self.out_in.entry(pool).or_default();
        *count = count.saturating_add(1);
        if before.is_none() {
            let count = self.out_of.entry(tenant.clone()).or_default();
            *count = count.saturating_add(1);
            if let Some(key) = key {
                let count = self.out_by.entry(key).or_default();
                *count = count.saturating_add(1);
            }
        }
    }

    fn leave_pool(&mut self, pool: Pool) {
        if let Some(count) = self.out_in.get_mut(&pool) {
            *count = count.saturating_sub(1);
        }
    }

    fn come_back(&mut self, job: JobId) {
        let Some(out) = self.out.remove(&job) else { return };
        self.leave_pool(out.pool);
        if let Some((key, count)) = out.key.and_then(|key| Some((key, self.out_by.get_mut(&key)?)))
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.out_by.remove(&key);
            }
        }
        if let Some(count) = self.out_of.get_mut(&out.tenant) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.out_of.remove(&out.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests;
