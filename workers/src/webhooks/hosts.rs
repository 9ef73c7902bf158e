//! Limits the requests to one host over all tenants and endpoints, because the host may belong to a
//! third party. Its capacity is shared among the tenants that send to it.

mod bucket;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use self::bucket::{BURST_SECONDS, Bucket};

/// Limits of the requests to one host.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostLimits {
    /// Requests per second; bursts of ten seconds' worth after a pause.
    pub(super) rate: u32,
    /// Concurrent requests; one tenant gets half of them at most.
    pub(super) concurrency: usize,
}

impl HostLimits {
    fn rate(self) -> f64 {
        f64::from(self.rate.max(1))
    }

    /// Capacity of the token bucket.
    fn burst(self) -> f64 {
        self.rate() * BURST_SECONDS
    }
}

/// The hosts that were sent to recently.
#[derive(Debug)]
pub(super) struct Hosts {
    limits: HostLimits,
    buckets: Mutex<BTreeMap<String, Bucket>>,
}

/// From this number of hosts on, idle ones are removed.
const MAX_HOSTS: usize = 10_000;

/// Permits for requests to a host; their slots are released when this is dropped.
#[derive(Debug)]
pub(super) struct HostPermit {
    hosts: Arc<Hosts>,
    host: String,
    tenant: String,
    /// Number of requests that may be sent.
    pub(super) granted: usize,
}

impl Hosts {
    pub(super) fn new(limits: HostLimits) -> Arc<Self> {
        Arc::new(Self { limits, buckets: Mutex::default() })
    }

    /// Grants up to `wanted` requests of a tenant to a host; if none, the error is how long to wait
    /// before asking again.
    pub(super) fn admit(
        self: &Arc<Self>,
        host: &str,
        tenant: &str,
        wanted: usize,
        now: Instant,
    ) -> Result<HostPermit, Duration> {
        let host = host.to_ascii_lowercase();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_HOSTS {
            buckets.retain(|_, bucket| !bucket.is_idle(now));
        }
        let bucket = buckets.entry(host.clone()).or_insert_with(|| Bucket::new(self.limits, now));
        let granted = bucket.admit(self.limits, tenant, wanted, now)?;
        drop(buckets);
        Ok(HostPermit { hosts: Arc::clone(self), host, tenant: tenant.to_owned(), granted })
    }
}

impl HostPermit {
    /// Keeps `used` of the granted requests and returns the rest.
    pub(super) fn shrink_to(&mut self, used: usize) {
        let unused = self.granted.saturating_sub(used);
        let mut buckets = self.hosts.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&self.host) {
            bucket.give_back(&self.tenant, unused);
        }
        drop(buckets);
        self.granted = self.granted.min(used);
    }
}

impl Drop for HostPermit {
    fn drop(&mut self) {
        let mut buckets = self.hosts.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&self.host) {
            bucket.finish(&self.tenant, self.granted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        bucket::{MAX_WAIT, MIN_WAIT},
        *,
    };

    fn hosts(rate: u32, concurrency: usize) -> Arc<Hosts> {
        Hosts::new(HostLimits { rate, concurrency })
    }

    #[test]
    fn the_rate_limit_of_a_host_covers_all_endpoints() {
        let (hosts, start) = (hosts(2, 1_000), Instant::now());
        let sent = |at: u64, wanted| {
            let now = start + Duration::from_secs(at);
            hosts.admit("a.example", "acme", wanted, now).map(|permit| permit.granted)
        };
        assert_eq!(sent(0, 15), Ok(15));
        assert_eq!(sent(0, 15), Ok(5));
        let wait = sent(0, 1).unwrap_err();
        assert!(wait >= MIN_WAIT && wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(sent(3, 100), Ok(6));
        assert_eq!(sent(1_000, 100), Ok(20));
        assert_eq!(
            hosts.admit("A.EXAMPLE", "acme", 1, start).map(|permit| permit.granted),
            Err(MIN_WAIT.max(Duration::from_millis(500)))
        );
        let other = hosts.admit("b.example", "acme", 1, start);
        assert_eq!(other.map(|permit| permit.granted), Ok(1));
    }

    #[test]
    fn waiting_requests_get_increasing_delays() {
        let (hosts, now) = (hosts(2, 1_000), Instant::now());
        drop(hosts.admit("a", "acme", 20, now));
        let waits: Vec<Duration> =
            (0..1_000).map(|_| hosts.admit("a", "acme", 1, now).unwrap_err()).collect();
        assert_eq!(waits[..3], [500, 1_000, 1_500].map(Duration::from_millis));
        assert_eq!(waits[999], MAX_WAIT);
        // They do not delay other tenants.
        let other = hosts.admit("a", "globex", 1, now).unwrap_err();
        assert_eq!(other, Duration::from_secs(1));
    }

    #[test]
    fn concurrent_requests_to_a_host_are_limited() {
        let (hosts, now) = (hosts(1_000, 3), Instant::now());
        let mut first = hosts.admit("a", "acme", 2, now).unwrap();
        let second = hosts.admit("a", "globex", 2, now).unwrap();
        assert_eq!(second.granted, 1);
        assert!(hosts.admit("a", "acme", 1, now).is_err());
        first.shrink_to(1);
        assert_eq!(hosts.admit("a", "acme", 9, now).map(|permit| permit.granted), Ok(1));
        drop((first, second));
        assert_eq!(hosts.admit("a", "acme", 9, now).map(|permit| permit.granted), Ok(2));
    }

    #[test]
    fn a_tenant_gets_half_of_a_hosts_slots_at_most() {
        let (hosts, now) = (hosts(1_000, 8), Instant::now());
        let taken = hosts.admit("a", "acme", 100, now).unwrap();
        assert_eq!(taken.granted, 4);
        assert!(hosts.admit("a", "acme", 1, now).is_err());
        let other = hosts.admit("a", "globex", 1, now).map(|permit| permit.granted);
        assert_eq!(other, Ok(1), "however many the first one has in flight");
    }

    #[test]
    fn a_freed_slot_goes_to_the_tenant_that_waits() {
        let (hosts, now) = (hosts(1_000, 4), Instant::now());
        let admit = |tenant, wanted| hosts.admit("a", tenant, wanted, now);
        let (first, second) = (admit("acme", 1).unwrap(), admit("acme", 1).unwrap());
        let _globex = admit("globex", 2).unwrap();
        assert!(admit("initech", 1).is_err());
        drop(first);
        assert!(admit("acme", 1).is_err(), "another tenant waits that was served less");
        let initech = admit("initech", 5).unwrap();
        assert_eq!(initech.granted, 1);
        drop(second);
        assert_eq!(admit("acme", 5).map(|permit| permit.granted), Ok(1), "then it is its turn");
    }

    #[test]
    fn refilled_tokens_are_shared_by_the_waiting_tenants() {
        let (hosts, start) = (hosts(10, 1_000), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let sent = |tenant, wanted, now| {
            hosts.admit("a", tenant, wanted, now).map(|permit| permit.granted)
        };
        assert_eq!(sent("acme", 100, start), Ok(100));
        // A hundred endpoints of one tenant, and one of another.
        for _ in 0..100 {
            assert!(sent("acme", 1, start).is_err());
        }
        let wait = sent("globex", 1, start).unwrap_err();
        assert!(wait <= MIN_WAIT, "{wait:?}");
        let (mut acme, mut globex) = (0, 0);
        for round in 3..13 {
            // The first tenant asks for more, and earlier.
            acme += sent("acme", 50, at(round * 100)).unwrap_or(0);
            globex += sent("globex", 1, at(round * 100)).unwrap_or(0);
        }
        assert!((11..=13).contains(&(acme + globex)), "ten a second: {acme} and {globex}");
        assert!(globex >= 4, "{acme} and {globex}");
    }

    #[test]
    fn tokens_kept_for_a_tenant_that_does_not_return_are_released() {
        let (hosts, start) = (hosts(1, 1_000), Instant::now());
        let sent = |tenant, wanted, at: u64| {
            let now = start + Duration::from_secs(at);
            hosts.admit("a", tenant, wanted, now).map(|permit| permit.granted)
        };
        assert_eq!(sent("acme", 10, 0), Ok(10));
        assert!(sent("globex", 1, 0).is_err());
        assert!(sent("acme", 1, 1).is_err(), "it is kept for the other tenant");
        assert_eq!(sent("acme", 10, 5), Ok(5));
    }
}
