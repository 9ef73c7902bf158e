//! The push of metrics by OTLP over HTTP. Endpoint, headers, timeout, interval and the rest are read by
//! the exporter from `OTEL_EXPORTER_OTLP_*` and `OTEL_METRIC_EXPORT_*`.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{MetricExporter, WithHttpConfig};
use opentelemetry_sdk::metrics::PeriodicReader;
use tokio::runtime::Handle;

/// The default of the specification.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The reader that pushes all metrics periodically.
///
/// # Errors
/// When the HTTP client cannot be created, or the variables are invalid.
pub(super) fn reader() -> anyhow::Result<PeriodicReader<MetricExporter>> {
    let client = reqwest::Client::builder().timeout(timeout()).build()?;
    let client = Client { client, runtime: Handle::current() };
    let exporter = MetricExporter::builder().with_http().with_http_client(client).build()?;
    Ok(PeriodicReader::builder(exporter).build())
}

/// How long a push may take: the exporter reads it only for a client of its own.
fn timeout() -> Duration {
    let read = |name: &str| std::env::var(name).ok()?.parse().ok().map(Duration::from_millis);
    read("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT")
        .or_else(|| read("OTEL_EXPORTER_OTLP_TIMEOUT"))
        .unwrap_or(DEFAULT_TIMEOUT)
}

/// Sends requests on the runtime of this process: the reader has a thread of its own, which is none of
/// it.
#[derive(Debug)]
struct Client {
    client: reqwest::Client,
    runtime: Handle,
}

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move {
            let response = client.execute(request.try_into()?).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let mut answer = Response::new(response.bytes().await?);
            *answer.status_mut() = status;
            *answer.headers_mut() = headers;
            Ok::<_, reqwest::Error>(answer)
        });
        Box::pin(async move { Ok(sending.await??) })
    }
}
