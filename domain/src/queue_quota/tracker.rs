use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{QueueQuotaCommand, QueueQuotaEvent};
use crate::{JobId, LeaseId, Tenant, Timestamp, batch::BatchEvent, job::JobEvent};

/// A pending command for a tenant's queue quota.
#[derive(Debug)]
pub struct Due {
    /// The tenant.
    pub tenant: Tenant,
    /// The command.
    pub command: QueueQuotaCommand,
    /// The job that fails if the queue has no free slot for it.
    pub late: Option<JobId>,
}

/// The process manager of queue slots: tracks which jobs occupy one, and the unspent slots of
/// leases.
#[derive(Debug, Clone, Default)]
pub struct QueueQuotaTracker {
    tenants: BTreeMap<Tenant, TenantSlots>,
    /// The lease whose slot each job occupies.
    holders: BTreeMap<JobId, LeaseId>,
    /// Jobs that arrived after their lease had been taken back: each needs another slot, or fails.
    late: BTreeMap<JobId, Tenant>,
    /// Tenants that may have pending commands.
    dirty: BTreeSet<Tenant>,
}

#[derive(Debug, Clone, Default)]
struct TenantSlots {
    leases: BTreeMap<LeaseId, Lease>,
    leased: u64,
    returned: u64,
    /// Number of ended jobs that had slots.
    over: u64,
    /// The number of ended jobs that was last reported.
    reported: u64,
    reported_at: Timestamp,
}

#[derive(Debug, Clone)]
struct Lease {
    slots: u32,
    spent: u32,
    until: Timestamp,
}

/// Time after its end in which messages of a lease's gateway may still arrive: they may be delayed,
/// and its clock may differ.
const EXPIRY_GRACE: Duration = Duration::from_secs(30);
/// Lease time of a late job's slot, which is spent as soon as the lease is seen.
const LATE_JOB_LEASE: Duration = Duration::from_secs(30);
/// Interval between reports of ended jobs, while many slots are free.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);

impl QueueQuotaTracker {
    /// Folds in one event of a tenant's queue slots.
    pub fn queue_quota(&mut self, tenant: &Tenant, at: Timestamp, event: &QueueQuotaEvent) {
        let slots = self.tenants.entry(tenant.clone()).or_default();
        match event {
            QueueQuotaEvent::Leased { lease, slots: count, until } => {
                slots.leased = slots.leased.saturating_add((*count).into());
                slots.leases.insert(*lease, Lease { slots: *count, spent: 0, until: *until });
                let job = JobId::from_uuid(lease.uuid());
                if self.late.contains_key(&job) {
                    self.spend_slot(tenant, job, Some(*lease));
                }
            }
            QueueQuotaEvent::Returned { lease, unspent } => {
                slots.returned = slots.returned.saturating_add((*unspent).into());
                if let Some(lease) = slots.leases.get_mut(lease) {
                    lease.slots = lease.slots.saturating_sub(*unspent);
                }
                slots.leases.retain(|_, lease| lease.slots > 0);
            }
            QueueQuotaEvent::Freed { over, closed } => {
                (slots.reported, slots.reported_at) = (*over, at);
                slots.leases.retain(|lease, _| !closed.contains(lease));
            }
        }
        self.dirty.insert(tenant.clone());
    }

    /// Folds in one event of a batch: its jobs occupy slots before they are created.
    pub fn batch(&mut self, tenant: &Tenant, event: &BatchEvent) {
        let BatchEvent::Submitted { spec } = event else { return };
        for job in &spec.jobs {
            self.spend_slot(tenant, job.id, job.spec.lease);
        }
    }

    /// Folds in one event of a job.
    pub fn job(&mut self, tenant: &Tenant, job: JobId, event: &JobEvent) {
        match event {
            JobEvent::Submitted { spec } => self.require_slot(tenant, job, spec.lease),
            JobEvent::Retried { lease, .. } => self.require_slot(tenant, job, *lease),
            JobEvent::Completed { .. } | JobEvent::Failed { .. } | JobEvent::Cancelled {} => {
                self.late.remove(&job);
                if self.holders.remove(&job).is_some() {
                    self.count_ended(tenant);
                }
            }
            JobEvent::AttemptStarted { .. }
            | JobEvent::AttemptFailed { .. }
            | JobEvent::AttemptAbandoned { .. }
            | JobEvent::CancelRequested { .. }
            | JobEvent::OutputsSealed { .. }
            | JobEvent::OutputsExpired {}
            | JobEvent::OutputsDeleted { .. }
            | JobEvent::PriorityChanged { .. } => {}
        }
    }

    /// Handles a job that should occupy a slot.
    fn require_slot(&mut self, tenant: &Tenant, job: JobId, lease: Option<LeaseId>) {
        self.spend_slot(tenant, job, lease);
        if lease.is_some() && !self.holders.contains_key(&job) {
            self.late.insert(job, tenant.clone());
        }
    }

    /// Records that a job spends a slot. A lease that was taken back, because its gateway was
    /// stalled for a minute, has none.
    fn spend_slot(&mut self, tenant: &Tenant, job: JobId, lease: Option<LeaseId>) {
        let Some(id) = lease.filter(|lease| self.holders.get(&job) != Some(lease)) else { return };
        let slots = self.tenants.entry(tenant.clone()).or_default();
        let lease = slots.leases.get_mut(&id).filter(|lease| lease.spent < lease.slots);
        let Some(lease) = lease else { return };
        lease.spent = lease.spent.saturating_add(1);
        self.late.remove(&job);
        self.dirty.insert(tenant.clone());
        if self.holders.insert(job, id).is_some() {
            // It occupied one already.
            self.count_ended(tenant);
        }
    }

    fn count_ended(&mut self, tenant: &Tenant) {
        let slots = self.tenants.entry(tenant.clone()).or_default();
        slots.over = slots.over.saturating_add(1);
        self.dirty.insert(tenant.clone());
    }

    /// The commands that are due now. `limit` returns a tenant's limit: while half of its slots are
    /// free, ended jobs need not be reported yet.
    pub fn due(&mut self, now: Timestamp, limit: impl Fn(&Tenant) -> u32) -> Vec<Due> {
        let mut due = Vec::new();
        let tenants = &self.tenants;
        self.dirty.retain(|tenant| {
            let Some(slots) = tenants.get(tenant) else { return false };
            let commands = slots.due(now, limit(tenant));
            due.extend(commands.map(|command| Due { tenant: tenant.clone(), command, late: None }));
            slots.reported != slots.over || !slots.leases.is_empty()
        });
        due.extend(self.late.iter().map(|(job, tenant)| {
            let (lease, limit) = (LeaseId::from_uuid(job.uuid()), limit(tenant));
            let until = now.plus(LATE_JOB_LEASE);
            let command = QueueQuotaCommand::Lease { lease, least: 1, most: 1, until, limit };
            Due { tenant: tenant.clone(), command, late: Some(*job) }
        }));
        due
    }
}

impl TenantSlots {
    fn due(&self, now: Timestamp, limit: u32) -> impl Iterator<Item = QueueQuotaCommand> {
        let taken = self.leased.saturating_sub(self.returned).saturating_sub(self.reported);
        let is_tight = taken > u64::from(limit / 2);
        let used_up = |lease: &Lease| lease.spent >= lease.slots;
        let closed: Vec<LeaseId> =
            self.leases.iter().filter(|(_, lease)| used_up(lease)).map(|(id, _)| *id).collect();
        let unreported = self.over > self.reported || !closed.is_empty();
        let is_due = is_tight || now.since(self.reported_at) >= REPORT_INTERVAL;
        let free =
            (unreported && is_due).then_some(QueueQuotaCommand::Free { over: self.over, closed });
        let expired = |lease: &Lease| now >= lease.until.plus(EXPIRY_GRACE) && !used_up(lease);
        let expired = self.leases.iter().filter(|(_, lease)| expired(lease));
        let unspent: Vec<(LeaseId, u32)> =
            expired.map(|(id, lease)| (*id, lease.slots.saturating_sub(lease.spent))).collect();
        let back = (!unspent.is_empty()).then_some(QueueQuotaCommand::Expire { unspent });
        free.into_iter().chain(back)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        Decider, Personal,
        job::{Failure, FailureCode},
        queue_quota::{QueueQuota, QueueQuotaRejection, QueueQuotaState},
    };

    const LIMIT: u32 = 4;

    /// The quota's state and the tracker, connected as by the log.
    struct Harness {
        tenant: Tenant,
        tracker: QueueQuotaTracker,
        state: QueueQuotaState,
        /// Jobs that found no free slot.
        ended: Vec<JobId>,
    }

    impl Harness {
        fn new() -> Self {
            let tenant = "a".parse().unwrap();
            let (tracker, state) = (QueueQuotaTracker::default(), QueueQuotaState::default());
            Self { tenant, tracker, state, ended: Vec::new() }
        }

        fn apply(&mut self, event: &QueueQuotaEvent) {
            self.state = QueueQuota::evolve(std::mem::take(&mut self.state), event);
            self.tracker.queue_quota(&self.tenant, Timestamp::from_millis(0), event);
        }

        fn lease(&mut self, n: u128, slots: u32) {
            let until = Timestamp::from_millis(1_000);
            self.apply(&QueueQuotaEvent::Leased { lease: lease(n), slots, until });
        }

        fn job(&mut self, n: u128, event: &JobEvent) {
            self.tracker.job(&self.tenant, job(n), event);
        }

        fn retried(&mut self, job: u128, n: u128) {
            self.job(job, &JobEvent::Retried { next_attempt: 2, lease: Some(lease(n)) });
        }

        /// Runs the due commands at a time; returns the number of slots taken.
        fn run_conductor(&mut self, millis: u64) -> u64 {
            let now = Timestamp::from_millis(millis);
            for Due { command, late, .. } in self.tracker.due(now, |_| LIMIT) {
                match QueueQuota::decide(&self.state, command) {
                    Ok(events) => events.iter().for_each(|event| self.apply(event)),
                    Err(QueueQuotaRejection::Full { .. }) => self.ended.push(late.unwrap()),
                }
            }
            self.state.taken()
        }
    }

    fn job(n: u128) -> JobId {
        JobId::from_uuid(Uuid::from_u128(n))
    }

    fn lease(n: u128) -> LeaseId {
        LeaseId::from_uuid(Uuid::from_u128(n))
    }

    #[test]
    fn an_ended_job_frees_its_slot() {
        let mut harness = Harness::new();
        harness.lease(1, 4);
        harness.retried(1, 1);
        harness.retried(2, 1);
        assert_eq!(harness.run_conductor(0), 4);
        harness.job(1, &JobEvent::Completed { attempt: 1 });
        assert_eq!(harness.run_conductor(0), 3);
        // A repeated end counts once.
        harness.job(1, &JobEvent::Cancelled {});
        assert_eq!(harness.run_conductor(0), 3);
        // A job that never had a slot frees none.
        harness.job(9, &JobEvent::Cancelled {});
        assert_eq!(harness.run_conductor(0), 3);
    }

    #[test]
    fn unspent_slots_of_a_dead_gateway_are_taken_back_after_its_lease() {
        let mut harness = Harness::new();
        harness.lease(1, 4);
        harness.retried(1, 1);
        assert_eq!(harness.run_conductor(30_000), 4);
        assert_eq!(harness.run_conductor(31_000), 1);
        // What the gateway returns after that is not counted again.
        let late = QueueQuotaCommand::Return { unspent: vec![(lease(1), 1)] };
        assert_eq!(QueueQuota::decide(&harness.state, late), Ok(vec![]));
        harness.job(1, &JobEvent::Cancelled {});
        assert_eq!(harness.run_conductor(61_001), 0);
    }

    #[test]
    fn a_job_that_arrives_after_its_lease_gets_another_slot_if_one_is_free() {
        let mut harness = Harness::new();
        harness.lease(11, 3);
        assert_eq!(harness.run_conductor(31_000), 0);
        harness.retried(1, 11);
        assert_eq!(harness.run_conductor(31_000), 1);
        assert_eq!(harness.run_conductor(31_000), 1, "it requests one once");
        let until = Timestamp::from_millis(90_000);
        harness.apply(&QueueQuotaEvent::Leased { lease: lease(12), slots: 3, until });
        harness.retried(2, 11);
        harness.retried(3, 11);
        assert_eq!(harness.run_conductor(31_000), 4, "no slot is left for these");
        assert_eq!(harness.ended, [job(2), job(3)]);
        // One failed, the other is cancelled; neither had a slot to free.
        harness.job(2, &failed());
        harness.job(3, &JobEvent::Cancelled {});
        assert_eq!(harness.run_conductor(31_000), 4);
        harness.job(1, &JobEvent::Cancelled {});
        assert_eq!(harness.run_conductor(31_000), 3);
        assert_eq!(harness.ended.len(), 2);
    }

    fn failed() -> JobEvent {
        let message = Personal::Clear("no free slot".to_owned());
        let failure = Failure { code: FailureCode::QuotaExceeded, message };
        JobEvent::Failed { failure, dead_lettered: false }
    }

    #[test]
    fn a_job_occupies_one_slot_even_if_its_event_is_repeated() {
        let mut harness = Harness::new();
        harness.lease(1, 2);
        harness.retried(1, 1);
        harness.retried(1, 1);
        harness.lease(2, 1);
        harness.retried(1, 2);
        assert_eq!(harness.run_conductor(0), 2, "its own slot, and an unspent one");
        harness.job(1, &JobEvent::Cancelled {});
        assert_eq!(harness.run_conductor(31_000), 0);
        assert_eq!(harness.run_conductor(61_000), 0);
        assert!(!harness.state.has_open_leases());
    }

    #[test]
    fn ended_jobs_are_reported_periodically_while_many_slots_are_free() {
        let mut harness = Harness::new();
        harness.lease(1, 2);
        harness.retried(1, 1);
        harness.job(1, &JobEvent::Cancelled {});
        assert_eq!(harness.run_conductor(29_000), 2);
        assert_eq!(harness.run_conductor(30_000), 1);
    }
}
