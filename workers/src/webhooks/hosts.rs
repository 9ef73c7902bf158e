//! How much one host is sent to, over all tenants and endpoints: whoever names it, it may be somebody
//! else's. What it may be sent is shared among the tenants that send to it.

mod bucket;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use self::bucket::{BURST, Bucket};

/// What a host is sent at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    /// Requests a second; ten seconds' worth of them after a pause.
    pub(super) rate: u32,
    /// Requests at once; one tenant has half of them at most.
    pub(super) at_once: usize,
}

impl Most {
    fn rate(self) -> f64 {
        f64::from(self.rate.max(1))
    }

    fn full(self) -> f64 {
        self.rate() * BURST
    }
}

/// Every host that was sent to lately.
#[derive(Debug)]
pub(super) struct Hosts {
    most: Most,
    known: Mutex<BTreeMap<String, Bucket>>,
}

/// Hosts from which on those are forgotten that are as good as new.
const MANY: usize = 10_000;

/// Requests that may go to a host now; what is not used of them is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    hosts: Arc<Hosts>,
    host: String,
    tenant: String,
    /// So many.
    pub(super) granted: usize,
}

impl Hosts {
    pub(super) fn new(most: Most) -> Arc<Self> {
        Arc::new(Self { most, known: Mutex::default() })
    }

    /// Lets up to `wanted` requests of a tenant go to a host; else says when to ask again.
    pub(super) fn admit(
        self: &Arc<Self>,
        host: &str,
        tenant: &str,
        wanted: usize,
        now: Instant,
    ) -> Result<Turn, Duration> {
        let host = host.to_ascii_lowercase();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MANY {
            known.retain(|_, bucket| !bucket.is_idle(now));
        }
        let bucket = known.entry(host.clone()).or_insert_with(|| Bucket::new(self.most, now));
        let granted = bucket.admit(self.most, tenant, wanted, now)?;
        drop(known);
        Ok(Turn { hosts: Arc::clone(self), host, tenant: tenant.to_owned(), granted })
    }
}

impl Turn {
    /// Gives back what is not sent after all.
    pub(super) fn only(&mut self, used: usize) {
        let unused = self.granted.saturating_sub(used);
        let mut known = self.hosts.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = known.get_mut(&self.host) {
            bucket.unused(&self.tenant, unused);
        }
        drop(known);
        self.granted = self.granted.min(used);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut known = self.hosts.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = known.get_mut(&self.host) {
            bucket.over(&self.tenant, self.granted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        bucket::{LATE, SOON},
        *,
    };

    fn hosts(rate: u32, at_once: usize) -> Arc<Hosts> {
        Hosts::new(Most { rate, at_once })
    }

    #[test]
    fn a_host_gets_so_many_requests_a_second_whoever_sends_them() {
        let (hosts, start) = (hosts(2, 1_000), Instant::now());
        let sent = |at: u64, wanted| {
            let now = start + Duration::from_secs(at);
            hosts.admit("a.example", "acme", wanted, now).map(|turn| turn.granted)
        };
        assert_eq!(sent(0, 15), Ok(15));
        assert_eq!(sent(0, 15), Ok(5));
        let wait = sent(0, 1).unwrap_err();
        assert!(wait >= SOON && wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(sent(3, 100), Ok(6));
        assert_eq!(sent(1_000, 100), Ok(20));
        assert_eq!(
            hosts.admit("A.EXAMPLE", "acme", 1, start).map(|turn| turn.granted),
            Err(SOON.max(Duration::from_millis(500)))
        );
        let other = hosts.admit("b.example", "acme", 1, start);
        assert_eq!(other.map(|turn| turn.granted), Ok(1));
    }

    #[test]
    fn those_that_wait_come_again_one_after_the_other() {
        let (hosts, now) = (hosts(2, 1_000), Instant::now());
        drop(hosts.admit("a", "acme", 20, now));
        let waits: Vec<Duration> =
            (0..1_000).map(|_| hosts.admit("a", "acme", 1, now).unwrap_err()).collect();
        assert_eq!(waits[..3], [500, 1_000, 1_500].map(Duration::from_millis));
        assert_eq!(waits[999], LATE);
        // They hold up nobody else's.
        let other = hosts.admit("a", "globex", 1, now).unwrap_err();
        assert_eq!(other, Duration::from_secs(1));
    }

    #[test]
    fn only_so_many_are_under_way_to_a_host() {
        let (hosts, now) = (hosts(1_000, 3), Instant::now());
        let mut first = hosts.admit("a", "acme", 2, now).unwrap();
        let second = hosts.admit("a", "globex", 2, now).unwrap();
        assert_eq!(second.granted, 1);
        assert!(hosts.admit("a", "acme", 1, now).is_err());
        first.only(1);
        assert_eq!(hosts.admit("a", "acme", 9, now).map(|turn| turn.granted), Ok(1));
        drop((first, second));
        assert_eq!(hosts.admit("a", "acme", 9, now).map(|turn| turn.granted), Ok(2));
    }

    #[test]
    fn a_tenant_takes_half_of_a_host_at_most() {
        let (hosts, now) = (hosts(1_000, 8), Instant::now());
        let taken = hosts.admit("a", "acme", 100, now).unwrap();
        assert_eq!(taken.granted, 4);
        assert!(hosts.admit("a", "acme", 1, now).is_err());
        let other = hosts.admit("a", "globex", 1, now).map(|turn| turn.granted);
        assert_eq!(other, Ok(1), "whatever the first one has under way");
    }

    #[test]
    fn a_slot_that_is_free_again_is_for_the_tenant_that_waits() {
        let (hosts, now) = (hosts(1_000, 4), Instant::now());
        let admit = |tenant, wanted| hosts.admit("a", tenant, wanted, now);
        let (first, second) = (admit("acme", 1).unwrap(), admit("acme", 1).unwrap());
        let _globex = admit("globex", 2).unwrap();
        assert!(admit("initech", 1).is_err());
        drop(first);
        assert!(admit("acme", 1).is_err(), "one waits that has had less");
        let initech = admit("initech", 5).unwrap();
        assert_eq!(initech.granted, 1);
        drop(second);
        assert_eq!(admit("acme", 5).map(|turn| turn.granted), Ok(1), "then it is its turn");
    }

    #[test]
    fn requests_that_may_go_again_are_shared_by_the_tenants_that_wait() {
        let (hosts, start) = (hosts(10, 1_000), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let sent =
            |tenant, wanted, now| hosts.admit("a", tenant, wanted, now).map(|turn| turn.granted);
        assert_eq!(sent("acme", 100, start), Ok(100));
        // A hundred endpoints of one, and one of another.
        for _ in 0..100 {
            assert!(sent("acme", 1, start).is_err());
        }
        let wait = sent("globex", 1, start).unwrap_err();
        assert!(wait <= SOON, "{wait:?}");
        let (mut acme, mut globex) = (0, 0);
        for round in 3..13 {
            // The one asks with many, and first.
            acme += sent("acme", 50, at(round * 100)).unwrap_or(0);
            globex += sent("globex", 1, at(round * 100)).unwrap_or(0);
        }
        assert!((11..=13).contains(&(acme + globex)), "ten a second: {acme} and {globex}");
        assert!(globex >= 4, "{acme} and {globex}");
    }

    #[test]
    fn what_is_kept_for_a_tenant_that_does_not_come_again_is_everybodys() {
        let (hosts, start) = (hosts(1, 1_000), Instant::now());
        let sent = |tenant, wanted, at: u64| {
            let now = start + Duration::from_secs(at);
            hosts.admit("a", tenant, wanted, now).map(|turn| turn.granted)
        };
        assert_eq!(sent("acme", 10, 0), Ok(10));
        assert!(sent("globex", 1, 0).is_err());
        assert!(sent("acme", 1, 1).is_err(), "it is kept for the other");
        assert_eq!(sent("acme", 10, 5), Ok(5));
    }
}
