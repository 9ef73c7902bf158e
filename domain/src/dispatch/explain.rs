//! Explains why a job waits, or waited.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    Dispatch, Flow, Hold,
    fair_queue::{Picker, Queue},
    held::HeldJob,
};
use crate::{JobId, Tenant, Timestamp, media::Pool};

/// Shorter waits are not explained.
pub(super) const MIN_EXPLAINED_WAIT: Duration = Duration::from_millis(500);

/// Queue positions beyond this one are not computed for a single job.
const MAX_POSITION: usize = 2_000;

/// Why a job cannot be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum BlockReason {
    /// It was submitted with a later start time.
    Scheduled {
        /// Its earliest start.
        until: Timestamp,
    },
    /// Its last attempt failed, and the retry delay has not passed.
    Backoff {
        /// Its earliest start.
        until: Timestamp,
    },
    /// It reads an output of a job that has not completed.
    WaitingFor {
        /// That job.
        job: JobId,
    },
    /// No worker offers the pool that it needs.
    NoWorker {
        /// The pool.
        pool: Pool,
    },
    /// Its account has reached its limit of concurrent jobs.
    AccountCap {
        /// The limit.
        most: usize,
    },
    /// Its key has reached its limit of concurrent jobs.
    KeyCap {
        /// The limit.
        most: usize,
    },
    /// Its batch has reached its `max_parallel`.
    BatchCap {
        /// The limit.
        most: usize,
    },
    /// Jobs of a higher priority of its account go first.
    Priority,
    /// Every slot is taken, and other jobs are ahead of it.
    Busy,
}

impl BlockReason {
    pub(super) const SCHEDULED: &'static str = "scheduled";
    pub(super) const BACKOFF: &'static str = "backoff";
    pub(super) const WAITING_FOR: &'static str = "waiting_for";

    /// Its name in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Scheduled { .. } => Self::SCHEDULED,
            Self::Backoff { .. } => Self::BACKOFF,
            Self::WaitingFor { .. } => Self::WAITING_FOR,
            Self::NoWorker { .. } => "no_worker",
            Self::AccountCap { .. } => "account_cap",
            Self::KeyCap { .. } => "key_cap",
            Self::BatchCap { .. } => "batch_cap",
            Self::Priority => "priority",
            Self::Busy => "busy",
        }
    }
}

impl fmt::Display for BlockReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheduled { until } => write!(f, "it is not to start before {until}"),
            Self::Backoff { until } => write!(f, "its next attempt is not to start before {until}"),
            Self::WaitingFor { job } => {
                write!(f, "it reads an output of {job}, which has not completed")
            }
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

/// How long a released job had waited, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waited {
    /// Since when it had been eligible.
    pub since: Timestamp,
    /// The reason that applied last.
    pub why: BlockReason,
}

/// NATS subject for requests about queue positions.
pub const QUEUE_POSITIONS: &str = "rpc.queue";

/// A request for queue positions.
#[derive(Debug, Serialize, Deserialize)]
pub struct QueuePositionsRequest {
    /// The tenant that owns the jobs.
    pub tenant: Tenant,
    /// Limits the response to this job.
    #[serde(default)]
    pub job: Option<JobId>,
    /// Maximum number of jobs in the response.
    pub limit: usize,
}

/// The queue position of a waiting job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePosition {
    /// The job.
    pub job: JobId,
    /// Position in its account's queue, starting at 1; `None` while it is not to start yet.
    #[serde(rename = "place")]
    pub position: Option<usize>,
    /// Why it waits.
    pub why: BlockReason,
}

impl Dispatch {
    /// Why a job that is released now was not released sooner.
    pub(super) fn waited(
        &self,
        queue: &Queue,
        flow: &Flow,
        pool: Pool,
        since: Timestamp,
    ) -> Waited {
        let wanted = [flow.wish.prefer, pool];
        let absent = |pool: &Pool| self.absent.get(pool).is_some_and(|at| *at >= since);
        let why = match wanted.iter().find(|pool| absent(pool)) {
            Some(pool) => BlockReason::NoWorker { pool: *pool },
            None => queue.block_reason(flow, since).unwrap_or(BlockReason::Busy),
        };
        Waited { since, why }
    }

    /// A tenant's waiting jobs in release order, with the reason why each waits; those that are not
    /// to start yet last.
    pub fn queue_positions(
        &self,
        tenant: &Tenant,
        present: &BTreeSet<Pool>,
        limit: usize,
    ) -> Vec<QueuePosition> {
        let mut positions = Vec::new();
        if let Some(queue) = self.queues.get(tenant) {
            let mut picker = Picker::new(queue, self.caps.aging_millis(), |_| true);
            let mut urgent: BTreeMap<Pool, _> = BTreeMap::new();
            while positions.len() < limit
                && let Some((flow, _, job)) = picker.next(|_| true)
            {
                let pool = flow.wish.pool(present);
                let first = *urgent.entry(pool).or_insert(flow.priority);
                let why = if !present.contains(&pool) {
                    BlockReason::NoWorker { pool }
                } else if let Some(cap) = self.current_cap(tenant, flow) {
                    cap
                } else if first > flow.priority {
                    BlockReason::Priority
                } else {
                    BlockReason::Busy
                };
                let position = Some(positions.len().saturating_add(1));
                positions.push(QueuePosition { job, position, why });
            }
        }
        let held = self.held.of(tenant).filter_map(|HeldJob { hold, ready, job }| {
            let why = match hold {
                Hold::Timer => timer(self.waiting.get(job)?.attempt, *ready),
                Hold::Inputs => self.input_reason(*job)?,
                Hold::None => return None,
            };
            Some(QueuePosition { job: *job, position: None, why })
        });
        let remaining = limit.saturating_sub(positions.len());
        positions.extend(held.take(remaining));
        positions
    }

    /// The queue position of one waiting job of a tenant.
    pub fn queue_position(
        &self,
        job: JobId,
        tenant: &Tenant,
        present: &BTreeSet<Pool>,
    ) -> Option<QueuePosition> {
        let waiting = self.waiting.get(&job).filter(|waiting| waiting.tenant == *tenant)?;
        let all = self.queue_positions(tenant, present, MAX_POSITION);
        let far = || {
            // It is so far behind that its position means nothing.
            let why = match waiting.hold {
                Hold::Timer => timer(waiting.attempt, waiting.ready),
                Hold::Inputs => self.input_reason(job).unwrap_or(BlockReason::Busy),
                Hold::None => self.current_cap(tenant, &waiting.flow).unwrap_or(BlockReason::Busy),
            };
            QueuePosition { job, position: None, why }
        };
        Some(all.into_iter().find(|known| known.job == job).unwrap_or_else(far))
    }
}

/// The reason for the timer of a job that waits for this attempt.
const fn timer(attempt: u32, until: Timestamp) -> BlockReason {
    match attempt {
        1 => BlockReason::Scheduled { until },
        _ => BlockReason::Backoff { until },
    }
}
