//! The export of spans by OTLP.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use super::asked_anew::AskedAnew;
use crate::otlp::{Client, Protocol, Signal, Variables, tls};

/// The provider of all spans; none if they are not exported.
///
/// # Errors
/// When the standard variables are invalid, or the exporter cannot be created.
pub(super) fn provider(
    variables: &Variables,
    resource: &Resource,
) -> anyhow::Result<Option<SdkTracerProvider>> {
    const SIGNAL: Signal = Signal::Traces;
    if !variables.pushes(SIGNAL)? {
        return Ok(None);
    }
    variables.check_sampler()?;
    let exporter = match variables.protocol(SIGNAL)? {
        Protocol::Http => {
            let client = Client::new(variables, SIGNAL)?;
            SpanExporter::builder().with_http().with_http_client(client).build()?
        }
        Protocol::Grpc => {
            let exporter = SpanExporter::builder().with_tonic();
            match tls(variables, SIGNAL)? {
                Some(tls) => exporter.with_tls_config(tls).build()?,
                None => exporter.build()?,
            }
        }
    };
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.clone());
    Ok(Some(provider.build()))
}

/// Makes OpenTelemetry's spans of those of this workspace.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let is_ours = |metadata: &Metadata<'_>| {
        metadata.is_span()
            && metadata.target().starts_with("ffapi")
            && *metadata.level() <= Level::DEBUG
    };
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("ffapi"))
        .with_context_activation(false)
        .with_tracked_inactivity(false)
        .with_location(false)
        .with_threads(false)
        .with_level(false)
        .with_target(false)
        .with_filter(AskedAnew(filter_fn(is_ours).with_max_level_hint(LevelFilter::DEBUG)))
}
