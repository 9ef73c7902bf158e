use std::convert::Infallible;

use anyhow::Context;
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::asked_anew::AskedAnew;
use crate::config::{self, Config};

/// The TLS library logs every failure as an error. An expired certificate of a tenant's webhook is
/// not an error of the service, and is reported to the tenant. The filter can enable these again.
const DEFAULT_DIRECTIVES: &str = "rustls=off,rustls_platform_verifier=off";

/// The filter of a running process.
pub(super) type Handle = reload::Handle<AskedAnew<EnvFilter>, Registry>;

/// # Errors
/// When a directive is invalid.
pub(super) fn filter(directives: &str) -> anyhow::Result<AskedAnew<EnvFilter>> {
    let filter = EnvFilter::try_new(format!("{DEFAULT_DIRECTIVES},{directives}"));
    Ok(AskedAnew(filter.with_context(|| format!("the log filter is `{directives}`"))?))
}

/// The filter that the process starts with: `RUST_LOG`, or the setting.
///
/// # Errors
/// When it is invalid.
pub(super) fn initial(setting: &str) -> anyhow::Result<AskedAnew<EnvFilter>> {
    let variable = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    filter(variable.as_deref().filter(|text| !text.is_empty()).unwrap_or(setting))
}

/// Rereads the settings for as long as the process runs; a `log.filter` that has changed since the
/// start replaces the filter.
pub(super) async fn follow(handle: &Handle, config: &Config) -> Infallible {
    let mut known = config.log.filter.clone();
    loop {
        tokio::time::sleep(config.rotation.interval()).await;
        // If they cannot be read, the rotation of passwords says so.
        let Ok(newest) = config::read(config.file.as_deref()) else { continue };
        if newest.log.filter == known {
            continue;
        }
        known = newest.log.filter;
        match filter(&known).and_then(|filter| Ok(handle.reload(filter)?)) {
            Ok(()) => tracing::info!(filter = known, "the log filter was changed"),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the log filter was not changed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn tls_library_messages_are_hidden_unless_requested() {
        let directives = |directives: &str| {
            let filter = filter(directives).unwrap().0.to_string();
            let mut all: Vec<String> = filter.split(',').map(str::to_owned).collect();
            all.sort();
            all
        };
        assert_eq!(directives("warn"), ["rustls=off", "rustls_platform_verifier=off", "warn"]);
        let verbose = directives("warn,rustls=debug");
        assert!(verbose.contains(&"rustls=debug".to_owned()), "{verbose:?}");
    }

    #[test]
    fn an_invalid_filter_is_an_error() {
        assert!(filter("ffapi=loud").is_err());
    }
}
