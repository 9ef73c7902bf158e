//! Rate limits by hour that hold across gateways and restarts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use ffapi_domain::{Tenant, Timestamp};
use ffapi_nats::{LogError, QuotaCounter};
use poem::http::{HeaderMap, HeaderValue};

use crate::problem::Problem;

/// The shares of each tenant's limits that this gateway has leased.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    counter: QuotaCounter,
    buckets: Mutex<HashMap<(Tenant, String), SharedBucket>>,
}

/// Locked during a request to the counter, so that a bucket leases one block at a time.
type SharedBucket = Arc<tokio::sync::Mutex<Bucket>>;

#[derive(Debug, Default)]
struct Bucket {
    /// Number of the window, since the Unix epoch.
    window: u64,
    /// Leased by this gateway and not spent.
    left: u64,
    /// Spent by this gateway in this window.
    spent: u64,
    /// Leased by all gateways, as of the last lease.
    used: u64,
    /// The limit under which it was leased.
    limit: u64,
}

/// The result of one request against a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RateLimitStatus {
    pub(crate) allowed: bool,
    bucket: String,
    limit: u64,
    remaining: u64,
    /// Seconds to the end of the window.
    reset: u64,
}

/// A number of units to count against a limit at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spend<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) count: u64,
    /// The limit per hour.
    pub(crate) limit: u64,
}

/// The rate limit headers of a response, set once the limit has been checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateLimitHeaders(Arc<OnceLock<RateLimitStatus>>);

impl RateLimitHeaders {
    pub(crate) fn set(&self, status: &RateLimitStatus) {
        let _ = self.0.set(status.clone());
    }

    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Some(status) = self.0.get() {
            status.write(headers);
        }
    }
}

/// Length of a window in seconds.
const WINDOW_SECONDS: u64 = 3_600;
/// A lease takes at most this fraction (1 / n) of the rest, so that near the limit no gateway holds
/// what another one needs.
const MAX_SHARE: u64 = 20;
/// Size of a gateway's first lease, when it does not know yet how much it will spend.
const FIRST_LEASE: u64 = 8;
/// Above this number of buckets, those of ended windows are removed.
const MAX_BUCKETS: usize = 100_000;

impl RateLimiter {
    pub(crate) fn new(counter: QuotaCounter) -> Self {
        Self { counter, buckets: Mutex::default() }
    }

    /// Counts one request against a limit per hour.
    ///
    /// # Errors
    /// When a lease is needed and the counter is unavailable.
    pub(crate) async fn spend(
        &self,
        tenant: &Tenant,
        bucket: &str,
        limit: u64,
        now: Timestamp,
    ) -> Result<RateLimitStatus, LogError> {
        self.spend_many(tenant, Spend { bucket, count: 1, limit }, now).await
    }

    /// Counts several at once against a limit per hour, or none of them.
    ///
    /// # Errors
    /// As `spend`.
    pub(crate) async fn spend_many(
        &self,
        tenant: &Tenant,
        Spend { bucket, count, limit }: Spend<'_>,
        now: Timestamp,
    ) -> Result<RateLimitStatus, LogError> {
        let seconds = now.as_millis() / 1_000;
        let window = seconds / WINDOW_SECONDS;
        let shared = self.bucket(tenant, bucket, window);
        let mut state = shared.lock().await;
        let key = format!("{tenant}.{bucket}.{window}");
        if state.window != window {
            *state = Bucket { window, limit, ..Bucket::default() };
        } else if state.limit != limit {
            // The unspent rest of a lease under another limit is given back. Only once: if the
            // counter does not answer, it may have been given back all the same.
            let (unspent, spent) = (state.left, state.spent);
            *state = Bucket { window, spent, limit, ..Bucket::default() };
            self.counter.give_back(&key, unspent).await?;
        }
        let exhausted = state.used >= limit && state.used > 0;
        if state.left < count && !exhausted {
            let (spent, missing) = (state.spent, count.saturating_sub(state.left));
            let size = |left| block(left, spent).max(missing);
            let lease = self.counter.lease(&key, limit, size).await?;
            state.left = state.left.saturating_add(lease.granted);
            state.used = lease.used.max(u64::from(lease.granted == 0) * limit);
        }
        let allowed = state.left >= count;
        if allowed {
            state.left = state.left.saturating_sub(count);
            state.spent = state.spent.saturating_add(count);
        }
        Ok(RateLimitStatus {
            allowed,
            bucket: bucket.to_owned(),
            limit,
            remaining: limit.saturating_sub(state.used).saturating_add(state.left),
            reset: WINDOW_SECONDS.saturating_sub(seconds % WINDOW_SECONDS),
        })
    }

    /// Makes what was spent in this hour available again, to this gateway.
    pub(crate) async fn refund(&self, tenant: &Tenant, bucket: &str, count: u64, now: Timestamp) {
        let window = now.as_millis() / 1_000 / WINDOW_SECONDS;
        let held = self.bucket(tenant, bucket, window);
        let mut held = held.lock().await;
        if held.window == window {
            held.left = held.left.saturating_add(count.min(held.spent));
            held.spent = held.spent.saturating_sub(count);
        }
    }

    fn bucket(&self, tenant: &Tenant, name: &str, window: u64) -> SharedBucket {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > MAX_BUCKETS {
            let is_current = |bucket: &SharedBucket| {
                bucket.try_lock().is_ok_and(|bucket| bucket.window == window)
            };
            buckets.retain(|_, bucket| is_current(bucket));
        }
        Arc::clone(buckets.entry((tenant.clone(), name.to_owned())).or_default())
    }
}

/// The size of a lease: a share of the rest, and, after the first one, no more than was spent so
/// far, so that a gateway never holds much more than it spends.
fn block(left: u64, spent: u64) -> u64 {
    left.div_ceil(MAX_SHARE).min(spent.max(FIRST_LEASE))
}

impl RateLimitStatus {
    /// Writes the headers of the IETF draft on `RateLimit` headers.
    fn write(&self, headers: &mut HeaderMap) {
        let Self { bucket, limit, remaining, reset, .. } = self;
        for (name, value) in [
            ("ratelimit-policy", format!("\"{bucket}\";q={limit};w={WINDOW_SECONDS}")),
            ("ratelimit", format!("\"{bucket}\";r={remaining};t={reset}")),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }

    /// The problem for a request above the limit.
    pub(crate) fn problem(&self) -> Problem {
        let Self { bucket, limit, .. } = self;
        let detail = format!("the account's limit of {limit} `{bucket}` per hour is reached");
        Problem::rate_limited(detail, self.reset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_leases_follows_what_is_spent() {
        assert_eq!(block(100_000, 0), FIRST_LEASE);
        assert_eq!(block(100_000, 10), 10);
        assert_eq!(block(90_000, 80_000), 4_500);
        assert_eq!(block(3, 80_000), 1);
        assert_eq!(block(0, 5), 0);
    }
}
