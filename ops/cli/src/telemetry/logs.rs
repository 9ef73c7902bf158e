//! The export of log lines by OTLP.

use std::time::SystemTime;

use opentelemetry::{
    logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity},
    trace::SpanContext,
};
use opentelemetry_otlp::{LogExporter, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::{
    Resource,
    logs::{SdkLogger, SdkLoggerProvider},
};
use serde_json::Value;
use tracing::Level;

use super::record::Record;
use crate::otlp::{Client, Protocol, Signal, Variables, tls};

/// What exporting logs itself: its lines are not exported, or each push would cause the next one.
const OF_EXPORTERS: [&str; 7] =
    ["h2", "hyper", "opentelemetry", "reqwest", "rustls", "tonic", "tower"];

/// The provider of all log records; none if they are not exported.
///
/// # Errors
/// When the standard variables are invalid, or the exporter cannot be created.
pub(super) fn provider(
    variables: &Variables,
    resource: &Resource,
) -> anyhow::Result<Option<SdkLoggerProvider>> {
    const SIGNAL: Signal = Signal::Logs;
    if !variables.pushes(SIGNAL)? {
        return Ok(None);
    }
    let exporter = match variables.protocol(SIGNAL)? {
        Protocol::Http => {
            let client = Client::new(variables, SIGNAL)?;
            LogExporter::builder().with_http().with_http_client(client).build()?
        }
        Protocol::Grpc => {
            let exporter = LogExporter::builder().with_tonic();
            match tls(variables, SIGNAL)? {
                Some(tls) => exporter.with_tls_config(tls).build()?,
                None => exporter.build()?,
            }
        }
    };
    let provider =
        SdkLoggerProvider::builder().with_batch_exporter(exporter).with_resource(resource.clone());
    Ok(Some(provider.build()))
}

/// Makes OpenTelemetry's log records of lines.
#[derive(Debug)]
pub(super) struct LogExport(SdkLogger);

impl LogExport {
    pub(super) fn new(provider: &SdkLoggerProvider) -> Self {
        Self(provider.logger("ffapi"))
    }

    /// Exports a line that was written in a span.
    pub(super) fn emit(&self, line: &Record, time: SystemTime, span: Option<SpanContext>) {
        if OF_EXPORTERS.iter().any(|target| line.target.starts_with(target)) {
            return;
        }
        let mut record = self.0.create_log_record();
        record.set_timestamp(time);
        record.set_observed_timestamp(time);
        record.set_target(line.target.clone());
        record.set_severity_text(line.level.as_str());
        record.set_severity_number(severity(line.level));
        record.set_body(line.message.clone().into());
        let fields = line.fields.iter().chain(&line.ids);
        record.add_attributes(fields.map(|(name, value)| (name.clone(), attribute(value))));
        if let Some(span) = span {
            record.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
        }
        self.0.emit(record);
    }
}

const fn severity(level: Level) -> Severity {
    match level {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warn,
        Level::INFO => Severity::Info,
        Level::DEBUG => Severity::Debug,
        Level::TRACE => Severity::Trace,
    }
}

fn attribute(value: &Value) -> AnyValue {
    match value {
        Value::Bool(value) => AnyValue::Boolean(*value),
        Value::String(value) => AnyValue::String(value.clone().into()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => AnyValue::Int(number),
            (None, number) => AnyValue::Double(number.unwrap_or_default()),
        },
        other => AnyValue::String(other.to_string().into()),
    }
}
