use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    Decider, Tenant,
    account::{Account, AccountCommand},
};
use ffapi_nats::{Position, failpoint};

use crate::{problem::Problem, state::Gateway};

/// Reopens an erased account.
///
/// The new data key is created before the event, so that everything accepted afterwards can be
/// decrypted. A client that receives no response sends the request again.
pub(super) async fn reopen(
    gateway: &Gateway,
    caller: &Caller,
    tenant: &Tenant,
) -> Result<Position, Problem> {
    let name = tenant.as_str();
    let state = gateway.commands.state::<Account>(name, name).await?;
    Account::decide(&state, AccountCommand::Reopen).map_err(HandleError::Rejected)?;
    if !state.is_open() {
        // Removes what arrived while it was being erased.
        gateway.storage.erase(tenant).await?;
        gateway.idempotency.erase(name).await?;
        gateway.vault.reopen(name).await?;
        gateway.commands.forget(name).await;
    }
    failpoint::hit("gateway.before_reopened");
    let handled =
        gateway.commands.handle::<Account>(name, name, caller, AccountCommand::Reopen).await?;
    Ok(handled.position)
}
