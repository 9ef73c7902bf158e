use std::time::Duration;

use ffapi_commands::Caller;
use ffapi_domain::{
    WebhookId,
    webhook::{Webhook, WebhookCommand},
};

use super::{
    secret,
    show::{self, WebhookShown},
};
use crate::{
    auth::Principal, clock, if_match::version, log_view::Address, problem::Problem, reply::Reply,
    state::Gateway,
};

/// How long deliveries are also signed with the old secret after a rotation.
const OLD_SECRET_GRACE: Duration = Duration::from_hours(24);

/// Replaces a webhook's secret, if the version matches `If-Match`.
pub(super) async fn rotate_secret(
    gateway: &Gateway,
    principal: &Principal,
    caller: &Caller,
    id: WebhookId,
    if_match: Option<String>,
) -> Result<Reply<200, WebhookShown>, Problem> {
    let tenant = &principal.tenant;
    let version = if_match.as_deref().map(version).transpose()?.flatten();
    let before = show::in_log(gateway, tenant, id).await?;
    let before = before.filter(|before| !before.view.deleted);
    let before = before.ok_or_else(|| Problem::not_found("webhook"))?;
    let next = before.view.secret.saturating_add(1);
    // Stored before the event, so that no delivery refers to a missing secret. One that is left
    // over from a rotation which did not complete was never shown, and can be used.
    let kept = gateway
        .vault
        .put_if_absent(&secret::vault_name(id, next), &crate::random::bytes()?)
        .await?;
    let old_until = clock::now().plus(OLD_SECRET_GRACE);
    let command = WebhookCommand::RotateSecret { secret: next, old_until };
    let name = id.to_string();
    let handled = gateway
        .commands
        .handle_if::<Webhook>(tenant.as_str(), &name, caller, command, version)
        .await?;
    let of = Address { tenant, id };
    let found = show::after(gateway, of, &handled, Some(before)).await?;
    show::response(gateway, &found, Some(secret::shown(&kept))).await
}
