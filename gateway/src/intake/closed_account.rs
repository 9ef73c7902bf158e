use ffapi_commands::Caller;
use ffapi_domain::{Decider, Tenant};
use serde::{Serialize, de::DeserializeOwned};

use crate::{problem::Problem, state::Gateway};

/// Cancels what was just accepted if the erasure of its account began in between.
///
/// If this gateway does not know of that yet, the conductor cancels it, as it comes after the closing event
/// in the log.
///
/// # Errors
/// If the account was closed.
pub(crate) async fn undo_if_closed<D>(
    gateway: &Gateway,
    tenant: &Tenant,
    id: &str,
    caller: &Caller,
    cancel: D::Command,
) -> Result<(), Problem>
where
    D: Decider,
    D::Event: Serialize + DeserializeOwned,
    D::State: Clone + 'static,
{
    if let Err(problem) = gateway.must_be_open(tenant) {
        let _ = gateway.commands.handle::<D>(tenant.as_str(), id, caller, cancel).await;
        return Err(problem);
    }
    Ok(())
}
