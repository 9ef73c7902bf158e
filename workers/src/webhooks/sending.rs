use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ffapi_domain::Tenant;

/// The endpoints that a sender is sending to, counted by tenant.
#[derive(Debug, Default)]
pub(super) struct Sending {
    counts: Mutex<BTreeMap<Tenant, usize>>,
}

/// One of them; it counts until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    sending: Arc<Sending>,
    tenant: Tenant,
}

impl Sending {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Tenant, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of each tenant.
    pub(super) fn counts(&self) -> BTreeMap<Tenant, usize> {
        self.lock().clone()
    }

    /// One more of a tenant.
    pub(super) fn begin(self: &Arc<Self>, tenant: &Tenant) -> Counted {
        *self.lock().entry(tenant.clone()).or_default() += 1;
        Counted { sending: Arc::clone(self), tenant: tenant.clone() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.sending.lock();
        if let Some(count) = counts.get_mut(&self.tenant) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_count_while_they_are_sent_to() {
        let (sending, tenant) = (Arc::new(Sending::default()), "acme".parse::<Tenant>().unwrap());
        let (one, two) = (sending.begin(&tenant), sending.begin(&tenant));
        assert_eq!(sending.counts().get(&tenant), Some(&2));
        drop(one);
        assert_eq!(sending.counts().get(&tenant), Some(&1));
        drop(two);
        assert!(sending.counts().is_empty());
    }
}
