//! One host's rate and slots, shared among the tenants that send to it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::Most;

/// Seconds' worth of requests that a host may get at once after a pause.
pub(super) const BURST: f64 = 10.0;
/// How soon a host is tried again that is sent to as much as it may be.
pub(super) const SOON: Duration = Duration::from_millis(250);
/// And how late at most, however many wait.
pub(super) const LATE: Duration = Duration::from_mins(5);
/// How long after it was to come again a tenant still has what is kept for it.
const GRACE: Duration = Duration::from_secs(2);

/// A token bucket and a number of slots.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Requests that may go now.
    tokens: f64,
    at: Instant,
    /// Tenants that send to it, or wait.
    shares: BTreeMap<String, Share>,
}

/// What one tenant has of a host.
#[derive(Debug, Default)]
struct Share {
    under_way: usize,
    /// Requests that were let go, as far as they count against others: of tenants that wait, the one with
    /// the fewest goes first.
    served: u64,
    /// Its own that were told to come again, as far as their time has not come.
    promised: f64,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    /// Somebody comes again by then.
    until: Instant,
    /// How many were told to.
    many: usize,
}

impl Share {
    /// Whose is smaller goes first: fewest served, then who waited longest.
    fn turn(&self, now: Instant) -> (u64, Instant) {
        (self.served, self.waiting.as_ref().map_or(now, |waiting| waiting.since))
    }

    fn is_idle(&self) -> bool {
        self.under_way == 0 && self.waiting.is_none() && self.promised <= 0.0
    }
}

impl Bucket {
    pub(super) fn new(most: Most, now: Instant) -> Self {
        Self { tokens: most.full(), at: now, shares: BTreeMap::new() }
    }

    /// True if it is as good as new.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let none = self.shares.values().all(|share| share.under_way == 0);
        none && now.duration_since(self.at).as_secs_f64() >= BURST
    }

    /// Lets up to `wanted` requests of a tenant go; else says when to ask again.
    pub(super) fn admit(
        &mut self,
        most: Most,
        tenant: &str,
        wanted: usize,
        now: Instant,
    ) -> Result<usize, Duration> {
        self.pass(most, now);
        let mut own = self.shares.remove(tenant).unwrap_or_default();
        if own.waiting.is_none() {
            // Who did not wait has saved nothing up.
            own.served = own.served.max(self.least_served());
        }
        let granted = self.room_for(&own, most, now).min(wanted);
        let outcome = if granted == 0 {
            let tenants = self.waiting().saturating_add(1);
            #[expect(clippy::cast_precision_loss, reason = "a few")]
            let lacking = (own.promised + 1.0).mul_add(tenants as f64, -self.tokens);
            // Each at a time of its own: thousands that wait do not come again and again.
            let wait = Duration::from_secs_f64(lacking.max(0.0) / most.rate());
            let wait = wait.clamp(SOON, LATE);
            own.promised += 1.0;
            let until = now.checked_add(wait.saturating_add(GRACE)).unwrap_or(now);
            let waiting = own.waiting.get_or_insert(Waiting { since: now, until, many: 0 });
            waiting.until = waiting.until.max(until);
            waiting.many = waiting.many.saturating_add(1);
            Err(wait)
        } else {
            #[expect(clippy::cast_precision_loss, reason = "a few")]
            let spent = granted as f64;
            self.tokens -= spent;
            own.under_way = own.under_way.saturating_add(granted);
            own.served = own.served.saturating_add(granted as u64);
            let left = own.waiting.take().filter(|waiting| waiting.many > 1);
            // The others of this tenant's wait behind everybody who has waited longer.
            own.waiting =
                left.map(|left| Waiting { since: now, many: left.many.saturating_sub(1), ..left });
            Ok(granted)
        };
        self.shares.insert(tenant.to_owned(), own);
        outcome
    }

    /// Takes back requests that were let go and are not sent after all.
    pub(super) fn unused(&mut self, tenant: &str, unused: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let tokens = unused as f64;
        self.tokens += tokens;
        if let Some(share) = self.shares.get_mut(tenant) {
            share.under_way = share.under_way.saturating_sub(unused);
            share.served = share.served.saturating_sub(unused as u64);
        }
    }

    /// So many requests of a tenant have ended.
    pub(super) fn over(&mut self, tenant: &str, over: usize) {
        if let Some(share) = self.shares.get_mut(tenant) {
            share.under_way = share.under_way.saturating_sub(over);
        }
    }

    fn pass(&mut self, most: Most, now: Instant) {
        let passed = now.duration_since(self.at).as_secs_f64() * most.rate();
        self.tokens = (self.tokens + passed).min(most.full());
        self.at = self.at.max(now);
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let each = passed / self.waiting().max(1) as f64;
        for share in self.shares.values_mut() {
            share.promised = (share.promised - each).max(0.0);
            if share.waiting.as_ref().is_some_and(|waiting| waiting.until < now) {
                share.waiting = None;
            }
        }
        self.shares.retain(|_, share| !share.is_idle());
    }

    /// How many tenants wait.
    fn waiting(&self) -> usize {
        self.shares.values().filter(|share| share.waiting.is_some()).count()
    }

    /// The fewest requests of those who wait.
    fn least_served(&self) -> u64 {
        let waiting = self.shares.values().filter(|share| share.waiting.is_some());
        waiting.map(|share| share.served).min().unwrap_or(0)
    }

    /// How many requests may go of a tenant whose share is taken out.
    fn room_for(&self, own: &Share, most: Most, now: Instant) -> usize {
        let at_once = most.at_once.max(1);
        // One tenant alone never takes all of it: whoever comes next finds a slot.
        let mut part = at_once.div_ceil(2);
        if self.waiting() > 0 {
            let tenants = self.shares.len().saturating_add(1);
            part = part.min(at_once / tenants).max(1);
        }
        let turn = own.turn(now);
        let goes_first = |share: &&Share| {
            share.waiting.is_some() && share.under_way < part && share.turn(now) < turn
        };
        let kept = self.shares.values().filter(goes_first).count();
        let under_way: usize = self.shares.values().map(|share| share.under_way).sum();
        let slots = at_once.saturating_sub(under_way).saturating_sub(own.under_way);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "never below 0"
        )]
        let tokens = self.tokens.max(0.0) as usize;
        slots.min(tokens).saturating_sub(kept).min(part.saturating_sub(own.under_way))
    }
}
