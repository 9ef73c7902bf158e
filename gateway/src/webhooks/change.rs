use commands::Caller;
use domain::{
    HookId,
    hook::{DisabledBy, Hook, HookCommand, HookState},
};

use super::{
    body::WebhookPatch,
    show::{self, WebhookShown},
};
use crate::{auth::Principal, if_match::version, problem::Problem, reply::Reply, state::Gateway};

/// Gives a command and shows the endpoint as it stands after it.
pub(super) async fn give<const STATUS: u16>(
    gateway: &Gateway,
    (principal, caller): (&Principal, &Caller),
    id: HookId,
    command: HookCommand,
) -> Result<Reply<STATUS, WebhookShown>, Problem> {
    let tenant = &principal.tenant;
    gateway.commands.handle::<Hook>(tenant.as_str(), &id.to_string(), caller, command).await?;
    let found = show::in_log(gateway, tenant, id).await?;
    let found = found.ok_or_else(|| Problem::not_found("webhook"))?;
    Ok(show::answer(&found, None))
}

/// Changes what is named.
pub(super) async fn update(
    gateway: &Gateway,
    (principal, caller): (&Principal, &Caller),
    id: HookId,
    patch: WebhookPatch,
    if_match: Option<String>,
) -> Result<Reply<200, WebhookShown>, Problem> {
    let tenant = principal.tenant.as_str();
    let name = id.to_string();
    let state = gateway.commands.state::<Hook>(tenant, &name).await?;
    let HookState::Known { terms, .. } = state else { return Err(Problem::not_found("webhook")) };
    let enabled = patch.enabled;
    let terms = patch.onto(gateway, terms)?;
    let version = if_match.as_deref().map(version).transpose()?.flatten();
    let command = HookCommand::Update { terms };
    gateway.commands.handle_if::<Hook>(tenant, &name, caller, command, version).await?;
    let able = match enabled {
        Some(true) => Some(HookCommand::Enable),
        Some(false) => Some(HookCommand::Disable { by: DisabledBy::Owner }),
        None => None,
    };
    if let Some(command) = able {
        gateway.commands.handle::<Hook>(tenant, &name, caller, command).await?;
    }
    let found = show::in_log(gateway, &principal.tenant, id).await?;
    let found = found.ok_or_else(|| Problem::not_found("webhook"))?;
    Ok(show::answer(&found, None))
}
