//! Passwords that change while we run: what they stand in is read again every so often, and what is
//! connected to next is shown the new one.

use std::{convert::Infallible, path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    config::{self, Config},
    roles::Ground,
    secrets,
};

/// How soon a changed password is found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RotationConfig {
    /// Seconds between two looks at the settings of NATS and Postgres.
    pub(crate) every: u64,
}

impl Default for RotationConfig {
    fn default() -> Self {
        Self { every: 10 }
    }
}

/// Reads the settings again for as long as the process runs. Keys that data rests on (`secrets.*`) are
/// read at the start only.
pub(crate) async fn follow(config: &Config, ground: &Ground) -> Infallible {
    let mut known = config.clone();
    loop {
        tokio::time::sleep(Duration::from_secs(config.rotation.every.max(1))).await;
        let newest = match read_again(config.file.as_deref()).await {
            Ok(newest) => newest,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "settings cannot be read again");
                continue;
            }
        };
        let url = |config: &Config| config.nats.as_ref().map(|nats| nats.url.clone());
        if let Some(nats) = newest.nats.as_ref().filter(|_| url(&newest) != url(&known)) {
            ground.commands.log().nats().set_credentials(nats);
            tracing::info!("NATS is shown another password from now on");
        }
        let url = |config: &Config| config.postgres.as_ref().map(|postgres| postgres.url.clone());
        if let Some(postgres) = newest.postgres.as_ref().filter(|_| url(&newest) != url(&known)) {
            match ground.database.set_credentials(postgres) {
                Ok(()) => tracing::info!("Postgres is shown another password from now on"),
                Err(error) => tracing::warn!(%error, "the new address of Postgres is none"),
            }
        }
        known = newest;
    }
}

async fn read_again(file: Option<&Path>) -> anyhow::Result<Config> {
    let mut config = config::read(file)?;
    config.secrets.keep_only(&[]);
    secrets::resolve_addresses(&mut config).await?;
    Ok(config)
}
