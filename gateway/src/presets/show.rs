use domain::{
    Timestamp,
    preset::{GLOBAL, PresetVersion, Wanted, is_name},
};
use poem_openapi::{Object, types::Any};
use projections::preset;
use serde_json::Value;

use super::apply;
use crate::{auth::Principal, problem::Problem, reply::Reply, state::Gateway};

/// A version of a preset.
#[derive(Debug, Object)]
#[oai(rename = "Preset", skip_serializing_if_is_none)]
pub(crate) struct PresetShown {
    name: String,
    version: u32,
    kind: String,
    body: Any<Value>,
    /// True if it is everybody's.
    global: bool,
    created_at: Option<String>,
}

/// Presets.
#[derive(Debug, Object)]
pub(crate) struct PresetList {
    data: Vec<PresetShown>,
    has_more: bool,
}

fn show(name: &str, version: &PresetVersion, global: bool) -> PresetShown {
    PresetShown {
        name: name.to_owned(),
        version: version.version,
        kind: version.kind.clone(),
        body: Any(Value::Object(version.body.clone())),
        global,
        created_at: None,
    }
}

/// One owner's, as the log has it this moment.
pub(super) async fn of(
    gateway: &Gateway,
    owner: &str,
    name: &str,
    number: Option<u32>,
) -> Result<PresetShown, Problem> {
    let state = apply::of(gateway, owner, name).await?;
    let version = state.version(number).ok_or_else(|| Problem::not_found("preset"))?;
    Ok(show(name, version, owner == GLOBAL))
}

pub(super) fn answer<const STATUS: u16>(shown: PresetShown) -> Reply<STATUS, PresetShown> {
    let version = u64::from(shown.version);
    Reply::new(shown).version(version)
}

pub(super) async fn find(
    gateway: &Gateway,
    principal: &Principal,
    name: &str,
    version: Option<u32>,
) -> Result<Reply<200, PresetShown>, Problem> {
    if !is_name(name) {
        return Err(Problem::not_found("preset"));
    }
    let wanted = Wanted { name: name.to_owned(), version, global: false };
    let found = apply::find(gateway, &principal.tenant, &wanted).await?;
    let found = found.ok_or_else(|| Problem::not_found("preset"))?;
    Ok(answer(show(name, &found.version, found.global)))
}

pub(super) async fn list(
    gateway: &Gateway,
    principal: &Principal,
) -> Result<Reply<200, PresetList>, Problem> {
    let rows = preset::all(&gateway.database, &principal.tenant).await?;
    let data = rows.into_iter().map(|row| PresetShown {
        name: row.name,
        version: u32::try_from(row.version).unwrap_or(0),
        kind: row.kind,
        body: Any(row.body.0),
        global: row.tenant == GLOBAL,
        created_at: u64::try_from(row.created_at)
            .ok()
            .map(|at| Timestamp::from_millis(at).to_string()),
    });
    Ok(Reply::new(PresetList { data: data.collect(), has_more: false }))
}
