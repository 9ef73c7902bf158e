use ffapi_domain::job::JobUsage;
use poem_openapi::Object;

use crate::prices::{Cost, PriceTable};

/// What the attempt that made a job's outputs used.
#[derive(Debug, Object)]
#[oai(rename = "JobUsage", skip_serializing_if_is_none)]
pub(crate) struct UsageBody {
    /// Media minutes that are charged.
    media_minutes: f64,
    /// Seconds of work.
    processing_seconds: f64,
    /// CPU time over all threads, in seconds; absent for jobs of early versions.
    cpu_seconds: Option<f64>,
    /// Size of all outputs in bytes.
    output_bytes: u64,
    /// What it costs, if the service has a price table.
    cost: Option<Cost>,
}

impl UsageBody {
    pub(super) fn of(kind: &str, usage: &JobUsage, prices: Option<&PriceTable>) -> Self {
        Self {
            media_minutes: usage.media_minutes(),
            processing_seconds: usage.seconds,
            cpu_seconds: usage.cpu_seconds,
            output_bytes: usage.bytes,
            cost: prices.map(|prices| prices.of_job(kind, usage)),
        }
    }
}
