use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    WebhookId,
    webhook::{Webhook, WebhookChange, WebhookCommand, WebhookState},
};

use super::{
    quota::{self, Target},
    show::{self, WebhookShown},
};
use crate::{auth::Principal, if_match::version, problem::Problem, reply::Reply, state::Gateway};

/// Refuses a change by which an endpoint would become what another one is.
pub(super) async fn may(
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

/// Gives a command, if the endpoint is still as `If-Match` says, and shows it as it stands after it.
pub(super) async fn give<const STATUS: u16>(
    gateway: &Gateway,
    principal: &Principal,
    caller: &Caller,
    id: WebhookId,
    if_match: Option<String>,
    command: WebhookCommand,
) -> Result<Reply<STATUS, WebhookShown>, Problem> {
    let tenant = &principal.tenant;
    let version = if_match.as_deref().map(version).transpose()?.flatten();
    let (of, name) = (tenant.as_str(), id.to_string());
    let handled = gateway.commands.handle_if::<Webhook>(of, &name, caller, command, version).await;
    if matches!(handled, Err(HandleError::VersionMismatch(_))) {
        // Of what is not there no version matches, and that it is not there says more.
        let state = gateway.commands.state::<Webhook>(of, &name).await?;
        if !matches!(state, WebhookState::Known { .. }) {
            return Err(Problem::not_found("webhook"));
        }
    }
    handled?;
    let found = show::in_log(gateway, tenant, id).await?;
    let found = found.ok_or_else(|| Problem::not_found("webhook"))?;
    Ok(show::answer(&found, None))
}
