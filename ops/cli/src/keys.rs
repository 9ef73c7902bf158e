//! Keys made by whoever runs the service, for there is no first key to ask with.

use std::collections::BTreeSet;

use anyhow::Context;
use ffapi_commands::Caller;
use ffapi_domain::{
    KeyId, Personal, Tenant, Timestamp,
    account::{Account, AccountCommand, Tier},
    key::{Grant, Key, KeyCommand, KeyTerms, Scope},
};
use ffapi_gateway::{Pepper, mint};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{arguments::KeysVerb, config::Config, roles::Ground};

/// A key to make.
pub(crate) struct Create {
    pub(crate) tenant: Tenant,
    pub(crate) name: String,
    pub(crate) scopes: BTreeSet<Scope>,
    /// Of its account, from now on.
    pub(crate) tier: Option<Tier>,
}

/// True if anybody ever made a key.
pub(crate) async fn are_there(ground: &Ground) -> anyhow::Result<bool> {
    Ok(ground.commands.log().last_matching("ev.key.>").await? > 0)
}

/// Makes a key; `keep` has its secret before the log has the key.
pub(crate) async fn create(
    ground: &Ground,
    pepper: &Pepper,
    wanted: Create,
    keep: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let caller = Caller::process("operator");
    let tenant = wanted.tenant.as_str();
    let account = ground.commands.state::<Account>(tenant, tenant).await?;
    anyhow::ensure!(
        account.is_open(),
        "the account of {tenant} is erased, or is being erased: an admin may open it anew by POST \
         /api/v1/accounts/{tenant}/reopen"
    );
    if wanted.tier.is_some() {
        let command =
            AccountCommand::Change { tier: wanted.tier, limits: Box::default(), allowed_ips: None };
        ground.commands.handle::<Account>(tenant, tenant, &caller, command).await?;
    }
    let id = KeyId::from_uuid(Uuid::now_v7());
    let minted = mint(pepper, id, random()?);
    keep(&minted.secret)?;
    let command = KeyCommand::Create {
        name: Personal::Clear(wanted.name),
        description: None,
        hash: minted.hash,
        pepper_version: minted.pepper_version,
        scopes: wanted.scopes,
        terms: KeyTerms::default(),
        by: Grant::of_the_house(),
        at: Timestamp::from_millis(millis(id)),
    };
    ground.commands.handle::<Key>(tenant, &id.to_string(), &caller, command).await?;
    Ok(minted.secret)
}

/// When an id was made.
fn millis(id: KeyId) -> u64 {
    let made = id.uuid().get_timestamp().map(|made| made.to_unix()).unwrap_or_default();
    made.0.saturating_mul(1_000).saturating_add(u64::from(made.1 / 1_000_000))
}

/// 32 bytes that nobody can guess.
pub(crate) fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn word<T: DeserializeOwned>(text: String) -> anyhow::Result<T> {
    Ok(serde_json::from_value(text.into())?)
}

/// `ffapi keys`.
#[expect(clippy::print_stdout, reason = "the key is shown to its user")]
pub(crate) async fn run(config: &Config, verb: KeysVerb) -> anyhow::Result<()> {
    let KeysVerb::Create { tenant, name, scope, tier } = verb;
    let scopes: anyhow::Result<BTreeSet<Scope>> = scope.into_iter().map(word).collect();
    let scopes = scopes.context("--scope")?;
    // What is not asked for is not given: `admin` sees every tenant.
    let usual = || BTreeSet::from([Scope::JobsRead, Scope::JobsWrite]);
    let scopes = if scopes.is_empty() { usual() } else { scopes };
    let tier = tier.map(word::<Tier>).transpose().context("--tier")?;
    let tenant = tenant.parse().context("--tenant")?;
    let ground = Ground::new(config).await?;
    let pepper = config.secrets.pepper()?;
    let secret =
        create(&ground, &pepper, Create { tenant, name, scopes, tier }, |_| Ok(())).await?;
    println!("{secret}");
    Ok(())
}
