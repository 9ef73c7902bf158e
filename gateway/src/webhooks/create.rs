use ffapi_commands::HandleError;
use ffapi_domain::{
    WebhookId,
    webhook::{Webhook, WebhookCommand, WebhookRejection, WebhookView},
};
use ffapi_nats::failpoint;
use poem::Request;
use uuid::Uuid;

use super::{
    body::WebhookBody,
    quota::{self, Target},
    secret::{shown, vault_name},
    show::{self, WebhookShown},
};
use crate::{
    auth::Principal,
    body::Unread,
    idempotency,
    log_view::{Address, InLog},
    problem::Problem,
    reply::Reply,
    request_context::caller,
    state::Gateway,
};

/// Creates a webhook; its secret is only in the response.
pub(super) async fn create(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
    body: Unread<WebhookBody>,
    key: Option<String>,
) -> Result<Reply<201, WebhookShown>, Problem> {
    let terms = body.read(|body| body.terms(gateway))?;
    let tenant = &principal.tenant;
    let mut id = WebhookId::from_uuid(Uuid::now_v7());
    if let Some(key) = idempotency::Key::of("webhooks", key, body.fingerprint)? {
        id = key.reserve(&gateway.idempotency, &principal.tenant, &id).await?;
        if let Some(found) = show::in_log(gateway, tenant, id).await? {
            return Ok(response(gateway, &found, None).await?.replayed(true));
        }
    }
    let caller = caller(principal, request);
    let target = Target { url: &terms.url, events: &terms.events };
    quota::claim(gateway, tenant, &caller, id, &target).await?;
    // Stored before the event, so that every webhook has a secret even if this process dies in
    // between.
    let secret = crate::random::bytes()?;
    let kept = gateway.vault.put_if_absent(&vault_name(id, 1), &secret).await?;
    failpoint::hit("gateway.before_webhook");
    let name = id.to_string();
    let command = WebhookCommand::Create { terms };
    let outcome =
        gateway.commands.handle::<Webhook>(tenant.as_str(), &name, &caller, command).await;
    let created = match outcome {
        Ok(created) => Some(created),
        // A concurrent request with the same key was first; its response has the secret.
        Err(HandleError::Rejected(WebhookRejection::AlreadyCreated)) => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(problem) = gateway.has_closed(tenant).await {
        // The erasure of the account began in between, and may have missed this webhook.
        let (tenant, delete) = (tenant.as_str(), WebhookCommand::Delete);
        let _ = gateway.commands.handle::<Webhook>(tenant, &name, &caller, delete).await;
        return Err(problem);
    }
    if let Some(created) = created {
        let found = show::after(gateway, Address { tenant, id }, &created, None).await?;
        return response(gateway, &found, Some(shown(&kept))).await;
    }
    let found = show::in_log(gateway, tenant, id).await?;
    let found = found.ok_or_else(|| Problem::not_found("webhook"))?;
    Ok(response(gateway, &found, None).await?.replayed(true))
}

async fn response(
    gateway: &Gateway,
    found: &InLog<WebhookView>,
    secret: Option<String>,
) -> Result<Reply<201, WebhookShown>, Problem> {
    let id = found.view.id;
    let reply = show::response(gateway, found, secret).await?;
    Ok(reply.location(format!("/api/v1/webhooks/{id}")))
}
