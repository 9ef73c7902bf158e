//! Which of an account's hourly limits a request counts towards.

use poem::{Request, http::Method};

use crate::{metrics::Limit, playback};

/// An hourly limit of an account, as a multiple of the requests per hour of its tier.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HourlyLimit {
    /// Its name in `RateLimit`.
    pub(crate) name: &'static str,
    /// How many requests it allows for each request per hour of the tier.
    pub(crate) factor: u64,
    pub(crate) metric: Limit,
}

const REQUESTS: HourlyLimit = HourlyLimit { name: "requests", factor: 1, metric: Limit::Requests };
/// A client may ask every other second about each of several jobs.
const POLLS: HourlyLimit = HourlyLimit { name: "polls", factor: 50, metric: Limit::Polls };
/// A player reads a segment every few seconds, of several tracks.
const DOWNLOADS: HourlyLimit =
    HourlyLimit { name: "downloads", factor: 100, metric: Limit::Downloads };

/// The credentials of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presented {
    /// A key, or a token of the issuer, in a header.
    Key,
    /// A token in the URL, and nothing else.
    UrlToken,
}

/// What a page does with URLs that need no key: uploads, lists of outputs, streams of events.
const BY_URL: HourlyLimit = HourlyLimit { name: "by-url", factor: 10, metric: Limit::ByUrl };

impl HourlyLimit {
    pub(crate) fn of(request: &Request, presented: Presented) -> Self {
        let limit = Self::of_operation(request.method(), playback::path(request));
        // A URL with a token may be public: its holders leave the account's requests to its keys.
        match presented {
            Presented::UrlToken if limit == REQUESTS => BY_URL,
            Presented::UrlToken | Presented::Key => limit,
        }
    }

    fn of_operation(method: &Method, path: &str) -> Self {
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let path = path.strip_prefix("/api/v1").unwrap_or_default();
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match segments.as_slice() {
            ["jobs", _, "outputs", name, ..] if is_read && !name.is_empty() => DOWNLOADS,
            ["jobs" | "batch", _] | ["jobs" | "batch", _, "events"] | ["me"] if is_read => POLLS,
            _ => REQUESTS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_of_a_url_with_a_token_leave_the_requests_to_keys() {
        let request = Request::builder().uri_str("/api/v1/jobs/job_1/outputs").finish();
        assert_eq!(HourlyLimit::of(&request, Presented::UrlToken), BY_URL);
        assert_eq!(HourlyLimit::of(&request, Presented::Key), REQUESTS);
    }

    #[test]
    fn following_a_job_and_playing_its_outputs_leave_the_requests_to_other_work() {
        for (method, path, expected) in [
            (Method::GET, "/api/v1/jobs/job_1", POLLS),
            (Method::GET, "/api/v1/jobs/job_1/events", POLLS),
            (Method::GET, "/api/v1/batch/batch_1", POLLS),
            (Method::GET, "/api/v1/me", POLLS),
            (Method::PATCH, "/api/v1/jobs/job_1", REQUESTS),
            (Method::GET, "/api/v1/jobs", REQUESTS),
            (Method::GET, "/api/v1/jobs/job_1/logs", REQUESTS),
            (Method::GET, "/api/v1/jobs/job_1/outputs", REQUESTS),
            (Method::GET, "/api/v1/jobs/job_1/outputs/", REQUESTS),
            (Method::GET, "/api/v1/jobs/job_1/outputs/hls/master.m3u8", DOWNLOADS),
            (Method::DELETE, "/api/v1/jobs/job_1/outputs/a.mp4", REQUESTS),
            (Method::GET, "/other/api/v1/me", REQUESTS),
        ] {
            assert_eq!(HourlyLimit::of_operation(&method, path), expected, "{path}");
        }
    }
}
