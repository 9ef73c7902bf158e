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

/// Gives a command, if the endpoint is still as `If-Match` says, and shows it as it stands after it.
pub(super) async fn give<const STATUS: u16>(
    gateway: &Gateway,
    (principal, caller): (&Principal, &Caller),
    (id, if_match): (HookId, Option<String>),
    command: HookCommand,
) -> Result<Reply<STATUS, WebhookShown>, Problem> {
    let tenant = &principal.tenant;
    let version = if_match.as_deref().map(version).transpose()?.flatten();
    let (of, name) = (tenant.as_str(), id.to_string());
    gateway.commands.handle_if::<Hook>(of, &name, caller, command, version).await?;
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
    // What is not named stays as it was read: a change that came between must not be undone.
    let version = match if_match.as_deref() {
        Some(tag) => version(tag)?,
        None => show::in_log(gateway, &principal.tenant, id).await?.map(|found| found.version()),
    };
    let state = gateway.commands.state::<Hook>(tenant, &name).await?;
    let HookState::Known { terms, .. } = state else { return Err(Problem::not_found("webhook")) };
    let enabled = patch.enabled;
    let terms = patch.onto(gateway, terms)?;
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
