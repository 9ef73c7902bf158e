//! Why a job waits, or did.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    Dispatch, Flow,
    fair_queue::{Picker, Queue},
};
use crate::{JobId, Tenant, Timestamp, media::Pool};

/// A shorter wait needs no reason.
pub(super) const WORTH_A_WORD: Duration = Duration::from_millis(500);

/// Places beyond this one are not counted for a single job.
const FAR: usize = 2_000;

/// What keeps a job from going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum BlockReason {
    /// It was asked for later.
    Scheduled {
        /// Then.
        until: Timestamp,
    },
    /// Its last attempt failed, and the next is not to follow at once.
    Backoff {
        /// Until then.
        until: Timestamp,
    },
    /// No worker has what it needs.
    NoWorker {
        /// What that is.
        pool: Pool,
    },
    /// Its account has as many jobs running as it may.
    AccountCap {
        /// So many.
        most: usize,
    },
    /// Its key has as many jobs running as it may.
    KeyCap {
        /// So many.
        most: usize,
    },
    /// Its batch has as many jobs running as was asked for.
    BatchCap {
        /// So many.
        most: usize,
    },
    /// More urgent jobs of its account go first.
    Priority,
    /// Every slot is taken, and others are in front of it.
    Busy,
}

impl fmt::Display for BlockReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheduled { until } => write!(f, "it is not to start before {until}"),
            Self::Backoff { until } => write!(f, "its next attempt is not to start before {until}"),
            Self::NoWorker { pool } => write!(f, "no worker offers `{}`", pool.as_str()),
            Self::AccountCap { most } => {
                write!(f, "its account has {most} jobs running, which is its limit")
            }
            Self::KeyCap { most } => {
                write!(f, "its key has {most} jobs running, which is its limit")
            }
            Self::BatchCap { most } => {
                write!(f, "its batch has {most} jobs running, which is its max_parallel")
            }
            Self::Priority => f.write_str("more urgent jobs of its account go first"),
            Self::Busy => f.write_str("every slot is taken"),
        }
    }
}

/// That a released job had waited, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waited {
    /// Since when it could have gone.
    pub since: Timestamp,
    /// What kept it last.
    pub why: BlockReason,
}

/// Where the dispatcher is asked where jobs stand.
pub const PLACES: &str = "rpc.queue";

/// What it is asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlacesQuestion {
    /// Whose jobs.
    pub tenant: Tenant,
    /// Only this one.
    #[serde(default)]
    pub job: Option<JobId>,
    /// At most so many.
    pub limit: usize,
}

/// Where a waiting job stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Which.
    pub job: JobId,
    /// 1 is its account's next; none while a timer holds it back.
    pub place: Option<usize>,
    /// What keeps it.
    pub why: BlockReason,
}

impl Dispatch {
    /// Why a job that goes now did not go sooner.
    pub(super) fn waited(
        &self,
        queue: &Queue,
        flow: &Flow,
        pool: Pool,
        since: Timestamp,
    ) -> Waited {
        let wished = [flow.wish.prefer, pool];
        let absent = |pool: &Pool| self.absent.get(pool).is_some_and(|at| *at >= since);
        let why = match wished.iter().find(|pool| absent(pool)) {
            Some(pool) => BlockReason::NoWorker { pool: *pool },
            None => queue.kept_back(flow, since).unwrap_or(BlockReason::Busy),
        };
        Waited { since, why }
    }

    /// A tenant's waiting jobs as they would go, and what keeps each; those with a timer last.
    pub fn places(&self, tenant: &Tenant, present: &BTreeSet<Pool>, limit: usize) -> Vec<Place> {
        let mut places = Vec::new();
        if let Some(queue) = self.queues.get(tenant) {
            let mut picker = Picker::new(queue, self.caps.aging(), |_| true);
            let mut urgent: BTreeMap<Pool, _> = BTreeMap::new();
            while places.len() < limit
                && let Some((flow, _, job)) = picker.next(|_| true)
            {
                let pool = flow.wish.pool(present);
                let first = *urgent.entry(pool).or_insert(flow.priority);
                let why = if !present.contains(&pool) {
                    BlockReason::NoWorker { pool }
                } else if let Some(cap) = self.capped(tenant, flow) {
                    cap
                } else if first > flow.priority {
                    BlockReason::Priority
                } else {
                    BlockReason::Busy
                };
                let place = Some(places.len().saturating_add(1));
                places.push(Place { job, place, why });
            }
        }
        let timed = self.timers.iter().filter_map(|(until, job)| {
            let waiting = self.waiting.get(job).filter(|waiting| waiting.tenant == *tenant)?;
            Some(Place { job: *job, place: None, why: timer(waiting.attempt, *until) })
        });
        let room = limit.saturating_sub(places.len());
        places.extend(timed.take(room));
        places
    }

    /// What keeps one job of a tenant's, if it waits.
    pub fn place(&self, job: JobId, tenant: &Tenant, present: &BTreeSet<Pool>) -> Option<Place> {
        let waiting = self.waiting.get(&job).filter(|waiting| waiting.tenant == *tenant)?;
        let all = self.places(tenant, present, FAR);
        let far = || {
            // So far behind that its number means nothing.
            let why = match (waiting.timed, self.capped(tenant, &waiting.flow)) {
                (true, _) => timer(waiting.attempt, waiting.ready),
                (false, Some(cap)) => cap,
                (false, None) => BlockReason::Busy,
            };
            Place { job, place: None, why }
        };
        Some(all.into_iter().find(|place| place.job == job).unwrap_or_else(far))
    }
}

/// What holds back a job with a timer, before this attempt.
const fn timer(attempt: u32, until: Timestamp) -> BlockReason {
    match attempt {
        1 => BlockReason::Scheduled { until },
        _ => BlockReason::Backoff { until },
    }
}
