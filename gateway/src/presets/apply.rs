use std::sync::Arc;

use ffapi_domain::{
    Decider, Tenant,
    job::PresetRef,
    preset::{GLOBAL, Preset, PresetSelector, PresetState, PresetVersion},
};
use serde_json::{Map, Value};

use crate::{
    problem::{Kind, Problem},
    state::Gateway,
};

/// Adds the fields that a body leaves to its preset, and pins the version: afterwards `preset` is
/// `name@version`.
pub(crate) async fn apply(
    gateway: &Gateway,
    tenant: &Tenant,
    kind: &str,
    body: &mut Map<String, Value>,
) -> Result<(), Problem> {
    let Some(Value::String(text)) = body.get("preset") else { return Ok(()) };
    let invalid = |detail: String| Problem::field(Kind::Invalid, "#/preset", detail);
    let wanted: PresetSelector = text
        .parse()
        .map_err(|error: ffapi_domain::preset::BadPreset| invalid(error.to_string()))?;
    let found = find(gateway, tenant, &wanted).await?;
    let Found { pinned, version, .. } = found.ok_or_else(|| {
        invalid(format!("there is no preset {text}; GET /presets lists the presets"))
    })?;
    if version.kind != kind {
        return Err(invalid(format!("preset {text} is for `{}`, not for `{kind}`", version.kind)));
    }
    for (field, value) in version.body {
        body.entry(field).or_insert(value);
    }
    body.insert("preset".to_owned(), pinned.to_string().into());
    Ok(())
}

/// A version of a preset, and its owner.
pub(crate) struct Found {
    pub(crate) pinned: PresetRef,
    pub(crate) version: PresetVersion,
    /// True for a shared preset.
    pub(crate) global: bool,
    /// Number of changes of the whole preset, its version in the log.
    pub(crate) changes: u64,
}

/// Finds a preset that a tenant may use: its own, else a shared one.
pub(crate) async fn find(
    gateway: &Gateway,
    tenant: &Tenant,
    wanted: &PresetSelector,
) -> Result<Option<Found>, Problem> {
    let owners = [(tenant.as_str(), false), (GLOBAL, true)];
    for (owner, global) in owners.into_iter().filter(|(_, global)| *global || !wanted.global) {
        let state = of(gateway, owner, &wanted.name).await?;
        if let Some(version) = state.version(wanted.version) {
            let pinned = PresetRef { name: wanted.name.clone(), version: version.version, global };
            let changes = state.changes;
            return Ok(Some(Found { pinned, version: version.clone(), global, changes }));
        }
    }
    Ok(None)
}

/// All versions of one owner's preset, from the cache if it is up to date.
pub(super) async fn of(
    gateway: &Gateway,
    owner: &str,
    name: &str,
) -> Result<Arc<PresetState>, Problem> {
    let key = (owner.to_owned(), name.to_owned());
    if let Some((state, _)) = gateway.caches.presets.get(&key, 0, |_| true) {
        return Ok(state);
    }
    let (state, sequence) = current(gateway, owner, name).await?;
    let state = Arc::new(state);
    gateway.caches.presets.insert(key, (Arc::clone(&state), sequence));
    Ok(state)
}

/// Stream sequence of the last erasure of a preset's owner; 0 if there was none.
pub(super) fn begins_after(gateway: &Gateway, owner: &str) -> u64 {
    owner.parse().map_or(0, |tenant: Tenant| gateway.credentials.account(&tenant).begins_after)
}

/// All versions of one owner's preset from the log, without those from before the account was erased,
/// and the sequence of its newest message.
pub(super) async fn current(
    gateway: &Gateway,
    owner: &str,
    name: &str,
) -> Result<(PresetState, u64), Problem> {
    let begins_after = begins_after(gateway, owner);
    if begins_after == 0 {
        return Ok(gateway.commands.state_at::<Preset>(owner, name).await?);
    }
    let history = gateway.commands.history::<Preset>(owner, name).await?;
    let newest = history.last().map_or(0, |(sequence, _)| *sequence);
    let later = history.iter().filter(|(sequence, _)| *sequence > begins_after);
    let events = later.flat_map(|(_, decision)| &decision.events);
    Ok((events.fold(PresetState::default(), Preset::evolve), newest))
}
