use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    Decider, Tenant,
    account::{Account, AccountCommand},
};
use ffapi_nats::{Position, failpoint};

use crate::{problem::Problem, state::Gateway};

/// Opens an erased tenant's account anew.
///
/// The key is made before the event: whatever is taken for the account afterwards can be read. Who asks
/// and gets no answer asks again.
pub(super) async fn reopen(
    gateway: &Gateway,
    caller: &Caller,
    tenant: &Tenant,
) -> Result<Position, Problem> {
    let name = tenant.as_str();
    let state = gateway.commands.state::<Account>(name, name).await?;
    Account::decide(&state, AccountCommand::Reopen).map_err(HandleError::Rejected)?;
    if !state.is_open() {
        // What came in while it was being erased.
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
