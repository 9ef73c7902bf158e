//! Texts of the OpenAPI document that stand for many operations.

/// The groups of operations, in the order in which they are shown.
pub(super) const TAGS: [(&str, &str); 13] = [
    ("Jobs", "Submit, follow and control jobs. Each kind of job is one POST."),
    ("Outputs", "List, download and delete what jobs produced."),
    ("Uploads", "Files that are used as inputs."),
    ("Batches", "Many jobs that are accepted together or not at all."),
    ("Presets", "Named, versioned defaults of requests."),
    ("Events", "The account's events, as a stream or in pages."),
    ("Webhooks", "Endpoints that events are sent to."),
    ("Tokens", "Access without a key, for browsers and players."),
    ("Keys", "API keys."),
    ("Accounts", "The caller, accounts, their limits and usage."),
    ("Planning", "What a job would do and take, without creating it."),
    ("Administration", "For operators."),
    ("System", "Health, capabilities and the queue."),
];

/// The group of an operation, by its path.
pub(super) fn tag_of(path: &str) -> &'static str {
    let path = path.trim_start_matches("/api/v1/");
    let mut segments = path.split('/');
    let (first, third) = (segments.next().unwrap_or_default(), segments.nth(1));
    match first {
        "jobs" | "t" if third == Some("outputs") => "Outputs",
        "convert" | "stream" | "thumbnails" | "analyze" | "probe" | "jobs" => "Jobs",
        "validate" | "estimate" => "Planning",
        "uploads" | "t" => "Uploads",
        "batch" => "Batches",
        "presets" => "Presets",
        "events" => "Events",
        "webhooks" => "Webhooks",
        "tokens" => "Tokens",
        "api-keys" => "Keys",
        "accounts" | "me" | "usage" => "Accounts",
        "admin" => "Administration",
        "health" | "capabilities" | "queue" => "System",
        _ => "",
    }
}

/// What a parameter means that many operations have.
pub(super) fn parameter_text(path: &str, name: &str) -> Option<&'static str> {
    Some(match name {
        "Idempotency-Key" => {
            "1 to 255 characters. A repeated request with the same key and body gets the response of the \
             first one, for 48 hours."
        }
        "Prefer" => "`wait=N` waits up to N seconds for the job to end (RFC 7240).",
        "If-Match" => "The `ETag` of the version that may be changed; any version if absent.",
        "If-None-Match" => "An `ETag`; the response is 304 if it is still current.",
        "If-Modified-Since" => "A date; the response is 304 if the file is not newer.",
        "If-Range" => "An `ETag` or a date: `Range` counts only if the file is still that one.",
        "Range" => "A part of the file, like `bytes=0-1023`.",
        "Last-Event-ID" => {
            "The position of the last event that was received; the stream resumes after it."
        }
        "Accept" => "`text/event-stream`, or `application/json` for the events so far.",
        "limit" => "The number of entries of a page.",
        "cursor" => "`next_cursor` of the page before.",
        "min_position" => {
            "Waits until the result contains the event at this position, as `X-Log-Position` of another \
             response states it."
        }
        "sort" => "`created_at:desc` (the default) or `created_at:asc`.",
        "kind" => "`convert`, `stream`, `thumbnails`, `analyze` or `probe`.",
        "batch_id" => "Only jobs of this batch.",
        "preset" => "Only jobs that used this version of a preset, like `web-1080p@3`.",
        "created_after" => "Only jobs that were submitted after this time (RFC 3339).",
        "created_before" => "Only jobs that were submitted before this time (RFC 3339).",
        "after" => "The position after which the events begin.",
        "since" => "Only entries of this time or later (RFC 3339).",
        "until" => "Only entries of earlier times than this (RFC 3339).",
        "actor" => "Only what this key or process did.",
        "action" => "Only this action, like `key.created`.",
        "address" => "Only requests from this address.",
        "code" => "Only jobs that failed with this code.",
        "with" => "The job to compare with; the one that this job reruns if absent.",
        "grace" => "How long the old secret stays valid, in seconds.",
        "version" => "A version number, from 1.",
        "tenant" => "The tenant's name.",
        "folder" => "The folder of the output, as a manifest names it.",
        "status" => "Only entries with this status.",
        "name" if path.contains("/presets") => "The preset's name.",
        "name" => "The output's name.",
        "id" => match path.trim_start_matches("/api/v1/").split('/').next().unwrap_or_default() {
            "jobs" => "The job's id, `job_…`.",
            "batch" => "The batch's id, `batch_…`.",
            "uploads" => "The upload's id, `upload_…`.",
            "webhooks" => "The webhook's id, `hook_…`.",
            "api-keys" => "The key's id, `key_…`.",
            _ => return None,
        },
        _ => return None,
    })
}
