//! Logs to stderr, and the export of spans.

mod asked_anew;
mod traces;

use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::{
    EnvFilter, Layer, filter::ParseError, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use self::asked_anew::AskedAnew;
use crate::{
    config::LogConfig,
    otlp::{self, Variables},
};

/// The TLS library logs every failure as an error. An expired certificate of a tenant's webhook is
/// not an error of the service, and is reported to the tenant. The filter can enable these again.
const DEFAULT_DIRECTIVES: &str = "rustls=off,rustls_platform_verifier=off";
/// How long a process that ends waits for the last push.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// The running exporters of a process.
#[derive(Debug)]
pub(crate) struct Telemetry {
    tracer_provider: Option<SdkTracerProvider>,
}

fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("{DEFAULT_DIRECTIVES},{directives}"))
}

impl Telemetry {
    /// Starts logging to stderr with the configured filter, and exporting spans if the standard
    /// variables say so. `service` is the `service.name`.
    ///
    /// # Errors
    /// When the standard variables are invalid, or an exporter cannot be created.
    pub(crate) fn start(config: &LogConfig, service: &str) -> anyhow::Result<Self> {
        let directives =
            std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|directives| !directives.is_empty());
        let filter = directives
            .and_then(|directives| filter(&directives).ok())
            .or_else(|| filter(&config.filter).ok())
            .unwrap_or_else(|| EnvFilter::new("warn"));
        let lines = fmt::layer().with_writer(std::io::stderr);
        let lines = if config.json { lines.json().boxed() } else { lines.boxed() };
        let (variables, resource) = (Variables::of_process(), otlp::resource(service));
        let tracer_provider = traces::provider(&variables, &resource)?;
        let spans = tracer_provider.as_ref().map(traces::layer);
        let subscriber =
            tracing_subscriber::registry().with(lines.with_filter(AskedAnew(filter))).with(spans);
        // A second start in one process changes nothing.
        let _ = subscriber.try_init();
        Ok(Self { tracer_provider })
    }

    /// Pushes what was recorded since the last push, if the collector answers soon.
    pub(crate) async fn stop(self) {
        let Some(provider) = self.tracer_provider else { return };
        let stopping = tokio::task::spawn_blocking(move || provider.shutdown());
        match tokio::time::timeout(STOP_TIMEOUT, stopping).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last spans were not pushed"),
            Ok(Err(_)) | Err(_) => tracing::warn!("the last spans were not pushed in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_library_messages_are_hidden_unless_requested() {
        let directives = |directives: &str| {
            let filter = filter(directives).unwrap().to_string();
            let mut all: Vec<String> = filter.split(',').map(str::to_owned).collect();
            all.sort();
            all
        };
        assert_eq!(directives("warn"), ["rustls=off", "rustls_platform_verifier=off", "warn"]);
        let verbose = directives("warn,rustls=debug");
        assert!(verbose.contains(&"rustls=debug".to_owned()), "{verbose:?}");
    }
}
