use base64::{Engine, engine::general_purpose::STANDARD};
use ffapi_domain::WebhookId;
use ffapi_projections::webhooks::WebhookKeyPair;
use poem_openapi::Object;

use crate::{auth::Principal, problem::Problem, reply::Reply, state::Gateway};

/// The secret that signs deliveries.
#[derive(Debug, Object)]
pub(crate) struct SigningSecret {
    /// `whsec_` followed by base64, as in Standard Webhooks.
    secret: String,
    /// `whpk_` followed by base64: the Ed25519 key that verifies `v1a` signatures.
    public_key: String,
}

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
