use std::{collections::BTreeSet, time::Duration};

use commands::Caller;
use domain::{
    KeyId, Tenant, Timestamp,
    key::{KeyState, Ring, RingCommand},
};

use crate::{clock, problem::Problem, state::Gateway};

/// How long after its place was claimed a key may still come to be.
const BIRTH: Duration = Duration::from_mins(1);

/// A place among the tenant's keys for one that is about to open something.
///
/// # Errors
/// When the account has no more.
pub(super) async fn claim(
    gateway: &Gateway,
    (tenant, caller): (&Tenant, &Caller),
    key: KeyId,
) -> Result<(), Problem> {
    let name = tenant.as_str();
    gateway.directory.catch_up(gateway.commands.log()).await?;
    let ring = gateway.commands.state::<Ring>(name, name).await?;
    let now = clock::now();
    let open: BTreeSet<KeyId> = gateway
        .directory
        .keys(Some(tenant))
        .iter()
        .filter(|key| match &key.state {
            KeyState::Active(held) => !held.is_expired(now),
            KeyState::Unknown | KeyState::Revoked(_) => false,
        })
        .map(|key| key.id)
        .collect();
    let known = |id| gateway.directory.key(id).is_some();
    let gone = |id: &&KeyId| !open.contains(id) && (known(**id) || !may_yet_be(**id, now));
    let command = RingCommand::Claim {
        key,
        gone: ring.iter().filter(gone).copied().collect(),
        others: open.difference(&ring).copied().collect(),
        limit: gateway.directory.limits(tenant).keys,
    };
    gateway.commands.handle::<Ring>(name, name, caller, command).await?;
    Ok(())
}

/// True of a name so new that its key's creation may be on its way to the log.
fn may_yet_be(key: KeyId, now: Timestamp) -> bool {
    let made = key.uuid().get_timestamp().map_or(0, |time| time.to_unix().0);
    now.as_millis() / 1_000 < made.saturating_add(BIRTH.as_secs())
}
