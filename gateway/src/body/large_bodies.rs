//! Slots for large JSON bodies: few for each tenant, so that no client exhausts the memory, and none takes
//! those of another.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ffapi_domain::Tenant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Larger bodies than this, in bytes, need a slot.
pub(super) const LARGE_BODY: usize = 128 * 1024;
/// Large bodies of one tenant that are received and handled at a time.
const SLOTS: usize = 4;
/// How long a request waits for a slot.
const SLOT_TIMEOUT: Duration = Duration::from_secs(10);
/// Tenants beyond which those without a large body are forgotten.
const MAX_TENANTS: usize = 1_000;

static BY_TENANT: Mutex<BTreeMap<Tenant, Arc<Semaphore>>> = Mutex::new(BTreeMap::new());

/// Waits for a slot of a tenant; it is released when the permit is dropped.
///
/// # Errors
/// 429 if none is released in time.
pub(super) async fn acquire(tenant: &Tenant) -> Result<OwnedSemaphorePermit, Problem> {
    let slots = {
        let mut all = BY_TENANT.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_TENANTS {
            all.retain(|_, slots| Arc::strong_count(slots) > 1);
        }
        let slots = all.entry(tenant.clone()).or_insert_with(|| Arc::new(Semaphore::new(SLOTS)));
        Arc::clone(slots)
    };
    let busy = || {
        let detail = format!(
            "{SLOTS} JSON bodies over {LARGE_BODY} bytes of this account are being handled already; wait \
             for their responses"
        );
        Problem::rate_limited(detail, 5)
    };
    let acquired = tokio::time::timeout(SLOT_TIMEOUT, slots.acquire_owned()).await;
    acquired.map_err(|_| busy())?.map_err(|_| busy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_tenant_waits_for_its_own_large_bodies_only() {
        let (one, other): (Tenant, Tenant) = ("one".parse().unwrap(), "other".parse().unwrap());
        let mut held = Vec::new();
        for _ in 0..SLOTS {
            held.push(acquire(&one).await.unwrap());
        }
        let waiting = tokio::time::timeout(Duration::from_millis(50), acquire(&one)).await;
        assert!(waiting.is_err(), "it waits for a slot");
        assert!(acquire(&other).await.is_ok());
        held.pop();
        assert!(acquire(&one).await.is_ok());
    }
}
