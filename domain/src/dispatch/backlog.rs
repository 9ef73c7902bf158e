//! The waiting jobs of all accounts, counted for the operator.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{BlockReason, Dispatch, KnownJob, held::HeldGroup};
use crate::{JobId, Timestamp, job::Priority, media::Pool};

/// Waiting jobs that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BacklogGroup {
    /// The pool that they will run in.
    pub pool: Pool,
    /// Their priority.
    pub priority: Priority,
    /// Why they wait, as in [`BlockReason::name`].
    pub reason: &'static str,
}

/// The waiting jobs of all accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The number of jobs of each group.
    pub jobs: BTreeMap<BacklogGroup, usize>,
    /// Since when the job that has been eligible longest waits for each pool.
    pub oldest: BTreeMap<Pool, Timestamp>,
}

/// The request on [`QUEUE_POSITIONS`](super::QUEUE_POSITIONS) that is answered with
/// [`QueueTotals`].
pub const QUEUE_TOTALS: &[u8] = b"totals";

/// The waiting jobs of all accounts by pool.
pub type QueueTotals = BTreeMap<Pool, PoolTotals>;

/// The jobs of all accounts that wait for a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolTotals {
    /// Their number.
    pub waiting: usize,
    /// Their number by why they wait, as in [`BlockReason::name`].
    pub reasons: BTreeMap<String, usize>,
    /// Their number by priority.
    pub priorities: BTreeMap<Priority, usize>,
    /// Since when the one that has been eligible longest waits.
    pub oldest: Option<Timestamp>,
}

impl Backlog {
    /// The sums by pool.
    pub fn totals(&self) -> QueueTotals {
        let mut pools = QueueTotals::new();
        for (group, jobs) in &self.jobs {
            let pool = pools.entry(group.pool).or_default();
            let reason = pool.reasons.entry(group.reason.to_owned()).or_default();
            let priority = pool.priorities.entry(group.priority).or_default();
            for sum in [&mut pool.waiting, reason, priority] {
                *sum = sum.saturating_add(*jobs);
            }
        }
        for (pool, since) in &self.oldest {
            pools.entry(*pool).or_default().oldest = Some(*since);
        }
        pools
    }
}

/// What the dispatcher knows of a job that may still run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobFacts {
    /// The kind of its request.
    pub kind: &'static str,
    /// When it was submitted, or retried after its end.
    pub submitted_at: Timestamp,
    /// Since when it has waited for its current attempt.
    pub eligible_since: Timestamp,
}

impl Dispatch {
    /// The waiting jobs, counted. `present` are the pools with workers.
    pub fn backlog(&self, present: &BTreeSet<Pool>) -> Backlog {
        let mut backlog = Backlog::default();
        let mut count = |group: BacklogGroup, jobs: usize| {
            let counted = backlog.jobs.entry(group).or_default();
            *counted = counted.saturating_add(jobs);
        };
        for (tenant, queue) in &self.queues {
            // The most urgent jobs of an account, for each pool.
            let mut urgent: BTreeMap<Pool, Priority> = BTreeMap::new();
            for waiting in queue.waiting_flows() {
                let pool = waiting.flow.wish.pool(present);
                let highest = urgent.entry(pool).or_default();
                *highest = waiting.flow.priority.max(*highest);
                let since = backlog.oldest.entry(pool).or_insert(waiting.oldest);
                *since = waiting.oldest.min(*since);
            }
            for waiting in queue.waiting_flows() {
                let (pool, priority) = (waiting.flow.wish.pool(present), waiting.flow.priority);
                let why = if !present.contains(&pool) {
                    BlockReason::NoWorker { pool }
                } else if let Some(cap) = self.current_cap(tenant, waiting.flow) {
                    cap
                } else if urgent.get(&pool).is_some_and(|urgent| *urgent > priority) {
                    BlockReason::Priority
                } else {
                    BlockReason::Busy
                };
                count(BacklogGroup { pool, priority, reason: why.name() }, waiting.jobs);
            }
        }
        for (HeldGroup { wish, priority, reason }, jobs) in self.held.groups() {
            let group = BacklogGroup { pool: wish.pool(present), priority: *priority, reason };
            count(group, *jobs);
        }
        backlog
    }

    /// What is known of a job that may still run.
    pub fn facts(&self, job: JobId) -> Option<JobFacts> {
        let KnownJob { kind, submitted_at, ready, .. } = *self.live.get(&job)?;
        Some(JobFacts { kind, submitted_at, eligible_since: ready })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{at, caps, fold, fold_at, job, spec, started, submitted},
        *,
    };
    use crate::{
        Personal,
        job::{Failure, FailureCode, JobEvent, JobSpec},
        media::{Fallback, Hardware},
    };

    fn group(pool: Pool, priority: Priority, reason: &'static str) -> BacklogGroup {
        BacklogGroup { pool, priority, reason }
    }

    #[test]
    fn waiting_jobs_are_counted_by_pool_priority_and_reason() {
        let mut d = Dispatch::new(caps(1));
        let with = |priority| submitted(JobSpec { priority, ..spec() });
        fold_at(&mut d, 1, "a", 5, &with(Priority::Normal));
        fold_at(&mut d, 2, "a", 6, &with(Priority::High));
        fold_at(&mut d, 3, "b", 7, &with(Priority::Normal));
        fold(&mut d, 4, "b", &with(Priority::Normal));
        fold(&mut d, 4, "b", &started(1, "cpu"));
        let vaapi = Some(Hardware { prefer: Pool::Vaapi, fallback: Fallback::Fail });
        fold_at(&mut d, 5, "c", 8, &submitted(JobSpec { hardware: vaapi, ..spec() }));
        let backlog = d.backlog(&[Pool::Cpu].into());
        let expected = [
            (group(Pool::Cpu, Priority::Normal, "account_cap"), 1),
            (group(Pool::Cpu, Priority::Normal, "priority"), 1),
            (group(Pool::Cpu, Priority::High, "busy"), 1),
            (group(Pool::Vaapi, Priority::Normal, "no_worker"), 1),
        ];
        assert_eq!(backlog.jobs, expected.into());
        assert_eq!(backlog.oldest, [(Pool::Cpu, at(5)), (Pool::Vaapi, at(8))].into());
    }

    #[test]
    fn jobs_with_timers_are_counted_until_those_are_due() {
        let mut d = Dispatch::new(caps(9));
        let later = |not_before| submitted(JobSpec { not_before, ..spec() });
        fold(&mut d, 1, "a", &later(Some(at(1_000))));
        fold(&mut d, 2, "a", &later(Some(at(9_000))));
        fold(&mut d, 3, "a", &later(Some(at(9_000))));
        fold(&mut d, 3, "a", &JobEvent::Cancelled {});
        fold(&mut d, 4, "a", &submitted(spec()));
        fold(&mut d, 4, "a", &started(1, "cpu"));
        let failure =
            Failure { code: FailureCode::MediaCrashed, message: Personal::Clear(String::new()) };
        let retry_at = Some(at(9_000));
        fold(&mut d, 4, "a", &JobEvent::AttemptFailed { attempt: 1, failure, retry_at });
        let present = [Pool::Cpu].into();
        let counted = |d: &Dispatch, reason| {
            let counted = d.backlog(&present).jobs;
            counted.get(&group(Pool::Cpu, Priority::Normal, reason)).copied().unwrap_or(0)
        };
        assert_eq!(
            [counted(&d, "scheduled"), counted(&d, "backoff"), counted(&d, "busy")],
            [2, 1, 0]
        );
        // No slot is free, but the first timer is due.
        d.choose(Pool::Cpu, &present, 0, at(2_000));
        assert_eq!(
            [counted(&d, "scheduled"), counted(&d, "backoff"), counted(&d, "busy")],
            [1, 1, 1]
        );
        assert_eq!(d.backlog(&present).oldest, [(Pool::Cpu, at(1_000))].into());
        let facts = d.facts(job(2)).unwrap();
        assert_eq!((facts.kind, facts.eligible_since), ("probe", at(9_000)));
    }
}
