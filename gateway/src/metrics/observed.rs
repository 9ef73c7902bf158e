//! The state of a gateway, read whenever metrics are.

use std::sync::{Arc, Weak};

use opentelemetry::KeyValue;

use super::{
    INSTRUMENTS,
    labels::{ConnectionLimit, Limit, UploadOutcome, reason},
    meter,
};
use crate::{auth::AuthError, cache_stats, row_cache::CacheStats, state::Gateway};

/// Starts with every known counter at zero, so that the first event of each is an increase, and reads
/// the state of this gateway whenever metrics are.
pub(crate) fn observe(gateway: &Arc<Gateway>) {
    for limit in Limit::ALL {
        INSTRUMENTS.limits_reached.add(0, &[KeyValue::new("limit", limit.name())]);
    }
    for limit in ConnectionLimit::ALL {
        INSTRUMENTS.connections_rejected.add(0, &[KeyValue::new("limit", limit.name())]);
    }
    for error in AuthError::ALL {
        INSTRUMENTS.credentials_rejected.add(0, &[KeyValue::new("reason", reason(error))]);
    }
    for outcome in UploadOutcome::ALL {
        INSTRUMENTS.uploads.add(0, &[KeyValue::new("outcome", outcome.name())]);
    }
    INSTRUMENTS.replays.add(0, &[]);
    let meter = meter();
    let observed = Arc::downgrade(gateway);
    meter
        .u64_observable_counter("ffapi.cache.requests")
        .with_description("Reads of a cache of this gateway, by whether they found an entry")
        .with_callback(move |observer| {
            for (cache, stats) in caches(&observed) {
                for (result, count) in [("hit", stats.hits), ("miss", stats.misses)] {
                    let labels = [KeyValue::new("cache", cache), KeyValue::new("result", result)];
                    observer.observe(count, &labels);
                }
            }
        })
        .build();
    let observed = Arc::downgrade(gateway);
    meter
        .u64_observable_gauge("ffapi.cache.entries")
        .with_description("Entries of a cache of this gateway; `keys` holds every key")
        .with_callback(move |observer| {
            for (cache, stats) in caches(&observed) {
                observer.observe(stats.entries as u64, &[KeyValue::new("cache", cache)]);
            }
        })
        .build();
    let observed = Arc::downgrade(gateway);
    meter
        .f64_observable_gauge("ffapi.credentials.age")
        .with_unit("s")
        .with_description("Time since the keys were last confirmed to be those of the log")
        .with_callback(move |observer| {
            let age = observed.upgrade().and_then(|gateway| gateway.credentials.age());
            if let Some(age) = age {
                observer.observe(age.as_secs_f64(), &[]);
            }
        })
        .build();
}

fn caches(gateway: &Weak<Gateway>) -> Vec<(&'static str, CacheStats)> {
    gateway.upgrade().map(|gateway| cache_stats::stats(&gateway).collect()).unwrap_or_default()
}
