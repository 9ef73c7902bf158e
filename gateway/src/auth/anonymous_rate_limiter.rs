use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;

/// A token bucket for each address that sends requests without valid credentials.
#[derive(Debug)]
pub(crate) struct AnonymousRateLimiter {
    per_minute: u32,
    buckets: Mutex<LruCache<IpAddr, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    updated_at: Instant,
}

/// Maximum number of addresses tracked; one that was evicted starts with a full bucket.
const MAX_ADDRESSES: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

impl AnonymousRateLimiter {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, buckets: Mutex::new(LruCache::new(MAX_ADDRESSES)) }
    }

    /// Takes a token for a request from this address.
    ///
    /// # Errors
    /// How long to wait for the next token, if other is none.
    pub(crate) fn check(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let capacity = f64::from(self.per_minute);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket { tokens: capacity, updated_at: now };
        let bucket = buckets.get_or_insert_mut(subnet(from), || full);
        let elapsed = now.saturating_duration_since(bucket.updated_at).as_secs_f64();
        let refilled = bucket.tokens + elapsed * capacity / 60.0;
        *bucket = Bucket { tokens: refilled.min(capacity), updated_at: now };
        if bucket.tokens < 1.0 {
            let missing = 1.0 - bucket.tokens;
            return Err(Duration::from_secs_f64(missing * 60.0 / capacity.max(1.0)));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

/// The address that limits apply to: for IPv6 the /64 network, which one client usually has.
pub(crate) fn subnet(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_over_its_limit_waits_and_others_do_not() {
        let limiter = AnonymousRateLimiter::new(60);
        let (limited, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let now = Instant::now();
        for _ in 0..60 {
            assert_eq!(limiter.check(limited, now), Ok(()));
        }
        assert_eq!(limiter.check(limited, now), Err(Duration::from_secs(1)));
        assert_eq!(limiter.check(other, now), Ok(()));
        assert_eq!(limiter.check(limited, now + Duration::from_secs(1)), Ok(()));
        assert!(limiter.check(limited, now + Duration::from_secs(1)).is_err());
    }

    #[test]
    fn an_ipv6_subnet_counts_as_one_client() {
        let limiter = AnonymousRateLimiter::new(1);
        let now = Instant::now();
        assert!(limiter.check("2001:db8::1".parse().unwrap(), now).is_ok());
        assert!(limiter.check("2001:db8::2".parse().unwrap(), now).is_err());
        assert!(limiter.check("2001:db8:0:1::1".parse().unwrap(), now).is_ok());
    }
}
