use tracing_subscriber::EnvFilter;

use crate::config::LogConfig;

/// Writes traces to stderr, as asked.
pub(crate) fn start(config: &LogConfig) {
    let filter = EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(&config.filter))
        .unwrap_or_else(|_| EnvFilter::new("warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process changes nothing.
    let _ = if config.json { builder.json().try_init() } else { builder.try_init() };
}
