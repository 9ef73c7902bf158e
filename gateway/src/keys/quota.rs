use ffapi_commands::Caller;
use ffapi_domain::{
    KeyId, Tenant,
    key::{ClaimPurpose, KeyCensus, KeyQuota, KeyQuotaCommand, KeyState},
};

use crate::{clock, problem::Problem, state::Gateway};

/// Claims a slot among the tenant's keys for one that is about to become valid.
///
/// # Errors
/// When the account has no free slot.
pub(super) async fn claim(
    gateway: &Gateway,
    tenant: &Tenant,
    caller: &Caller,
    key: KeyId,
    purpose: ClaimPurpose,
) -> Result<(), Problem> {
    // Taken first: claims after this time count, whatever the census below finds.
    let mut census = KeyCensus { as_of: clock::now(), ..KeyCensus::default() };
    gateway.credentials.catch_up(gateway.commands.log()).await?;
    for known in gateway.credentials.keys(Some(tenant)) {
        let group = match &known.state {
            KeyState::Active(held) if held.is_expired(census.as_of) => &mut census.expired,
            KeyState::Active(_) => &mut census.open,
            KeyState::Revoked(_) => &mut census.revoked,
            KeyState::Unknown => continue,
        };
        group.insert(known.id);
    }
    let limit = gateway.credentials.limits(tenant).keys;
    let (name, command) = (tenant.as_str(), KeyQuotaCommand::Claim { key, purpose, census, limit });
    gateway.commands.handle::<KeyQuota>(name, name, caller, command).await?;
    Ok(())
}
