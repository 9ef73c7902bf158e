//! Metrics: the provider of all instruments, the listener that shows them to Prometheus, and the push by
//! OTLP. The instruments themselves are in one file of each crate.

mod exemplars;
mod listener;
mod open_metrics;
mod otlp;
mod process;
mod provider;
mod runtime;
mod settings;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use opentelemetry::global;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::settings::MetricsConfig;
use self::{
    exemplars::Exemplars,
    listener::Shown,
    provider::WithExemplars,
    settings::{Environment, Exporters, Listen},
};
use crate::otlp::{Signal, Variables};

/// How long a process that ends waits for the last push.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// The running exporters of a process; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Metrics {
    provider: Option<SdkMeterProvider>,
    listener: Option<Listener>,
}

#[derive(Debug)]
struct Listener {
    address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl Metrics {
    /// Installs the provider from which every instrument is made, and starts its exporters; an
    /// instrument that was made earlier records nothing. `service` is the `service.name`.
    ///
    /// # Errors
    /// When a configured address cannot be listened on, or the OTLP exporter cannot be created.
    pub(crate) async fn start(config: &MetricsConfig, service: &str) -> anyhow::Result<Self> {
        let environment = Environment::of_process();
        let Exporters { listen, otlp, exemplars: keeps_exemplars } =
            Exporters::of(config, &environment)?;
        let bound = bind(listen).await?;
        if bound.is_none() && !otlp {
            return Ok(Self { provider: None, listener: None });
        }
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            // Metrics are named by their prefix; the crate that they come from is no concern of
            // their readers.
            .scope_info_enabled(false)
            .build()?;
        let mut provider = SdkMeterProvider::builder()
            .with_resource(crate::otlp::resource(service))
            .with_reader(exporter);
        if otlp {
            provider = provider.with_reader(otlp::reader()?);
        }
        let provider = provider.build();
        let exemplars = Arc::<Exemplars>::default();
        // Only the listener shows them, and only spans that are exported are in them.
        let is_traced = Variables::of_process().pushes(Signal::Traces)?;
        if keeps_exemplars && bound.is_some() && is_traced {
            global::set_meter_provider(WithExemplars {
                inner: provider.clone(),
                exemplars: Arc::clone(&exemplars),
            });
        } else {
            global::set_meter_provider(provider.clone());
        }
        process::register();
        runtime::register();
        let listener =
            bound.map(|bound| Listener::serve(bound, Shown { registry, exemplars })).transpose()?;
        Ok(Self { provider: Some(provider), listener })
    }

    /// Where the metrics are shown, if they are.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(|listener| listener.address)
    }

    /// Pushes what was recorded since the last push, if the collector answers soon.
    pub(crate) async fn stop(self) {
        let Some(provider) = self.provider else { return };
        let stopping = tokio::task::spawn_blocking(move || provider.shutdown());
        match tokio::time::timeout(STOP_TIMEOUT, stopping).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last metrics were not pushed"),
            Ok(Err(_)) | Err(_) => tracing::warn!("the last metrics were not pushed in time"),
        }
    }
}

impl Listener {
    fn serve(bound: TcpListener, shown: Shown) -> anyhow::Result<Self> {
        let address = bound.local_addr()?;
        let serving = tokio::spawn(listener::serve(bound, shown));
        Ok(Self { address, _serving: AbortOnDropHandle::new(serving) })
    }
}

/// Binds the listener of metrics; none if there is to be none, or if its default address is taken, as by
/// another process of the same machine.
async fn bind(listen: Listen) -> anyhow::Result<Option<TcpListener>> {
    match listen {
        Listen::Off => Ok(None),
        Listen::Configured(address) => {
            let bound = TcpListener::bind(&address).await;
            Ok(Some(bound.with_context(|| format!("cannot listen on {address} for metrics"))?))
        }
        Listen::Default(address) => match TcpListener::bind(&address).await {
            Ok(bound) => Ok(Some(bound)),
            Err(error) => {
                tracing::warn!(
                    %error,
                    address,
                    "no metrics are shown: the default address is taken; set metrics.listen"
                );
                Ok(None)
            }
        },
    }
}
