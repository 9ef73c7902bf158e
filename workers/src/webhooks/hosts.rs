//! How much one host is sent to, over all tenants and endpoints: whoever names it, it may be somebody
//! else's.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What a host is sent at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    /// Requests a second; ten seconds' worth of them after a pause.
    pub(super) rate: u32,
    /// Requests at once.
    pub(super) at_once: usize,
}

/// Every host that was sent to lately.
#[derive(Debug)]
pub(super) struct Hosts {
    most: Most,
    known: Mutex<BTreeMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    /// Requests that may go now.
    tokens: f64,
    at: Instant,
    under_way: usize,
    /// Those that were told to come again, as far as their time has not come.
    promised: f64,
}

/// Seconds' worth of requests that a host may get at once after a pause.
const BURST: f64 = 10.0;
/// How soon a host is tried again that is sent to as much as it may be.
const SOON: Duration = Duration::from_millis(250);
/// And how late at most, however many wait.
const LATE: Duration = Duration::from_mins(5);
/// Hosts from which on those are forgotten that are as good as new.
const MANY: usize = 10_000;

/// Requests that may go to a host now; what is not used of them is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    hosts: Arc<Hosts>,
    host: String,
    /// So many.
    pub(super) granted: usize,
}

impl Hosts {
    pub(super) fn new(most: Most) -> Arc<Self> {
        Arc::new(Self { most, known: Mutex::default() })
    }

    /// Lets up to `wanted` requests go to a host; else says when to ask again.
    pub(super) fn admit(
        self: &Arc<Self>,
        host: &str,
        wanted: usize,
        now: Instant,
    ) -> Result<Turn, Duration> {
        let rate = f64::from(self.most.rate.max(1));
        let full = rate * BURST;
        let host = host.to_ascii_lowercase();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MANY {
            let idle = |bucket: &Bucket| {
                bucket.under_way == 0 && now.duration_since(bucket.at).as_secs_f64() >= BURST
            };
            known.retain(|_, bucket| !idle(bucket));
        }
        let fresh = || Bucket { tokens: full, at: now, under_way: 0, promised: 0.0 };
        let bucket = known.entry(host.clone()).or_insert_with(fresh);
        let passed = now.duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * rate).min(full);
        bucket.promised = (bucket.promised - passed * rate).max(0.0);
        bucket.at = bucket.at.max(now);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "never below 0"
        )]
        let tokens = bucket.tokens.max(0.0) as usize;
        let room = self.most.at_once.max(1).saturating_sub(bucket.under_way);
        let granted = wanted.min(tokens).min(room);
        if granted == 0 {
            // Each at a time of its own: thousands that wait do not come again and again.
            let lacking = (1.0 + bucket.promised - bucket.tokens).max(0.0) / rate;
            bucket.promised += 1.0;
            return Err(Duration::from_secs_f64(lacking).clamp(SOON, LATE));
        }
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let spent = granted as f64;
        bucket.tokens -= spent;
        bucket.under_way = bucket.under_way.saturating_add(granted);
        drop(known);
        Ok(Turn { hosts: Arc::clone(self), host, granted })
    }
}

impl Turn {
    /// Gives back what is not sent after all.
    pub(super) fn only(&mut self, used: usize) {
        let unused = self.granted.saturating_sub(used);
        let mut known = self.hosts.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = known.get_mut(&self.host) {
            #[expect(clippy::cast_precision_loss, reason = "a few")]
            let tokens = unused as f64;
            bucket.tokens += tokens;
            bucket.under_way = bucket.under_way.saturating_sub(unused);
        }
        drop(known);
        self.granted = self.granted.min(used);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut known = self.hosts.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = known.get_mut(&self.host) {
            bucket.under_way = bucket.under_way.saturating_sub(self.granted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(rate: u32, at_once: usize) -> Arc<Hosts> {
        Hosts::new(Most { rate, at_once })
    }

    #[test]
    fn a_host_gets_so_many_requests_a_second_whoever_sends_them() {
        let (hosts, start) = (hosts(2, 1_000), Instant::now());
        let sent = |at: u64, wanted| {
            let now = start + Duration::from_secs(at);
            hosts.admit("a.example", wanted, now).map(|turn| turn.granted)
        };
        assert_eq!(sent(0, 15), Ok(15));
        assert_eq!(sent(0, 15), Ok(5));
        let wait = sent(0, 1).unwrap_err();
        assert!(wait >= SOON && wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(sent(3, 100), Ok(6));
        assert_eq!(sent(1_000, 100), Ok(20));
        assert_eq!(
            hosts.admit("A.EXAMPLE", 1, start).map(|turn| turn.granted),
            Err(SOON.max(Duration::from_millis(500)))
        );
        assert_eq!(hosts.admit("b.example", 1, start).map(|turn| turn.granted), Ok(1));
    }

    #[test]
    fn those_that_wait_come_again_one_after_the_other() {
        let (hosts, now) = (hosts(2, 1_000), Instant::now());
        drop(hosts.admit("a", 20, now));
        let waits: Vec<Duration> =
            (0..1_000).map(|_| hosts.admit("a", 1, now).unwrap_err()).collect();
        assert_eq!(waits[..3], [500, 1_000, 1_500].map(Duration::from_millis));
        assert_eq!(waits[999], LATE);
    }

    #[test]
    fn only_so_many_are_under_way_to_a_host() {
        let (hosts, now) = (hosts(1_000, 3), Instant::now());
        let mut first = hosts.admit("a", 2, now).unwrap();
        let second = hosts.admit("a", 2, now).unwrap();
        assert_eq!(second.granted, 1);
        assert!(hosts.admit("a", 1, now).is_err());
        first.only(1);
        assert_eq!(hosts.admit("a", 9, now).map(|turn| turn.granted), Ok(1));
        drop((first, second));
        assert_eq!(hosts.admit("a", 9, now).map(|turn| turn.granted), Ok(3));
    }
}
