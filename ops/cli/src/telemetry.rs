use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::config::LogConfig;

/// The TLS library logs every failure as an error. An expired certificate of a tenant's webhook is
/// not an error of the service, and is reported to the tenant. The filter can enable these again.
const DEFAULT_DIRECTIVES: &str = "rustls=off,rustls_platform_verifier=off";

fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("{DEFAULT_DIRECTIVES},{directives}"))
}

/// Starts logging to stderr with the configured filter.
pub(crate) fn start(config: &LogConfig) {
    let directives =
        std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|directives| !directives.is_empty());
    let filter = directives
        .and_then(|directives| filter(&directives).ok())
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
