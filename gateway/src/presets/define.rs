use std::sync::Arc;

use ffapi_commands::{Caller, CommandOutcome};
use ffapi_domain::{
    location::Location,
    preset::{GLOBAL, Preset, PresetCommand, is_name},
};
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    apply::{begins_after, current},
    show::{self, PresetShown},
};
use crate::{
    auth::Principal,
    body::Unread,
    idempotency::Key,
    if_match::version,
    jobs::create,
    problem::{Kind, Problem},
    reply::Reply,
    state::Gateway,
};

/// A preset to create.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "PresetCreate")]
pub(crate) struct PresetBody {
    /// 1 to 63 characters of a-z, 0-9 and `-`.
    name: String,
    /// `convert`, `stream`, `thumbnails`, `analyze` or `probe`.
    kind: String,
    /// Fields of the POST of that kind except `input`, up to 16 KiB; jobs that use it may override
    /// them.
    body: Any<Value>,
    /// True for a shared preset; only an admin may define these.
    global: Option<bool>,
}

/// A new version of a preset.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "PresetPut")]
pub(crate) struct PresetPut {
    /// Fields of the POST of its kind except `input`, up to 16 KiB.
    body: Any<Value>,
    /// True for a shared preset; only an admin may define these.
    global: Option<bool>,
}

/// Maximum size of a preset's body as JSON, in bytes: it is copied into every job that uses it.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// Maximum number of presets of one account, without deleted ones.
const MAX_PRESETS: u64 = 200;

fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::field(Kind::Invalid, pointer, detail)
}

/// The owner of a new version: the tenant, or all tenants.
fn owner(principal: &Principal, global: Option<bool>) -> Result<&str, Problem> {
    match global {
        Some(true) if principal.is_admin() => Ok(GLOBAL),
        Some(true) => {
            let detail = "only an admin may define shared presets";
            Err(Problem::field(Kind::Forbidden, "#/global", detail))
        }
        Some(false) | None => Ok(principal.tenant.as_str()),
    }
}

/// A version of a preset that is to be created.
struct NewPreset<'a> {
    name: String,
    owner: &'a str,
    kind: String,
    body: Map<String, Value>,
}

impl PresetBody {
    /// # Errors
    /// The first wrong field.
    fn read(self, principal: &Principal) -> Result<NewPreset<'_>, Problem> {
        let Self { name, kind, body, global } = self;
        if !is_name(&name) {
            return Err(invalid("#/name", ffapi_domain::preset::BadPreset.to_string()));
        }
        let (owner, body) = (owner(principal, global)?, fields(&kind, body)?);
        Ok(NewPreset { name, owner, kind, body })
    }
}

/// Validates a body: with an input and an output it must describe a job of its kind.
pub(super) fn fields(kind: &str, Any(body): Any<Value>) -> Result<Map<String, Value>, Problem> {
    let Value::Object(fields) = body else {
        return Err(invalid("#/body", "a preset's body must be an object"));
    };
    let size = serde_json::to_string(&fields).map_or(usize::MAX, |text| text.len());
    if size > MAX_BODY_BYTES {
        let detail =
            format!("a preset's body has up to {MAX_BODY_BYTES} bytes, this one has {size}");
        return Err(invalid("#/body", detail));
    }
    for own in ["input", "preset", "metadata", "not_before", "webhook_url", "webhook_events"] {
        if fields.contains_key(own) {
            let pointer = format!("#/body/{own}");
            return Err(invalid(&pointer, "a preset cannot set this field; set it in each job"));
        }
    }
    if let Some(pointer) = credential(&Value::Object(fields.clone()), "#/body") {
        let detail = "a preset is stored unencrypted; a URL with a query, which may be a signature, \
                      is set in each job";
        return Err(invalid(&pointer, detail));
    }
    let mut whole = fields.clone();
    whole.insert("input".to_owned(), "in.mp4".into());
    if !matches!(kind, "probe" | "analyze") && !whole.contains_key("output") {
        let output = if kind == "convert" { "out.mp4" } else { "out" };
        whole.insert("output".to_owned(), output.into());
    }
    let read = create::spec(kind, Value::Object(whole));
    read.map_err(|problem| if kind_is_known(kind) { problem.within("/body") } else { problem })?;
    Ok(fields)
}

/// The pointer to a text that may hold credentials: a URL with a query.
fn credential(value: &Value, pointer: &str) -> Option<String> {
    match value {
        Value::String(text) => {
            let is_credential =
                matches!(text.parse::<Location>(), Ok(Location::Web(url)) if url.query().is_some());
            is_credential.then(|| pointer.to_owned())
        }
        Value::Array(all) => {
            all.iter().enumerate().find_map(|(n, one)| credential(one, &format!("{pointer}/{n}")))
        }
        Value::Object(all) => {
            all.iter().find_map(|(name, one)| credential(one, &format!("{pointer}/{name}")))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn kind_is_known(kind: &str) -> bool {
    ffapi_domain::media::MediaRequest::KINDS.contains(&kind)
}

/// Rejects a new preset if the account has [`MAX_PRESETS`]. They are counted in the read model: of
/// two concurrent requests both may be accepted.
async fn check_count(
    gateway: &Gateway,
    principal: &Principal,
    owner: &str,
    name: &str,
) -> Result<(), Problem> {
    if owner == GLOBAL || current(gateway, owner, name).await?.0.is_live() {
        return Ok(());
    }
    if ffapi_projections::preset::count(&gateway.database, &principal.tenant).await? < MAX_PRESETS {
        return Ok(());
    }
    let detail = format!("the account has its maximum of {MAX_PRESETS} presets; delete one first");
    Err(Problem::new(Kind::Conflict, detail))
}

pub(super) async fn create(
    gateway: &Gateway,
    principal: &Principal,
    caller: &Caller,
    body: Unread<PresetBody>,
    key: Option<String>,
) -> Result<Reply<201, PresetShown>, Problem> {
    let NewPreset { name, owner, kind, body: fields } = body.read(|body| body.read(principal))?;
    let (fingerprint, body) = (body.fingerprint, fields);
    let location = format!("/api/v1/presets/{name}");
    if let Some(key) = Key::of("/presets", key, fingerprint)? {
        let (state, _) = current(gateway, owner, &name).await?;
        // The version that it would create; the same request may have created it already.
        let next = state.versions.keys().next_back().map_or(1, |newest| newest.saturating_add(1));
        let version: u32 = key.reserve(&gateway.idempotency, &principal.tenant, &next).await?;
        if state.versions.get(&version).is_some_and(|earlier| earlier.body == body) {
            let shown = show::of(gateway, owner, &name, Some(version)).await?;
            return Ok(shown.location(location).replayed(true));
        }
    }
    check_count(gateway, principal, owner, &name).await?;
    let command = PresetCommand::Define { kind, body };
    let handled = gateway.commands.handle::<Preset>(owner, &name, caller, command).await?;
    remember(gateway, owner, &name, &handled);
    let shown = show::of(gateway, owner, &name, None).await?;
    Ok(shown.location(location).position(handled.position))
}

pub(super) async fn update(
    gateway: &Gateway,
    principal: &Principal,
    caller: &Caller,
    name: &str,
    put: Unread<PresetPut>,
    if_match: Option<String>,
) -> Result<Reply<200, PresetShown>, Problem> {
    if !is_name(name) {
        return Err(Problem::not_found("preset"));
    }
    // Whether the caller may change a shared preset is one of the errors of the body, of which all are
    // reported: the others depend on the kind of the preset.
    let is_shared = put.value.get("global") == Some(&Value::Bool(true));
    let owner_to_be = if is_shared { GLOBAL } else { principal.tenant.as_str() };
    let (state, _) = current(gateway, owner_to_be, name).await?;
    let newest = state.versions.values().next_back();
    let kind = newest.map(|newest| newest.kind.clone());
    let (owner, body) = put.read(|put| {
        let owner = owner(principal, put.global)?;
        let body = kind.as_deref().map(|kind| fields(kind, put.body)).transpose()?;
        Ok((owner, body))
    })?;
    let (kind, body) = kind.zip(body).ok_or_else(|| Problem::not_found("preset"))?;
    check_count(gateway, principal, owner, name).await?;
    let version = if_match.as_deref().map(version).transpose()?.flatten();
    let command = PresetCommand::Define { kind, body };
    let handled =
        gateway.commands.handle_if::<Preset>(owner, name, caller, command, version).await?;
    let position = handled.position;
    remember(gateway, owner, name, &handled);
    Ok(show::of(gateway, owner, name, None).await?.position(position))
}

pub(super) async fn delete(
    gateway: &Gateway,
    principal: &Principal,
    caller: &Caller,
    name: &str,
    if_match: Option<String>,
) -> Result<Reply<200, PresetShown>, Problem> {
    if !is_name(name) {
        return Err(Problem::not_found("preset"));
    }
    let own = principal.tenant.as_str();
    let (state, _) = current(gateway, own, name).await?;
    let owner = if state.versions.is_empty() && principal.is_admin() { GLOBAL } else { own };
    let (state, _) = current(gateway, owner, name).await?;
    let newest = state.versions.keys().next_back().copied();
    let version = if_match.as_deref().map(version).transpose()?.flatten();
    let command = PresetCommand::Delete;
    let handled =
        gateway.commands.handle_if::<Preset>(owner, name, caller, command, version).await?;
    let position = handled.position;
    remember(gateway, owner, name, &handled);
    Ok(show::of(gateway, owner, name, newest).await?.position(position))
}

/// Puts a changed preset into the cache, so that the client sees its own change; other gateways follow from
/// the log.
fn remember(gateway: &Gateway, owner: &str, name: &str, handled: &CommandOutcome<Preset>) {
    let (key, sequence) = ((owner.to_owned(), name.to_owned()), handled.position.sequence);
    gateway.caches.presets.invalidate(&key, sequence);
    // The state of a reopened account's preset contains what was erased.
    if begins_after(gateway, owner) == 0 {
        gateway.caches.presets.insert(key, (Arc::new(handled.state.clone()), sequence));
    }
}
