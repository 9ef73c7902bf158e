use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::config::LogConfig;

/// The TLS library calls a failure an error, whoever's it is: a tenant's webhook with a certificate that
/// ran out is none of ours, and is told to the tenant. Whoever asks for these lines still has them.
const QUIET: &str = "rustls=off,rustls_platform_verifier=off";

fn filter(asked: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("{QUIET},{asked}"))
}

/// Writes traces to stderr, as asked.
pub(crate) fn start(config: &LogConfig) {
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|asked| !asked.is_empty());
    let filter = asked
        .and_then(|asked| filter(&asked).ok())
        .or_else(|| filter(&config.filter).ok())
        .unwrap_or_else(|| EnvFilter::new("warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process changes nothing.
    let _ = if config.json { builder.json().try_init() } else { builder.try_init() };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_peoples_certificates_are_no_errors_of_ours_unless_asked_for() {
        let directives = |asked: &str| {
            let filter = filter(asked).unwrap().to_string();
            let mut all: Vec<String> = filter.split(',').map(str::to_owned).collect();
            all.sort();
            all
        };
        assert_eq!(directives("warn"), ["rustls=off", "rustls_platform_verifier=off", "warn"]);
        let loud = directives("warn,rustls=debug");
        assert!(loud.contains(&"rustls=debug".to_owned()), "{loud:?}");
    }
}
