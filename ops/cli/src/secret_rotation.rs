//! Rotation of the secrets that stored data depends on: docs/secrets.md has the steps.

use std::{collections::BTreeMap, time::SystemTime};

use ffapi_domain::{
    Category, Decider, Timestamp,
    key::{Key, KeyEvent, KeyState},
};
use ffapi_nats::{Decision, subject};

use crate::{arguments::SecretsVerb, config::Config, roles::AppContext};

/// `ffapi secrets`.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn run(config: &Config, verb: &SecretsVerb) -> anyhow::Result<()> {
    let context = AppContext::new(config).await?;
    if matches!(verb, SecretsVerb::Rewrap) {
        println!("{} values were encrypted again", context.vault.rewrap().await?);
    }
    let usage = context.vault.usage().await?;
    println!(
        "vault: {} values under the current master key, {} under others, {} under unknown ones",
        usage.current, usage.others, usage.unreadable
    );
    let mut is_done = usage.others.saturating_add(usage.unreadable) == 0;
    if matches!(verb, SecretsVerb::Status) {
        let version = config.secrets.pepper()?.version;
        let (keys, now) = (keys(&context).await?, Timestamp::from(SystemTime::now()));
        let dependent = keys.iter().filter_map(|(name, key)| match key {
            KeyState::Active(key) => {
                let mut secrets = key.valid_secrets(now);
                let depends = secrets.any(|secret| secret.pepper_version != version);
                depends.then(|| (name, key.is_expired(now)))
            }
            KeyState::Unknown | KeyState::Revoked(_) => None,
        });
        let (expired, older): (Vec<_>, Vec<_>) = dependent.partition(|(_, is_expired)| *is_expired);
        println!("keys: {} of {} depend on another pepper", older.len(), keys.len());
        for (name, _) in &older {
            println!("  {name}");
        }
        if !expired.is_empty() {
            println!(
                "      {} more have expired; without that pepper, they do not work if they are extended",
                expired.len()
            );
        }
        is_done &= older.is_empty();
    }
    anyhow::ensure!(is_done, "something depends on previous secrets: keep them");
    Ok(())
}

/// Every key by tenant and id.
async fn keys(context: &AppContext) -> anyhow::Result<BTreeMap<String, KeyState>> {
    let (log, codec) = (context.commands.log(), context.commands.codec());
    let mut keys: BTreeMap<String, KeyState> = BTreeMap::new();
    let mut pages =
        log.pages(subject::category(Category::Key.as_str()), log.last_sequence().await?);
    while let Some(messages) = pages.next().await? {
        for message in &messages {
            let Some((_, tenant, id)) = message.address() else { continue };
            let decision: Decision<KeyEvent> = codec.read(message).await?;
            let key = keys.entry(format!("{tenant} {id}")).or_default();
            *key = decision.events.iter().fold(std::mem::take(key), Key::evolve);
        }
    }
    Ok(keys)
}
