//! Which exporters run: `[metrics]`, and the standard variables of OpenTelemetry.

use serde::{Deserialize, Serialize};

/// How metrics are shown.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MetricsConfig {
    /// The address that shows the metrics under `/metrics`; not shown if empty. If absent, the one
    /// of `OTEL_EXPORTER_PROMETHEUS_HOST` and `_PORT`, or `127.0.0.1:9464`.
    pub(crate) listen: Option<String>,
}

const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: &str = "9464";

/// The standard variables that choose exporters; those that configure one exporter are read by it.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// `OTEL_SDK_DISABLED` is `true`.
    disabled: bool,
    /// `OTEL_METRICS_EXPORTER`.
    exporters: Option<String>,
    /// `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`.
    otlp_endpoint: Option<String>,
    /// `OTEL_EXPORTER_PROMETHEUS_HOST`.
    host: Option<String>,
    /// `OTEL_EXPORTER_PROMETHEUS_PORT`.
    port: Option<String>,
    /// `OTEL_METRICS_EXEMPLAR_FILTER`.
    exemplar_filter: Option<String>,
}

impl Environment {
    pub(super) fn of_process() -> Self {
        // An empty variable counts as unset, by the specification.
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            disabled: read("OTEL_SDK_DISABLED").is_some_and(|on| on.eq_ignore_ascii_case("true")),
            exporters: read("OTEL_METRICS_EXPORTER"),
            otlp_endpoint: read("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
                .or_else(|| read("OTEL_EXPORTER_OTLP_ENDPOINT")),
            host: read("OTEL_EXPORTER_PROMETHEUS_HOST"),
            port: read("OTEL_EXPORTER_PROMETHEUS_PORT"),
            exemplar_filter: read("OTEL_METRICS_EXEMPLAR_FILTER"),
        }
    }
}

/// The address of the listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listen {
    /// None.
    Off,
    /// Somebody configured it: it must be there.
    Configured(String),
    /// Nobody configured it: another process may have it.
    Default(String),
}

/// The exporters of metrics.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exporters {
    pub(super) listen: Listen,
    /// True if metrics are pushed by OTLP.
    pub(super) otlp: bool,
    /// True if the listener shows exemplars.
    pub(super) exemplars: bool,
}

impl Exporters {
    /// # Errors
    /// When `OTEL_METRICS_EXPORTER` names an unknown exporter, or `OTEL_METRICS_EXEMPLAR_FILTER` a filter that
    /// does not exist here.
    pub(super) fn of(config: &MetricsConfig, environment: &Environment) -> anyhow::Result<Self> {
        if environment.disabled {
            return Ok(Self { listen: Listen::Off, otlp: false, exemplars: false });
        }
        let named = environment.exporters.as_deref().map(names).transpose()?;
        let has = |name: &str| named.as_ref().map(|named| named.contains(&name));
        let listen = match &config.listen {
            Some(address) if address.is_empty() => Listen::Off,
            Some(address) => Listen::Configured(address.clone()),
            None if has("prometheus") == Some(false) => Listen::Off,
            None => usual(environment),
        };
        let otlp = has("otlp").unwrap_or(environment.otlp_endpoint.is_some());
        let exemplars = match environment.exemplar_filter.as_deref() {
            None | Some("trace_based") => true,
            Some("always_off") => false,
            Some(other) => anyhow::bail!(
                "OTEL_METRICS_EXEMPLAR_FILTER is `{other}`; it may be `trace_based` (the default) or `always_off`"
            ),
        };
        Ok(Self { listen, otlp, exemplars })
    }
}

/// The names in `OTEL_METRICS_EXPORTER`.
fn names(text: &str) -> anyhow::Result<Vec<&str>> {
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    for name in &names {
        anyhow::ensure!(
            ["otlp", "prometheus", "none"].contains(name),
            "OTEL_METRICS_EXPORTER is `{name}`; it may be `prometheus`, `otlp`, both, or `none`"
        );
    }
    Ok(names)
}

fn usual(environment: &Environment) -> Listen {
    let Environment { host, port, .. } = environment;
    let address = format!(
        "{}:{}",
        host.as_deref().unwrap_or(DEFAULT_HOST),
        port.as_deref().unwrap_or(DEFAULT_PORT)
    );
    match (host, port) {
        (None, None) => Listen::Default(address),
        _ => Listen::Configured(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exporters(listen: Option<&str>, environment: Environment) -> Exporters {
        let config = MetricsConfig { listen: listen.map(str::to_owned) };
        Exporters::of(&config, &environment).unwrap()
    }

    fn named(names: &str) -> Environment {
        Environment { exporters: Some(names.to_owned()), ..Environment::default() }
    }

    #[test]
    fn the_setting_wins_over_the_standard_variables_and_the_default() {
        let usual = exporters(None, Environment::default());
        assert_eq!(usual.listen, Listen::Default("127.0.0.1:9464".to_owned()));
        let variables = || Environment {
            host: Some("0.0.0.0".to_owned()),
            port: Some("9000".to_owned()),
            ..Environment::default()
        };
        let by_variables = Listen::Configured("0.0.0.0:9000".to_owned());
        assert_eq!(exporters(None, variables()).listen, by_variables);
        let by_setting = Listen::Configured("[::1]:1".to_owned());
        assert_eq!(exporters(Some("[::1]:1"), variables()).listen, by_setting);
        assert_eq!(exporters(Some(""), variables()).listen, Listen::Off);
    }

    #[test]
    fn the_standard_variables_choose_the_exporters() {
        let off = Exporters { listen: Listen::Off, otlp: false, exemplars: true };
        assert_eq!(exporters(None, named("none")), off);
        let disabled = Environment { disabled: true, ..named("otlp,prometheus") };
        let nothing = Exporters { listen: Listen::Off, otlp: false, exemplars: false };
        assert_eq!(exporters(Some("127.0.0.1:1"), disabled), nothing);
        assert_eq!(exporters(None, named("otlp")), Exporters { otlp: true, ..off });
        let both = exporters(None, named("prometheus, otlp"));
        assert!(both.otlp && both.listen != Listen::Off);
        let endpoint = Some("http://collector:4318".to_owned());
        let pushed = Environment { otlp_endpoint: endpoint, ..Environment::default() };
        assert!(exporters(None, pushed).otlp, "an endpoint alone is enough");
        let unknown = Exporters::of(&MetricsConfig::default(), &named("console"));
        assert!(unknown.is_err());
    }

    #[test]
    fn exemplars_are_kept_unless_the_standard_variable_turns_them_off() {
        let filter = |filter: &str| Environment {
            exemplar_filter: Some(filter.to_owned()),
            ..Environment::default()
        };
        assert!(exporters(None, Environment::default()).exemplars);
        assert!(exporters(None, filter("trace_based")).exemplars);
        assert!(!exporters(None, filter("always_off")).exemplars);
        let unknown = Exporters::of(&MetricsConfig::default(), &filter("always_on"));
        assert!(unknown.is_err(), "an exemplar without a trace leads nowhere");
    }
}
