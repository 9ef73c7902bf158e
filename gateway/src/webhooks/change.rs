use commands::Caller;
use domain::{
    HookId,
    hook::{Hook, HookCommand},
};

use super::show::{self, WebhookShown};
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
