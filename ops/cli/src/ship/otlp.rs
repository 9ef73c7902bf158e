use std::time::Duration;

use anyhow::Context;
use ffapi_projections::audit::AuditRow;
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value as Kind},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use reqwest::{Client, StatusCode};

use super::entry;

/// An OpenTelemetry collector that receives OTLP/HTTP in JSON.
pub(super) struct Collector {
    client: Client,
    url: String,
    headers: Vec<(String, String)>,
}

const TIMEOUT: Duration = Duration::from_secs(10);
/// The interval of retries while the collector accepts nothing; no entry is skipped.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl Collector {
    /// A collector at a URL like `http://host:4318`. `OTEL_EXPORTER_OTLP_HEADERS` sets
    /// authentication headers as `name=value,…`.
    pub(super) fn open(url: &str) -> anyhow::Result<Self> {
        let whole = format!("{}/v1/logs", url.trim_end_matches('/'));
        let parsed = reqwest::Url::parse(&whole).with_context(|| url.to_owned())?;
        anyhow::ensure!(
            matches!(parsed.scheme(), "http" | "https"),
            "--otlp must be http://host:port or https://host:port"
        );
        let headers = std::env::var("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default();
        let headers = headers.split(',').filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        });
        let client = Client::builder().timeout(TIMEOUT).build()?;
        Ok(Self { client, url: whole, headers: headers.collect() })
    }

    /// Sends an entry, and retries until it is accepted.
    pub(super) async fn send(&self, row: &AuditRow) -> anyhow::Result<()> {
        let request = request(row);
        loop {
            let mut post = self.client.post(&self.url).json(&request);
            for (name, value) in &self.headers {
                post = post.header(name, value);
            }
            match post.send().await.map(|answer| answer.status()) {
                Ok(status) if status.is_success() => return Ok(()),
                // The protocol declares these as retryable.
                Ok(
                    status @ (StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT),
                ) => tracing::warn!(%status, "the collector accepts nothing at the moment"),
                Ok(status) => anyhow::bail!("the collector responds with {status}"),
                Err(error) => tracing::warn!(%error, "the collector does not respond"),
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }
}

fn text(text: impl Into<String>) -> AnyValue {
    AnyValue { value: Some(Kind::StringValue(text.into())) }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(text(value)), ..KeyValue::default() }
}

/// An export request with one entry: its main fields as attributes, all of it as the body.
fn request(row: &AuditRow) -> ExportLogsServiceRequest {
    let nanos = u64::try_from(row.at).unwrap_or(0).saturating_mul(1_000_000);
    let maybe = [("client.address", &row.address), ("ffapi.request_id", &row.request_id)];
    let maybe = maybe.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
    let always = [
        ("event.name", row.action.as_str()),
        ("ffapi.tenant", &row.tenant),
        ("ffapi.actor", &row.actor),
        ("ffapi.target", &row.target),
    ];
    let record = LogRecord {
        time_unix_nano: nanos,
        observed_time_unix_nano: nanos,
        severity_number: SeverityNumber::Info.into(),
        severity_text: "INFO".to_owned(),
        event_name: row.action.clone(),
        body: Some(text(entry(row).to_string())),
        attributes: always
            .into_iter()
            .chain(maybe)
            .map(|(key, value)| attribute(key, value))
            .collect(),
        ..LogRecord::default()
    };
    let scope = InstrumentationScope { name: "ffapi.audit".to_owned(), ..Default::default() };
    let logs = ScopeLogs { scope: Some(scope), log_records: vec![record], ..Default::default() };
    let service = attribute("service.name", "ffapi");
    let resource = Resource { attributes: vec![service], ..Resource::default() };
    let all = ResourceLogs {
        resource: Some(resource),
        scope_logs: vec![logs],
        ..ResourceLogs::default()
    };
    ExportLogsServiceRequest { resource_logs: vec![all] }
}
