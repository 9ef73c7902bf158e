use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ffapi_domain::Tenant;

use crate::metrics::webhooks::CountedEndpoint;

/// Counts the endpoints that a sender is sending to, by tenant.
#[derive(Debug, Default)]
pub(super) struct ActiveEndpoints {
    counts: Mutex<BTreeMap<Tenant, usize>>,
}

/// One active endpoint; it is counted until this is dropped.
#[derive(Debug)]
pub(super) struct ActiveEndpoint {
    endpoints: Arc<ActiveEndpoints>,
    tenant: Tenant,
    _counted: CountedEndpoint,
}

impl ActiveEndpoints {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Tenant, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of active endpoints per tenant.
    pub(super) fn counts(&self) -> BTreeMap<Tenant, usize> {
        self.lock().clone()
    }

    /// Counts one more endpoint of a tenant.
    pub(super) fn begin(self: &Arc<Self>, tenant: &Tenant) -> ActiveEndpoint {
        *self.lock().entry(tenant.clone()).or_default() += 1;
        let counted = CountedEndpoint::begin();
        ActiveEndpoint { endpoints: Arc::clone(self), tenant: tenant.clone(), _counted: counted }
    }
}

impl Drop for ActiveEndpoint {
    fn drop(&mut self) {
        let mut counts = self.endpoints.lock();
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
    fn endpoints_are_counted_while_they_are_active() {
        let endpoints = Arc::new(ActiveEndpoints::default());
        let tenant = "acme".parse::<Tenant>().unwrap();
        let (one, two) = (endpoints.begin(&tenant), endpoints.begin(&tenant));
        assert_eq!(endpoints.counts().get(&tenant), Some(&2));
        drop(one);
        assert_eq!(endpoints.counts().get(&tenant), Some(&1));
        drop(two);
        assert!(endpoints.counts().is_empty());
    }
}
