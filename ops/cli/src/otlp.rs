//! What the signals of OpenTelemetry have in common when they are pushed by OTLP: the standard
//! variables, the client, and what they are about. Endpoint, headers, compression and timeout are read
//! by the exporters.

mod client;
mod variables;

use std::sync::LazyLock;

use opentelemetry::KeyValue;
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, ResourceDetector, TelemetryResourceDetector},
};
use uuid::Uuid;

pub(crate) use self::{
    client::{Client, tls},
    variables::{Protocol, Signal, Variables},
};

/// This process, in all signals.
static INSTANCE: LazyLock<String> = LazyLock::new(|| Uuid::now_v7().to_string());

/// What all signals of this process are about; `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`
/// override it. `service` is the `service.name`.
pub(crate) fn resource(service: &str) -> Resource {
    let ours = [
        KeyValue::new("service.name", service.to_owned()),
        KeyValue::new("service.namespace", "ffapi"),
        KeyValue::new("service.instance.id", INSTANCE.as_str()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ];
    let detectors: [Box<dyn ResourceDetector>; 2] =
        [Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())];
    let resource = Resource::builder_empty().with_attributes(ours).with_detectors(&detectors);
    match Variables::of_process().get("OTEL_SERVICE_NAME") {
        Some(name) => resource.with_service_name(name.to_owned()).build(),
        None => resource.build(),
    }
}
