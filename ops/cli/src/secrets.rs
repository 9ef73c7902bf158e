//! Secret providers: a setting can reference a secret instead of containing it, like
//! `vault:secret/data/ffapi#pepper` or `aws:prod/ffapi#postgres_url`.

mod aws;
mod vault;

use std::collections::{HashMap, hash_map::Entry};

use anyhow::Context;
use ffapi_nats::NatsConfig;
use ffapi_projections::PostgresConfig;
use ffapi_storage::{StoreConfig, StoresConfig};
use futures::future::BoxFuture;
use serde_json::Value;

use self::{aws::SecretsManager, vault::Vault};
use crate::config::Config;

/// A store of secrets.
trait Provider: Send + Sync {
    /// Fetches a secret by name: an object of fields, or a string.
    fn fetch<'a>(&'a self, name: &'a str) -> BoxFuture<'a, anyhow::Result<Value>>;
}

/// The provider that a setting references, and the rest of the reference.
fn provider(setting: &str) -> anyhow::Result<Option<(Box<dyn Provider>, &str)>> {
    Ok(match setting.split_once(':') {
        Some(("vault", rest)) => Some((Box::new(Vault::from_environment()?), rest)),
        Some(("aws", rest)) => Some((Box::new(SecretsManager::from_environment()?), rest)),
        Some(_) | None => None,
    })
}

/// Replaces references in all settings by the secrets.
pub(crate) async fn resolve(config: &mut Config) -> anyhow::Result<()> {
    let addresses = addresses(&mut config.nats, &mut config.postgres);
    let addresses = addresses.map(|(name, setting)| (name.to_owned(), setting));
    let secrets = config.secrets.named().into_iter();
    let secrets = secrets.map(|(name, setting)| (name.to_owned(), setting));
    fill(secrets.chain(addresses).chain(credentials(&mut config.stores))).await
}

/// The credentials of stores.
fn credentials(stores: &mut StoresConfig) -> impl Iterator<Item = (String, &mut String)> {
    stores.iter_mut().flat_map(|(name, store)| {
        let StoreConfig { access_key_id, secret_access_key, .. } = store;
        let named = [("access_key_id", access_key_id), ("secret_access_key", secret_access_key)];
        named.into_iter().filter_map(move |(setting, value)| {
            Some((format!("stores.{name}.{setting}"), value.as_mut()?))
        })
    })
}

/// Replaces references in the NATS and Postgres URLs only, which can change at run time.
pub(crate) async fn resolve_addresses(config: &mut Config) -> anyhow::Result<()> {
    let addresses = addresses(&mut config.nats, &mut config.postgres);
    fill(addresses.map(|(name, setting)| (name.to_owned(), setting))).await
}

fn addresses<'a>(
    nats: &'a mut Option<NatsConfig>,
    postgres: &'a mut Option<PostgresConfig>,
) -> impl Iterator<Item = (&'static str, &'a mut String)> {
    let nats = nats.as_mut().map(|nats| ("nats.url", &mut nats.url));
    let postgres = postgres.as_mut().map(|postgres| ("postgres.url", &mut postgres.url));
    nats.into_iter().chain(postgres)
}

/// Replaces references in these settings by the secrets. A secret of which several settings use
/// fields is fetched once.
async fn fill(settings: impl Iterator<Item = (String, &mut String)>) -> anyhow::Result<()> {
    let mut known: HashMap<String, Value> = HashMap::new();
    for (name, setting) in settings {
        let Some((provider, rest)) = provider(setting).with_context(|| name.clone())? else {
            continue;
        };
        let (secret, field) = setting.split_once('#').unwrap_or((setting, ""));
        let found = match known.entry(secret.to_owned()) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(unknown) => {
                let path = rest.split_once('#').map_or(rest, |(path, _)| path);
                let found = provider.fetch(path).await;
                unknown
                    .insert(found.with_context(|| format!("{name}: {setting} cannot be fetched"))?)
            }
        };
        *setting = text(found, field)
            .with_context(|| format!("{name}: {setting} does not reference a string"))?;
    }
    Ok(())
}

fn text(found: &Value, field: &str) -> Option<String> {
    let value = if field.is_empty() { found } else { found.get(field)? };
    value.as_str().map(|text| text.trim().to_owned())
}

/// The HTTP client for providers. Its addresses are not restricted, since the operator sets them.
fn client() -> anyhow::Result<reqwest::Client> {
    let client = reqwest::Client::builder().timeout(std::time::Duration::from_secs(10));
    Ok(client.redirect(reqwest::redirect::Policy::none()).build()?)
}

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

/// The JSON of a response. Only the status of an error is reported, since its body may contain
/// secrets.
async fn read(answer: reqwest::Response) -> anyhow::Result<Value> {
    let status = answer.status();
    anyhow::ensure!(status.is_success(), "it answers {status}");
    Ok(answer.json().await?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reference_without_a_field_is_the_whole_text() {
        let found = json!({ "pepper": " 00ff\n", "number": 7 });
        assert_eq!(text(&found, "pepper").as_deref(), Some("00ff"));
        assert_eq!(text(&json!("00ff"), "").as_deref(), Some("00ff"));
        for field in ["", "number", "salt"] {
            assert_eq!(text(&found, field), None, "{field}");
        }
    }

    #[test]
    fn a_value_without_a_provider_is_the_secret_itself() {
        for setting in ["00ff", "nats://me:pw@host:4222", "postgres://host/db"] {
            assert!(provider(setting).unwrap().is_none(), "{setting}");
        }
    }
}
