//! Secrets that stand elsewhere: a setting may name one instead of holding it, like
//! `vault:secret/data/ffapi#pepper` or `aws:prod/ffapi#postgres_url`.

mod aws;
mod vault;

use anyhow::Context;
use futures::future::BoxFuture;
use serde_json::Value;

use self::{aws::SecretsManager, vault::Vault};
use crate::config::Config;

/// Something that keeps secrets.
trait Provider: Send + Sync {
    /// What stands under a name: an object of fields, or one text.
    fn fetch<'a>(&'a self, name: &'a str) -> BoxFuture<'a, anyhow::Result<Value>>;
}

/// The provider that a setting names, and the rest of it.
fn provider(setting: &str) -> anyhow::Result<Option<(Box<dyn Provider>, &str)>> {
    Ok(match setting.split_once(':') {
        Some(("vault", rest)) => Some((Box::new(Vault::from_environment()?), rest)),
        Some(("aws", rest)) => Some((Box::new(SecretsManager::from_environment()?), rest)),
        Some(_) | None => None,
    })
}

/// Puts secrets in the place of the settings that name them.
pub(crate) async fn resolve(config: &mut Config) -> anyhow::Result<()> {
    let secrets = &mut config.secrets;
    let keys = [
        ("secrets.master_key", &mut secrets.master_key),
        ("secrets.pepper", &mut secrets.pepper),
        ("secrets.signing_key", &mut secrets.signing_key),
    ];
    let nats = config.nats.as_mut().map(|nats| ("nats.url", &mut nats.url));
    let postgres = config.postgres.as_mut().map(|postgres| ("postgres.url", &mut postgres.url));
    for (name, setting) in keys.into_iter().chain(nats).chain(postgres) {
        let Some((provider, rest)) = provider(setting).with_context(|| name.to_owned())? else {
            continue;
        };
        let (of, field) = rest.split_once('#').unwrap_or((rest, ""));
        let found = provider.fetch(of).await;
        let found = found.with_context(|| format!("{name}: {setting} cannot be had"))?;
        *setting = text(&found, field)
            .with_context(|| format!("{name}: {setting} names no text in what stands there"))?;
    }
    Ok(())
}

fn text(found: &Value, field: &str) -> Option<String> {
    let value = if field.is_empty() { found } else { found.get(field)? };
    value.as_str().map(|text| text.trim().to_owned())
}

/// How a provider is asked; it is the operator's own, wherever it is.
fn client() -> anyhow::Result<reqwest::Client> {
    let client = reqwest::Client::builder().timeout(std::time::Duration::from_secs(10));
    Ok(client.redirect(reqwest::redirect::Policy::none()).build()?)
}

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

/// The answer's JSON; a refusal's text may hold what was sent, so only its status is told.
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
    fn a_name_without_a_field_is_the_whole_text() {
        let found = json!({ "pepper": " 00ff\n", "number": 7 });
        assert_eq!(text(&found, "pepper").as_deref(), Some("00ff"));
        assert_eq!(text(&json!("00ff"), "").as_deref(), Some("00ff"));
        for field in ["", "number", "salt"] {
            assert_eq!(text(&found, field), None, "{field}");
        }
    }

    #[test]
    fn what_names_no_provider_is_the_secret_itself() {
        for setting in ["00ff", "nats://me:pw@host:4222", "postgres://host/db"] {
            assert!(provider(setting).unwrap().is_none(), "{setting}");
        }
    }
}
