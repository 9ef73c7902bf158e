use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Decider, KeyId};

/// What happened to the places for a tenant's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RingEvent {
    /// A key has a place.
    #[serde(rename = "ring.claimed")]
    Claimed {
        /// Which.
        key: KeyId,
        /// Those whose places it found free, for they open nothing any more or never came to be.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        gone: BTreeSet<KeyId>,
    },
}

/// What may be asked.
#[derive(Debug, Clone)]
pub enum RingCommand {
    /// A place for a key that is about to open something.
    Claim {
        /// Which.
        key: KeyId,
        /// Keys that are known to open nothing any more.
        gone: BTreeSet<KeyId>,
        /// Keys that open and claimed no place: an operator made them by hand.
        others: BTreeSet<KeyId>,
        /// What the account has.
        limit: u32,
    },
}

/// The decider of a tenant's key ring: however many make keys at once, no more open than may.
#[derive(Debug)]
pub struct Ring;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingRejection {
    /// Every place is taken.
    #[error("the account has its {limit} keys; revoke one that is not needed")]
    Full {
        /// What the account has.
        limit: u32,
    },
}

impl Decider for Ring {
    type Command = RingCommand;
    type Event = RingEvent;
    type State = BTreeSet<KeyId>;
    type Rejection = RingRejection;

    const CATEGORY: &'static str = "ring";

    fn decide(state: &Self::State, command: RingCommand) -> Result<Vec<RingEvent>, RingRejection> {
        let RingCommand::Claim { key, gone, others, limit } = command;
        if state.contains(&key) && !gone.contains(&key) {
            return Ok(vec![]);
        }
        let kept = state.iter().filter(|key| !gone.contains(key)).count();
        let others = others.difference(state).filter(|other| **other != key).count();
        let taken = u32::try_from(kept.saturating_add(others)).unwrap_or(u32::MAX);
        if taken >= limit {
            return Err(RingRejection::Full { limit });
        }
        let gone = gone.intersection(state).copied().collect();
        Ok(vec![RingEvent::Claimed { key, gone }])
    }

    fn evolve(mut state: Self::State, event: &RingEvent) -> Self::State {
        let RingEvent::Claimed { key, gone } = event;
        state.retain(|key| !gone.contains(key));
        state.insert(*key);
        state
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::spec::given;

    fn key(n: u128) -> KeyId {
        KeyId::from_uuid(Uuid::from_u128(n))
    }

    fn claim(n: u128, gone: &[u128], others: &[u128]) -> RingCommand {
        let keys = |keys: &[u128]| keys.iter().copied().map(key).collect();
        let (gone, others) = (keys(gone), keys(others));
        RingCommand::Claim { key: key(n), gone, others, limit: 2 }
    }

    fn claimed(n: u128, gone: &[u128]) -> RingEvent {
        RingEvent::Claimed { key: key(n), gone: gone.iter().copied().map(key).collect() }
    }

    #[test]
    fn there_are_no_more_places_than_the_account_has() {
        let full = RingRejection::Full { limit: 2 };
        given::<Ring>([claimed(1, &[])]).when(claim(2, &[], &[])).then([claimed(2, &[])]);
        given::<Ring>([claimed(1, &[]), claimed(2, &[])])
            .when(claim(3, &[], &[]))
            .then_rejected(&full);
        given::<Ring>([claimed(1, &[])]).when(claim(2, &[], &[7])).then_rejected(&full);
    }

    #[test]
    fn a_key_that_opens_nothing_any_more_leaves_its_place() {
        given::<Ring>([claimed(1, &[]), claimed(2, &[])])
            .when(claim(3, &[1, 9], &[]))
            .then([claimed(3, &[1])]);
        given::<Ring>([claimed(1, &[]), claimed(2, &[]), claimed(3, &[1])])
            .when(claim(4, &[], &[]))
            .then_rejected(&RingRejection::Full { limit: 2 });
    }

    #[test]
    fn a_key_has_one_place() {
        given::<Ring>([claimed(1, &[]), claimed(2, &[])]).when(claim(2, &[], &[])).then_nothing();
    }
}
