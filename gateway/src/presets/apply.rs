use std::sync::Arc;

use ffapi_domain::{
    Tenant,
    job::PresetRef,
    preset::{GLOBAL, Preset, PresetState, PresetVersion, Wanted},
};
use serde_json::{Map, Value};

use crate::{
    problem::{Kind, Problem},
    state::Gateway,
};

/// Fills in what a body leaves to its preset, and pins the version: from here on `preset` says
/// `name@version`.
pub(crate) async fn apply(
    gateway: &Gateway,
    tenant: &Tenant,
    kind: &str,
    body: &mut Map<String, Value>,
) -> Result<(), Problem> {
    let Some(Value::String(text)) = body.get("preset") else { return Ok(()) };
    let invalid = |detail: String| Problem::field(Kind::Invalid, "#/preset", detail);
    let wanted: Wanted = text
        .parse()
        .map_err(|error: ffapi_domain::preset::BadPreset| invalid(error.to_string()))?;
    let found = find(gateway, tenant, &wanted).await?;
    let Found { pinned, version, .. } = found.ok_or_else(|| {
        invalid(format!("there is no preset {text}; GET /presets lists what there is"))
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

/// A version of a preset, and whose it is.
pub(crate) struct Found {
    pub(crate) pinned: PresetRef,
    pub(crate) version: PresetVersion,
    /// It is everybody's.
    pub(crate) global: bool,
    /// Times the whole preset changed.
    pub(crate) changes: u64,
}

/// A preset that a tenant may use, its own before everybody's.
pub(crate) async fn find(
    gateway: &Gateway,
    tenant: &Tenant,
    wanted: &Wanted,
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

/// Every version of one owner's preset, from memory if nothing newer was heard of it.
pub(super) async fn of(
    gateway: &Gateway,
    owner: &str,
    name: &str,
) -> Result<Arc<PresetState>, Problem> {
    let key = (owner.to_owned(), name.to_owned());
    if let Some((state, _)) = gateway.presets.find(&key, 0, |_| true) {
        return Ok(state);
    }
    let (state, sequence) = gateway.commands.state_at::<Preset>(owner, name).await?;
    let state = Arc::new(state);
    gateway.presets.keep(key, (Arc::clone(&state), sequence));
    Ok(state)
}
