use std::collections::BTreeSet;

use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    Personal, Tenant, WebhookId,
    webhook::{
        Webhook, WebhookCensus, WebhookQuota, WebhookQuotaCommand, WebhookQuotaRejection,
        WebhookState,
    },
};

use super::show;
use crate::{
    clock,
    problem::{Kind, Problem},
    state::Gateway,
};

/// What an endpoint is to send where.
pub(super) struct Target<'a> {
    pub(super) url: &'a Personal<String>,
    pub(super) events: &'a BTreeSet<String>,
}

/// A place among the tenant's endpoints for one that is about to be made, or to become another.
///
/// # Errors
/// When the account has no more, or there is one that does the same.
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
            limit: gateway.directory.limits(tenant).webhooks,
        })
    };
    let first = command(census(gateway, tenant, [hook].into()).await?).await?;
    match gateway.commands.handle::<WebhookQuota>(name, name, caller, first).await {
        // Something that is no more may stand in the way: of that only the endpoints themselves know.
        Err(HandleError::Rejected(_)) => {
            let mut all: BTreeSet<WebhookId> =
                gateway.commands.state::<WebhookQuota>(name, name).await?.into_keys().collect();
            all.insert(hook);
            let again = command(census(gateway, tenant, all).await?).await?;
            gateway.commands.handle::<WebhookQuota>(name, name, caller, again).await?;
        }
        outcome => {
            outcome?;
        }
    }
    Ok(())
}

/// What some endpoints are.
async fn census(
    gateway: &Gateway,
    tenant: &Tenant,
    hooks: BTreeSet<WebhookId>,
) -> Result<WebhookCensus, Problem> {
    let name = tenant.as_str();
    // The time comes first: what is claimed after it counts, whatever is found below.
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

/// The same for the same events at the same address; says nothing of either to whoever reads the log.
fn digest(gateway: &Gateway, tenant: &Tenant, target: &Target<'_>) -> Result<String, Problem> {
    let url = target.url.as_ref().map(String::as_str).unwrap_or_default();
    // What follows `#` is sent to nobody.
    let url = url.split('#').next().unwrap_or_default();
    let events: Vec<&str> = target.events.iter().map(String::as_str).collect();
    let words = format!("webhook\n{tenant}\n{url}\n{}", events.join("\n"));
    let signed = gateway.directory.pepper().sign(words.as_bytes());
    let signed = signed.ok_or_else(|| Problem::new(Kind::Internal, "no pepper"))?;
    Ok(hex::encode(signed))
}

impl From<WebhookQuotaRejection> for Problem {
    fn from(rejection: WebhookQuotaRejection) -> Self {
        Self::new(Kind::Conflict, rejection.to_string())
    }
}
