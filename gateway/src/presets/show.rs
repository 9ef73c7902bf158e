use std::{fmt, str::FromStr};

use ffapi_domain::{
    Timestamp,
    preset::{GLOBAL, PresetSelector, PresetVersion, is_name},
};
use ffapi_projections::{Presets, preset};
use poem::http::Uri;
use poem_openapi::{Object, types::Any};
use serde_json::Value;

use super::apply;
use crate::{auth::Principal, page, problem::Problem, reply::Reply, state::Gateway, tenant_slots};

/// A version of a preset.
#[derive(Debug, Object)]
#[oai(rename = "Preset", skip_serializing_if_is_none)]
pub(crate) struct PresetShown {
    name: String,
    version: u32,
    kind: String,
    body: Any<Value>,
    /// True for a shared preset.
    global: bool,
    created_at: Option<String>,
}

/// A page of presets.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct PresetList {
    data: Vec<PresetShown>,
    next_cursor: Option<String>,
    has_more: bool,
}

/// Query parameters of the list of presets.
pub(super) struct PresetQuery {
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
    pub(super) min_position: Option<String>,
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

/// A version of one owner's preset, loaded from the log; the newest if no number is given.
pub(super) async fn of<const STATUS: u16>(
    gateway: &Gateway,
    owner: &str,
    name: &str,
    number: Option<u32>,
) -> Result<Reply<STATUS, PresetShown>, Problem> {
    let state = apply::of(gateway, owner, name).await?;
    let version = state.version(number).ok_or_else(|| Problem::not_found("preset"))?;
    // The version that `If-Match` compares counts deletions as well.
    Ok(Reply::new(show(name, version, owner == GLOBAL)).version(state.changes))
}

pub(super) async fn find(
    gateway: &Gateway,
    principal: &Principal,
    name: &str,
    version: Option<u32>,
    if_none_match: Option<&str>,
) -> Result<Reply<200, PresetShown>, Problem> {
    if !is_name(name) {
        return Err(Problem::not_found("preset"));
    }
    let wanted = PresetSelector { name: name.to_owned(), version, global: false };
    let found = apply::find(gateway, &principal.tenant, &wanted).await?;
    let found = found.ok_or_else(|| Problem::not_found("preset"))?;
    let shown = show(name, &found.version, found.global);
    Ok(Reply::new(shown).version(found.changes).unless(if_none_match))
}

pub(super) async fn list(
    gateway: &Gateway,
    principal: &Principal,
    uri: &Uri,
    query: PresetQuery,
) -> Result<Reply<200, PresetList>, Problem> {
    let limit = page::limit(query.limit, "presets")?;
    let after: Option<ListPosition> = page::after(query.cursor.as_deref())?;
    let min_position = query.min_position.as_deref();
    gateway.reads.catch_up::<Presets>(&principal.tenant, min_position).await?;
    let _slot = tenant_slots::of_list(&principal.tenant).await?;
    let after = after.map(|ListPosition { name, tenant }| (name, tenant));
    let more = limit.saturating_add(1);
    let mut rows = preset::page(&gateway.database, &principal.tenant, after, more).await?;
    let next_cursor = page::cut(&mut rows, limit, |row| {
        let (name, tenant) = (row.name.clone(), row.tenant.clone());
        ListPosition { name, tenant }
    });
    let link = next_cursor.as_ref().map(|cursor| page::next(uri, cursor));
    let has_more = next_cursor.is_some();
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
    Ok(Reply::new(PresetList { data: data.collect(), next_cursor, has_more }).next(link))
}

/// The position of a preset in the list, for cursors.
struct ListPosition {
    name: String,
    tenant: String,
}

impl fmt::Display for ListPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.tenant)
    }
}

impl FromStr for ListPosition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (name, tenant) = text.split_once(' ').ok_or(())?;
        if name.contains('\0') || tenant.contains('\0') {
            return Err(());
        }
        Ok(Self { name: name.to_owned(), tenant: tenant.to_owned() })
    }
}
