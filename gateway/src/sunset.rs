//! The header `Sunset` (RFC 8594): until when what a response has can be had.

use std::time::{Duration, UNIX_EPOCH};

use ffapi_domain::Timestamp;
use httpdate::fmt_http_date;
use poem::http::HeaderName;

pub(crate) const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// The header's value, in seconds, as HTTP dates are.
pub(crate) fn sunset(at: Timestamp) -> String {
    let since = Duration::from_secs(at.as_millis() / 1_000);
    fmt_http_date(UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH))
}
