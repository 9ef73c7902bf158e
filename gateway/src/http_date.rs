//! Dates in headers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ffapi_domain::Timestamp;
use httpdate::fmt_http_date;
use poem::http::HeaderName;

/// The header of RFC 8594: until when what a response has can be had.
pub(crate) const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// A time in whole seconds, as far as a header can state it.
pub(crate) fn whole_seconds(at: Timestamp) -> SystemTime {
    let since = Duration::from_secs(at.as_millis() / 1_000);
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

/// A time as headers have it.
pub(crate) fn http_date(at: Timestamp) -> String {
    fmt_http_date(whole_seconds(at))
}
