//! The instruments of this crate. Nothing else of it imports OpenTelemetry.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ffapi_domain::Timestamp;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, Meter},
};

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(&meter()));

/// When the newest backup was made, in milliseconds since 1970; 0 for never.
static NEWEST: AtomicU64 = AtomicU64::new(0);

/// From a small difference to a first backup of a large log.
const SECONDS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3_600.0];

struct Instruments {
    rounds: Histogram<f64>,
    stored: Counter<u64>,
}

fn meter() -> Meter {
    global::meter("ffapi-backup")
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        Self {
            rounds: meter
                .f64_histogram("ffapi.backup.duration")
                .with_unit("s")
                .with_description("Time of a scheduled backup, by outcome")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            stored: meter
                .u64_counter("ffapi.backup.stored")
                .with_unit("By")
                .with_description("Bytes that scheduled backups stored")
                .build(),
        }
    }
}

pub(crate) fn prepare() {
    INSTRUMENTS.stored.add(0, &[]);
    meter()
        .f64_observable_gauge("ffapi.backup.last_success.timestamp")
        .with_unit("s")
        .with_description("When the newest backup was made, in seconds since 1970")
        .with_callback(|observer| {
            let at = NEWEST.load(Ordering::Relaxed);
            if at > 0 {
                observer.observe(Duration::from_millis(at).as_secs_f64(), &[]);
            }
        })
        .build();
}

pub(crate) fn newest(at: Timestamp) {
    NEWEST.store(at.as_millis(), Ordering::Relaxed);
}

pub(crate) fn made(time: Duration, stored_bytes: u64) {
    INSTRUMENTS.rounds.record(time.as_secs_f64(), &[KeyValue::new("outcome", "done")]);
    INSTRUMENTS.stored.add(stored_bytes, &[]);
}

pub(crate) fn failed(time: Duration) {
    INSTRUMENTS.rounds.record(time.as_secs_f64(), &[KeyValue::new("outcome", "failed")]);
}
