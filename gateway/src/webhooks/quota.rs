use std::collections::BTreeSet;

use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    Personal, Tenant, WebhookId,
    webhook::{Webhook, WebhookCensus, WebhookQuota, WebhookQuotaCommand, WebhookState},
};

use super::show;
use crate::{
    clock,
    problem::{Kind, Problem},
    state::Gateway,
};

/// The endpoint and events of a webhook.
pub(super) struct Target<'a> {
    pub(super) url: &'a Personal<String>,
    pub(super) events: &'a BTreeSet<String>,
}

/// Claims a slot among the tenant's webhooks for one that is about to be created or changed.
///
/// # Errors
/// When the account has no free slot, or another webhook has the same target.
pub(super) async fn claim(
    gateway: &Gateway,
    tenant: &Tenant,
    caller: &Caller,
    hook: WebhookId,
    target: &Target<'_>,
) -> Result<(), Problem> {
    let name = tenant.as_str();
    let command = |census| async {
        Ok::<_, Problem>(WebhookQuotaCommand::Claim {
            hook,
            digest: digest(gateway, tenant, target)?,
            census,
            known: show::count(gateway, tenant).await?,
            limit: gateway.credentials.limits(tenant).webhooks,
        })
    };
    let first = command(census(gateway, tenant, [hook].into()).await?).await?;
    match gateway.commands.handle::<WebhookQuota>(name, name, caller, first).await {
        // A webhook that no longer exists may hold the slot. Only the webhooks' own events tell.
        Err(HandleError::Rejected(_)) => {
            let mut all: BTreeSet<WebhookId> =
                gateway.commands.state::<WebhookQuota>(name, name).await?.into_keys().collect();
            all.insert(hook);
            let retry = command(census(gateway, tenant, all).await?).await?;
            gateway.commands.handle::<WebhookQuota>(name, name, caller, retry).await?;
        }
        outcome => {
            outcome?;
        }
    }
    Ok(())
}

/// The current state of some webhooks.
async fn census(
    gateway: &Gateway,
    tenant: &Tenant,
    hooks: BTreeSet<WebhookId>,
) -> Result<WebhookCensus, Problem> {
    let name = tenant.as_str();
    // Taken first: claims after this time count, whatever the census below finds.
    let mut census = WebhookCensus { as_of: clock::now(), ..WebhookCensus::default() };
    for hook in hooks {
        match gateway.commands.state::<Webhook>(name, &hook.to_string()).await? {
            WebhookState::Deleted => {
                census.deleted.insert(hook);
            }
            WebhookState::Unknown => {
                census.unmade.insert(hook);
            }
            WebhookState::Known { terms, .. } => {
                let target = Target { url: &terms.url, events: &terms.events };
                census.digests.insert(hook, digest(gateway, tenant, &target)?);
            }
        }
    }
    Ok(census)
}

/// A digest that is equal for equal targets. It is keyed, so that the log does not reveal the URL.
fn digest(gateway: &Gateway, tenant: &Tenant, target: &Target<'_>) -> Result<String, Problem> {
    let url = target.url.as_ref().map(String::as_str).unwrap_or_default();
    // The fragment is never sent.
    let url = url.split('#').next().unwrap_or_default();
    let events: Vec<&str> = target.events.iter().map(String::as_str).collect();
    let message = format!("webhook\n{tenant}\n{url}\n{}", events.join("\n"));
    let signature = gateway.credentials.pepper().sign(message.as_bytes());
    let signature = signature.ok_or_else(|| Problem::new(Kind::Internal, "no pepper"))?;
    Ok(hex::encode(signature))
}
