//! The instruments of this crate, and functions that record with them. Nothing else of it imports
//! OpenTelemetry. No attribute is a tenant, a key, a job or a path.

mod labels;
mod observed;
mod request;

use std::{sync::LazyLock, time::Duration};

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, Meter, UpDownCounter},
};

pub(crate) use self::{
    labels::{ConnectionLimit, Limit, UploadOutcome, WaitOutcome},
    observed::observe,
    request::{ActiveRequest, Answered, known_method},
};
use crate::auth::AuthError;

/// Boundaries of the semantic conventions for durations in seconds.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(&meter()));

fn meter() -> Meter {
    global::meter("ffapi-gateway")
}

struct Instruments {
    requests: Histogram<f64>,
    active_requests: UpDownCounter<i64>,
    problems: Counter<u64>,
    credentials_rejected: Counter<u64>,
    limits_reached: Counter<u64>,
    connections: UpDownCounter<i64>,
    connections_rejected: Counter<u64>,
    event_streams: UpDownCounter<i64>,
    uploads: Counter<u64>,
    uploaded_bytes: Counter<u64>,
    downloaded_bytes: Counter<u64>,
    read_waits: Histogram<f64>,
    replays: Counter<u64>,
    revocations: Histogram<f64>,
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        let seconds = |name, description| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
            histogram.with_boundaries(SECONDS.to_vec()).build()
        };
        let count =
            |name, description| meter.u64_counter(name).with_description(description).build();
        let bytes = |name, description| {
            meter.u64_counter(name).with_unit("By").with_description(description).build()
        };
        let open = |name, description| {
            meter.i64_up_down_counter(name).with_description(description).build()
        };
        Self {
            requests: seconds(
                "http.server.request.duration",
                "Time from a request's headers to its response's headers",
            ),
            active_requests: open(
                "http.server.active_requests",
                "Requests whose response has not begun",
            ),
            problems: count("ffapi.http.problems", "Responses that report a problem, by its type"),
            credentials_rejected: count(
                "ffapi.credentials.rejected",
                "Requests without accepted credentials, by reason",
            ),
            limits_reached: count(
                "ffapi.limits.reached",
                "Requests that were rejected by a limit, by the limit",
            ),
            connections: open("ffapi.http.connections", "Open connections of clients"),
            connections_rejected: count(
                "ffapi.http.connections_rejected",
                "Connections that were closed at once, by the limit that was reached",
            ),
            event_streams: open("ffapi.event_streams", "Open streams of events to clients"),
            uploads: count("ffapi.uploads", "Uploads that were received to their end"),
            uploaded_bytes: bytes("ffapi.uploaded", "Bytes of files that were received"),
            downloaded_bytes: bytes("ffapi.downloaded", "Bytes of outputs that were sent"),
            read_waits: seconds(
                "ffapi.read_wait.duration",
                "Time that reads waited until this gateway had received the end of the log",
            ),
            replays: count(
                "ffapi.idempotent_replays",
                "Requests that an earlier one with the same idempotency key had done already",
            ),
            revocations: seconds(
                "ffapi.key_revocation",
                "Time from the revocation of a key until this gateway rejects it",
            ),
        }
    }
}

pub(crate) fn credentials_rejected(error: AuthError) {
    INSTRUMENTS.credentials_rejected.add(1, &[KeyValue::new("reason", labels::reason(error))]);
}

pub(crate) fn limit_reached(limit: Limit) {
    INSTRUMENTS.limits_reached.add(1, &[KeyValue::new("limit", limit.name())]);
}

pub(crate) fn connection_rejected(limit: ConnectionLimit) {
    INSTRUMENTS.connections_rejected.add(1, &[KeyValue::new("limit", limit.name())]);
}

pub(crate) fn uploaded(outcome: UploadOutcome) {
    INSTRUMENTS.uploads.add(1, &[KeyValue::new("outcome", outcome.name())]);
}

pub(crate) fn bytes_uploaded(bytes: u64) {
    INSTRUMENTS.uploaded_bytes.add(bytes, &[]);
}

pub(crate) fn bytes_downloaded(bytes: u64) {
    INSTRUMENTS.downloaded_bytes.add(bytes, &[]);
}

/// Records a read that waited for the end of the log.
pub(crate) fn waited_for_log(time: Duration, outcome: WaitOutcome) {
    INSTRUMENTS.read_waits.record(time.as_secs_f64(), &[KeyValue::new("outcome", outcome.name())]);
}

pub(crate) fn replayed() {
    INSTRUMENTS.replays.add(1, &[]);
}

pub(crate) fn key_revoked(ago: Duration) {
    INSTRUMENTS.revocations.record(ago.as_secs_f64(), &[]);
}

/// An open connection, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(());

impl OpenConnection {
    pub(crate) fn begin() -> Self {
        INSTRUMENTS.connections.add(1, &[]);
        Self(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        INSTRUMENTS.connections.add(-1, &[]);
    }
}

/// An open stream of events, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct EventStream(());

impl EventStream {
    pub(crate) fn begin() -> Self {
        INSTRUMENTS.event_streams.add(1, &[]);
        Self(())
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        INSTRUMENTS.event_streams.add(-1, &[]);
    }
}
