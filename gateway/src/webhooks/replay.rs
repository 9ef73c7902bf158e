use ffapi_domain::{
    WebhookId,
    webhook::{Webhook, WebhookState},
};
use ffapi_projections::webhooks;

use crate::{
    auth::Principal,
    clock,
    problem::{Kind, Problem},
    state::Gateway,
};

/// Refuses a replay while the one before is under way, or more of them in an hour than the account has.
pub(super) async fn may(
    gateway: &Gateway,
    principal: &Principal,
    hook: WebhookId,
) -> Result<(), Problem> {
    let tenant = &principal.tenant;
    let state = gateway.commands.state::<Webhook>(tenant.as_str(), &hook.to_string()).await?;
    if !matches!(state, WebhookState::Known { .. }) {
        return Err(Problem::not_found("webhook"));
    }
    if webhooks::is_replayed(&gateway.database, tenant, hook).await? {
        let detail = "a replay of this webhook is under way; ask again once it is over";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let limit = gateway.directory.limits(tenant).webhook_replays_per_hour;
    let spent = gateway.buckets.spend(tenant, "webhook-replays", limit, clock::now()).await?;
    if spent.allowed { Ok(()) } else { Err(spent.problem()) }
}
