//! Keys created by the operator without the API, which would need a first key.

use std::collections::BTreeSet;

use anyhow::Context;
use ffapi_commands::Caller;
use ffapi_domain::{
    Category, KeyId, Personal, Tenant, Timestamp,
    account::{Account, AccountCommand, Tier},
    key::{Grant, Key, KeyCommand, KeyTerms, Scope},
};
use ffapi_gateway::{Pepper, mint};
use ffapi_nats::subject;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{arguments::KeysVerb, config::Config, roles::AppContext};

/// The parameters of a key to create.
pub(crate) struct Create {
    pub(crate) tenant: Tenant,
    pub(crate) name: String,
    pub(crate) scopes: BTreeSet<Scope>,
    /// The new tier of its account, if it is to change.
    pub(crate) tier: Option<Tier>,
}

/// True if any key was ever created.
pub(crate) async fn exist(context: &AppContext) -> anyhow::Result<bool> {
    Ok(context.commands.log().last_matching(&subject::category(Category::Key.as_str())).await? > 0)
}

/// Creates a key and returns its secret. `keep` is called with the secret before the key is
/// appended to the log.
pub(crate) async fn create(
    context: &AppContext,
    pepper: &Pepper,
    wanted: Create,
    keep: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let caller = Caller::process("operator");
    let tenant = wanted.tenant.as_str();
    let account = context.commands.state::<Account>(tenant, tenant).await?;
    anyhow::ensure!(
        account.is_open(),
        "the account of {tenant} is erased, or is being erased: an admin can reopen it with POST \
         /api/v1/accounts/{tenant}/reopen"
    );
    if wanted.tier.is_some() {
        let command =
            AccountCommand::Change { tier: wanted.tier, limits: Box::default(), allowed_ips: None };
        context.commands.handle::<Account>(tenant, tenant, &caller, command).await?;
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
        by: Grant::unrestricted(),
        at: Timestamp::from_millis(millis(id)),
    };
    context.commands.handle::<Key>(tenant, &id.to_string(), &caller, command).await?;
    Ok(minted.secret)
}

/// The creation time of an id, in milliseconds since the epoch.
fn millis(id: KeyId) -> u64 {
    let made = id.uuid().get_timestamp().map(|made| made.to_unix()).unwrap_or_default();
    made.0.saturating_mul(1_000).saturating_add(u64::from(made.1 / 1_000_000))
}

/// 32 bytes from the system's secure random source.
pub(crate) fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn parse_name<T: DeserializeOwned>(text: String) -> anyhow::Result<T> {
    Ok(serde_json::from_value(text.into())?)
}

/// `ffapi keys`.
#[expect(clippy::print_stdout, reason = "the key is shown to its user")]
pub(crate) async fn run(config: &Config, verb: KeysVerb) -> anyhow::Result<()> {
    let KeysVerb::Create { tenant, name, scope, tier } = verb;
    let scopes: anyhow::Result<BTreeSet<Scope>> = scope.into_iter().map(parse_name).collect();
    let scopes = scopes.context("--scope")?;
    // `admin` is never granted by default, because it includes every tenant.
    let default_scopes = || BTreeSet::from([Scope::JobsRead, Scope::JobsWrite]);
    let scopes = if scopes.is_empty() { default_scopes() } else { scopes };
    let tier = tier.map(parse_name::<Tier>).transpose().context("--tier")?;
    let tenant = tenant.parse().context("--tenant")?;
    let context = AppContext::new(config).await?;
    let pepper = config.secrets.pepper()?;
    let secret =
        create(&context, &pepper, Create { tenant, name, scopes, tier }, |_| Ok(())).await?;
    println!("{secret}");
    Ok(())
}
