use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use ffapi_commands::Caller;
use ffapi_domain::{
    WebhookId,
    webhook::{Webhook, WebhookCommand, WebhookState},
};
use poem_openapi::Object;

use super::show::{self, WebhookShown};
use crate::{
    auth::Principal, clock, if_match::version, problem::Problem, reply::Reply, state::Gateway,
};

/// What signs.
#[derive(Debug, Object)]
pub(crate) struct SigningSecret {
    /// `whsec_` and base64.
    secret: String,
}

/// How long what is sent is signed with the old secret as well.
const BOTH: Duration = Duration::from_hours(24);

/// Where an endpoint's n-th secret stands in the vault.
pub(super) fn vault_name(id: WebhookId, nth: u32) -> String {
    format!("hook.{id}.{nth}")
}

/// As its owner sees it.
pub(super) fn shown(secret: &[u8]) -> String {
    format!("whsec_{}", STANDARD.encode(secret))
}

/// Replaces an endpoint's secret, if the endpoint is still as `If-Match` says.
pub(super) async fn rotate(
    gateway: &Gateway,
    principal: &Principal,
    caller: &Caller,
    id: WebhookId,
    if_match: Option<String>,
) -> Result<Reply<200, WebhookShown>, Problem> {
    let tenant = principal.tenant.as_str();
    let version = if_match.as_deref().map(version).transpose()?.flatten();
    let state = gateway.commands.state::<Webhook>(tenant, &id.to_string()).await?;
    let WebhookState::Known { secret, .. } = state else {
        return Err(Problem::not_found("webhook"));
    };
    let next = secret.saturating_add(1);
    // Before the event, so that nothing is signed with what is not there. One that was put and never
    // taken, for somebody died in between, was shown to nobody: it is as good as a new one.
    let kept = gateway.vault.put_first(&vault_name(id, next), &crate::random::bytes()?).await?;
    let old_until = clock::now().plus(BOTH);
    let command = WebhookCommand::RotateSecret { secret: next, old_until };
    let name = id.to_string();
    gateway.commands.handle_if::<Webhook>(tenant, &name, caller, command, version).await?;
    let found = show::in_log(gateway, &principal.tenant, id).await?;
    let found = found.ok_or_else(|| Problem::not_found("webhook"))?;
    Ok(show::answer(&found, Some(shown(&kept))))
}

/// The secret of an account's own, made at first.
pub(super) async fn of_account(
    gateway: &Gateway,
    principal: &Principal,
) -> Result<Reply<200, SigningSecret>, Problem> {
    let secret = account_secret(gateway, principal).await?;
    Ok(Reply::new(SigningSecret { secret: shown(&secret) }))
}

/// Makes the account's secret if there is none: what is signed with it may be sent from now on.
pub(crate) async fn account_secret(
    gateway: &Gateway,
    principal: &Principal,
) -> Result<Vec<u8>, Problem> {
    let name = format!("hooks.{}", principal.tenant);
    Ok(gateway.vault.put_first(&name, &crate::random::bytes()?).await?)
}
