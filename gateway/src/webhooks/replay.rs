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

/// Rejects a replay while another one is in progress, or above the account's hourly limit.
pub(super) async fn check(
    gateway: &Gateway,
    principal: &Principal,
    hook: WebhookId,
) -> Result<(), Problem> {
    let tenant = &principal.tenant;
    let state = gateway.commands.state::<Webhook>(tenant.as_str(), &hook.to_string()).await?;
    if !matches!(state, WebhookState::Known { .. }) {
        return Err(Problem::not_found("webhook"));
    }
    if webhooks::has_pending_replay(&gateway.database, tenant, hook).await? {
        let detail = "a replay of this webhook is in progress; try again when it has ended";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let limit = gateway.credentials.limits(tenant).webhook_replays_per_hour;
    let status = gateway.rate_limiter.spend(tenant, "webhook-replays", limit, clock::now()).await?;
    if status.allowed { Ok(()) } else { Err(status.problem()) }
}
