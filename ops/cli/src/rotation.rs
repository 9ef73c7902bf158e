//! Rotation of the NATS and Postgres passwords: the settings are reread periodically, and new
//! connections use the newest password.

use std::{convert::Infallible, path::Path, time::Duration};

use ffapi_storage::duration_setting;
use serde::{Deserialize, Serialize};

use crate::{
    config::{self, Config},
    roles::AppContext,
    secrets,
};

/// How often passwords are reread.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RotationConfig {
    /// The interval at which the settings of NATS and Postgres are reread.
    #[serde(with = "duration_setting::seconds")]
    pub(crate) every: Duration,
}

impl RotationConfig {
    /// The interval, a second at least.
    pub(crate) fn interval(&self) -> Duration {
        self.every.max(Duration::from_secs(1))
    }
}

impl Default for RotationConfig {
    fn default() -> Self {
        Self { every: Duration::from_secs(10) }
    }
}

/// Rereads the settings for as long as the process runs. Keys that stored data depends on
/// (`secrets.*`) are read at the start only.
pub(crate) async fn follow(config: &Config, context: &AppContext) -> Infallible {
    let mut known = config.clone();
    loop {
        tokio::time::sleep(config.rotation.interval()).await;
        let newest = match reread(config.file.as_deref()).await {
            Ok(newest) => newest,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "settings cannot be reread");
                continue;
            }
        };
        let url = |config: &Config| config.nats.as_ref().map(|nats| nats.url.clone());
        if let Some(nats) = newest.nats.as_ref().filter(|_| url(&newest) != url(&known)) {
            context.commands.log().nats().set_credentials(nats);
            tracing::info!("new connections to NATS use another password");
        }
        let url = |config: &Config| config.postgres.as_ref().map(|postgres| postgres.url.clone());
        if let Some(postgres) = newest.postgres.as_ref().filter(|_| url(&newest) != url(&known)) {
            let changed = context.database.set_credentials(postgres);
            match changed.and_then(|()| context.requests.set_credentials(postgres)) {
                Ok(()) => tracing::info!("new connections to Postgres use another password"),
                Err(error) => tracing::warn!(%error, "the new address of Postgres is invalid"),
            }
        }
        known = newest;
    }
}

async fn reread(file: Option<&Path>) -> anyhow::Result<Config> {
    let mut config = config::read(file)?;
    config.secrets.keep_only(&[]);
    secrets::resolve_addresses(&mut config).await?;
    Ok(config)
}
