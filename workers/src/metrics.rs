//! The instruments of this crate, and functions that record with them. Nothing else of it imports
//! OpenTelemetry. No attribute is a tenant, a key, a job, a worker or a path.

pub(crate) mod conductor;
pub(crate) mod media;
mod queue;
pub(crate) mod retention;
pub(crate) mod webhooks;
pub(crate) mod worker;

use ffapi_domain::media::Pool;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};

/// Boundaries for work on media: from a probe to an encode of a day.
const WORK_SECONDS: [f64; 16] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0,
    14_400.0, 86_400.0,
];
/// Boundaries of the semantic conventions for durations in seconds.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

fn count(meter: &Meter, name: &'static str, description: &'static str) -> Counter<u64> {
    meter.u64_counter(name).with_description(description).build()
}

fn seconds(
    meter: &Meter,
    name: &'static str,
    description: &'static str,
    boundaries: &[f64],
) -> Histogram<f64> {
    let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
    histogram.with_boundaries(boundaries.to_vec()).build()
}

fn pool_label(pool: Pool) -> KeyValue {
    KeyValue::new("pool", pool.as_str())
}
