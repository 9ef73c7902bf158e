//! The accounts resource: tiers, limits and erasure, administered by the operator.

mod body;
mod erase;
mod list;
mod me;
mod reopen;

use std::sync::Arc;

use ffapi_domain::{
    Tenant,
    account::{Account, AccountCommand},
    key::Scope,
};
use poem::{Request, Result, web::Data};
use poem_openapi::{
    OpenApi,
    param::{Header, Path, Query},
};

use self::{
    body::{AccountPatch, AccountShown},
    list::AccountPage,
    me::Caller,
};
use crate::{
    audit_notes::AuditRecord,
    auth::Auth,
    body::Unread,
    if_match::version,
    problem::{Kind, Problem},
    reply::Reply,
    request_context::caller,
    state::Gateway,
    uncancelled::uncancelled,
};

pub(crate) struct Accounts;

fn tenant(text: &str) -> Result<Tenant, Problem> {
    text.parse().map_err(|_| Problem::not_found("account"))
}

#[OpenApi(prefix_path = "/api/v1")]
impl Accounts {
    /// Show the caller
    ///
    /// The key of the request, what it may do, and its account.
    #[oai(path = "/me", method = "get", operation_id = "getCaller")]
    async fn me(&self, gateway: Data<&Arc<Gateway>>, auth: Auth) -> Result<Reply<200, Caller>> {
        gateway.credentials.catch_up(gateway.commands.log()).await?;
        Ok(me::me(&gateway, auth.principal()).await?)
    }

    /// List accounts
    ///
    /// By name; for an admin.
    #[oai(path = "/accounts", method = "get", operation_id = "listAccounts")]
    async fn list(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        limit: Query<Option<u32>>,
        cursor: Query<Option<String>>,
    ) -> Result<Reply<200, AccountPage>> {
        let principal = auth.require(Scope::Admin)?;
        gateway.credentials.catch_up(gateway.commands.log()).await?;
        gateway.audit.note(AuditRecord::about(request, principal, "admin.read_accounts"));
        let uri = request.original_uri();
        Ok(list::list(&gateway, uri, limit.0, cursor.0.as_deref()).await?)
    }

    /// Show an account
    ///
    /// The caller's own; an admin may show any.
    #[oai(path = "/accounts/:tenant", method = "get", operation_id = "getAccount")]
    async fn find(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        #[oai(name = "tenant")] name: Path<String>,
        #[oai(name = "If-None-Match")] if_none_match: Header<Option<String>>,
    ) -> Result<Reply<200, AccountShown>> {
        let principal = auth.require(Scope::JobsRead)?;
        let tenant = tenant(&name.0)?;
        gateway.credentials.catch_up(gateway.commands.log()).await?;
        if tenant != principal.tenant {
            if !principal.is_admin() || !gateway.credentials.knows(&tenant) {
                return Err(Problem::not_found("account").into());
            }
            gateway.audit.note(AuditRecord::about(request, principal, "admin.read_account"));
        }
        Ok(body::response(&gateway, &tenant).await?.unless(if_none_match.0.as_deref()))
    }

    /// Change an account
    ///
    /// Fields that are not sent stay as they are. A tenant that does not exist yet is created.
    #[oai(path = "/accounts/:tenant", method = "patch", operation_id = "updateAccount")]
    async fn update(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        #[oai(name = "tenant")] name: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
        body: Unread<AccountPatch>,
    ) -> Result<Reply<200, AccountShown>> {
        let principal = auth.require(Scope::Admin)?;
        let tenant = tenant(&name.0)?;
        let command: AccountCommand = body.read(AccountPatch::read)?;
        let version = if_match.0.as_deref().map(version).transpose()?.flatten();
        let caller = caller(principal, request);
        let name = tenant.as_str();
        let handled =
            gateway.commands.handle_if::<Account>(name, name, &caller, command, version).await;
        let handled = handled.map_err(Problem::from)?;
        gateway.credentials.reach(handled.position.sequence).await?;
        Ok(body::response(&gateway, &tenant).await?.position(handled.position))
    }

    /// Reopen an erased account
    ///
    /// With a new data key, the default tier and no API keys: what was erased stays unreadable, and
    /// its old API keys stay revoked. An account that is open stays as it is.
    #[oai(path = "/accounts/:tenant/reopen", method = "post", operation_id = "reopenAccount")]
    async fn reopen(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        #[oai(name = "tenant")] name: Path<String>,
    ) -> Result<Reply<200, AccountShown>> {
        let principal = auth.require(Scope::Admin)?;
        let tenant = tenant(&name.0)?;
        gateway.credentials.catch_up(gateway.commands.log()).await?;
        if !gateway.credentials.knows(&tenant) {
            return Err(Problem::not_found("account").into());
        }
        let caller = caller(principal, request);
        let position = reopen::reopen(&gateway, &caller, &tenant).await?;
        gateway.credentials.reach(position.sequence).await?;
        Ok(body::response(&gateway, &tenant).await?.position(position))
    }

    /// Erase an account
    ///
    /// Revokes its keys, cancels its jobs, deletes its files, and deletes its data key, without
    /// which its personal fields cannot be read anywhere. The events themselves stay in the log.
    /// Requests for the account are refused until `POST /accounts/{tenant}/reopen`. This cannot be
    /// undone.
    #[oai(path = "/accounts/:tenant", method = "delete", operation_id = "eraseAccount")]
    async fn erase(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        #[oai(name = "tenant")] name: Path<String>,
    ) -> Result<Reply<200, AccountShown>> {
        let principal = auth.require(Scope::Admin)?;
        let tenant = tenant(&name.0)?;
        if tenant == principal.tenant {
            let detail = "an account cannot be erased with its own key; use another admin's key";
            return Err(Problem::new(Kind::Conflict, detail).into());
        }
        gateway.credentials.catch_up(gateway.commands.log()).await?;
        if !gateway.credentials.knows(&tenant) {
            return Err(Problem::not_found("account").into());
        }
        let caller = caller(principal, request);
        let (shared, admin, erased) = (Arc::clone(&gateway), principal.clone(), tenant.clone());
        let erasing = async move { erase::erase(&shared, &admin, &caller, &erased).await };
        let position = uncancelled(erasing).await?;
        gateway.credentials.reach(position.sequence).await?;
        Ok(body::response(&gateway, &tenant).await?.position(position))
    }
}
