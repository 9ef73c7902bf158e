//! The waiting jobs that are in no queue: counted as they change, because there may be very many, and
//! listed by tenant, so that one who asks for its own does not go through those of all.

use std::collections::{BTreeMap, BTreeSet};

use super::{BlockReason, Hold, Waiting, decrement, increment};
use crate::{JobId, Tenant, Timestamp, job::Priority, media::Hardware};

/// The jobs that are held.
#[derive(Debug, Clone, Default)]
pub(super) struct HeldJobs {
    groups: BTreeMap<HeldGroup, usize>,
    by_tenant: BTreeMap<Tenant, BTreeSet<HeldJob>>,
}

/// Held jobs that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HeldGroup {
    pub(super) wish: Hardware,
    pub(super) priority: Priority,
    /// Why they wait, as in [`BlockReason::name`].
    pub(super) reason: &'static str,
}

/// A held job, in the order in which a tenant's are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HeldJob {
    pub(super) hold: Hold,
    /// Since when it is eligible, or when its timer is due.
    pub(super) ready: Timestamp,
    pub(super) job: JobId,
}

impl HeldGroup {
    /// The jobs that a job is counted with; none if it is in a queue.
    const fn of(waiting: &Waiting) -> Option<Self> {
        let reason = match (waiting.hold, waiting.attempt) {
            (Hold::None, _) => return None,
            (Hold::Inputs, _) => BlockReason::WAITING_FOR,
            (Hold::Timer, 1) => BlockReason::SCHEDULED,
            (Hold::Timer, _) => BlockReason::BACKOFF,
        };
        Some(Self { wish: waiting.flow.wish, priority: waiting.flow.priority, reason })
    }
}

impl HeldJobs {
    /// Adds a job, unless it is in a queue.
    pub(super) fn add(&mut self, job: JobId, waiting: &Waiting) {
        let Some(group) = HeldGroup::of(waiting) else { return };
        increment(&mut self.groups, group);
        let held = HeldJob { hold: waiting.hold, ready: waiting.ready, job };
        self.by_tenant.entry(waiting.tenant.clone()).or_default().insert(held);
    }

    /// Removes a job that was added as it is.
    pub(super) fn remove(&mut self, job: JobId, waiting: &Waiting) {
        let Some(group) = HeldGroup::of(waiting) else { return };
        decrement(&mut self.groups, &group);
        if let Some(jobs) = self.by_tenant.get_mut(&waiting.tenant) {
            jobs.remove(&HeldJob { hold: waiting.hold, ready: waiting.ready, job });
            if jobs.is_empty() {
                self.by_tenant.remove(&waiting.tenant);
            }
        }
    }

    /// The number of jobs of each group.
    pub(super) const fn groups(&self) -> &BTreeMap<HeldGroup, usize> {
        &self.groups
    }

    /// The jobs of a tenant: those with timers first.
    pub(super) fn of(&self, tenant: &Tenant) -> impl Iterator<Item = &HeldJob> {
        self.by_tenant.get(tenant).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dispatch::{
            Dispatch,
            tests::{at, caps, fold, job, spec, submitted},
        },
        job::{JobEvent, JobSpec},
        media::Pool,
    };

    #[test]
    fn the_held_jobs_of_a_tenant_are_found_without_those_of_others() {
        let mut d = Dispatch::new(caps(9));
        let later = |not_before| submitted(JobSpec { not_before: Some(not_before), ..spec() });
        for (number, due) in [(1, 9_000), (2, 1_000), (3, 9_000), (4, 8_000)] {
            fold(&mut d, number, "a", &later(at(due)));
        }
        fold(&mut d, 5, "b", &later(at(500)));
        fold(&mut d, 3, "a", &JobEvent::Cancelled {});
        let (a, b): (Tenant, Tenant) = ("a".parse().unwrap(), "b".parse().unwrap());
        let held =
            |d: &Dispatch, tenant| d.held.of(tenant).map(|held| held.job).collect::<Vec<_>>();
        assert_eq!(held(&d, &a), [job(2), job(4), job(1)], "the next one first");
        assert_eq!(held(&d, &b), [job(5)]);
        let present = [Pool::Cpu].into();
        let positions = d.queue_positions(&a, &present, 2);
        assert_eq!(
            positions.iter().map(|position| position.job).collect::<Vec<_>>(),
            [job(2), job(4)]
        );
        assert!(positions.iter().all(|found| found.position.is_none()), "{positions:?}");
        // Two timers are due: those jobs are in queues.
        d.choose(Pool::Cpu, &present, 0, at(2_000));
        assert_eq!(held(&d, &a), [job(4), job(1)]);
        assert!(!d.held.by_tenant.contains_key(&b));
        let positions: Vec<_> = d.queue_positions(&a, &present, 9);
        assert_eq!(
            positions.iter().map(|position| position.job).collect::<Vec<_>>(),
            [job(2), job(4), job(1)]
        );
        assert_eq!(positions[0].position, Some(1));
    }
}
