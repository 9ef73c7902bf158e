use ffapi_commands::HandleError;
use ffapi_domain::{
    Decider, KeyId, Personal, Tenant,
    key::{ClaimPurpose, Key, KeyCommand, KeyRejection, KeyState},
};
use poem::Request;
use uuid::Uuid;

use super::{
    body::{KeyBody, scopes, words},
    quota,
    show::{KeyShown, answer, answer_with},
};
use crate::{
    auth::{CredentialKind, KnownKey, Minted, Principal, mint},
    body::StrictJson,
    clock, idempotency,
    problem::{Kind, Problem},
    reply::Reply,
    state::{Gateway, caller},
};

/// Makes a key; its secret is in the answer and nowhere else.
pub(super) async fn create(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
    body: StrictJson<KeyBody>,
    key: Option<String>,
) -> Result<Reply<201, KeyShown>, Problem> {
    if principal.shown == CredentialKind::Issued {
        // It would outlive whoever the issuer no longer vouches for.
        return Err(Problem::new(
            Kind::Forbidden,
            "API keys are created with an API key, not with a token",
        ));
    }
    let StrictJson { value: body, fingerprint, .. } = body;
    let tenant = whose(&body, principal)?;
    gateway.must_still_be_open(&tenant).await?;
    let terms = body.terms()?;
    let mut id = KeyId::from_uuid(Uuid::now_v7());
    let mut by = principal.grant();
    if tenant != principal.tenant {
        // What another account's key uses is counted there.
        by.line.clear();
    }
    let name = Personal::Clear(words(body.name, "name")?);
    let description = body.description.map(|text| words(text, "description")).transpose()?;
    let (description, scopes, at) =
        (description.map(Personal::Clear), scopes(body.scopes)?, clock::now());
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
    let mut minted = mint(gateway.directory.pepper(), id, crate::random::bytes()?);
    let key = idempotency::Key::of("api-keys", key, fingerprint)?;
    if let Some(key) = &key
        && let Some(before) = key.before(gateway, principal).await?
        && let Some(known) = known(gateway, before).await?
    {
        return Ok(again(&known));
    }
    // What is refused takes no place among the keys, and nothing of it is written.
    Key::decide(&KeyState::Unknown, command(&minted))?;
    if let Some(key) = key {
        id = key.reserve(gateway, principal, &id).await?;
        if let Some(known) = known(gateway, id).await? {
            return Ok(again(&known));
        }
        minted = mint(gateway.directory.pepper(), id, crate::random::bytes()?);
    }
    let caller = caller(principal, request);
    quota::claim(gateway, &tenant, &caller, id, ClaimPurpose::Create).await?;
    let command = command(&minted);
    let outcome =
        gateway.commands.handle::<Key>(tenant.as_str(), &id.to_string(), &caller, command).await;
    let (handled, secret) = match outcome {
        Ok(handled) => (Some(handled), Some(minted.secret)),
        // The same request, at the same moment: whoever was first has the secret.
        Err(HandleError::Rejected(KeyRejection::AlreadyCreated)) => (None, None),
        Err(error) => return Err(error.into()),
    };
    gateway.directory.catch_up(gateway.commands.log()).await?;
    let known = gateway.directory.key(id).ok_or_else(|| Problem::not_found("key"))?;
    let replayed = secret.is_none();
    let reply = answer_with(&known, secret).replayed(replayed);
    let reply = reply.location(format!("/api/v1/api-keys/{id}"));
    Ok(match handled {
        Some(handled) => reply.position(handled.position),
        None => reply,
    })
}

/// A key that an earlier request made.
async fn known(gateway: &Gateway, id: KeyId) -> Result<Option<KnownKey>, Problem> {
    gateway.directory.catch_up(gateway.commands.log()).await?;
    Ok(gateway.directory.key(id))
}

fn again(known: &KnownKey) -> Reply<201, KeyShown> {
    answer(known).replayed(true).location(format!("/api/v1/api-keys/{}", known.id))
}

fn whose(body: &KeyBody, principal: &Principal) -> Result<Tenant, Problem> {
    let Some(text) = &body.tenant else { return Ok(principal.tenant.clone()) };
    let tenant: Tenant = text.parse().map_err(|error: ffapi_domain::BadTenant| {
        Problem::field(Kind::Invalid, "#/tenant", error.to_string())
    })?;
    if tenant != principal.tenant && !principal.is_admin() {
        let detail = "only an admin may create keys for another tenant";
        return Err(Problem::field(Kind::Forbidden, "#/tenant", detail));
    }
    Ok(tenant)
}
