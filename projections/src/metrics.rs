//! The instruments of this crate, and functions that record with them. Nothing else of it imports
//! OpenTelemetry.

mod lag;
mod observed;
mod statement;

use std::{sync::LazyLock, time::Duration};

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, Meter},
};

pub(crate) use self::{
    lag::ends_seen,
    observed::{
        ProjectionState, dead_letters_counted, observe_pool, observe_projections, parked_counted,
        position_changed, state_changed,
    },
    statement::StatementTimer,
};

/// Boundaries of the semantic conventions for durations in seconds.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// From a statement that finds its row in memory to the timeout of a request's statement.
const STATEMENT_SECONDS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// From a read model that keeps up to one that was not running overnight.
const DELAY_SECONDS: [f64; 14] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3_600.0, 36_000.0];
/// Messages of a commit, up to the maximum.
const BATCH_SIZES: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0];

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(&meter()));

fn meter() -> Meter {
    global::meter("ffapi-projections")
}

struct Instruments {
    statements: Histogram<f64>,
    commits: Histogram<f64>,
    batches: Histogram<u64>,
    delays: Histogram<f64>,
    restarts: Counter<u64>,
    parked: Counter<u64>,
    anchors: Counter<u64>,
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
            statements: seconds(
                "db.client.operation.duration",
                "Time of statements in Postgres, with the wait for a connection",
                &STATEMENT_SECONDS,
            ),
            commits: seconds(
                "ffapi.projection.commit.duration",
                "Time to apply a batch of messages to a read model, and to commit it",
                &SECONDS,
            ),
            batches: meter
                .u64_histogram("ffapi.projection.batch_size")
                .with_description("Messages of a commit of a read model")
                .with_boundaries(BATCH_SIZES.to_vec())
                .build(),
            delays: seconds(
                "ffapi.projection.delay",
                "Time from a decision until a read model has committed it",
                &DELAY_SECONDS,
            ),
            restarts: count(
                "ffapi.projection.restarts",
                "Times that a read model began again after a failure",
            ),
            parked: count(
                "ffapi.projection.parked",
                "Messages that a read model could not apply and skipped",
            ),
            anchors: count(
                "ffapi.archive.anchors",
                "Periodic signatures of the archive's head, by outcome",
            ),
        }
    }
}

fn projection_label(projection: &'static str) -> [KeyValue; 1] {
    [KeyValue::new("projection", projection)]
}

/// A batch that a read model has committed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committed {
    /// Number of messages.
    pub(crate) messages: usize,
    /// Sequence of the last one.
    pub(crate) sequence: u64,
    pub(crate) time: Duration,
    /// Time since the last decision of the batch was made; none if that cannot be read.
    pub(crate) delay: Option<Duration>,
}

pub(crate) fn committed(projection: &'static str, committed: Committed) {
    let labels = projection_label(projection);
    INSTRUMENTS.batches.record(committed.messages as u64, &labels);
    INSTRUMENTS.commits.record(committed.time.as_secs_f64(), &labels);
    if let Some(delay) = committed.delay {
        INSTRUMENTS.delays.record(delay.as_secs_f64(), &labels);
    }
    position_changed(projection, committed.sequence);
}

/// Starts with every counter of a read model at zero.
pub(crate) fn prepare(projection: &'static str) {
    let labels = projection_label(projection);
    INSTRUMENTS.restarts.add(0, &labels);
    INSTRUMENTS.parked.add(0, &labels);
}

pub(crate) fn restarted(projection: &'static str) {
    INSTRUMENTS.restarts.add(1, &projection_label(projection));
}

pub(crate) fn parked(projection: &'static str) {
    INSTRUMENTS.parked.add(1, &projection_label(projection));
}

/// The outcome of signing the archive's head.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signing {
    Signed,
    Failed,
}

impl Signing {
    fn labels(self) -> [KeyValue; 1] {
        let outcome = match self {
            Self::Signed => "signed",
            Self::Failed => "failed",
        };
        [KeyValue::new("outcome", outcome)]
    }
}

/// Starts with every outcome at zero.
pub(crate) fn prepare_signing() {
    INSTRUMENTS.anchors.add(0, &Signing::Signed.labels());
    INSTRUMENTS.anchors.add(0, &Signing::Failed.labels());
}

pub(crate) fn anchored(outcome: Signing) {
    INSTRUMENTS.anchors.add(1, &outcome.labels());
}
