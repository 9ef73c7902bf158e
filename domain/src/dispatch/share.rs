//! Who is next, among tenants: start-time fair queueing over what jobs really took.
//!
//! A job's length is not known when it is released, so its tenant is charged what its jobs took on
//! average, and the difference once it is over.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::Tenant;

/// Thousandths of a millisecond of one slot, for a tenant of weight 1.
type Virtual = u64;

/// How much a tenant that could not go may catch up.
const CREDIT: Virtual = 60_000 * SCALE;
const SCALE: u64 = 1_000;
/// What a job is taken to last before any has.
const GUESS: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
struct Share {
    time: Virtual,
    /// What its jobs took on average, in milliseconds.
    mean: u64,
}

/// How far each tenant has been served.
#[derive(Debug, Clone, Default)]
pub(super) struct Shares {
    all: BTreeMap<Tenant, Share>,
    /// Those that wait, the furthest behind first.
    active: BTreeSet<(Virtual, Tenant)>,
    /// Where the service stands: the time of the one that was served last.
    now: Virtual,
}

impl Shares {
    /// It waits for something from now on: what it did not want before is gone.
    pub(super) fn activate(&mut self, tenant: &Tenant) {
        let now = self.now;
        let fresh = || Share { time: now, mean: u64::try_from(GUESS.as_millis()).unwrap_or(0) };
        let share = self.all.entry(tenant.clone()).or_insert_with(fresh);
        if !self.active.contains(&(share.time, tenant.clone())) {
            share.time = share.time.max(now);
            self.active.insert((share.time, tenant.clone()));
        }
    }

    /// It waits for nothing any more.
    pub(super) fn deactivate(&mut self, tenant: &Tenant) {
        if let Some(share) = self.all.get(tenant) {
            self.active.remove(&(share.time, tenant.clone()));
        }
    }

    /// Those that wait, the furthest behind first.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (Virtual, &Tenant)> {
        self.active.iter().map(|(time, tenant)| (*time, tenant))
    }

    /// Where it stands once another job of it has gone, and what that costs in advance.
    pub(super) fn after(&self, tenant: &Tenant, time: Virtual, weight: u32) -> (Virtual, Virtual) {
        let mean = self.all.get(tenant).map_or(0, |share| share.mean);
        let cost = cost(mean, weight);
        (time.max(self.now.saturating_sub(CREDIT)).saturating_add(cost), cost)
    }

    /// A job of it goes; answers what it was charged.
    pub(super) fn charge(&mut self, tenant: &Tenant, weight: u32) -> Virtual {
        let Some(time) = self.all.get(tenant).map(|share| share.time) else { return 0 };
        let (after, cost) = self.after(tenant, time, weight);
        self.now = self.now.max(time);
        self.set(tenant, after);
        cost
    }

    /// A job of it is over, after so long; none if it never began.
    pub(super) fn settle(
        &mut self,
        tenant: &Tenant,
        weight: u32,
        charged: Virtual,
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

    fn set(&mut self, tenant: &Tenant, time: Virtual) {
        let Some(share) = self.all.get_mut(tenant) else { return };
        let was_active = self.active.remove(&(share.time, tenant.clone()));
        share.time = time;
        if was_active {
            self.active.insert((time, tenant.clone()));
        }
    }
}

fn cost(millis: u64, weight: u32) -> Virtual {
    millis.saturating_mul(SCALE) / u64::from(weight.max(1))
}
