use ffapi_commands::Caller;
use ffapi_domain::{
    KeyId, Tenant,
    key::{ClaimPurpose, KeyCensus, KeyQuota, KeyQuotaCommand, KeyState},
};

use crate::{clock, problem::Problem, state::Gateway};

/// A place among the tenant's keys for one that is about to open something.
///
/// # Errors
/// When the account has no more.
pub(super) async fn claim(
    gateway: &Gateway,
    tenant: &Tenant,
    caller: &Caller,
    key: KeyId,
    purpose: ClaimPurpose,
) -> Result<(), Problem> {
    // The time comes first: what is claimed after it counts, whatever is found below.
    let mut census = KeyCensus { as_of: clock::now(), ..KeyCensus::default() };
    gateway.directory.catch_up(gateway.commands.log()).await?;
    for known in gateway.directory.keys(Some(tenant)) {
        let kind = match &known.state {
            KeyState::Active(held) if held.is_expired(census.as_of) => &mut census.expired,
            KeyState::Active(_) => &mut census.open,
            KeyState::Revoked(_) => &mut census.revoked,
            KeyState::Unknown => continue,
        };
        kind.insert(known.id);
    }
    let limit = gateway.directory.limits(tenant).keys;
    let (name, command) = (tenant.as_str(), KeyQuotaCommand::Claim { key, purpose, census, limit });
    gateway.commands.handle::<KeyQuota>(name, name, caller, command).await?;
    Ok(())
}
