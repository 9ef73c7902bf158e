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

impl HourlyLimit {
    pub(crate) fn of(request: &Request) -> Self {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        Self::of_path(playback::path(request), is_read)
    }

    fn of_path(path: &str, is_read: bool) -> Self {
        let path = path.strip_prefix("/api/v1").unwrap_or_default();
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match segments.as_slice() {
            ["jobs", _, "outputs", name, ..] if !name.is_empty() => DOWNLOADS,
            ["jobs" | "batch", _] | ["jobs" | "batch", _, "events"] | ["me"] if is_read => POLLS,
            _ => REQUESTS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn following_a_job_and_playing_its_outputs_leave_the_requests_to_other_work() {
        for (path, is_read, expected) in [
            ("/api/v1/jobs/job_1", true, POLLS),
            ("/api/v1/jobs/job_1/events", true, POLLS),
            ("/api/v1/batch/batch_1", true, POLLS),
            ("/api/v1/me", true, POLLS),
            ("/api/v1/jobs/job_1", false, REQUESTS),
            ("/api/v1/jobs", true, REQUESTS),
            ("/api/v1/jobs/job_1/logs", true, REQUESTS),
            ("/api/v1/jobs/job_1/outputs", true, REQUESTS),
            ("/api/v1/jobs/job_1/outputs/", true, REQUESTS),
            ("/api/v1/jobs/job_1/outputs/hls/master.m3u8", true, DOWNLOADS),
            ("/api/v1/jobs/job_1/outputs/a.mp4", false, DOWNLOADS),
            ("/other/api/v1/me", true, REQUESTS),
        ] {
            assert_eq!(HourlyLimit::of_path(path, is_read), expected, "{path}");
        }
    }
}
