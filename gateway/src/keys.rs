//! The API keys resource: the routes. The operations are in the submodules.

mod body;
mod change;
mod create;
mod quota;
pub(crate) mod rotation;
mod show;
mod usage;

use std::sync::Arc;

use ffapi_domain::{
    KeyId,
    key::{KeyCommand, Scope},
};
use poem::{Request, Result, web::Data};
use poem_openapi::{
    OpenApi,
    param::{Header, Path, Query},
};

pub(crate) use self::{body::networks, usage::minutes};
use self::{
    body::{ExtendBody, KeyBody, KeyPatch},
    change::Change,
    show::{KeyPage, KeyShown},
    usage::KeyUsage,
};
use crate::{
    audit_notes::AuditRecord,
    auth::{Auth, KnownKey, Principal},
    body::{StrictJson, Unread},
    clock,
    problem::Problem,
    reply::Reply,
    state::Gateway,
};

pub(crate) struct Keys;

/// Finds a key that the caller may see, as it is in the log now; other tenants' keys are not found.
async fn find(gateway: &Gateway, principal: &Principal, id: &str) -> Result<KnownKey, Problem> {
    let id: KeyId = id.parse().map_err(|_| Problem::not_found("key"))?;
    gateway.credentials.catch_up(gateway.commands.log()).await?;
    let key = gateway.credentials.key(id).ok_or_else(|| Problem::not_found("key"))?;
    if key.tenant != principal.tenant && !principal.is_admin() {
        return Err(Problem::not_found("key"));
    }
    Ok(key)
}

/// The same for a change; the account must be open.
async fn find_open(
    gateway: &Gateway,
    principal: &Principal,
    id: &str,
) -> Result<KnownKey, Problem> {
    let key = find(gateway, principal, id).await?;
    gateway.must_be_open(&key.tenant)?;
    Ok(key)
}

/// The same for a read; an admin's read of another tenant's key is noted in the audit trail.
async fn find_to_read(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
    id: &str,
) -> Result<KnownKey, Problem> {
    let key = find(gateway, principal, id).await?;
    if key.tenant != principal.tenant {
        gateway.audit.note(AuditRecord::about(request, principal, "admin.read_key"));
    }
    Ok(key)
}

#[OpenApi(prefix_path = "/api/v1")]
impl Keys {
    /// Create an API key
    ///
    /// The `secret` is only in this response. A key cannot be given scopes or limits that its
    /// creator does not have. With `Idempotency-Key`, a repeated request returns the same key
    /// without its secret.
    #[oai(path = "/api-keys", method = "post", operation_id = "createKey")]
    async fn create(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: Unread<KeyBody>,
    ) -> Result<Reply<201, KeyShown>> {
        let principal = auth.require(Scope::KeysManage)?;
        Ok(create::create(&gateway, request, principal, body, key.0).await?)
    }

    /// List API keys
    ///
    /// Oldest first. An admin sees every tenant's keys, or those of `tenant`.
    #[oai(path = "/api-keys", method = "get", operation_id = "listKeys")]
    async fn list(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        tenant: Query<Option<String>>,
        limit: Query<Option<u32>>,
        cursor: Query<Option<String>>,
    ) -> Result<Reply<200, KeyPage>> {
        let principal = auth.require(Scope::KeysManage)?;
        let query = show::KeyQuery { tenant: tenant.0, limit: limit.0, cursor: cursor.0 };
        Ok(show::list(&gateway, request, principal, query).await?)
    }

    /// Show an API key
    #[oai(path = "/api-keys/:id", method = "get", operation_id = "getKey")]
    async fn find(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "If-None-Match")] if_none_match: Header<Option<String>>,
    ) -> Result<Reply<200, KeyShown>> {
        let principal = auth.require(Scope::KeysManage)?;
        let key = find_to_read(&gateway, request, principal, &id.0).await?;
        Ok(show::response(&key).unless(if_none_match.0.as_deref()))
    }

    /// Update an API key
    ///
    /// Fields that are not sent stay as they are; `null` removes a limit or the description.
    #[oai(path = "/api-keys/:id", method = "patch", operation_id = "updateKey")]
    async fn update(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
        body: Unread<KeyPatch>,
    ) -> Result<Reply<200, KeyShown>> {
        let principal = auth.require(Scope::KeysManage)?;
        let key = find_open(&gateway, principal, &id.0).await?;
        let change = Box::new(body.read(KeyPatch::read)?);
        let command = KeyCommand::Update { change, by: principal.grant() };
        let change = Change { request, principal, key, if_match: if_match.0 };
        Ok(change.execute(&gateway, command).await?)
    }

    /// Rotate an API key's secret
    ///
    /// The new `secret` is only in this response. The old one stays valid for `grace` seconds: a
    /// day by default, 30 days at most, 0 for none. If the key was rotated automatically and
    /// `grace` is not given, this returns, once, the secret that was created then.
    #[oai(path = "/api-keys/:id/rotate", method = "post", operation_id = "rotateKey")]
    async fn rotate(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        grace: Query<Option<u64>>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
    ) -> Result<Reply<200, KeyShown>> {
        let principal = auth.require(Scope::KeysManage)?;
        let key = find_open(&gateway, principal, &id.0).await?;
        let change = Change { request, principal, key, if_match: if_match.0 };
        Ok(change.rotate(&gateway, grace.0).await?)
    }

    /// Revoke an API key
    ///
    /// Every gateway rejects it within a moment.
    #[oai(path = "/api-keys/:id/revoke", method = "post", operation_id = "revokeKey")]
    async fn revoke(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
    ) -> Result<Reply<200, KeyShown>> {
        let principal = auth.require(Scope::KeysManage)?;
        let key = find_open(&gateway, principal, &id.0).await?;
        let command = KeyCommand::Revoke { by: principal.grant() };
        let change = Change { request, principal, key, if_match: if_match.0 };
        Ok(change.execute(&gateway, command).await?)
    }

    /// Change when an API key expires
    #[oai(path = "/api-keys/:id/extend", method = "post", operation_id = "extendKey")]
    async fn extend(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
        body: StrictJson<ExtendBody>,
    ) -> Result<Reply<200, KeyShown>> {
        let principal = auth.require(Scope::KeysManage)?;
        let key = find_open(&gateway, principal, &id.0).await?;
        let (by, at) = (principal.grant(), clock::now());
        let command = KeyCommand::Extend { expires_at: body.value.read()?, by, at };
        let change = Change { request, principal, key, if_match: if_match.0 };
        Ok(change.extend(&gateway, command).await?)
    }

    /// Show an API key's usage
    ///
    /// Media minutes by calendar month, UTC.
    #[oai(path = "/api-keys/:id/usage", method = "get", operation_id = "getKeyUsage")]
    async fn usage(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
    ) -> Result<Reply<200, KeyUsage>> {
        let principal = auth.require(Scope::KeysManage)?;
        let key = find_to_read(&gateway, request, principal, &id.0).await?;
        Ok(Reply::new(usage::of(&gateway, &key)))
    }
}
