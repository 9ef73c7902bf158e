//! How much of an hour's allowance is left, across gateways and restarts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use ffapi_domain::{Tenant, Timestamp};
use ffapi_nats::{LogError, QuotaCounter};
use poem::http::{HeaderMap, HeaderValue};

use crate::problem::Problem;

/// What this gateway holds of each tenant's allowances.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    allowance: QuotaCounter,
    held: Mutex<HashMap<(Tenant, String), Shared>>,
}

/// Locked over one request to the counters' store, so that a bucket leases one block at a time.
type Shared = Arc<tokio::sync::Mutex<Held>>;

#[derive(Debug, Default)]
struct Held {
    window: u64,
    /// Leased and not spent.
    left: u64,
    /// Spent here in this window.
    spent: u64,
    /// Leased to all gateways, as far as we know.
    used: u64,
    /// The limit that it was leased under.
    limit: u64,
}

/// What became of one request's share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RateLimitStatus {
    pub(crate) allowed: bool,
    bucket: String,
    limit: u64,
    remaining: u64,
    /// Seconds to the end of the window.
    reset: u64,
}

/// What an answer's headers will say, once it is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateLimitHeaders(Arc<OnceLock<RateLimitStatus>>);

impl RateLimitHeaders {
    pub(crate) fn tell(&self, spent: &RateLimitStatus) {
        let _ = self.0.set(spent.clone());
    }

    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Some(spent) = self.0.get() {
            spent.write(headers);
        }
    }
}

/// Seconds of a window.
const WINDOW: u64 = 3_600;
/// Of what is left, what one lease takes at most: small near the limit, so that no gateway holds what
/// another one needs.
const SHARE: u64 = 20;
/// What a gateway leases before it knows how much it spends.
const FIRST: u64 = 8;
/// Buckets held at once; those of windows that are over go first.
const MOST: usize = 100_000;

impl RateLimiter {
    pub(crate) fn new(allowance: QuotaCounter) -> Self {
        Self { allowance, held: Mutex::default() }
    }

    /// Spends one of `limit` an hour.
    ///
    /// # Errors
    /// When nothing is held and the store of the counters does not answer.
    pub(crate) async fn spend(
        &self,
        tenant: &Tenant,
        bucket: &str,
        limit: u64,
        now: Timestamp,
    ) -> Result<RateLimitStatus, LogError> {
        let seconds = now.as_millis() / 1_000;
        let window = seconds / WINDOW;
        let held = self.bucket(tenant, bucket, window);
        let mut held = held.lock().await;
        let name = format!("{tenant}.{bucket}.{window}");
        if held.window != window {
            *held = Held { window, limit, ..Held::default() };
        } else if held.limit != limit {
            // What was leased under another limit and is not spent counts against nobody. It is given back
            // once: without an answer it may have been.
            let (unspent, spent) = (held.left, held.spent);
            *held = Held { window, spent, limit, ..Held::default() };
            self.allowance.give_back(&name, unspent).await?;
        }
        let exhausted = held.used >= limit && held.used > 0;
        if held.left == 0 && !exhausted {
            let spent = held.spent;
            let lease = self.allowance.lease(&name, limit, |left| block(left, spent)).await?;
            (held.left, held.used) =
                (lease.granted, lease.used.max(u64::from(lease.granted == 0) * limit));
        }
        let allowed = held.left > 0;
        held.left = held.left.saturating_sub(1);
        held.spent = held.spent.saturating_add(u64::from(allowed));
        Ok(RateLimitStatus {
            allowed,
            bucket: bucket.to_owned(),
            limit,
            remaining: limit.saturating_sub(held.used).saturating_add(held.left),
            reset: WINDOW.saturating_sub(seconds % WINDOW),
        })
    }

    fn bucket(&self, tenant: &Tenant, bucket: &str, window: u64) -> Shared {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() > MOST {
            held.retain(|_, held| held.try_lock().is_ok_and(|held| held.window == window));
        }
        Arc::clone(held.entry((tenant.clone(), bucket.to_owned())).or_default())
    }
}

/// What a lease takes of what is left: no more than was spent so far, beyond the first. What a gateway
/// holds and does not spend is never much beside what it does.
fn block(left: u64, spent: u64) -> u64 {
    left.div_ceil(SHARE).min(spent.max(FIRST))
}

impl RateLimitStatus {
    /// Says what is left, as the IETF's draft on `RateLimit` headers has it.
    fn write(&self, headers: &mut HeaderMap) {
        let Self { bucket, limit, remaining, reset, .. } = self;
        for (name, value) in [
            ("ratelimit-policy", format!("\"{bucket}\";q={limit};w={WINDOW}")),
            ("ratelimit", format!("\"{bucket}\";r={remaining};t={reset}")),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }

    /// What a request gets that was one too many.
    pub(crate) fn problem(&self) -> Problem {
        let Self { bucket, limit, .. } = self;
        let detail = format!("the account's `{bucket}` are used up: {limit} an hour");
        Problem::too_many(detail, self.reset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_leased_follows_what_is_spent() {
        assert_eq!(block(100_000, 0), FIRST);
        assert_eq!(block(100_000, 10), 10);
        assert_eq!(block(90_000, 80_000), 4_500);
        assert_eq!(block(3, 80_000), 1);
        assert_eq!(block(0, 5), 0);
    }
}
