use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{QueueQuotaCommand, QueueQuotaEvent};
use crate::{JobId, LeaseId, Tenant, Timestamp, batch::BatchEvent, job::JobEvent};

/// What a tenant's room is to be told.
#[derive(Debug)]
pub struct Due {
    /// Whose.
    pub tenant: Tenant,
    /// What.
    pub command: QueueQuotaCommand,
    /// The job that is to end if there is no room for it.
    pub late: Option<JobId>,
}

/// The process manager that frees places: which jobs hold one, and what leases have left.
#[derive(Debug, Clone, Default)]
pub struct QueueQuotaTracker {
    tenants: BTreeMap<Tenant, Held>,
    /// Under which lease each job got its place.
    holders: BTreeMap<JobId, LeaseId>,
    /// Jobs that came when their lease was taken back already: each needs another place, or ends.
    late: BTreeMap<JobId, Tenant>,
    /// Those of which something may be to be said.
    stirred: BTreeSet<Tenant>,
}

#[derive(Debug, Clone, Default)]
struct Held {
    leases: BTreeMap<LeaseId, Lease>,
    leased: u64,
    returned: u64,
    /// Jobs with places that are over.
    over: u64,
    /// What the room was told of that.
    told: u64,
    told_at: Timestamp,
}

#[derive(Debug, Clone)]
struct Lease {
    places: u32,
    spent: u32,
    until: Timestamp,
}

/// How long after its end a lease's gateway may still be heard of: what it sent in time may arrive
/// late, and its clock may be another one.
const GRACE: Duration = Duration::from_secs(30);
/// How long a late job's place is kept for it; it is spent as soon as it is seen.
const TERM: Duration = Duration::from_secs(30);
/// How long what is over waits to be said, while there is plenty of room.
const UNHURRIED: Duration = Duration::from_secs(30);

impl QueueQuotaTracker {
    /// Folds in one event of a tenant's places.
    pub fn room(&mut self, tenant: &Tenant, at: Timestamp, event: &QueueQuotaEvent) {
        let held = self.tenants.entry(tenant.clone()).or_default();
        match event {
            QueueQuotaEvent::Leased { lease, places, until } => {
                held.leased = held.leased.saturating_add((*places).into());
                held.leases.insert(*lease, Lease { places: *places, spent: 0, until: *until });
                let job = JobId::from_uuid(lease.uuid());
                if self.late.contains_key(&job) {
                    self.hold(tenant, job, Some(*lease));
                }
            }
            QueueQuotaEvent::Returned { lease, unspent } => {
                held.returned = held.returned.saturating_add((*unspent).into());
                if let Some(lease) = held.leases.get_mut(lease) {
                    lease.places = lease.places.saturating_sub(*unspent);
                }
                held.leases.retain(|_, lease| lease.places > 0);
            }
            QueueQuotaEvent::Freed { over, closed } => {
                (held.told, held.told_at) = (*over, at);
                held.leases.retain(|lease, _| !closed.contains(lease));
            }
        }
        self.stirred.insert(tenant.clone());
    }

    /// Folds in one event of a batch: its jobs have places before they are made.
    pub fn batch(&mut self, tenant: &Tenant, event: &BatchEvent) {
        let BatchEvent::Submitted { spec } = event else { return };
        for job in &spec.jobs {
            self.hold(tenant, job.id, job.spec.lease);
        }
    }

    /// Folds in one event of a job.
    pub fn job(&mut self, tenant: &Tenant, job: JobId, event: &JobEvent) {
        match event {
            JobEvent::Submitted { spec } => self.needs(tenant, job, spec.lease),
            JobEvent::Retried { lease, .. } => self.needs(tenant, job, *lease),
            JobEvent::Completed { .. } | JobEvent::Failed { .. } | JobEvent::Cancelled {} => {
                self.late.remove(&job);
                if self.holders.remove(&job).is_some() {
                    self.count_over(tenant);
                }
            }
            JobEvent::AttemptStarted { .. }
            | JobEvent::AttemptFailed { .. }
            | JobEvent::AttemptAbandoned { .. }
            | JobEvent::CancelRequested { .. }
            | JobEvent::OutputsSealed { .. }
            | JobEvent::OutputsExpired {}
            | JobEvent::PriorityChanged { .. } => {}
        }
    }

    /// A job is there that should have a place.
    fn needs(&mut self, tenant: &Tenant, job: JobId, lease: Option<LeaseId>) {
        self.hold(tenant, job, lease);
        if lease.is_some() && !self.holders.contains_key(&job) {
            self.late.insert(job, tenant.clone());
        }
    }

    /// A job spends a place. Of a lease that was taken back meanwhile, because its gateway stood still for
    /// a minute, there is none.
    fn hold(&mut self, tenant: &Tenant, job: JobId, lease: Option<LeaseId>) {
        let Some(id) = lease.filter(|lease| self.holders.get(&job) != Some(lease)) else { return };
        let held = self.tenants.entry(tenant.clone()).or_default();
        let lease = held.leases.get_mut(&id).filter(|lease| lease.spent < lease.places);
        let Some(lease) = lease else { return };
        lease.spent = lease.spent.saturating_add(1);
        self.late.remove(&job);
        self.stirred.insert(tenant.clone());
        if self.holders.insert(job, id).is_some() {
            // It had one already.
            self.count_over(tenant);
        }
    }

    fn count_over(&mut self, tenant: &Tenant) {
        let held = self.tenants.entry(tenant.clone()).or_default();
        held.over = held.over.saturating_add(1);
        self.stirred.insert(tenant.clone());
    }

    /// What rooms are to be told now. `limit` is how many places a tenant's account has: while half of
    /// them are free, what is over can wait.
    pub fn due(&mut self, now: Timestamp, limit: impl Fn(&Tenant) -> u32) -> Vec<Due> {
        let mut due = Vec::new();
        let tenants = &self.tenants;
        self.stirred.retain(|tenant| {
            let Some(held) = tenants.get(tenant) else { return false };
            let told = held.due(now, limit(tenant));
            due.extend(told.map(|command| Due { tenant: tenant.clone(), command, late: None }));
            held.told != held.over || !held.leases.is_empty()
        });
        due.extend(self.late.iter().map(|(job, tenant)| {
            let (lease, limit) = (LeaseId::from_uuid(job.uuid()), limit(tenant));
            let until = now.plus(TERM);
            let command = QueueQuotaCommand::Lease { lease, least: 1, most: 1, until, limit };
            Due { tenant: tenant.clone(), command, late: Some(*job) }
        }));
        due
    }
}

impl Held {
    fn due(&self, now: Timestamp, limit: u32) -> impl Iterator<Item = QueueQuotaCommand> {
        let taken = self.leased.saturating_sub(self.returned).saturating_sub(self.told);
        let tight = taken > u64::from(limit / 2);
        let used_up = |lease: &Lease| lease.spent >= lease.places;
        let closed: Vec<LeaseId> =
            self.leases.iter().filter(|(_, lease)| used_up(lease)).map(|(id, _)| *id).collect();
        let unsaid = self.over > self.told || !closed.is_empty();
        let hurry = tight || now.since(self.told_at) >= UNHURRIED;
        let free = (unsaid && hurry).then_some(QueueQuotaCommand::Free { over: self.over, closed });
        let expired = |lease: &Lease| now >= lease.until.plus(GRACE) && !used_up(lease);
        let expired = self.leases.iter().filter(|(_, lease)| expired(lease));
        let unspent: Vec<(LeaseId, u32)> =
            expired.map(|(id, lease)| (*id, lease.places.saturating_sub(lease.spent))).collect();
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

    /// A room and the one who frees its places, as the log lets them see each other.
    struct Both {
        tenant: Tenant,
        ledger: QueueQuotaTracker,
        room: QueueQuotaState,
        /// Jobs for which there was no room.
        ended: Vec<JobId>,
    }

    impl Both {
        fn new() -> Self {
            let tenant = "a".parse().unwrap();
            let (ledger, room) = (QueueQuotaTracker::default(), QueueQuotaState::default());
            Self { tenant, ledger, room, ended: Vec::new() }
        }

        fn tell(&mut self, event: &QueueQuotaEvent) {
            self.room = QueueQuota::evolve(std::mem::take(&mut self.room), event);
            self.ledger.room(&self.tenant, Timestamp::from_millis(0), event);
        }

        fn lease(&mut self, n: u128, places: u32) {
            let until = Timestamp::from_millis(1_000);
            self.tell(&QueueQuotaEvent::Leased { lease: lease(n), places, until });
        }

        fn job(&mut self, n: u128, event: &JobEvent) {
            self.ledger.job(&self.tenant, job(n), event);
        }

        fn retried(&mut self, job: u128, n: u128) {
            self.job(job, &JobEvent::Retried { next_attempt: 2, lease: Some(lease(n)) });
        }

        /// What the conductor does at a moment; answers what is taken then.
        fn act(&mut self, millis: u64) -> u64 {
            let now = Timestamp::from_millis(millis);
            for Due { command, late, .. } in self.ledger.due(now, |_| LIMIT) {
                match QueueQuota::decide(&self.room, command) {
                    Ok(events) => events.iter().for_each(|event| self.tell(event)),
                    Err(QueueQuotaRejection::Full { .. }) => self.ended.push(late.unwrap()),
                }
            }
            self.room.taken()
        }
    }

    fn job(n: u128) -> JobId {
        JobId::from_uuid(Uuid::from_u128(n))
    }

    fn lease(n: u128) -> LeaseId {
        LeaseId::from_uuid(Uuid::from_u128(n))
    }

    #[test]
    fn a_job_that_is_over_frees_the_place_that_it_had() {
        let mut both = Both::new();
        both.lease(1, 4);
        both.retried(1, 1);
        both.retried(2, 1);
        assert_eq!(both.act(0), 4);
        both.job(1, &JobEvent::Completed { attempt: 1 });
        assert_eq!(both.act(0), 3);
        // Said twice, over once.
        both.job(1, &JobEvent::Cancelled {});
        assert_eq!(both.act(0), 3);
        // One that never had a place frees none.
        both.job(9, &JobEvent::Cancelled {});
        assert_eq!(both.act(0), 3);
    }

    #[test]
    fn what_a_dead_gateway_did_not_spend_comes_back_a_while_after_its_lease() {
        let mut both = Both::new();
        both.lease(1, 4);
        both.retried(1, 1);
        assert_eq!(both.act(30_000), 4);
        assert_eq!(both.act(31_000), 1);
        // What it returns after that is not counted again.
        let late = QueueQuotaCommand::Return { unspent: vec![(lease(1), 1)] };
        assert_eq!(QueueQuota::decide(&both.room, late), Ok(vec![]));
        both.job(1, &JobEvent::Cancelled {});
        assert_eq!(both.act(61_001), 0);
    }

    #[test]
    fn a_job_that_comes_after_its_lease_gets_another_place_while_there_is_one() {
        let mut both = Both::new();
        both.lease(11, 3);
        assert_eq!(both.act(31_000), 0);
        both.retried(1, 11);
        assert_eq!(both.act(31_000), 1);
        assert_eq!(both.act(31_000), 1, "it asks once");
        let until = Timestamp::from_millis(90_000);
        both.tell(&QueueQuotaEvent::Leased { lease: lease(12), places: 3, until });
        both.retried(2, 11);
        both.retried(3, 11);
        assert_eq!(both.act(31_000), 4, "there is none for these");
        assert_eq!(both.ended, [job(2), job(3)]);
        // One ended, the other is called off; neither had a place to free.
        both.job(2, &failed());
        both.job(3, &JobEvent::Cancelled {});
        assert_eq!(both.act(31_000), 4);
        both.job(1, &JobEvent::Cancelled {});
        assert_eq!(both.act(31_000), 3);
        assert_eq!(both.ended.len(), 2);
    }

    fn failed() -> JobEvent {
        let message = Personal::Clear("no room".to_owned());
        let failure = Failure { code: FailureCode::QuotaExceeded, message };
        JobEvent::Failed { failure, dead_lettered: false }
    }

    #[test]
    fn a_job_has_one_place_however_often_it_is_told() {
        let mut both = Both::new();
        both.lease(1, 2);
        both.retried(1, 1);
        both.retried(1, 1);
        both.lease(2, 1);
        both.retried(1, 2);
        assert_eq!(both.act(0), 2, "one of its own, one that is not spent");
        both.job(1, &JobEvent::Cancelled {});
        assert_eq!(both.act(31_000), 0);
        assert_eq!(both.act(61_000), 0);
        assert!(!both.room.is_lent());
    }

    #[test]
    fn while_there_is_plenty_of_room_what_is_over_is_said_now_and_then() {
        let mut both = Both::new();
        both.lease(1, 2);
        both.retried(1, 1);
        both.job(1, &JobEvent::Cancelled {});
        assert_eq!(both.act(29_000), 2);
        assert_eq!(both.act(30_000), 1);
    }
}
