use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Category, Decider, KeyId, Timestamp};

/// Time after a claim in which the key may still be created or extended: until then the claim
/// counts, whatever the read model knows about the key.
const SETTLING_TIME: Duration = Duration::from_mins(1);

/// What happened to the key slots of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyQuotaEvent {
    /// A slot was claimed for a key.
    #[serde(rename = "ring.claimed")]
    Claimed {
        /// The key.
        key: KeyId,
        /// Keys whose slots were reclaimed, because they expired, were revoked or were never
        /// created.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        gone: BTreeSet<KeyId>,
        /// When it was claimed; the epoch in events from before this was recorded.
        #[serde(default)]
        at: Timestamp,
        /// What it was claimed for.
        #[serde(default)]
        purpose: ClaimPurpose,
    },
}

/// What a slot is claimed for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimPurpose {
    /// A key is about to be created.
    #[default]
    Create,
    /// A key's expiry is about to change.
    Extend,
}

/// A claimed slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySlot {
    at: Timestamp,
    purpose: ClaimPurpose,
}

/// The read model's knowledge of a tenant's keys.
#[derive(Debug, Clone, Default)]
pub struct KeyCensus {
    /// Keys that are valid.
    pub open: BTreeSet<KeyId>,
    /// Keys that have expired, and would be valid again if their expiry were changed.
    pub expired: BTreeSet<KeyId>,
    /// Keys that were revoked.
    pub revoked: BTreeSet<KeyId>,
    /// The read model contains everything that was in the log at this time.
    pub as_of: Timestamp,
}

impl KeyCensus {
    /// True if the slot of this key can be reclaimed: the key is not valid and not about to be.
    fn is_reclaimable(&self, key: KeyId, slot: KeySlot) -> bool {
        if self.open.contains(&key) {
            return false;
        }
        // Revocation is final, and an expired key was created before: neither needs time to settle.
        // A claim to extend it may still be followed by the extension.
        let expired = self.expired.contains(&key) && slot.purpose == ClaimPurpose::Create;
        expired || self.revoked.contains(&key) || self.as_of.since(slot.at) >= SETTLING_TIME
    }
}

/// A command for a tenant's key slots.
#[derive(Debug, Clone)]
pub enum KeyQuotaCommand {
    /// Claim a slot for a key that is about to become valid.
    Claim {
        /// The key.
        key: KeyId,
        /// What it is claimed for.
        purpose: ClaimPurpose,
        /// The read model's knowledge of the tenant's keys. It may be older than the claims that it
        /// is compared with.
        census: KeyCensus,
        /// The account's limit.
        limit: u32,
    },
}

/// The key quota decider: bounds the number of valid keys, even if many are created concurrently.
#[derive(Debug)]
pub struct KeyQuota;

/// Why a key quota command is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyQuotaRejection {
    /// Every slot is taken.
    #[error("the account has its {limit} keys; revoke one that is not needed")]
    Full {
        /// The account's limit.
        limit: u32,
    },
}

impl Decider for KeyQuota {
    type Command = KeyQuotaCommand;
    type Event = KeyQuotaEvent;
    type State = BTreeMap<KeyId, KeySlot>;
    type Rejection = KeyQuotaRejection;

    const CATEGORY: &'static str = Category::KeyQuota.as_str();

    fn decide(
        state: &Self::State,
        command: KeyQuotaCommand,
    ) -> Result<Vec<KeyQuotaEvent>, KeyQuotaRejection> {
        let KeyQuotaCommand::Claim { key, purpose, census, limit } = command;
        let at = census.as_of;
        let own = state.get(&key).filter(|slot| !census.is_reclaimable(key, **slot));
        if own.is_some_and(|own| own.purpose == purpose && at.since(own.at) < SETTLING_TIME / 2) {
            return Ok(vec![]);
        }
        let others = state.iter().filter(|(other, _)| **other != key);
        let (gone, kept): (Vec<_>, Vec<_>) =
            others.partition(|(other, slot)| census.is_reclaimable(**other, **slot));
        // Keys that an operator created claim no slot.
        let unclaimed = |other: &&KeyId| **other != key && !state.contains_key(other);
        let unclaimed = census.open.iter().filter(unclaimed).count();
        let taken = u32::try_from(kept.len().saturating_add(unclaimed)).unwrap_or(u32::MAX);
        // A valid key, or one that has its slot, keeps it even if the account's limit was lowered.
        let has_one = own.is_some() || census.open.contains(&key);
        if !has_one && taken >= limit {
            return Err(KeyQuotaRejection::Full { limit });
        }
        let gone = gone.into_iter().map(|(gone, _)| *gone).collect();
        Ok(vec![KeyQuotaEvent::Claimed { key, gone, at, purpose }])
    }

    fn evolve(mut state: Self::State, event: &KeyQuotaEvent) -> Self::State {
        let KeyQuotaEvent::Claimed { key, gone, at, purpose } = event;
        state.retain(|key, _| !gone.contains(key));
        // Events from before the time was recorded: the claim is at least as old as the key's id.
        let slot = KeySlot { at: (*at).max(id_created_at(*key)), purpose: *purpose };
        state.insert(*key, slot);
        state
    }
}

/// When a key's id was created.
fn id_created_at(key: KeyId) -> Timestamp {
    let (seconds, nanos) = key.uuid().get_timestamp().map_or((0, 0), |time| time.to_unix());
    Timestamp::from_millis(seconds.saturating_mul(1_000)).plus(Duration::from_nanos(nanos.into()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::spec::given;

    /// A time by which all claims of the tests have settled.
    const LATE: Timestamp = Timestamp::from_millis(10_000_000);

    fn key(n: u128) -> KeyId {
        KeyId::from_uuid(Uuid::from_u128(n))
    }

    fn keys(keys: &[u128]) -> BTreeSet<KeyId> {
        keys.iter().copied().map(key).collect()
    }

    fn open(open: &[u128]) -> KeyCensus {
        KeyCensus { open: keys(open), as_of: LATE, ..KeyCensus::default() }
    }

    fn create(n: u128, census: KeyCensus) -> KeyQuotaCommand {
        KeyQuotaCommand::Claim { key: key(n), purpose: ClaimPurpose::Create, census, limit: 2 }
    }

    fn extend(n: u128, census: KeyCensus) -> KeyQuotaCommand {
        KeyQuotaCommand::Claim { key: key(n), purpose: ClaimPurpose::Extend, census, limit: 2 }
    }

    fn claimed_at(n: u128, gone: &[u128], at: Timestamp, purpose: ClaimPurpose) -> KeyQuotaEvent {
        KeyQuotaEvent::Claimed { key: key(n), gone: keys(gone), at, purpose }
    }

    /// A claim from long ago.
    fn claimed(n: u128) -> KeyQuotaEvent {
        claimed_at(n, &[], Timestamp::default(), ClaimPurpose::Create)
    }

    fn created(n: u128, gone: &[u128]) -> KeyQuotaEvent {
        claimed_at(n, gone, LATE, ClaimPurpose::Create)
    }

    fn extended(n: u128, gone: &[u128]) -> KeyQuotaEvent {
        claimed_at(n, gone, LATE, ClaimPurpose::Extend)
    }

    const FULL: KeyQuotaRejection = KeyQuotaRejection::Full { limit: 2 };

    #[test]
    fn the_number_of_keys_is_limited() {
        given::<KeyQuota>([claimed(1)]).when(create(2, open(&[1]))).then([created(2, &[])]);
        given::<KeyQuota>([claimed(1), claimed(2)])
            .when(create(3, open(&[1, 2])))
            .then_rejected(&FULL);
        // One of them was created by an operator and has claimed no slot.
        given::<KeyQuota>([claimed(1)]).when(create(2, open(&[1, 7]))).then_rejected(&FULL);
    }

    #[test]
    fn slots_of_expired_and_revoked_keys_are_reclaimed() {
        let revoked = KeyCensus { revoked: keys(&[1, 9]), ..open(&[2]) };
        given::<KeyQuota>([claimed(1), claimed(2)])
            .when(create(3, revoked))
            .then([created(3, &[1])]);
        let expired = KeyCensus { expired: keys(&[1]), ..open(&[2]) };
        given::<KeyQuota>([claimed(1), claimed(2)])
            .when(create(3, expired))
            .then([created(3, &[1])]);
        given::<KeyQuota>([claimed(1), claimed(2), created(3, &[1])])
            .when(create(4, open(&[2])))
            .then_rejected(&FULL);
    }

    #[test]
    fn a_key_claims_one_slot() {
        given::<KeyQuota>([claimed(1), created(2, &[])]).when(create(2, open(&[1]))).then_nothing();
    }

    #[test]
    fn the_slot_of_a_key_being_extended_is_not_reclaimed() {
        let known = || KeyCensus { expired: keys(&[1]), ..open(&[2]) };
        let full = || [claimed(1), claimed(2)];
        given::<KeyQuota>(full()).when(extend(1, known())).then([extended(1, &[])]);
        // A creation that read the state before that, and decides after it, finds no free slot.
        let with_extension = || full().into_iter().chain([extended(1, &[])]);
        given::<KeyQuota>(with_extension()).when(create(3, known())).then_rejected(&FULL);
        // The extension did not happen.
        let later = KeyCensus { as_of: LATE.plus(SETTLING_TIME), ..known() };
        let at = later.as_of;
        given::<KeyQuota>(with_extension()).when(create(3, later)).then([claimed_at(
            3,
            &[1],
            at,
            ClaimPurpose::Create,
        )]);
        // Another key has claimed the slot already.
        given::<KeyQuota>(full().into_iter().chain([created(3, &[1])]))
            .when(extend(1, known()))
            .then_rejected(&FULL);
    }

    #[test]
    fn the_slot_of_a_key_being_created_is_not_reclaimed() {
        given::<KeyQuota>([claimed(1), created(2, &[])])
            .when(create(3, open(&[1])))
            .then_rejected(&FULL);
        let later = KeyCensus { as_of: LATE.plus(SETTLING_TIME), ..open(&[1]) };
        let at = later.as_of;
        given::<KeyQuota>([claimed(1), created(2, &[])]).when(create(3, later)).then([claimed_at(
            3,
            &[2],
            at,
            ClaimPurpose::Create,
        )]);
    }

    #[test]
    fn a_valid_key_can_be_extended_above_the_limit() {
        given::<KeyQuota>([claimed(1), claimed(2), claimed(3)])
            .when(extend(3, open(&[1, 2, 3])))
            .then([extended(3, &[])]);
        given::<KeyQuota>([claimed(1), claimed(2)])
            .when(extend(7, open(&[1, 2, 7])))
            .then([extended(7, &[])]);
    }
}
