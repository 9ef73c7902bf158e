//! Deliveries of webhooks.

use std::{
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use ffapi_domain::{Timestamp, webhook::DisabledBy};
use ffapi_projections::delivery_queue::Backlog;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, Meter, UpDownCounter},
};

use super::{SECONDS, count, seconds};
use crate::clock;

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(&meter()));

/// What is due, as the database last said.
static BACKLOG: Mutex<Option<Backlog>> = Mutex::new(None);

fn meter() -> Meter {
    global::meter("ffapi-workers")
}

struct Instruments {
    attempts: Counter<u64>,
    durations: Histogram<f64>,
    endpoints: UpDownCounter<i64>,
    disabled: Counter<u64>,
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        Self {
            attempts: count(meter, "ffapi.webhook.attempts", "Attempts at deliveries, by outcome"),
            durations: seconds(
                meter,
                "ffapi.webhook.attempt.duration",
                "Time of an attempt at a delivery, with its response",
                &SECONDS,
            ),
            endpoints: meter
                .i64_up_down_counter("ffapi.webhook.active_endpoints")
                .with_description("Endpoints that this process is sending to")
                .build(),
            disabled: count(
                meter,
                "ffapi.webhook.endpoints_disabled",
                "Endpoints that were disabled because they fail or are gone",
            ),
        }
    }
}

/// The outcome of an attempt at a delivery.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AttemptOutcome {
    Delivered,
    /// A response that is no success.
    Rejected,
    /// The endpoint says that it is gone.
    Gone,
    /// No response.
    Unreachable,
}

impl AttemptOutcome {
    const ALL: [Self; 4] = [Self::Delivered, Self::Rejected, Self::Gone, Self::Unreachable];

    /// The outcome for a response's status, if there was a response.
    pub(crate) const fn of(status: Option<u16>) -> Self {
        match status {
            Some(200..=299) => Self::Delivered,
            Some(410) => Self::Gone,
            Some(_) => Self::Rejected,
            None => Self::Unreachable,
        }
    }

    fn label(self) -> [KeyValue; 1] {
        let outcome = match self {
            Self::Delivered => "delivered",
            Self::Rejected => "rejected",
            Self::Gone => "gone",
            Self::Unreachable => "unreachable",
        };
        [KeyValue::new("outcome", outcome)]
    }
}

fn disabled_label(by: DisabledBy) -> [KeyValue; 1] {
    let reason = match by {
        DisabledBy::Gone => "gone",
        DisabledBy::Failing => "failing",
        DisabledBy::Owner => "owner",
    };
    [KeyValue::new("reason", reason)]
}

/// Starts with every counter at zero, and reads what is due whenever metrics are.
pub(crate) fn prepare() {
    for outcome in AttemptOutcome::ALL {
        INSTRUMENTS.attempts.add(0, &outcome.label());
    }
    for by in [DisabledBy::Gone, DisabledBy::Failing] {
        INSTRUMENTS.disabled.add(0, &disabled_label(by));
    }
    INSTRUMENTS.endpoints.add(0, &[]);
    let meter = meter();
    meter
        .u64_observable_gauge("ffapi.webhook.due_endpoints")
        .with_description(
            "Enabled endpoints with a delivery that may be sent now, of all processes",
        )
        .with_callback(|observer| {
            if let Some(backlog) = backlog() {
                observer.observe(backlog.endpoints, &[]);
            }
        })
        .build();
    meter
        .f64_observable_gauge("ffapi.webhook.oldest_due_age")
        .with_unit("s")
        .with_description("How long the delivery that has been due longest could have been sent")
        .with_callback(|observer| {
            if let Some(backlog) = backlog() {
                let since = |at: Timestamp| clock::now().since(at);
                let age = backlog.oldest.map(since).unwrap_or_default();
                observer.observe(age.as_secs_f64(), &[]);
            }
        })
        .build();
}

fn backlog() -> Option<Backlog> {
    *BACKLOG.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn backlog_read(backlog: Backlog) {
    *BACKLOG.lock().unwrap_or_else(PoisonError::into_inner) = Some(backlog);
}

pub(crate) fn attempted(outcome: AttemptOutcome, time: Duration) {
    let label = outcome.label();
    INSTRUMENTS.attempts.add(1, &label);
    INSTRUMENTS.durations.record(time.as_secs_f64(), &label);
}

pub(crate) fn disabled(by: DisabledBy) {
    INSTRUMENTS.disabled.add(1, &disabled_label(by));
}

/// An endpoint that is being sent to, counted until this is dropped.
#[derive(Debug)]
pub(crate) struct CountedEndpoint(());

impl CountedEndpoint {
    pub(crate) fn begin() -> Self {
        INSTRUMENTS.endpoints.add(1, &[]);
        Self(())
    }
}

impl Drop for CountedEndpoint {
    fn drop(&mut self) {
        INSTRUMENTS.endpoints.add(-1, &[]);
    }
}
