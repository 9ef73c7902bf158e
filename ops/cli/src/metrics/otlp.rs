//! The push of metrics by OTLP. The interval and the rest are read by the reader from
//! `OTEL_METRIC_EXPORT_*`.

use opentelemetry_otlp::{MetricExporter, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::metrics::PeriodicReader;

use crate::otlp::{Client, Protocol, Signal, Variables, tls};

/// The reader that pushes all metrics periodically.
///
/// # Errors
/// When the client cannot be created, or the variables are invalid.
pub(super) fn reader() -> anyhow::Result<PeriodicReader<MetricExporter>> {
    const SIGNAL: Signal = Signal::Metrics;
    let variables = Variables::of_process();
    let exporter = match variables.protocol(SIGNAL)? {
        Protocol::Http => {
            let client = Client::new(&variables, SIGNAL)?;
            MetricExporter::builder().with_http().with_http_client(client).build()?
        }
        Protocol::Grpc => {
            let exporter = MetricExporter::builder().with_tonic();
            match tls(&variables, SIGNAL)? {
                Some(tls) => exporter.with_tls_config(tls).build()?,
                None => exporter.build()?,
            }
        }
    };
    Ok(PeriodicReader::builder(exporter).build())
}
