use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Decider, HookId};

/// What happened to the places for a tenant's endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookRingEvent {
    /// An endpoint has a place.
    #[serde(rename = "hookring.claimed")]
    Claimed {
        /// Which.
        hook: HookId,
        /// A keyed hash of where and of what: two that are the same have the same.
        digest: String,
        /// Those whose places it found free, for they are deleted or never came to be.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        gone: BTreeSet<HookId>,
    },
}

/// What may be asked.
#[derive(Debug, Clone)]
pub enum HookRingCommand {
    /// A place for an endpoint that is about to be made, or to become another.
    Claim {
        /// Which.
        hook: HookId,
        /// A keyed hash of where and of what.
        digest: String,
        /// Endpoints that are known to be no more.
        gone: BTreeSet<HookId>,
        /// How many there are, as far as the read side knows: those of before there was a ring claimed
        /// nothing.
        known: u32,
        /// What the account has.
        limit: u32,
    },
}

/// The decider of a tenant's endpoints: however many are made at once, there are no more than may be, and
/// no two that are the same.
#[derive(Debug)]
pub struct HookRing;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookRingRejection {
    /// Every place is taken.
    #[error("the account has its {limit} webhooks; delete one that is not needed")]
    Full {
        /// What the account has.
        limit: u32,
    },
    /// There is one that sends the same to the same address.
    #[error("{hook} sends the same events to this address already; change that one")]
    Same {
        /// Which.
        hook: HookId,
    },
}

impl Decider for HookRing {
    type Command = HookRingCommand;
    type Event = HookRingEvent;
    type State = BTreeMap<HookId, String>;
    type Rejection = HookRingRejection;

    const CATEGORY: &'static str = "hookring";

    fn decide(
        state: &Self::State,
        command: HookRingCommand,
    ) -> Result<Vec<HookRingEvent>, HookRingRejection> {
        let HookRingCommand::Claim { hook, digest, gone, known, limit } = command;
        if state.get(&hook) == Some(&digest) {
            return Ok(vec![]);
        }
        let mut others = state.iter().filter(|(other, _)| **other != hook && !gone.contains(other));
        if let Some((same, _)) = others.clone().find(|(_, other)| **other == digest) {
            return Err(HookRingRejection::Same { hook: *same });
        }
        // One that has a place keeps it, whatever it becomes.
        if !state.contains_key(&hook) {
            let claimed = u32::try_from(others.by_ref().count()).unwrap_or(u32::MAX);
            if claimed.max(known) >= limit {
                return Err(HookRingRejection::Full { limit });
            }
        }
        let gone = gone.into_iter().filter(|gone| state.contains_key(gone)).collect();
        Ok(vec![HookRingEvent::Claimed { hook, digest, gone }])
    }

    fn evolve(mut state: Self::State, event: &HookRingEvent) -> Self::State {
        let HookRingEvent::Claimed { hook, digest, gone } = event;
        state.retain(|hook, _| !gone.contains(hook));
        state.insert(*hook, digest.clone());
        state
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::spec::given;

    fn hook(n: u128) -> HookId {
        HookId::from_uuid(Uuid::from_u128(n))
    }

    fn claim(n: u128, digest: &str, gone: &[u128], known: u32) -> HookRingCommand {
        let gone = gone.iter().copied().map(hook).collect();
        HookRingCommand::Claim { hook: hook(n), digest: digest.to_owned(), gone, known, limit: 2 }
    }

    fn claimed(n: u128, digest: &str, gone: &[u128]) -> HookRingEvent {
        let gone = gone.iter().copied().map(hook).collect();
        HookRingEvent::Claimed { hook: hook(n), digest: digest.to_owned(), gone }
    }

    #[test]
    fn there_are_no_more_endpoints_than_the_account_has() {
        let full = HookRingRejection::Full { limit: 2 };
        let two = || [claimed(1, "a", &[]), claimed(2, "b", &[])];
        given::<HookRing>([]).when(claim(1, "a", &[], 0)).then([claimed(1, "a", &[])]);
        given::<HookRing>(two()).when(claim(3, "c", &[], 2)).then_rejected(&full);
        given::<HookRing>([]).when(claim(3, "c", &[], 2)).then_rejected(&full);
        given::<HookRing>(two()).when(claim(3, "c", &[1], 1)).then([claimed(3, "c", &[1])]);
    }

    #[test]
    fn no_two_send_the_same_to_the_same_address() {
        let same = HookRingRejection::Same { hook: hook(1) };
        given::<HookRing>([claimed(1, "a", &[])]).when(claim(2, "a", &[], 1)).then_rejected(&same);
        let two = || [claimed(1, "a", &[]), claimed(2, "b", &[])];
        given::<HookRing>(two()).when(claim(2, "a", &[], 2)).then_rejected(&same);
        given::<HookRing>(two()).when(claim(2, "c", &[], 2)).then([claimed(2, "c", &[])]);
        given::<HookRing>(two()).when(claim(2, "b", &[], 2)).then_nothing();
        given::<HookRing>(two()).when(claim(3, "a", &[1], 1)).then([claimed(3, "a", &[1])]);
    }
}
