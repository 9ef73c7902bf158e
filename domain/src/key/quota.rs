use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Decider, KeyId, Timestamp};

/// How long after its place was claimed a key may still be made or extended: until then its claim counts,
/// whatever is known of the key.
const SETTLING: Duration = Duration::from_mins(1);

/// What happened to the places for a tenant's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyQuotaEvent {
    /// A key has a place.
    #[serde(rename = "ring.claimed")]
    Claimed {
        /// Which.
        key: KeyId,
        /// Those whose places it found free, for they open nothing any more or never came to be.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        gone: BTreeSet<KeyId>,
        /// When; the beginning of time in events of before this was kept.
        #[serde(default)]
        at: Timestamp,
        /// For what.
        #[serde(default)]
        purpose: ClaimPurpose,
    },
}

/// What a place is claimed for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimPurpose {
    /// A key is about to be made.
    #[default]
    Create,
    /// A key's end is about to be moved.
    Extend,
}

/// A place that is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    at: Timestamp,
    purpose: ClaimPurpose,
}

/// What is known of a tenant's keys.
#[derive(Debug, Clone, Default)]
pub struct KeyCensus {
    /// Those that open.
    pub open: BTreeSet<KeyId>,
    /// Those that are over, and would open again if their end were moved.
    pub expired: BTreeSet<KeyId>,
    /// Those that never open again.
    pub revoked: BTreeSet<KeyId>,
    /// Everything is known that was in the log at this time.
    pub as_of: Timestamp,
}

impl KeyCensus {
    /// True if nothing opens, or is about to open, from this place.
    fn leaves_free(&self, key: KeyId, place: Place) -> bool {
        if self.open.contains(&key) {
            return false;
        }
        // What is final needs no time to settle, nor does the end of a key that is there: its creation is
        // behind it. A claim to extend it may still be followed by the extension.
        let used = self.expired.contains(&key) && place.purpose == ClaimPurpose::Create;
        used || self.revoked.contains(&key) || self.as_of.since(place.at) >= SETTLING
    }
}

/// What may be asked.
#[derive(Debug, Clone)]
pub enum KeyQuotaCommand {
    /// A place for a key that is about to open something.
    Claim {
        /// Which.
        key: KeyId,
        /// For what.
        purpose: ClaimPurpose,
        /// What is known of the tenant's keys. It may be older than the claims that it is compared with.
        census: KeyCensus,
        /// What the account has.
        limit: u32,
    },
}

/// The decider of a tenant's key ring: however many make keys at once, no more open than may.
#[derive(Debug)]
pub struct KeyQuota;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyQuotaRejection {
    /// Every place is taken.
    #[error("the account has its {limit} keys; revoke one that is not needed")]
    Full {
        /// What the account has.
        limit: u32,
    },
}

impl Decider for KeyQuota {
    type Command = KeyQuotaCommand;
    type Event = KeyQuotaEvent;
    type State = BTreeMap<KeyId, Place>;
    type Rejection = KeyQuotaRejection;

    const CATEGORY: &'static str = "ring";

    fn decide(
        state: &Self::State,
        command: KeyQuotaCommand,
    ) -> Result<Vec<KeyQuotaEvent>, KeyQuotaRejection> {
        let KeyQuotaCommand::Claim { key, purpose, census, limit } = command;
        let at = census.as_of;
        let own = state.get(&key).filter(|place| !census.leaves_free(key, **place));
        if own.is_some_and(|own| own.purpose == purpose && at.since(own.at) < SETTLING / 2) {
            return Ok(vec![]);
        }
        let others = state.iter().filter(|(other, _)| **other != key);
        let (gone, kept): (Vec<_>, Vec<_>) =
            others.partition(|(other, place)| census.leaves_free(**other, **place));
        // An operator's, which claim no place.
        let unclaimed = |other: &&KeyId| **other != key && !state.contains_key(other);
        let unclaimed = census.open.iter().filter(unclaimed).count();
        let taken = u32::try_from(kept.len().saturating_add(unclaimed)).unwrap_or(u32::MAX);
        // What opens, or has its place, keeps it whatever the account has by now.
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
        // Events of before the time was kept: a name is as old as its claim at least.
        let place = Place { at: (*at).max(named_at(*key)), purpose: *purpose };
        state.insert(*key, place);
        state
    }
}

/// When a key got its name.
fn named_at(key: KeyId) -> Timestamp {
    let (seconds, nanos) = key.uuid().get_timestamp().map_or((0, 0), |time| time.to_unix());
    Timestamp::from_millis(seconds.saturating_mul(1_000)).plus(Duration::from_nanos(nanos.into()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::spec::given;

    /// A moment at which everything that the tests have claimed has settled.
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

    /// Long ago.
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
    fn there_are_no_more_places_than_the_account_has() {
        given::<KeyQuota>([claimed(1)]).when(create(2, open(&[1]))).then([created(2, &[])]);
        given::<KeyQuota>([claimed(1), claimed(2)])
            .when(create(3, open(&[1, 2])))
            .then_rejected(&FULL);
        // One of them an operator made, which claimed no place.
        given::<KeyQuota>([claimed(1)]).when(create(2, open(&[1, 7]))).then_rejected(&FULL);
    }

    #[test]
    fn a_key_that_opens_nothing_any_more_leaves_its_place() {
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
    fn a_key_has_one_place() {
        given::<KeyQuota>([claimed(1), created(2, &[])]).when(create(2, open(&[1]))).then_nothing();
    }

    #[test]
    fn a_key_that_is_being_extended_is_not_taken_for_gone() {
        let known = || KeyCensus { expired: keys(&[1]), ..open(&[2]) };
        let full = || [claimed(1), claimed(2)];
        given::<KeyQuota>(full()).when(extend(1, known())).then([extended(1, &[])]);
        // A creation that read the state before that, and decides after it, finds no free slot.
        let with_extension = || full().into_iter().chain([extended(1, &[])]);
        given::<KeyQuota>(with_extension()).when(create(3, known())).then_rejected(&FULL);
        // Nothing came of the extension.
        let later = KeyCensus { as_of: LATE.plus(SETTLING), ..known() };
        let at = later.as_of;
        given::<KeyQuota>(with_extension()).when(create(3, later)).then([claimed_at(
            3,
            &[1],
            at,
            ClaimPurpose::Create,
        )]);
        // Somebody else had the place already.
        given::<KeyQuota>(full().into_iter().chain([created(3, &[1])]))
            .when(extend(1, known()))
            .then_rejected(&FULL);
    }

    #[test]
    fn a_key_that_is_about_to_be_made_keeps_its_place_however_old_its_name_is() {
        given::<KeyQuota>([claimed(1), created(2, &[])])
            .when(create(3, open(&[1])))
            .then_rejected(&FULL);
        let later = KeyCensus { as_of: LATE.plus(SETTLING), ..open(&[1]) };
        let at = later.as_of;
        given::<KeyQuota>([claimed(1), created(2, &[])]).when(create(3, later)).then([claimed_at(
            3,
            &[2],
            at,
            ClaimPurpose::Create,
        )]);
    }

    #[test]
    fn a_key_that_opens_may_be_extended_whatever_the_account_has_by_now() {
        given::<KeyQuota>([claimed(1), claimed(2), claimed(3)])
            .when(extend(3, open(&[1, 2, 3])))
            .then([extended(3, &[])]);
        given::<KeyQuota>([claimed(1), claimed(2)])
            .when(extend(7, open(&[1, 2, 7])))
            .then([extended(7, &[])]);
    }
}
