use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, bail, ensure};

/// What is pushed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    const fn name(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
        }
    }
}

/// How it is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// `http/protobuf`, the default.
    Http,
    /// `grpc`.
    Grpc,
}

/// The standard variables of OpenTelemetry. An empty one counts as unset, by the specification.
#[derive(Debug, Default)]
pub(crate) struct Variables(BTreeMap<String, String>);

/// The default of the specification.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

impl Variables {
    pub(crate) fn of_process() -> Self {
        Self::of(std::env::vars())
    }

    fn of(all: impl IntoIterator<Item = (String, String)>) -> Self {
        let set = |(name, value): &(String, String)| name.starts_with("OTEL_") && !value.is_empty();
        Self(all.into_iter().filter(set).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A variable of all exporters, or that of the signal, which comes first.
    fn of_exporter(&self, signal: Signal, name: &str) -> Option<&str> {
        self.get(&format!("OTEL_EXPORTER_OTLP_{}_{name}", signal.name()))
            .or_else(|| self.get(&format!("OTEL_EXPORTER_OTLP_{name}")))
    }

    /// True if `OTEL_SDK_DISABLED` is `true`.
    pub(crate) fn disabled(&self) -> bool {
        self.get("OTEL_SDK_DISABLED").is_some_and(|on| on.eq_ignore_ascii_case("true"))
    }

    /// Whether a signal is pushed: if its exporter is `otlp`, or if an endpoint is set and no exporter.
    ///
    /// # Errors
    /// When the exporter is another one.
    pub(crate) fn pushes(&self, signal: Signal) -> anyhow::Result<bool> {
        if self.disabled() {
            return Ok(false);
        }
        let variable = format!("OTEL_{}_EXPORTER", signal.name());
        Ok(match self.get(&variable) {
            Some("otlp") => true,
            Some("none") => false,
            Some(other) => bail!("{variable} is `{other}`; it may be `otlp` or `none`"),
            None => self.endpoint(signal).is_some(),
        })
    }

    /// The configured endpoint.
    pub(crate) fn endpoint(&self, signal: Signal) -> Option<&str> {
        self.of_exporter(signal, "ENDPOINT")
    }

    /// # Errors
    /// When the protocol is neither `http/protobuf` nor `grpc`.
    pub(crate) fn protocol(&self, signal: Signal) -> anyhow::Result<Protocol> {
        Ok(match self.of_exporter(signal, "PROTOCOL") {
            None | Some("http/protobuf") => Protocol::Http,
            Some("grpc") => Protocol::Grpc,
            Some(other) => {
                bail!("the OTLP protocol is `{other}`; it may be `http/protobuf` or `grpc`")
            }
        })
    }

    /// How long a push may take: the exporters read it only for a client of their own.
    pub(super) fn timeout(&self, signal: Signal) -> Duration {
        let milliseconds = self.of_exporter(signal, "TIMEOUT").and_then(|text| text.parse().ok());
        milliseconds.map_or(DEFAULT_TIMEOUT, Duration::from_millis)
    }

    /// The certificate of the authority that the collector's is signed by, as PEM.
    ///
    /// # Errors
    /// When its file cannot be read, or a certificate of the client is configured.
    pub(super) fn certificate(&self, signal: Signal) -> anyhow::Result<Option<Vec<u8>>> {
        for name in ["CLIENT_CERTIFICATE", "CLIENT_KEY"] {
            ensure!(
                self.of_exporter(signal, name).is_none(),
                "OTEL_EXPORTER_OTLP_{name} is not supported"
            );
        }
        let Some(path) = self.of_exporter(signal, "CERTIFICATE") else { return Ok(None) };
        let read = std::fs::read(path);
        read.map(Some).with_context(|| format!("OTEL_EXPORTER_OTLP_CERTIFICATE: {path}"))
    }

    /// Checks the variables of the sampler, which the SDK would replace by its default.
    ///
    /// # Errors
    /// When the sampler is unknown, or its argument is no number from 0 to 1.
    pub(crate) fn check_sampler(&self) -> anyhow::Result<()> {
        const KNOWN: [&str; 6] = [
            "always_on",
            "always_off",
            "traceidratio",
            "parentbased_always_on",
            "parentbased_always_off",
            "parentbased_traceidratio",
        ];
        let Some(sampler) = self.get("OTEL_TRACES_SAMPLER") else { return Ok(()) };
        ensure!(
            KNOWN.contains(&sampler),
            "OTEL_TRACES_SAMPLER is `{sampler}`; it may be one of {}",
            KNOWN.join(", ")
        );
        let ratio = self.get("OTEL_TRACES_SAMPLER_ARG").unwrap_or("1").parse::<f64>();
        let is_ratio = ratio.is_ok_and(|ratio| (0.0..=1.0).contains(&ratio));
        let needs_ratio = sampler.ends_with("traceidratio");
        ensure!(is_ratio || !needs_ratio, "OTEL_TRACES_SAMPLER_ARG is no number from 0 to 1");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(all: &[(&str, &str)]) -> Variables {
        Variables::of(all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn a_signal_is_pushed_if_its_exporter_or_an_endpoint_says_so() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        let pushes = |all: &[(&str, &str)]| variables(all).pushes(Signal::Traces).unwrap();
        assert!(!pushes(&[]));
        assert!(pushes(&[endpoint]));
        assert!(pushes(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318")]));
        assert!(!pushes(&[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://collector:4318")]));
        assert!(!pushes(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]));
        assert!(pushes(&[("OTEL_TRACES_EXPORTER", "otlp")]));
        assert!(!pushes(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]));
        let unknown = variables(&[("OTEL_TRACES_EXPORTER", "console")]);
        assert!(unknown.pushes(Signal::Traces).is_err());
    }

    #[test]
    fn a_variable_of_the_signal_comes_before_that_of_all() {
        let variables = variables(&[
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "50"),
        ]);
        assert_eq!(variables.protocol(Signal::Traces).unwrap(), Protocol::Grpc);
        assert_eq!(variables.protocol(Signal::Metrics).unwrap(), Protocol::Http);
        assert_eq!(variables.timeout(Signal::Traces), Duration::from_millis(50));
        assert_eq!(variables.timeout(Signal::Metrics), DEFAULT_TIMEOUT);
    }

    #[test]
    fn what_would_be_ignored_is_rejected() {
        let json = variables(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")]);
        assert!(json.protocol(Signal::Traces).is_err());
        for sampler in [("xray", "1"), ("traceidratio", "half"), ("traceidratio", "2")] {
            let (name, argument) = sampler;
            let all = [("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", argument)];
            assert!(variables(&all).check_sampler().is_err(), "{sampler:?}");
        }
        let half = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.5")];
        assert!(variables(&half).check_sampler().is_ok());
        let key = variables(&[("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem")]);
        assert!(key.certificate(Signal::Traces).is_err());
    }
}
