use ffapi_domain::{
    KeyId, Network, Personal, Tenant,
    key::{KeyState, Scope},
};
use poem::Request;
use poem_openapi::Object;

use crate::{
    audit_notes::AuditRecord,
    auth::{KnownKey, Principal},
    clock, page,
    problem::Problem,
    reply::Reply,
    state::Gateway,
};

/// A key without its secret.
#[derive(Debug, Object)]
#[oai(rename = "Key", skip_serializing_if_is_none)]
pub(crate) struct KeyShown {
    id: String,
    tenant: String,
    name: Option<String>,
    description: Option<String>,
    /// `active`, `expired` or `revoked`.
    status: String,
    scopes: Vec<String>,
    created_at: String,
    updated_at: String,
    expires_at: Option<String>,
    /// Interval of automatic rotation in seconds.
    rotate_every: Option<u64>,
    /// When its current secret was created.
    rotated_at: String,
    /// Until when the previous secret is valid as well.
    old_secret_until: Option<String>,
    allowed_ips: Vec<String>,
    max_concurrent_jobs: Option<u32>,
    monthly_limit_minutes: Option<u64>,
    /// The secret; only in the response that creates or rotates the key.
    secret: Option<String>,
}

/// A page of keys.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct KeyPage {
    data: Vec<KeyShown>,
    next_cursor: Option<String>,
    has_more: bool,
}

/// Query parameters of the list of keys.
pub(super) struct KeyQuery {
    pub(super) tenant: Option<String>,
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
}

pub(super) fn show(key: &KnownKey, secret: Option<String>) -> Option<KeyShown> {
    let now = clock::now();
    let held = key.state.key()?;
    let status = match &key.state {
        KeyState::Revoked(_) => "revoked",
        _ if held.is_expired(now) => "expired",
        _ => "active",
    };
    let text = |text: &Personal<String>| text.as_ref().cloned();
    let old = held.valid_secrets(now).find_map(|kept| kept.until);
    Some(KeyShown {
        id: key.id.to_string(),
        tenant: key.tenant.to_string(),
        name: text(&held.name),
        description: held.description.as_ref().and_then(text),
        status: status.to_owned(),
        scopes: held.scopes.iter().copied().map(Scope::as_str).map(str::to_owned).collect(),
        created_at: key.created_at.to_string(),
        updated_at: key.updated_at.to_string(),
        expires_at: held.terms.expires_at.map(|end| end.to_string()),
        rotate_every: held.terms.rotate_every,
        rotated_at: held.rotated_at.to_string(),
        old_secret_until: old.map(|until| until.to_string()),
        allowed_ips: held.terms.allowed_ips.iter().map(Network::to_string).collect(),
        max_concurrent_jobs: held.terms.max_concurrent_jobs,
        monthly_limit_minutes: held.terms.monthly_limit_minutes,
        secret,
    })
}

pub(super) fn response<const STATUS: u16>(key: &KnownKey) -> Reply<STATUS, KeyShown> {
    response_with(key, None)
}

pub(super) fn response_with<const STATUS: u16>(
    key: &KnownKey,
    secret: Option<String>,
) -> Reply<STATUS, KeyShown> {
    Reply::maybe(show(key, secret)).version(key.version)
}

pub(super) async fn list(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
    query: KeyQuery,
) -> Result<Reply<200, KeyPage>, Problem> {
    let limit = page::limit(query.limit, "keys")?;
    let wanted = query.tenant.as_deref().map(|text| {
        text.parse::<Tenant>().map_err(|error| Problem::parameter("tenant", error.to_string()))
    });
    let wanted = wanted.transpose()?;
    let tenant = match &wanted {
        _ if !principal.is_admin() => Some(&principal.tenant),
        wanted => wanted.as_ref(),
    };
    if tenant != Some(&principal.tenant) {
        gateway.audit.note(AuditRecord::about(request, principal, "admin.read_keys"));
    }
    let after: Option<KeyId> = page::after(query.cursor.as_deref())?;
    gateway.credentials.catch_up(gateway.commands.log()).await?;
    let mut keys = gateway.credentials.keys(tenant);
    // If the caller sees only its own tenant's keys, a filter by another tenant matches nothing.
    keys.retain(|key| {
        after.is_none_or(|after| key.id > after)
            && wanted.as_ref().is_none_or(|tenant| key.tenant == *tenant)
    });
    let next_cursor = page::cut(&mut keys, limit, |key| key.id);
    let has_more = next_cursor.is_some();
    let data = keys.iter().filter_map(|key| show(key, None)).collect();
    let link = next_cursor.as_deref().map(|cursor| page::next(request.original_uri(), cursor));
    Ok(Reply::new(KeyPage { data, next_cursor, has_more }).next(link))
}
