//! Log lines, and the export of them and of spans.

mod asked_anew;
mod levels;
mod lines;
mod logs;
mod record;
mod traces;

use std::{convert::Infallible, time::Duration};

use opentelemetry_sdk::{error::OTelSdkResult, logs::SdkLoggerProvider, trace::SdkTracerProvider};
use tracing_subscriber::{Layer, layer::SubscriberExt, reload, util::SubscriberInitExt};

use self::{lines::Lines, logs::LogExport};
use crate::{
    config::{Config, LogConfig},
    otlp::{self, Variables},
};

/// How long a process that ends waits for the last push.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// The running exporters of a process, and its log filter.
#[derive(Debug)]
pub(crate) struct Telemetry {
    levels: levels::Handle,
    tracer_provider: Option<SdkTracerProvider>,
    logger_provider: Option<SdkLoggerProvider>,
}

impl Telemetry {
    /// Starts logging to stderr with the configured filter, and exporting lines and spans if the
    /// standard variables say so. `service` is the `service.name`.
    ///
    /// # Errors
    /// When the filter or a standard variable is invalid, or an exporter cannot be created.
    pub(crate) fn start(config: &LogConfig, service: &str) -> anyhow::Result<Self> {
        let (filter, levels) = reload::Layer::new(levels::initial(&config.filter)?);
        let (variables, resource) = (Variables::of_process(), otlp::resource(service));
        let logger_provider = logs::provider(&variables, &resource)?;
        let lines = Lines::new(config.json, logger_provider.as_ref().map(LogExport::new));
        let tracer_provider = traces::provider(&variables, &resource)?;
        let spans = tracer_provider.as_ref().map(traces::layer);
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans);
        // A second start in one process changes nothing.
        let _ = subscriber.try_init();
        Ok(Self { levels, tracer_provider, logger_provider })
    }

    /// Applies changes of `log.filter` for as long as the process runs.
    pub(crate) async fn follow(&self, config: &Config) -> Infallible {
        levels::follow(&self.levels, config).await
    }

    /// Pushes what was recorded since the last push, if the collector answers soon.
    pub(crate) async fn stop(self) {
        let Self { tracer_provider, logger_provider, .. } = self;
        if let Some(provider) = tracer_provider {
            stop("spans", move || provider.shutdown()).await;
        }
        if let Some(provider) = logger_provider {
            stop("lines", move || provider.shutdown()).await;
        }
    }
}

async fn stop(what: &'static str, shutdown: impl FnOnce() -> OTelSdkResult + Send + 'static) {
    let stopping = tokio::task::spawn_blocking(shutdown);
    match tokio::time::timeout(STOP_TIMEOUT, stopping).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, what, "the last push failed"),
        Ok(Err(_)) | Err(_) => tracing::warn!(what, "the last push took too long"),
    }
}
