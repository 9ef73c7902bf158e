//! The bytes that are kept for a tenant: its uploads, and what its jobs made, while they are there.
//!
//! Whoever is about to store something holds room for it first. The conductor, which reads the whole log,
//! says from time to time how many bytes are kept and which of the holds are in that number. What is kept
//! and held never exceeds what the account has.

mod tracker;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Decider, JobId, Timestamp};

pub use self::tracker::{Due, StorageQuotaTracker};

/// What happened to a tenant's storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StorageQuotaEvent {
    /// Room is held for something that is about to be stored.
    #[serde(rename = "kept.held")]
    Held {
        /// An upload's or a job's id.
        thing: String,
        /// So much.
        bytes: u64,
        /// Nothing is stored under it later.
        until: Timestamp,
    },
    /// It was not stored after all.
    #[serde(rename = "kept.released")]
    Released {
        /// An upload's or a job's id.
        thing: String,
    },
    /// So much is kept, as the log has it.
    #[serde(rename = "kept.counted")]
    Counted {
        /// Of all uploads and outputs.
        bytes: u64,
        /// Up to which message of the log.
        as_of: u64,
        /// What is held no longer: it is among the bytes, or will not come.
        closed: Vec<String>,
    },
}

/// What may be asked.
#[derive(Debug, Clone)]
pub enum StorageQuotaCommand {
    /// Hold room. Once more for the same thing takes the place of the hold before.
    Hold {
        /// An upload's or a job's id.
        thing: String,
        /// Less is of no use.
        least: u64,
        /// More is not wanted.
        most: u64,
        /// Nothing is stored under it later.
        until: Timestamp,
        /// What the account has.
        limit: u64,
    },
    /// Hold for longer what is being stored, so many bytes of each thing. What lapsed meanwhile is held
    /// again, however little room is left: its bytes are coming.
    Extend {
        /// By an upload's or a job's id.
        holds: BTreeMap<String, u64>,
        /// Nothing is stored under any of them later.
        until: Timestamp,
    },
    /// Give it back.
    Release {
        /// An upload's or a job's id.
        thing: String,
    },
    /// Say how much is kept.
    Count {
        /// Of all uploads and outputs.
        bytes: u64,
        /// Up to which message of the log.
        as_of: u64,
        /// What is held no longer.
        closed: Vec<String>,
    },
}

/// How a tenant's storage stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageQuotaState {
    counted: u64,
    as_of: u64,
    held: BTreeMap<String, u64>,
}

impl StorageQuotaState {
    /// Bytes that are kept and held.
    pub fn taken(&self) -> u64 {
        self.held.values().copied().fold(self.counted, u64::saturating_add)
    }

    /// Bytes that are held for something.
    pub fn held(&self, thing: &str) -> u64 {
        self.held.get(thing).copied().unwrap_or(0)
    }
}

/// The decider of a tenant's storage.
#[derive(Debug)]
pub struct StorageQuota;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageQuotaRejection {
    /// There is not so much room.
    #[error("the account keeps {taken} of its {limit} bytes, and this takes {wanted}")]
    Full {
        /// What the account has.
        limit: u64,
        /// What is kept and held of it.
        taken: u64,
        /// What was wanted.
        wanted: u64,
    },
    /// Too much is under way.
    #[error("{MOST_HELD} uploads and jobs of the account are being stored already")]
    Busy,
}

/// Things that one account may be storing at once: each stands in every message until it is counted.
pub const MOST_HELD: usize = 1_000;

/// Uploads leave room for what jobs make, whose number the queue bounds.
fn most_held(thing: &str) -> usize {
    if thing.parse::<JobId>().is_ok() { MOST_HELD * 2 } else { MOST_HELD }
}

impl Decider for StorageQuota {
    type Command = StorageQuotaCommand;
    type Event = StorageQuotaEvent;
    type State = StorageQuotaState;
    type Rejection = StorageQuotaRejection;

    const CATEGORY: &'static str = "kept";

    fn decide(
        state: &StorageQuotaState,
        command: StorageQuotaCommand,
    ) -> Result<Vec<StorageQuotaEvent>, StorageQuotaRejection> {
        match command {
            StorageQuotaCommand::Hold { thing, least, most, until, limit } => {
                let taken = state.taken().saturating_sub(state.held(&thing));
                let room = limit.saturating_sub(taken);
                if room < least {
                    return Err(StorageQuotaRejection::Full { limit, taken, wanted: least });
                }
                if state.held.len() >= most_held(&thing) && !state.held.contains_key(&thing) {
                    return Err(StorageQuotaRejection::Busy);
                }
                Ok(vec![StorageQuotaEvent::Held { thing, bytes: room.min(most).max(least), until }])
            }
            StorageQuotaCommand::Extend { holds, until } => {
                let held = |(thing, bytes)| StorageQuotaEvent::Held { thing, bytes, until };
                Ok(holds.into_iter().map(held).collect())
            }
            StorageQuotaCommand::Release { thing } if state.held.contains_key(&thing) => {
                Ok(vec![StorageQuotaEvent::Released { thing }])
            }
            StorageQuotaCommand::Release { .. } => Ok(vec![]),
            StorageQuotaCommand::Count { bytes, as_of, closed } => {
                let closed: Vec<String> =
                    closed.into_iter().filter(|thing| state.held.contains_key(thing)).collect();
                let known = bytes == state.counted && closed.is_empty();
                // What a conductor says that was deposed meanwhile is older.
                if known || as_of <= state.as_of {
                    return Ok(vec![]);
                }
                Ok(vec![StorageQuotaEvent::Counted { bytes, as_of, closed }])
            }
        }
    }

    fn evolve(mut state: StorageQuotaState, event: &StorageQuotaEvent) -> StorageQuotaState {
        match event {
            StorageQuotaEvent::Held { thing, bytes, .. } => {
                state.held.insert(thing.clone(), *bytes);
            }
            StorageQuotaEvent::Released { thing } => {
                state.held.remove(thing);
            }
            StorageQuotaEvent::Counted { bytes, as_of, closed } => {
                (state.counted, state.as_of) = (*bytes, *as_of);
                state.held.retain(|thing, _| !closed.contains(thing));
            }
        }
        state
    }

    fn snapshot(state: &StorageQuotaState) -> Option<serde_json::Value> {
        serde_json::to_value(state).ok()
    }

    fn from_snapshot(state: &serde_json::Value) -> Option<StorageQuotaState> {
        StorageQuotaState::deserialize(state).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::given;

    const LATER: Timestamp = Timestamp::from_millis(9);

    fn hold(thing: &str, least: u64, most: u64) -> StorageQuotaCommand {
        StorageQuotaCommand::Hold { thing: thing.to_owned(), least, most, until: LATER, limit: 100 }
    }

    fn held(thing: &str, bytes: u64) -> StorageQuotaEvent {
        StorageQuotaEvent::Held { thing: thing.to_owned(), bytes, until: LATER }
    }

    fn counted(bytes: u64, as_of: u64, closed: &[&str]) -> StorageQuotaEvent {
        let closed = closed.iter().map(|thing| (*thing).to_owned()).collect();
        StorageQuotaEvent::Counted { bytes, as_of, closed }
    }

    fn count(bytes: u64, as_of: u64, closed: &[&str]) -> StorageQuotaCommand {
        let closed = closed.iter().map(|thing| (*thing).to_owned()).collect();
        StorageQuotaCommand::Count { bytes, as_of, closed }
    }

    fn full(taken: u64, wanted: u64) -> StorageQuotaRejection {
        StorageQuotaRejection::Full { limit: 100, taken, wanted }
    }

    #[test]
    fn what_is_kept_and_held_never_exceeds_what_the_account_has() {
        given::<StorageQuota>([]).when(hold("a", 60, 60)).then([held("a", 60)]);
        given::<StorageQuota>([]).when(hold("a", 101, 101)).then_rejected(&full(0, 101));
        given::<StorageQuota>([held("a", 60)]).when(hold("b", 41, 41)).then_rejected(&full(60, 41));
        given::<StorageQuota>([held("a", 60), counted(60, 5, &["a"])])
            .when(hold("b", 41, 41))
            .then_rejected(&full(60, 41));
        given::<StorageQuota>([counted(60, 5, &[]), counted(0, 6, &[])])
            .when(hold("b", 100, 100))
            .then([held("b", 100)]);
    }

    #[test]
    fn of_what_is_not_known_to_be_so_long_only_what_is_left_is_held() {
        given::<StorageQuota>([held("a", 60)]).when(hold("b", 1, 1_000)).then([held("b", 40)]);
        given::<StorageQuota>([held("a", 100)])
            .when(hold("b", 1, 1_000))
            .then_rejected(&full(100, 1));
    }

    #[test]
    fn the_same_thing_holds_once_and_gives_back_once() {
        given::<StorageQuota>([held("a", 60)]).when(hold("a", 90, 90)).then([held("a", 90)]);
        let release = || StorageQuotaCommand::Release { thing: "a".to_owned() };
        let released = StorageQuotaEvent::Released { thing: "a".to_owned() };
        given::<StorageQuota>([held("a", 60)]).when(release()).then([released.clone()]);
        given::<StorageQuota>([held("a", 60), released]).when(release()).then_nothing();
    }

    #[test]
    fn what_is_being_stored_is_held_for_longer_however_full_the_account_is() {
        let extend = |holds: &[(&str, u64)]| StorageQuotaCommand::Extend {
            holds: holds.iter().map(|(thing, bytes)| ((*thing).to_owned(), *bytes)).collect(),
            until: LATER,
        };
        given::<StorageQuota>([held("a", 60), held("b", 30), held("c", 10), counted(0, 1, &["b"])])
            .when(extend(&[("a", 60), ("b", 30)]))
            .then([held("a", 60), held("b", 30)]);
        given::<StorageQuota>([held("a", 60)]).when(extend(&[])).then_nothing();
    }

    #[test]
    fn an_older_count_changes_nothing() {
        given::<StorageQuota>([held("a", 6)]).when(count(6, 5, &["a", "b"])).then([counted(
            6,
            5,
            &["a"],
        )]);
        given::<StorageQuota>([counted(6, 5, &[])]).when(count(6, 9, &[])).then_nothing();
        given::<StorageQuota>([counted(6, 5, &[])]).when(count(0, 4, &[])).then_nothing();
    }

    #[test]
    fn only_so_many_things_are_stored_at_once() {
        let many = (0..MOST_HELD).map(|n| held(&n.to_string(), 0));
        let many: Vec<StorageQuotaEvent> = many.collect();
        given::<StorageQuota>(many.clone())
            .when(hold("a", 0, 0))
            .then_rejected(&StorageQuotaRejection::Busy);
        given::<StorageQuota>(many.clone()).when(hold("7", 1, 1)).then([held("7", 1)]);
        // However many uploads are under way, a job that is done is not kept waiting.
        let job = JobId::from_uuid(uuid::Uuid::from_u128(1)).to_string();
        given::<StorageQuota>(many).when(hold(&job, 1, 1)).then([held(&job, 1)]);
    }
}
