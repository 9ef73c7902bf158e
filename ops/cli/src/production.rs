//! What a service that others rely on needs beyond one that works: `ffapi doctor --production`. The checklist
//! in docs/production.md has more, which a program cannot see.

use std::collections::BTreeSet;

use ffapi_nats::{Nats, topology};
use ffapi_projections::Database;
use ffapi_storage::duration_setting;
use ffapi_workers::Sandbox;

use crate::{
    config::Config,
    keyring::{Secret, Secrets},
};

/// The result of one check: what was found, or what is wrong and how to fix it.
pub(crate) type Check = (&'static str, Result<String, String>);

/// Replicas of each stream that survive the loss of one server without a pause.
const REPLICAS: usize = 3;
/// Open files that a gateway with many event streams needs.
const OPEN_FILES: u64 = 16_384;

/// All checks.
pub(crate) async fn checks(config: &Config) -> Vec<Check> {
    let mut checks = settings(config);
    checks.push(("open files", open_files()));
    checks.push(("replicas of the log", replicas(config).await));
    checks.push(("durability of Postgres", durability(config).await));
    checks
}

/// The checks that need no server.
fn settings(config: &Config) -> Vec<Check> {
    vec![
        ("transport", transport(config)),
        ("addresses of clients", clients(config)),
        ("metrics listener", metrics(config)),
        ("secrets", secrets(&config.secrets)),
        ("connection to NATS", nats_url(config)),
        ("store", store(config)),
        ("retention", retention(config)),
        ("backups", backups(config)),
        ("sandbox", sandbox(config)),
        ("logs", logs(config)),
    ]
}

fn checked(
    holds: bool,
    found: impl Into<String>,
    wrong: impl Into<String>,
) -> Result<String, String> {
    if holds { Ok(found.into()) } else { Err(wrong.into()) }
}

fn is_local(address: &str) -> bool {
    ["127.", "localhost", "[::1]", "unix:"].iter().any(|local| address.starts_with(local))
}

fn transport(config: &Config) -> Result<String, String> {
    let gateway = &config.gateway;
    checked(
        gateway.tls.is_some() || !gateway.trusted_proxies.is_empty(),
        if gateway.tls.is_some() { "HTTPS by the gateway" } else { "HTTPS by a trusted proxy" },
        "keys and media would travel in plain text: set gateway.tls, or put a proxy in front and name it in \
         gateway.trusted_proxies",
    )
}

fn clients(config: &Config) -> Result<String, String> {
    let gateway = &config.gateway;
    let everything = |network: &String| network == "0.0.0.0/0" || network == "::/0";
    let trusted: Vec<String> = gateway.trusted_proxies.iter().map(ToString::to_string).collect();
    checked(
        !trusted.iter().any(everything),
        format!("taken from a header of {} trusted networks", trusted.len()),
        "gateway.trusted_proxies names every address: each client could choose its own for limits and the \
         audit trail",
    )
}

fn metrics(config: &Config) -> Result<String, String> {
    let listen = config.metrics.listen.as_deref().unwrap_or("127.0.0.1:9464");
    let is_open = ["0.0.0.0:", "[::]:"].iter().any(|any| listen.starts_with(any));
    checked(
        !is_open,
        if listen.is_empty() { "none" } else { listen },
        "metrics.listen is every address and has no authentication: bind it to an address that only \
         Prometheus reaches",
    )
}

fn secrets(secrets: &Secrets) -> Result<String, String> {
    let set: Vec<&str> = [Secret::Master, Secret::Pepper, Secret::Signing]
        .into_iter()
        .map(|secret| secrets.compared(secret))
        .filter(|text| !text.is_empty())
        .collect();
    let mut distinct = set.clone();
    distinct.sort_unstable();
    distinct.dedup();
    // 64 random digits have nearly all of the 16.
    let is_weak = |text: &str| text.chars().collect::<BTreeSet<_>>().len() < 8;
    checked(
        distinct.len() == set.len() && !set.iter().any(|text| is_weak(text)),
        format!("{} different ones", set.len()),
        "two secrets are the same, or one is not random: make each with `openssl rand -hex 32`",
    )
}

fn nats_url(config: &Config) -> Result<String, String> {
    let Some(nats) = &config.nats else { return Err("nats.url is not set".to_owned()) };
    let servers = nats.shown();
    let is_safe = |url: &str| {
        let (scheme, host) = url.split_once("://").unwrap_or(("nats", url));
        scheme == "tls" || is_local(host)
    };
    let has_credentials = nats.url.contains('@');
    checked(
        servers.split(',').all(is_safe) && has_credentials,
        format!("{servers}, as a user with a password"),
        "the log's servers are reached without TLS, or without a user: use tls://user:password@host",
    )
}

fn store(config: &Config) -> Result<String, String> {
    let default = &config.storage.default;
    checked(
        default != "local",
        format!("`{default}`"),
        "storage.default is the local folder: the loss of this disk loses all uploads and outputs, and other \
         machines cannot work on them; set a bucket (storage.md)",
    )
}

fn retention(config: &Config) -> Result<String, String> {
    let periods = config.retention.periods();
    checked(
        periods.outputs.is_some() && periods.uploads.is_some(),
        "outputs and uploads are deleted some day",
        "retention.outputs or retention.uploads is 0: files are kept for ever, and storage only grows",
    )
}

fn backups(config: &Config) -> Result<String, String> {
    let backup = &config.backup;
    let target = backup.store.as_deref().unwrap_or_default();
    checked(
        !target.is_empty() && !backup.recipients.is_empty(),
        format!(
            "to {target} every {}, for {} keys",
            duration_setting::text(backup.every),
            backup.recipients.len()
        ),
        "none are made: set backup.store and backup.recipients (disaster-recovery.md)",
    )
}

fn sandbox(config: &Config) -> Result<String, String> {
    checked(
        config.worker.sandbox == Sandbox::Full,
        "full: Landlock and seccomp",
        "worker.sandbox is `seccomp-only`: a media process could open files of the worker; use a kernel with \
         Landlock",
    )
}

fn logs(config: &Config) -> Result<String, String> {
    checked(
        config.log.json,
        format!("JSON at `{}`", config.log.filter),
        "log.json is off: collectors cannot tell fields from text",
    )
}

fn open_files() -> Result<String, String> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    checked(
        limit.is_none_or(|limit| limit >= OPEN_FILES),
        limit.map_or_else(|| "no limit".to_owned(), |limit| format!("{limit}")),
        format!("fewer than {OPEN_FILES} files may be open: raise LimitNOFILE or `ulimit -n`"),
    )
}

async fn replicas(config: &Config) -> Result<String, String> {
    let settings = config.nats.as_ref().ok_or("nats.url is not set")?;
    let nats = Nats::connect(settings).await.map_err(|error| error.to_string())?;
    let replicas = topology::replicas(&nats).await.map_err(|error| error.to_string())?;
    checked(
        replicas >= REPLICAS,
        format!("{replicas} of each stream"),
        format!(
            "{replicas} of each stream: the loss of a server stops the service, or loses the log; run three \
             servers and `ffapi topology apply --replicas {REPLICAS}`"
        ),
    )
}

async fn durability(config: &Config) -> Result<String, String> {
    let settings = config.postgres.as_ref().ok_or("postgres.url is not set")?;
    let database = Database::connect(settings).map_err(|error| error.to_string())?;
    let off = database.switched_off().await.map_err(|error| error.to_string())?;
    checked(
        off.is_empty(),
        "fsync, full_page_writes and synchronous_commit are on",
        format!("{} off: read models could be damaged by a power cut", off.join(" and ")),
    )
}

#[cfg(test)]
mod tests {
    use figment::{
        Figment,
        providers::{Format, Serialized, Toml},
    };

    use super::*;

    fn config(text: &str) -> Config {
        let defaults = Figment::from(Serialized::defaults(Config::default()));
        defaults.merge(Toml::string(text)).extract().unwrap()
    }

    fn wrong(config: &Config) -> Vec<&'static str> {
        let checks = settings(config).into_iter();
        checks.filter(|(_, outcome)| outcome.is_err()).map(|(name, _)| name).collect()
    }

    #[test]
    fn the_defaults_are_not_for_production() {
        let found = wrong(&Config::default());
        for name in ["transport", "connection to NATS", "store", "backups", "logs"] {
            assert!(found.contains(&name), "{name}: {found:?}");
        }
    }

    #[test]
    fn a_prepared_configuration_passes() {
        let config = config(
            r#"
            [gateway]
            trusted_proxies = ["10.0.0.0/8"]
            [nats]
            url = "tls://gateway:secret@nats-1:4222,tls://nats-2:4222"
            [secrets]
            master_key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddee01"
            pepper = "00112233445566778899aabbccddeeff00112233445566778899aabbccddee02"
            [storage]
            default = "media"
            [backup]
            store = "s3://backups/ffapi"
            recipients = ["age1example"]
            [log]
            json = true
            filter = "info"
            "#,
        );
        assert_eq!(wrong(&config), Vec::<&str>::new());
        let mut same = config;
        same.secrets.pepper.clone_from(&same.secrets.master_key);
        assert_eq!(wrong(&same), ["secrets"]);
    }
}
