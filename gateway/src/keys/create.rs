use commands::HandleError;
use domain::{
    KeyId, Personal, Tenant,
    key::{Key, KeyCommand, KeyRejection},
};
use poem::Request;
use uuid::Uuid;

use super::{
    body::{KeyBody, scopes, words},
    ring,
    show::{KeyShown, answer, answer_with},
};
use crate::{
    auth::{Principal, Shown, mint},
    body::StrictJson,
    clock, idempotency,
    problem::{Kind, Problem},
    reply::Reply,
    state::{Gateway, caller},
};

/// Makes a key; its secret is in the answer and nowhere else.
pub(super) async fn create(
    gateway: &Gateway,
    (request, principal): (&Request, &Principal),
    body: StrictJson<KeyBody>,
    key: Option<String>,
) -> Result<Reply<201, KeyShown>, Problem> {
    if principal.shown == Shown::Issued {
        // It would outlive whoever the issuer no longer vouches for.
        return Err(Problem::new(Kind::Forbidden, "keys are made with a key, not with a token"));
    }
    let StrictJson { value: body, fingerprint, .. } = body;
    let tenant = whose(&body, principal)?;
    let terms = body.terms()?;
    let mut id = KeyId::from_uuid(Uuid::now_v7());
    if let Some(key) = idempotency::Key::of("api-keys", key, fingerprint)? {
        id = key.reserve(gateway, principal, &id).await?;
        gateway.directory.catch_up(gateway.commands.log()).await?;
        if let Some(known) = gateway.directory.key(id) {
            return Ok(answer(&known).replayed(true).location(format!("/api/v1/api-keys/{id}")));
        }
    }
    let caller = caller(principal, request);
    ring::claim(gateway, (&tenant, &caller), id).await?;
    let minted = mint(gateway.directory.pepper(), id, crate::random::bytes()?);
    let command = KeyCommand::Create {
        name: Personal::Clear(words(body.name, "name")?),
        description: body
            .description
            .map(|text| words(text, "description"))
            .transpose()?
            .map(Personal::Clear),
        hash: minted.hash,
        pepper_version: minted.pepper_version,
        scopes: scopes(body.scopes)?,
        terms,
        by: principal.grant(),
        at: clock::now(),
    };
    let name = id.to_string();
    let outcome = gateway.commands.handle::<Key>(tenant.as_str(), &name, &caller, command).await;
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

fn whose(body: &KeyBody, principal: &Principal) -> Result<Tenant, Problem> {
    let Some(text) = &body.tenant else { return Ok(principal.tenant.clone()) };
    let tenant: Tenant = text.parse().map_err(|error: domain::BadTenant| {
        Problem::field(Kind::Invalid, "#/tenant", error.to_string())
    })?;
    if tenant != principal.tenant && !principal.is_admin() {
        let detail = "only an admin makes keys for another tenant";
        return Err(Problem::field(Kind::Forbidden, "#/tenant", detail));
    }
    Ok(tenant)
}
