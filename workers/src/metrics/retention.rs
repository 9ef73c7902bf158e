//! Cleanup rounds.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ffapi_domain::retention::CleanupReport;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, Meter},
};

use super::{WORK_SECONDS, count, seconds};
use crate::clock;

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(&meter()));

/// When the last round succeeded, in milliseconds since 1970; 0 for never.
static LAST_SUCCESS: AtomicU64 = AtomicU64::new(0);

fn meter() -> Meter {
    global::meter("ffapi-workers")
}

struct Instruments {
    rounds: Histogram<f64>,
    removed: Counter<u64>,
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        Self {
            rounds: seconds(
                meter,
                "ffapi.retention.round.duration",
                "Time of a cleanup round, by outcome",
                &WORK_SECONDS,
            ),
            removed: count(
                meter,
                "ffapi.retention.removed",
                "What cleanup rounds removed, by kind",
            ),
        }
    }
}

/// Starts with nothing removed.
pub(crate) fn prepare() {
    removed(&CleanupReport::default());
    meter()
        .f64_observable_gauge("ffapi.retention.last_success.timestamp")
        .with_unit("s")
        .with_description("When a cleanup round last succeeded, in seconds since 1970")
        .with_callback(|observer| {
            let at = LAST_SUCCESS.load(Ordering::Relaxed);
            if at > 0 {
                observer.observe(Duration::from_millis(at).as_secs_f64(), &[]);
            }
        })
        .build();
}

pub(crate) fn succeeded(time: Duration) {
    LAST_SUCCESS.store(clock::now().as_millis(), Ordering::Relaxed);
    INSTRUMENTS.rounds.record(time.as_secs_f64(), &[KeyValue::new("outcome", "done")]);
}

pub(crate) fn failed(time: Duration) {
    INSTRUMENTS.rounds.record(time.as_secs_f64(), &[KeyValue::new("outcome", "failed")]);
}

pub(crate) fn removed(report: &CleanupReport) {
    let CleanupReport { jobs, uploads, deliveries } = report;
    for (kind, number) in [("outputs", jobs), ("upload", uploads), ("delivery", deliveries)] {
        INSTRUMENTS.removed.add(*number, &[KeyValue::new("kind", kind)]);
    }
}
