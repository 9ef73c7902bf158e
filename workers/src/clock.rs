use std::time::{SystemTime, UNIX_EPOCH};

use ffapi_domain::Timestamp;

/// The current wall-clock time.
pub(crate) fn now() -> Timestamp {
    at(SystemTime::now())
}

/// Converts a system time; times before the Unix epoch become the epoch.
pub(crate) fn at(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
