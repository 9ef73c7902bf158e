//! The instruments of this crate, and functions that record with them. Nothing else of it imports
//! OpenTelemetry. Subjects are never attributes: they contain tenants and ids.

mod labels;
mod observed;

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, Meter},
};

pub use self::observed::StreamState;
pub(crate) use self::{
    labels::{AppendOutcome, Operation, peers},
    observed::{observe, stream_state},
};
use crate::LogError;

/// Boundaries of the semantic conventions for durations in seconds.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// For appends, of which most take less than the conventions' first boundary.
const APPEND_SECONDS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Messages of an append: 1, or a batch of up to 256.
const BATCH_SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(&meter()));

fn meter() -> Meter {
    global::meter("ffapi-nats")
}

struct Instruments {
    operations: Histogram<f64>,
    sent: Counter<u64>,
    consumed: Counter<u64>,
    appends: Histogram<f64>,
    conflicts: Counter<u64>,
    resolved: Counter<u64>,
    batches: Histogram<u64>,
    appended_bytes: Counter<u64>,
    connections: Counter<u64>,
    disconnections: Counter<u64>,
    slow_consumers: Counter<u64>,
    redeliveries: Counter<u64>,
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        let seconds = |name, description, boundaries: &[f64]| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
            histogram.with_boundaries(boundaries.to_vec()).build()
        };
        let count =
            |name, description| meter.u64_counter(name).with_description(description).build();
        Self {
            operations: seconds(
                "messaging.client.operation.duration",
                "Time of requests to NATS, by operation and by stream or kind of subject",
                &SECONDS,
            ),
            sent: count("messaging.client.sent.messages", "Messages stored in a stream"),
            consumed: count("messaging.client.consumed.messages", "Messages received of a stream"),
            appends: seconds(
                "ffapi.log.append.duration",
                "Time from the request to append a decision until its outcome is known",
                &APPEND_SECONDS,
            ),
            conflicts: count(
                "ffapi.log.conflicts",
                "Decisions that were not appended because their aggregate had a newer one",
            ),
            resolved: count(
                "ffapi.log.unknown_outcomes",
                "Appends without a response, whose outcome was then looked up in the log",
            ),
            batches: meter
                .u64_histogram("ffapi.log.batch_size")
                .with_description("Decisions that were appended at once, with one fsync")
                .with_boundaries(BATCH_SIZES.to_vec())
                .build(),
            appended_bytes: meter
                .u64_counter("ffapi.log.appended")
                .with_unit("By")
                .with_description("Bytes of appended decisions")
                .build(),
            connections: count("ffapi.nats.connections", "Connections made to NATS"),
            disconnections: count(
                "ffapi.nats.disconnections",
                "Connections to NATS that were lost",
            ),
            slow_consumers: count(
                "ffapi.nats.slow_consumers",
                "Times that messages were dropped because a subscription did not keep up",
            ),
            redeliveries: count(
                "ffapi.work.redeliveries",
                "Tasks that were delivered again, because an earlier lease had expired",
            ),
        }
    }
}

fn operation_labels(operation: Operation, destination: &'static str) -> [KeyValue; 4] {
    [
        KeyValue::new("messaging.system", "nats"),
        KeyValue::new("messaging.operation.name", operation.name()),
        KeyValue::new("messaging.operation.type", operation.kind()),
        KeyValue::new("messaging.destination.name", destination),
    ]
}

/// Awaits a request to NATS and records its duration. `destination` is a stream, or a kind of subject.
pub(crate) async fn timed<T>(
    operation: Operation,
    destination: &'static str,
    call: impl Future<Output = Result<T, LogError>>,
) -> Result<T, LogError> {
    let start = Instant::now();
    let outcome = call.await;
    let seconds = start.elapsed().as_secs_f64();
    let [system, name, kind, destination] = operation_labels(operation, destination);
    match &outcome {
        Ok(_) => INSTRUMENTS.operations.record(seconds, &[system, name, kind, destination]),
        Err(error) => {
            let error = KeyValue::new("error.type", labels::error_type(error));
            INSTRUMENTS.operations.record(seconds, &[system, name, kind, destination, error]);
        }
    }
    outcome
}

fn message_labels(operation: Operation, stream: &'static str) -> [KeyValue; 3] {
    [
        KeyValue::new("messaging.system", "nats"),
        KeyValue::new("messaging.operation.name", operation.name()),
        KeyValue::new("messaging.destination.name", stream),
    ]
}

pub(crate) fn sent(stream: &'static str, messages: u64) {
    INSTRUMENTS.sent.add(messages, &message_labels(Operation::Publish, stream));
}

pub(crate) fn consumed(stream: &'static str, messages: u64) {
    INSTRUMENTS.consumed.add(messages, &message_labels(Operation::Fetch, stream));
}

pub(crate) fn appended(time: Duration, outcome: AppendOutcome) {
    if outcome == AppendOutcome::Conflict {
        INSTRUMENTS.conflicts.add(1, &[]);
    }
    let labels = [KeyValue::new("outcome", outcome.name())];
    INSTRUMENTS.appends.record(time.as_secs_f64(), &labels);
}

/// Records decisions that were stored with one fsync.
pub(crate) fn stored_together(decisions: usize, bytes: usize) {
    INSTRUMENTS.batches.record(decisions as u64, &[]);
    INSTRUMENTS.appended_bytes.add(bytes as u64, &[]);
    sent(crate::topology::EVENTS, decisions as u64);
}

pub(crate) fn outcome_looked_up() {
    INSTRUMENTS.resolved.add(1, &[]);
}

pub(crate) fn connected() {
    INSTRUMENTS.connections.add(1, &[]);
}

pub(crate) fn disconnected() {
    INSTRUMENTS.disconnections.add(1, &[]);
}

pub(crate) fn slow_consumer() {
    INSTRUMENTS.slow_consumers.add(1, &[]);
}

/// Starts with no redelivery.
pub(crate) fn pulling() {
    INSTRUMENTS.redeliveries.add(0, &[]);
}

pub(crate) fn redelivered() {
    INSTRUMENTS.redeliveries.add(1, &[]);
}
