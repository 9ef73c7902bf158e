//! Slots for work that takes much memory or time: few for each tenant, so that no client exhausts the
//! process, and none takes the slots of another.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ffapi_domain::Tenant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// How long a request waits for a slot.
const SLOT_TIMEOUT: Duration = Duration::from_secs(10);
/// Tenants beyond which those without a slot in use are forgotten.
const MAX_TENANTS: usize = 1_000;

/// The slots of all tenants for one kind of work.
#[derive(Debug)]
pub(crate) struct TenantSlots {
    /// Slots of each tenant.
    slots: usize,
    by_tenant: Mutex<BTreeMap<Tenant, Arc<Semaphore>>>,
}

impl TenantSlots {
    pub(crate) const fn new(slots: usize) -> Self {
        Self { slots, by_tenant: Mutex::new(BTreeMap::new()) }
    }

    /// Waits for a slot of a tenant, which is released when the permit is dropped; none if none is
    /// released in time.
    pub(crate) async fn acquire(&self, tenant: &Tenant) -> Option<OwnedSemaphorePermit> {
        let slots = self.of(tenant);
        tokio::time::timeout(SLOT_TIMEOUT, slots.acquire_owned()).await.ok()?.ok()
    }

    /// A slot of a tenant, if one is free now.
    pub(crate) fn try_acquire(&self, tenant: &Tenant) -> Option<OwnedSemaphorePermit> {
        self.of(tenant).try_acquire_owned().ok()
    }

    fn of(&self, tenant: &Tenant) -> Arc<Semaphore> {
        let mut all = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_TENANTS {
            all.retain(|_, slots| Arc::strong_count(slots) > 1);
        }
        let new = || Arc::new(Semaphore::new(self.slots));
        Arc::clone(all.entry(tenant.clone()).or_insert_with(new))
    }
}

/// Lists of one tenant that are read at a time: a filter may have to read all rows of a tenant.
static LISTS: TenantSlots = TenantSlots::new(4);

/// Waits for the slot of a list that may read all rows of a tenant.
///
/// # Errors
/// 429 if many of the tenant's lists are being read.
pub(crate) async fn of_list(tenant: &Tenant) -> Result<OwnedSemaphorePermit, Problem> {
    let busy = || Problem::rate_limited("many lists are being read; try again", 1);
    LISTS.acquire(tenant).await.ok_or_else(busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_tenant_waits_for_its_own_slots_only() {
        let slots = TenantSlots::new(2);
        let (one, other): (Tenant, Tenant) = ("one".parse().unwrap(), "other".parse().unwrap());
        let mut held = vec![slots.acquire(&one).await.unwrap(), slots.acquire(&one).await.unwrap()];
        assert!(slots.acquire(&one).await.is_none(), "none is released in time");
        assert!(slots.acquire(&other).await.is_some());
        held.pop();
        assert!(slots.acquire(&one).await.is_some());
    }
}
