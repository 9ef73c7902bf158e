//! The dispatch process manager: events in, releases out.
//!
//! A fold of the whole log that knows which jobs wait and which are out, and one pure question:
//! given the free slots now, which jobs go next? Releases are events on `ev.dispatch._.<pool>`,
//! appended with an expected sequence, so a deposed dispatcher is refused by the log.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    JobId, Tenant, Timestamp,
    job::{JobEvent, Priority},
};

/// The subject category of releases.
pub const CATEGORY: &str = "dispatch";

/// The pool that every job runs on until hardware can be asked for.
pub const CPU: &str = "cpu";

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
    /// The worker, once one started it.
    pub worker: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    tenant: Tenant,
    attempt: u32,
    priority: Priority,
    not_before: Option<Timestamp>,
}

/// Order among one tenant's ready jobs: most urgent first, then oldest (ids sort by time).
type Rank = (std::cmp::Reverse<Priority>, JobId);

/// What the dispatcher knows.
#[derive(Debug, Clone, Default)]
pub struct Dispatch {
    waiting: BTreeMap<JobId, Waiting>,
    /// The waiting jobs without a timer, by tenant.
    ready: BTreeMap<Tenant, BTreeSet<Rank>>,
    /// The waiting jobs with one.
    timers: BTreeSet<(Timestamp, JobId)>,
    out: BTreeMap<JobId, Out>,
    out_of: BTreeMap<Tenant, usize>,
    /// Attempt numbers and priorities of jobs that are not over.
    live: BTreeMap<JobId, (u32, Priority)>,
    /// Whose turn it was last.
    last: Option<Tenant>,
}

impl Dispatch {
    /// Folds in one event of a job.
    pub fn job(&mut self, job: JobId, tenant: &Tenant, event: &JobEvent) {
        match event {
            JobEvent::Submitted { spec } => {
                self.live.insert(job, (1, spec.priority));
                self.wait(job, tenant, spec.not_before);
            }
            JobEvent::AttemptStarted { attempt, worker, .. } => {
                self.leave(job);
                let priority = self.live.get(&job).map_or(Priority::default(), |l| l.1);
                self.live.insert(job, (attempt.saturating_add(1), priority));
                self.go_out(job, tenant, *attempt, Some(worker.clone()));
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
                let priority = self.live.get(&job).map_or(Priority::default(), |l| l.1);
                self.live.insert(job, (*next_attempt, priority));
                self.wait(job, tenant, None);
            }
            JobEvent::PriorityChanged { priority } => {
                if let Some(live) = self.live.get_mut(&job) {
                    live.1 = *priority;
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

    /// Folds in one round of releases.
    pub fn released(&mut self, event: &DispatchEvent) {
        let DispatchEvent::Released { jobs } = event;
        for release in jobs {
            let current = self.waiting.get(&release.job);
            // A job cancelled between the decision and the append is no longer waiting.
            if current.is_some_and(|w| w.attempt == release.attempt) {
                self.leave(release.job);
                self.go_out(release.job, &release.tenant, release.attempt, None);
            }
            self.last = Some(release.tenant.clone());
        }
    }

    /// Chooses the next jobs: tenants in turn, each tenant's most urgent and oldest first, none
    /// beyond its `tenant_limit`, until `free` are chosen.
    pub fn choose(&mut self, free: usize, tenant_limit: usize, now: Timestamp) -> Vec<Release> {
        self.wake(now);
        let mut chosen: Vec<Release> = Vec::new();
        let mut taken: BTreeMap<&Tenant, usize> = BTreeMap::new();
        let tenants: Vec<&Tenant> = self.ready.keys().collect();
        let start = self.last.as_ref().map_or(0, |last| tenants.partition_point(|t| *t <= last));
        let mut progressed = true;
        while chosen.len() < free && progressed {
            progressed = false;
            for tenant in tenants.iter().cycle().skip(start).take(tenants.len()) {
                let nth = taken.get(tenant).copied().unwrap_or(0);
                let out = self.out_of.get(*tenant).copied().unwrap_or(0);
                if chosen.len() >= free || out.saturating_add(nth) >= tenant_limit {
                    continue;
                }
                let next = self.ready.get(*tenant).and_then(|ranks| ranks.iter().nth(nth));
                let waiting = next.and_then(|(_, job)| Some((job, self.waiting.get(job)?)));
                if let Some((job, waiting)) = waiting {
                    chosen.push(Release {
                        job: *job,
                        tenant: (*tenant).clone(),
                        attempt: waiting.attempt,
                    });
                    taken.insert(tenant, nth.saturating_add(1));
                    progressed = true;
                }
            }
        }
        chosen
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
                self.ready.entry(waiting.tenant.clone()).or_default().insert(rank);
            }
        }
    }

    fn wait(&mut self, job: JobId, tenant: &Tenant, not_before: Option<Timestamp>) {
        let Some((attempt, priority)) = self.live.get(&job).copied() else { return };
        if let Some(due) = not_before {
            self.timers.insert((due, job));
        } else {
            let ranks = self.ready.entry(tenant.clone()).or_default();
            ranks.insert((std::cmp::Reverse(priority), job));
        }
        let waiting = Waiting { tenant: tenant.clone(), attempt, priority, not_before };
        self.waiting.insert(job, waiting);
    }

    fn leave(&mut self, job: JobId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&job)?;
        if let Some(due) = waiting.not_before {
            self.timers.remove(&(due, job));
        }
        if let Some(ranks) = self.ready.get_mut(&waiting.tenant) {
            ranks.remove(&(std::cmp::Reverse(waiting.priority), job));
            if ranks.is_empty() {
                self.ready.remove(&waiting.tenant);
            }
        }
        Some(waiting)
    }

    fn go_out(&mut self, job: JobId, tenant: &Tenant, attempt: u32, worker: Option<String>) {
        let out = Out { tenant: tenant.clone(), attempt, worker };
        if self.out.insert(job, out).is_none() {
            let count = self.out_of.entry(tenant.clone()).or_default();
            *count = count.saturating_add(1);
        }
    }

    fn come_back(&mut self, job: JobId) {
        let Some(out) = self.out.remove(&job) else { return };
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
