//! Fair scheduling among tenants: start-time fair queueing over actual job durations.
//!
//! A job's duration is not known when it is released, so its tenant is charged the average duration
//! of its jobs, and the difference once the job has ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::Tenant;

/// Virtual time: thousandths of a millisecond of one slot, for a tenant of weight 1.
type VirtualTime = u64;

/// How far a tenant that was blocked may catch up.
const MAX_CREDIT: VirtualTime = 60_000 * SCALE;
const SCALE: u64 = 1_000;
/// Assumed duration of a tenant's jobs before any has ended.
const INITIAL_MEAN: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
struct Share {
    time: VirtualTime,
    /// Average duration of its jobs, in milliseconds.
    mean: u64,
}

/// The virtual time of each tenant.
#[derive(Debug, Clone, Default)]
pub(super) struct Shares {
    all: BTreeMap<Tenant, Share>,
    /// Tenants with waiting jobs, the furthest behind first.
    active: BTreeSet<(VirtualTime, Tenant)>,
    /// Global virtual time: that of the tenant served last.
    now: VirtualTime,
}

impl Shares {
    /// The tenant has waiting jobs from now on; service that it did not use before is not credited.
    pub(super) fn activate(&mut self, tenant: &Tenant) {
        let now = self.now;
        let fresh =
            || Share { time: now, mean: u64::try_from(INITIAL_MEAN.as_millis()).unwrap_or(0) };
        let share = self.all.entry(tenant.clone()).or_insert_with(fresh);
        if !self.active.contains(&(share.time, tenant.clone())) {
            share.time = share.time.max(now);
            self.active.insert((share.time, tenant.clone()));
        }
    }

    /// The tenant has no waiting jobs any more.
    pub(super) fn deactivate(&mut self, tenant: &Tenant) {
        if let Some(share) = self.all.get(tenant) {
            self.active.remove(&(share.time, tenant.clone()));
        }
    }

    /// Tenants with waiting jobs, the furthest behind first.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (VirtualTime, &Tenant)> {
        self.active.iter().map(|(time, tenant)| (*time, tenant))
    }

    /// The tenant's virtual time after one more release, and the cost charged in advance.
    pub(super) fn after(
        &self,
        tenant: &Tenant,
        time: VirtualTime,
        weight: u32,
    ) -> (VirtualTime, VirtualTime) {
        let mean = self.all.get(tenant).map_or(0, |share| share.mean);
        let cost = cost(mean, weight);
        (time.max(self.now.saturating_sub(MAX_CREDIT)).saturating_add(cost), cost)
    }

    /// Charges a tenant for the release of a job; returns the cost.
    pub(super) fn charge(&mut self, tenant: &Tenant, weight: u32) -> VirtualTime {
        let Some(time) = self.all.get(tenant).map(|share| share.time) else { return 0 };
        let (after, cost) = self.after(tenant, time, weight);
        self.now = self.now.max(time);
        self.set(tenant, after);
        cost
    }

    /// Corrects the charge of an ended job by its actual duration; `None` if it never started.
    pub(super) fn settle(
        &mut self,
        tenant: &Tenant,
        weight: u32,
        charged: VirtualTime,
        took: Option<Duration>,
    ) {
        let Some(share) = self.all.get_mut(tenant) else { return };
        let millis = took.map_or(0, |took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        if took.is_some() {
            share.mean = share.mean.saturating_mul(7).saturating_add(millis) / 8;
        }
        let time = share.time.saturating_sub(charged).saturating_add(cost(millis, weight));
        self.set(tenant, time);
    }

    fn set(&mut self, tenant: &Tenant, time: VirtualTime) {
        let Some(share) = self.all.get_mut(tenant) else { return };
        let was_active = self.active.remove(&(share.time, tenant.clone()));
        share.time = time;
        if was_active {
            self.active.insert((time, tenant.clone()));
        }
    }
}

fn cost(millis: u64, weight: u32) -> VirtualTime {
    millis.saturating_mul(SCALE) / u64::from(weight.max(1))
}
