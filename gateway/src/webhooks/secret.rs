use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use ffapi_commands::Caller;
use ffapi_domain::{
    WebhookId,
    webhook::{Webhook, WebhookCommand, WebhookState},
};
use ffapi_projections::webhooks::WebhookKeyPair;
use poem_openapi::Object;

use super::show::{self, WebhookShown};
use crate::{
    auth::Principal, clock, if_match::version, problem::Problem, reply::Reply, state::Gateway,
};

/// The secret that signs deliveries.
#[derive(Debug, Object)]
pub(crate) struct SigningSecret {
    /// `whsec_` followed by base64, as in Standard Webhooks.
    secret: String,
    /// `whpk_` followed by base64: the Ed25519 key that verifies `v1a` signatures.
    public_key: String,
}

/// How long deliveries are also signed with the old secret after a rotation.
const OLD_SECRET_GRACE: Duration = Duration::from_hours(24);

/// The name of a webhook's n-th secret in the vault.
pub(super) fn vault_name(id: WebhookId, nth: u32) -> String {
    format!("hook.{id}.{nth}")
}

/// The secret as the API shows it.
pub(super) fn shown(secret: &[u8]) -> String {
    format!("whsec_{}", STANDARD.encode(secret))
}

/// The public key that belongs to a secret, as the API shows it.
pub(super) fn public_key(secret: &[u8]) -> String {
    format!("whpk_{}", STANDARD.encode(WebhookKeyPair::of(secret).public()))
}

/// The public key of a webhook's n-th secret; none if the secret was erased.
pub(super) async fn public_key_of(
    gateway: &Gateway,
    id: WebhookId,
    nth: u32,
) -> Result<Option<String>, Problem> {
    let secret = gateway.vault.read(&vault_name(id, nth)).await?;
    Ok(secret.as_deref().map(public_key))
}

/// Replaces a webhook's secret, if the version matches `If-Match`.
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
    // Stored before the event, so that no delivery refers to a missing secret. One that is left
    // over from a rotation which did not complete was never shown, and can be used.
    let kept = gateway.vault.put_if_absent(&vault_name(id, next), &crate::random::bytes()?).await?;
    let old_until = clock::now().plus(OLD_SECRET_GRACE);
    let command = WebhookCommand::RotateSecret { secret: next, old_until };
    let name = id.to_string();
    gateway.commands.handle_if::<Webhook>(tenant, &name, caller, command, version).await?;
    let found = show::in_log(gateway, &principal.tenant, id).await?;
    let found = found.ok_or_else(|| Problem::not_found("webhook"))?;
    Ok(show::response(&found, Some(shown(&kept))))
}

/// The account's signing secret; created by the first request.
pub(super) async fn of_account(
    gateway: &Gateway,
    principal: &Principal,
) -> Result<Reply<200, SigningSecret>, Problem> {
    let secret = account_secret(gateway, principal).await?;
    Ok(Reply::new(SigningSecret { secret: shown(&secret), public_key: public_key(&secret) }))
}

/// The account's signing secret; created if there is none, because deliveries may follow.
pub(crate) async fn account_secret(
    gateway: &Gateway,
    principal: &Principal,
) -> Result<Vec<u8>, Problem> {
    let name = format!("hooks.{}", principal.tenant);
    Ok(gateway.vault.put_if_absent(&name, &crate::random::bytes()?).await?)
}
