use domain::{
    Tenant,
    job::PresetRef,
    preset::{GLOBAL, Preset, PresetVersion, Wanted},
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
    let wanted: Wanted =
        text.parse().map_err(|error: domain::preset::BadPreset| invalid(error.to_string()))?;
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
}

/// A preset that a tenant may use, its own before everybody's.
pub(crate) async fn find(
    gateway: &Gateway,
    tenant: &Tenant,
    wanted: &Wanted,
) -> Result<Option<Found>, Problem> {
    for (owner, global) in [(tenant.as_str(), false), (GLOBAL, true)] {
        let state = gateway.commands.state::<Preset>(owner, &wanted.name).await?;
        if let Some(version) = state.version(wanted.version) {
            let pinned = PresetRef { name: wanted.name.clone(), version: version.version };
            return Ok(Some(Found { pinned, version: version.clone(), global }));
        }
    }
    Ok(None)
}
