//! The configuration, by increasing precedence: defaults, file, environment (`FFAPI_SECTION__KEY`),
//! files named by the environment (`FFAPI_SECTION__KEY_FILE`). Secrets can come from a provider,
//! see `secrets`.

mod renamed;

use std::path::{Path, PathBuf};

use anyhow::Context;
use ffapi_backup::Recipients;
use ffapi_domain::account::Tiers;
use ffapi_gateway::GatewayConfig;
use ffapi_nats::NatsConfig;
use ffapi_projections::PostgresConfig;
use ffapi_storage::{EgressConfig, RetryPolicy, Storage, StorageConfig, StoreConfig, StoresConfig};
use ffapi_workers::{RetentionConfig, SchedulingConfig, WebhooksConfig, WorkerConfig};
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
    value::UncasedStr,
};
use serde::{Deserialize, Serialize};

use self::renamed::RenamedSettings;
use crate::{
    backup::BackupConfig,
    keyring::{Secret, Secrets},
    metrics::MetricsConfig,
    rotation::RotationConfig,
    secrets,
};

/// The whole configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The NATS server; `ffapi up` starts its own.
    pub(crate) nats: Option<NatsConfig>,
    /// The Postgres server; `ffapi up` starts its own.
    pub(crate) postgres: Option<PostgresConfig>,
    pub(crate) gateway: GatewayConfig,
    pub(crate) worker: WorkerConfig,
    pub(crate) scheduling: SchedulingConfig,
    pub(crate) webhooks: WebhooksConfig,
    pub(crate) retention: RetentionConfig,
    /// The addresses that outgoing requests may connect to.
    pub(crate) egress: EgressConfig,
    /// The limits of each tier.
    pub(crate) tiers: Tiers,
    pub(crate) storage: StorageConfig,
    /// Stores besides the local folder, by name.
    pub(crate) stores: StoresConfig,
    pub(crate) secrets: Secrets,
    pub(crate) log: LogConfig,
    pub(crate) metrics: MetricsConfig,
    pub(crate) rotation: RotationConfig,
    pub(crate) backup: BackupConfig,
    /// The file it was read from.
    #[serde(skip)]
    pub(crate) file: Option<PathBuf>,
}

/// The log output on stderr.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    /// A filter as in `RUST_LOG`.
    pub(crate) filter: String,
    /// Writes one JSON object per line.
    pub(crate) json: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "warn".to_owned(), json: false }
    }
}

/// What a process needs of the configuration's secrets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needed {
    pub(crate) secrets: &'static [Secret],
    /// Whether it reads or writes objects, and so has the credentials of the stores.
    pub(crate) stores: bool,
}

/// Reads the configuration with only the needed secrets; others are dropped.
pub(crate) async fn load(file: Option<&Path>, needed: Needed) -> anyhow::Result<Config> {
    let mut config = read(file)?;
    config.secrets.keep_only(needed.secrets);
    if !needed.stores {
        config.stores.clear();
    }
    secrets::resolve(&mut config).await?;
    config.secrets.derive(needed.secrets);
    Ok(config)
}

/// Reads the configuration without resolving references to secret providers.
pub(crate) fn read(file: Option<&Path>) -> anyhow::Result<Config> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(file) = file {
        anyhow::ensure!(file.is_file(), "{} is not there", file.display());
        figment = figment.merge(RenamedSettings(Toml::file(file)));
    }
    let plain = |key: &UncasedStr| {
        key.as_str().contains('.') && !key.as_str().to_ascii_lowercase().ends_with("_file")
    };
    let environment = Env::prefixed("FFAPI_").split("__").filter(plain);
    figment = figment.merge(RenamedSettings(environment));
    for (setting, value) in from_files()? {
        figment = figment.merge((setting, value));
    }
    let mut config: Config = figment.extract().context("the configuration cannot be read")?;
    config.file = file.map(Path::to_owned);
    Ok(config)
}

/// Settings read from files, as systemd and Kubernetes mount secrets: `FFAPI_SECTION__KEY_FILE`.
fn from_files() -> anyhow::Result<Vec<(String, String)>> {
    let mut settings = Vec::new();
    for (name, path) in std::env::vars() {
        let setting = name.strip_prefix("FFAPI_").and_then(|name| name.strip_suffix("_FILE"));
        let Some(setting) = setting.filter(|setting| setting.contains("__")) else { continue };
        let text = std::fs::read_to_string(&path).with_context(|| format!("{name}: {path}"))?;
        settings.push((setting.to_lowercase().replace("__", "."), text.trim().to_owned()));
    }
    Ok(settings)
}

/// Prints the configuration with secrets hidden.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) fn print(config: &Config) -> anyhow::Result<()> {
    println!("{}", shown(config)?);
    Ok(())
}

/// The configuration as JSON, with secrets hidden.
fn shown(config: &Config) -> anyhow::Result<String> {
    let mut shown = config.clone();
    shown.secrets.hide();
    shown.stores.values_mut().for_each(StoreConfig::hide);
    if let Some(postgres) = &mut shown.postgres {
        postgres.url = postgres.shown();
    }
    if let Some(nats) = &mut shown.nats {
        nats.url = nats.shown();
    }
    Ok(serde_json::to_string_pretty(&shown)?)
}

/// Checks what needs no server: the secrets, the stores, and the recipients of backups.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) fn validate(config: &Config) -> anyhow::Result<()> {
    config.secrets.check_given()?;
    Storage::configured(&config.storage, &config.stores, RetryPolicy::Request)
        .context("storage.root, storage.default or stores")?;
    if config.backup.store.is_some() {
        Recipients::parse(&config.backup.recipients).context("backup.recipients")?;
    }
    println!("the configuration is valid");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    /// Every setting by its full name.
    fn flat(value: &Value, name: &str, into: &mut BTreeMap<String, Value>) {
        match value.as_object().filter(|fields| !fields.is_empty()) {
            Some(fields) => fields.iter().for_each(|(field, value)| {
                flat(value, format!("{name}.{field}").trim_start_matches('.'), into);
            }),
            None => drop(into.insert(name.to_owned(), value.clone())),
        }
    }

    fn settings(of: &impl Serialize) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        flat(&serde_json::to_value(of).unwrap(), "", &mut all);
        all
    }

    #[test]
    fn secrets_are_not_in_what_is_logged() {
        let text = r#"
            [nats]
            url = "nats://user:hush-nats@a:4222,nats://user:hush-nats@b:4222"
            [postgres]
            url = "postgres://user:hush-postgres@host/ffapi?password=hush-query"
            [secrets]
            master_key = "hush-master"
            pepper = "hush-pepper"
            signing_key = "hush-signing"
            [secrets.next]
            pepper = "hush-next"
            [secrets.previous]
            master_key = "hush-previous"
            [stores.media]
            url = "s3://bucket"
            access_key_id = "hush-id"
            secret_access_key = "hush-key"
            options = { aws_session_token = "hush-option" }
        "#;
        let config: Config = Figment::from(Toml::string(text)).extract().unwrap();
        assert_eq!(config.secrets.previous.master_key, "hush-previous");
        let debug = format!("{config:?} {:?} {:?}", config.secrets, config.secrets.next);
        assert!(!debug.contains("hush"), "{debug}");
        assert!(!shown(&config).unwrap().contains("hush"));
    }

    #[test]
    fn the_settings_document_lists_all_settings_and_defaults() {
        let document = include_str!("../../../docs/settings.md");
        let text = document.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let written: Value = Figment::from(Toml::string(text)).extract().unwrap();
        let read: Config = Figment::from(Toml::string(text)).extract().unwrap();
        let (written, read) = (settings(&written), settings(&read));
        let unknown = Figment::from(Toml::string("[gateway]\nlisten_on = \"localhost\""));
        assert!(unknown.extract::<Config>().is_err(), "unknown settings are an error");
        let names = |settings: &BTreeMap<String, Value>| -> Vec<String> {
            settings.keys().cloned().collect()
        };
        assert_eq!(names(&written), names(&read), "documented and actual settings");
        for (name, usual) in settings(&Config::default()) {
            let is_example = usual.is_null() || usual == serde_json::json!({});
            if !is_example {
                assert_eq!(read[&name], usual, "{name}");
            }
        }
    }
}
