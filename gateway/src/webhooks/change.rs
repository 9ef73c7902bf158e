use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    WebhookId,
    webhook::{Webhook, WebhookChange, WebhookCommand, WebhookState},
};

use super::{
    quota::{self, Target},
    show::{self, WebhookShown},
};
use crate::{
    auth::Principal, if_match::version, log_view::Address, problem::Problem, reply::Reply,
    state::Gateway,
};

/// Rejects a change that would make a webhook a duplicate of another one.
pub(super) async fn check_unique(
    gateway: &Gateway,
    principal: &Principal,
    caller: &Caller,
    id: WebhookId,
    change: &WebhookChange,
) -> Result<(), Problem> {
    if change.url.is_none() && change.events.is_none() {
        return Ok(());
    }
    let tenant = &principal.tenant;
    let state = gateway.commands.state::<Webhook>(tenant.as_str(), &id.to_string()).await?;
    let WebhookState::Known { terms, .. } = state else {
        return Err(Problem::not_found("webhook"));
    };
    let url = change.url.as_ref().unwrap_or(&terms.url);
    let events = change.events.as_ref().unwrap_or(&terms.events);
    quota::claim(gateway, tenant, caller, id, &Target { url, events }).await
}

/// Executes a command, if the version matches `If-Match`, and responds with the state after it.
pub(super) async fn execute<const STATUS: u16>(
    gateway: &Gateway,
    principal: &Principal,
    caller: &Caller,
    id: WebhookId,
    if_match: Option<String>,
    command: WebhookCommand,
) -> Result<Reply<STATUS, WebhookShown>, Problem> {
    let tenant = &principal.tenant;
    let version = if_match.as_deref().map(version).transpose()?.flatten();
    let (owner, name) = (tenant.as_str(), id.to_string());
    let handled =
        gateway.commands.handle_if::<Webhook>(owner, &name, caller, command, version).await;
    if matches!(handled, Err(HandleError::VersionMismatch(_))) {
        // For a webhook that does not exist, `not-found` is more helpful than
        // `precondition-failed`.
        let state = gateway.commands.state::<Webhook>(owner, &name).await?;
        if !matches!(state, WebhookState::Known { .. }) {
            return Err(Problem::not_found("webhook"));
        }
    }
    let found = show::after(gateway, Address { tenant, id }, &handled?, None).await?;
    show::response(gateway, &found, None).await
}
