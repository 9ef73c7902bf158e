use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;

/// How often each address may check without a key that opens; the rest costs it a wait and us
/// nothing.
#[derive(Debug)]
pub(crate) struct AnonymousRateLimiter {
    per_minute: u32,
    seen: Mutex<LruCache<IpAddr, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// Addresses remembered; who was forgotten begins anew.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

impl AnonymousRateLimiter {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, seen: Mutex::new(LruCache::new(REMEMBERED)) }
    }

    /// Counts a check; how long to wait if it was one too many.
    pub(crate) fn check(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let most = f64::from(self.per_minute);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket { left: most, at: now };
        let bucket = seen.get_or_insert_mut(subnet(from), || full);
        let earned = now.saturating_duration_since(bucket.at).as_secs_f64() * most / 60.0;
        *bucket = Bucket { left: (bucket.left + earned).min(most), at: now };
        if bucket.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.left) * 60.0 / most.max(1.0)));
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

/// Whoever has one address of version 6 has its whole /64.
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
    fn an_address_that_knocks_too_often_waits_and_others_do_not() {
        let limiter = AnonymousRateLimiter::new(60);
        let (here, there) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let now = Instant::now();
        for _ in 0..60 {
            assert_eq!(limiter.check(here, now), Ok(()));
        }
        assert_eq!(limiter.check(here, now), Err(Duration::from_secs(1)));
        assert_eq!(limiter.check(there, now), Ok(()));
        assert_eq!(limiter.check(here, now + Duration::from_secs(1)), Ok(()));
        assert!(limiter.check(here, now + Duration::from_secs(1)).is_err());
    }

    #[test]
    fn a_neighbourhood_of_version_six_is_one_stranger() {
        let limiter = AnonymousRateLimiter::new(1);
        let now = Instant::now();
        assert!(limiter.check("2001:db8::1".parse().unwrap(), now).is_ok());
        assert!(limiter.check("2001:db8::2".parse().unwrap(), now).is_err());
        assert!(limiter.check("2001:db8:0:1::1".parse().unwrap(), now).is_ok());
    }
}
