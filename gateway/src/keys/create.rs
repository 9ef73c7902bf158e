use std::collections::BTreeSet;

use ffapi_commands::HandleError;
use ffapi_domain::{
    Decider, KeyId, Personal, Tenant,
    key::{ClaimPurpose, Key, KeyCommand, KeyRejection, KeyState, KeyTerms, Scope},
};
use poem::Request;
use uuid::Uuid;

use super::{
    body::{KeyBody, scopes, text},
    quota,
    show::{KeyShown, response, response_with},
};
use crate::{
    auth::{CredentialKind, KnownKey, Minted, Principal, mint},
    body::Unread,
    clock, idempotency,
    problem::{Kind, Problem},
    reply::Reply,
    request_context::caller,
    state::Gateway,
};

/// A key that a request asks for.
struct Wanted {
    tenant: Tenant,
    name: Personal<String>,
    description: Option<Personal<String>>,
    scopes: BTreeSet<Scope>,
    terms: KeyTerms,
}

impl Wanted {
    fn read(body: KeyBody, principal: &Principal) -> Result<Self, Problem> {
        let tenant = owner(&body, principal)?;
        let terms = body.terms()?;
        let name = Personal::Clear(text(body.name, "name")?);
        let description = body.description.map(|value| text(value, "description")).transpose()?;
        let description = description.map(Personal::Clear);
        Ok(Self { tenant, name, description, scopes: scopes(body.scopes)?, terms })
    }
}

/// Creates a key; its secret is only in the response.
pub(super) async fn create(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
    body: Unread<KeyBody>,
    key: Option<String>,
) -> Result<Reply<201, KeyShown>, Problem> {
    if principal.credential == CredentialKind::Issued {
        // The key would stay valid after the issuer withdraws the subject's access.
        return Err(Problem::new(
            Kind::Forbidden,
            "API keys are created with an API key, not with a token",
        ));
    }
    let Wanted { tenant, name, description, scopes, terms } =
        body.read(|body| Wanted::read(body, principal))?;
    gateway.must_still_be_open(&tenant).await?;
    let mut id = KeyId::from_uuid(Uuid::now_v7());
    let mut by = principal.grant();
    if tenant != principal.tenant {
        // The usage of another account's key counts there, not against the creator's keys.
        by.line.clear();
    }
    let at = clock::now();
    let command = |minted: &Minted| KeyCommand::Create {
        name: name.clone(),
        description: description.clone(),
        hash: minted.hash.clone(),
        pepper_version: minted.pepper_version,
        scopes: scopes.clone(),
        terms: terms.clone(),
        by: by.clone(),
        at,
    };
    let mut minted = mint(gateway.credentials.pepper(), id, crate::random::bytes()?);
    let key = idempotency::Key::of("api-keys", key, body.fingerprint)?;
    if let Some(key) = &key
        && let Some(id) = key.earlier(&gateway.idempotency, &principal.tenant).await?
        && let Some(known) = known(gateway, id).await?
    {
        return Ok(replayed(&known));
    }
    // A rejected command must not take a slot or reserve the idempotency key.
    Key::decide(&KeyState::Unknown, command(&minted))?;
    if let Some(key) = key {
        id = key.reserve(&gateway.idempotency, &principal.tenant, &id).await?;
        if let Some(known) = known(gateway, id).await? {
            return Ok(replayed(&known));
        }
        minted = mint(gateway.credentials.pepper(), id, crate::random::bytes()?);
    }
    let caller = caller(principal, request);
    quota::claim(gateway, &tenant, &caller, id, ClaimPurpose::Create).await?;
    let command = command(&minted);
    let outcome =
        gateway.commands.handle::<Key>(tenant.as_str(), &id.to_string(), &caller, command).await;
    let (handled, secret) = match outcome {
        Ok(handled) => (Some(handled), Some(minted.secret)),
        // A concurrent request with the same key was first; its response has the secret.
        Err(HandleError::Rejected(KeyRejection::AlreadyCreated)) => (None, None),
        Err(error) => return Err(error.into()),
    };
    match &handled {
        Some(handled) => gateway.credentials.reach(handled.position.sequence).await?,
        None => gateway.credentials.catch_up(gateway.commands.log()).await?,
    }
    let known = gateway.credentials.key(id).ok_or_else(|| Problem::not_found("key"))?;
    let has_pending_replay = secret.is_none();
    let reply = response_with(&known, secret).replayed(has_pending_replay);
    let reply = reply.location(format!("/api/v1/api-keys/{id}"));
    Ok(match handled {
        Some(handled) => reply.position(handled.position),
        None => reply,
    })
}

/// A key that an earlier request created.
async fn known(gateway: &Gateway, id: KeyId) -> Result<Option<KnownKey>, Problem> {
    gateway.credentials.catch_up(gateway.commands.log()).await?;
    Ok(gateway.credentials.key(id))
}

fn replayed(known: &KnownKey) -> Reply<201, KeyShown> {
    response(known).replayed(true).location(format!("/api/v1/api-keys/{}", known.id))
}

/// The tenant of a new key.
fn owner(body: &KeyBody, principal: &Principal) -> Result<Tenant, Problem> {
    let Some(name) = &body.tenant else { return Ok(principal.tenant.clone()) };
    let tenant: Tenant = name.parse().map_err(|error: ffapi_domain::BadTenant| {
        Problem::field(Kind::Invalid, "#/tenant", error.to_string())
    })?;
    if tenant != principal.tenant && !principal.is_admin() {
        let detail = "only an admin may create keys for another tenant";
        return Err(Problem::field(Kind::Forbidden, "#/tenant", detail));
    }
    Ok(tenant)
}
