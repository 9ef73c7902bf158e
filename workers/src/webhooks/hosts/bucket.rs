//! The token bucket and slots of one host, shared among the tenants that send to it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::HostLimits;

/// Capacity of the bucket, in seconds' worth of requests.
pub(super) const BURST_SECONDS: f64 = 10.0;
/// Minimum wait before a request to a host at its limit is tried again.
pub(super) const MIN_WAIT: Duration = Duration::from_millis(250);
/// Maximum wait, however many requests are waiting.
pub(super) const MAX_WAIT: Duration = Duration::from_mins(5);
/// How long capacity is kept for a tenant after the time at which it was to ask again.
const RETURN_GRACE: Duration = Duration::from_secs(2);

/// A token bucket, and the tenants that use it.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Requests that may be sent now.
    tokens: f64,
    /// When the tokens were last refilled.
    refilled_at: Instant,
    /// Tenants that have requests in flight, or wait.
    shares: BTreeMap<String, Share>,
}

/// One tenant's use of a host.
#[derive(Debug, Default)]
struct Share {
    in_flight: usize,
    /// Granted requests, for fairness: of the waiting tenants, the one with the fewest goes first.
    served: u64,
    /// Requests that were deferred and whose time has not come yet; it decreases as tokens are
    /// refilled.
    deferred: f64,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    /// The last deferred request is expected to ask again by then.
    until: Instant,
    /// Number of deferred requests.
    count: usize,
}

impl Share {
    /// The tenant with the smaller value goes first: the fewest served, then the longest wait.
    fn priority(&self, now: Instant) -> (u64, Instant) {
        (self.served, self.waiting.as_ref().map_or(now, |waiting| waiting.since))
    }

    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_none() && self.deferred <= 0.0
    }
}

impl Bucket {
    pub(super) fn new(limits: HostLimits, now: Instant) -> Self {
        Self { tokens: limits.burst(), refilled_at: now, shares: BTreeMap::new() }
    }

    /// True if the bucket is full and nothing is in flight, so that it can be discarded.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let none_in_flight = self.shares.values().all(|share| share.in_flight == 0);
        none_in_flight && now.duration_since(self.refilled_at).as_secs_f64() >= BURST_SECONDS
    }

    /// Grants up to `wanted` requests of a tenant; if none, the error is how long to wait before
    /// asking again.
    pub(super) fn admit(
        &mut self,
        limits: HostLimits,
        tenant: &str,
        wanted: usize,
        now: Instant,
    ) -> Result<usize, Duration> {
        self.refill(limits, now);
        let mut own = self.shares.remove(tenant).unwrap_or_default();
        if own.waiting.is_none() {
            // A tenant that did not wait gets no credit for the time in which it sent nothing.
            own.served = own.served.max(self.least_served());
        }
        let granted = self.capacity_for(&own, limits, now).min(wanted);
        let outcome = if granted == 0 {
            let tenants = self.waiting_tenants().saturating_add(1);
            #[expect(clippy::cast_precision_loss, reason = "a few")]
            let lacking = (own.deferred + 1.0).mul_add(tenants as f64, -self.tokens);
            // Each deferred request gets its own time, so that thousands do not all poll
            // repeatedly.
            let wait = Duration::from_secs_f64(lacking.max(0.0) / limits.rate());
            let wait = wait.clamp(MIN_WAIT, MAX_WAIT);
            own.deferred += 1.0;
            let until = now.checked_add(wait.saturating_add(RETURN_GRACE)).unwrap_or(now);
            let waiting = own.waiting.get_or_insert(Waiting { since: now, until, count: 0 });
            waiting.until = waiting.until.max(until);
            waiting.count = waiting.count.saturating_add(1);
            Err(wait)
        } else {
            #[expect(clippy::cast_precision_loss, reason = "a few")]
            let spent = granted as f64;
            self.tokens -= spent;
            own.in_flight = own.in_flight.saturating_add(granted);
            own.served = own.served.saturating_add(granted as u64);
            let rest = own.waiting.take().filter(|waiting| waiting.count > 1);
            // This tenant's other requests wait behind all tenants that have waited longer.
            own.waiting = rest.map(|rest| Waiting {
                since: now,
                count: rest.count.saturating_sub(1),
                ..rest
            });
            Ok(granted)
        };
        self.shares.insert(tenant.to_owned(), own);
        outcome
    }

    /// Returns granted requests that are not sent after all.
    pub(super) fn give_back(&mut self, tenant: &str, unused: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let tokens = unused as f64;
        self.tokens += tokens;
        if let Some(share) = self.shares.get_mut(tenant) {
            share.in_flight = share.in_flight.saturating_sub(unused);
            share.served = share.served.saturating_sub(unused as u64);
        }
    }

    /// Releases the slots of requests that have ended.
    pub(super) fn finish(&mut self, tenant: &str, ended: usize) {
        if let Some(share) = self.shares.get_mut(tenant) {
            share.in_flight = share.in_flight.saturating_sub(ended);
        }
    }

    /// Adds tokens for the elapsed time, and removes tenants that neither send nor wait.
    fn refill(&mut self, limits: HostLimits, now: Instant) {
        let added = now.duration_since(self.refilled_at).as_secs_f64() * limits.rate();
        self.tokens = (self.tokens + added).min(limits.burst());
        self.refilled_at = self.refilled_at.max(now);
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let each = added / self.waiting_tenants().max(1) as f64;
        for share in self.shares.values_mut() {
            share.deferred = (share.deferred - each).max(0.0);
            if share.waiting.as_ref().is_some_and(|waiting| waiting.until < now) {
                share.waiting = None;
            }
        }
        self.shares.retain(|_, share| !share.is_idle());
    }

    /// Number of tenants that wait.
    fn waiting_tenants(&self) -> usize {
        self.shares.values().filter(|share| share.waiting.is_some()).count()
    }

    /// The smallest number of served requests among the waiting tenants.
    fn least_served(&self) -> u64 {
        let waiting = self.shares.values().filter(|share| share.waiting.is_some());
        waiting.map(|share| share.served).min().unwrap_or(0)
    }

    /// How many requests of a tenant may be sent, whose share `own` is not in `shares`.
    fn capacity_for(&self, own: &Share, limits: HostLimits, now: Instant) -> usize {
        let concurrency = limits.concurrency.max(1);
        // A single tenant never takes all slots, so that the next one finds some free.
        let mut max_own = concurrency.div_ceil(2);
        if self.waiting_tenants() > 0 {
            let tenants = self.shares.len().saturating_add(1);
            max_own = max_own.min(concurrency / tenants).max(1);
        }
        let priority = own.priority(now);
        let goes_first = |share: &&Share| {
            share.waiting.is_some() && share.in_flight < max_own && share.priority(now) < priority
        };
        let reserved = self.shares.values().filter(goes_first).count();
        let in_flight: usize = self.shares.values().map(|share| share.in_flight).sum();
        let slots = concurrency.saturating_sub(in_flight).saturating_sub(own.in_flight);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "never below 0"
        )]
        let tokens = self.tokens.max(0.0) as usize;
        slots.min(tokens).saturating_sub(reserved).min(max_own.saturating_sub(own.in_flight))
    }
}
