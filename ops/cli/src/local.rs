//! The private servers of `ffapi up`, for operator commands on the same machine: they are found in its data
//! folder, unless other servers are configured.

use std::{fs, path::Path};

use anyhow::Context;
use ffapi_embedded::private;
use ffapi_nats::NatsConfig;
use ffapi_projections::PostgresConfig;
use serde::{Deserialize, Serialize};

use crate::{
    config::Config,
    keyring::{Secret, Secrets},
};

/// Where the private servers listen. It contains a password, and is readable by its owner only.
#[derive(Serialize, Deserialize)]
pub(crate) struct LocalServers {
    /// The URL of NATS with the operator's credentials.
    pub(crate) nats: String,
    /// The URL of Postgres.
    pub(crate) postgres: String,
}

/// Connections of one command to Postgres.
const MAX_CONNECTIONS: u32 = 4;
/// The file in the data folder.
const FILE: &str = "servers.json";

impl LocalServers {
    /// Writes the file into the data folder.
    pub(crate) fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        Ok(private::write(&data_dir.join(FILE), &serde_json::to_string(self)?)?)
    }
}

/// Configures the servers and secrets of a data folder, if it has any and no others are configured;
/// true if it did.
pub(crate) fn attach(
    config: &mut Config,
    data_dir: &Path,
    needed: &[Secret],
) -> anyhow::Result<bool> {
    let path = data_dir.join(FILE);
    if config.nats.is_some() || config.postgres.is_some() || !path.exists() {
        return Ok(false);
    }
    let read = |path: &Path| fs::read_to_string(path).with_context(|| path.display().to_string());
    let servers: LocalServers = serde_json::from_str(&read(&path)?)?;
    let mut secrets: Secrets = serde_json::from_str(&read(&data_dir.join("secrets.json"))?)?;
    secrets.derive(needed);
    config.nats = Some(NatsConfig { url: servers.nats });
    let max_connections = MAX_CONNECTIONS;
    config.postgres = Some(PostgresConfig { url: servers.postgres, max_connections });
    config.secrets = secrets;
    config.storage.root = data_dir.canonicalize()?.join("storage");
    Ok(true)
}
