//! The bytes stored for a tenant: its uploads and its jobs' outputs, while they exist.
//!
//! Every writer first holds storage space for what it is about to store. The conductor, which reads
//! the whole log, periodically reports how many bytes are stored and which holds that number
//! includes. Stored plus held bytes never exceed the account's limit.

mod tracker;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Category, Decider, JobId, Timestamp};

pub use self::tracker::{Due, StorageQuotaTracker};

/// What happened to a tenant's storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StorageQuotaEvent {
    /// Storage space was reserved for something that is about to be stored.
    #[serde(rename = "kept.held")]
    Held {
        /// The id of an upload or a job.
        thing: String,
        /// Number of bytes.
        bytes: u64,
        /// The hold's end: nothing is stored under it later.
        until: Timestamp,
    },
    /// The hold was released without anything being stored.
    #[serde(rename = "kept.released")]
    Released {
        /// The id of an upload or a job.
        thing: String,
    },
    /// The stored bytes were counted from the log.
    #[serde(rename = "kept.counted")]
    Counted {
        /// Total size of all uploads and outputs.
        bytes: u64,
        /// Stream sequence of the last message that was counted.
        as_of: u64,
        /// Holds that ended: they are included in the bytes, or will not be used.
        closed: Vec<String>,
    },
}

/// A command for a tenant's storage.
#[derive(Debug, Clone)]
pub enum StorageQuotaCommand {
    /// Hold storage space. A second hold for the same id replaces the first, and is as large at least, even
    /// if the account is full: something may have been stored under the first.
    Hold {
        /// The id of an upload or a job.
        thing: String,
        /// Minimum number of bytes.
        least: u64,
        /// Maximum number of bytes.
        most: u64,
        /// The hold's end: nothing is stored under it later.
        until: Timestamp,
        /// The account's limit in bytes.
        limit: u64,
    },
    /// Extend holds whose data is still being stored. Holds that have expired meanwhile are renewed
    /// even if the account is full: their data is already being written.
    Extend {
        /// Bytes by the id of an upload or a job.
        holds: BTreeMap<String, u64>,
        /// The new end of all these holds.
        until: Timestamp,
    },
    /// Release a hold.
    Release {
        /// The id of an upload or a job.
        thing: String,
    },
    /// Report how many bytes are stored.
    Count {
        /// Total size of all uploads and outputs.
        bytes: u64,
        /// Stream sequence of the last message that was counted.
        as_of: u64,
        /// Holds that ended.
        closed: Vec<String>,
    },
}

/// State of a tenant's storage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageQuotaState {
    counted: u64,
    as_of: u64,
    held: BTreeMap<String, u64>,
}

impl StorageQuotaState {
    /// Bytes that are stored or held.
    pub fn taken(&self) -> u64 {
        self.held.values().copied().fold(self.counted, u64::saturating_add)
    }

    /// Bytes that are held for an id.
    pub fn held(&self, thing: &str) -> u64 {
        self.held.get(thing).copied().unwrap_or(0)
    }
}

/// The storage quota decider.
#[derive(Debug)]
pub struct StorageQuota;

/// Why a storage quota command is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageQuotaRejection {
    /// There is not enough storage space.
    #[error("the account keeps {taken} of its {limit} bytes, and this takes {wanted}")]
    Full {
        /// The account's limit in bytes.
        limit: u64,
        /// Bytes stored and held.
        taken: u64,
        /// Bytes requested.
        wanted: u64,
    },
    /// Too many holds are open.
    #[error("{MAX_OPEN_HOLDS} uploads and jobs of the account are being stored already")]
    Busy,
}

/// Maximum number of open holds of one account: each is part of every message until it is counted.
pub const MAX_OPEN_HOLDS: usize = 1_000;

/// Uploads leave spare holds for job outputs, whose number the queue limit bounds.
fn max_held(thing: &str) -> usize {
    if thing.parse::<JobId>().is_ok() { MAX_OPEN_HOLDS * 2 } else { MAX_OPEN_HOLDS }
}

impl Decider for StorageQuota {
    type Command = StorageQuotaCommand;
    type Event = StorageQuotaEvent;
    type State = StorageQuotaState;
    type Rejection = StorageQuotaRejection;

    const CATEGORY: &'static str = Category::StorageQuota.as_str();

    fn decide(
        state: &StorageQuotaState,
        command: StorageQuotaCommand,
    ) -> Result<Vec<StorageQuotaEvent>, StorageQuotaRejection> {
        match command {
            StorageQuotaCommand::Hold { thing, least, most, until, limit } => {
                let held = state.held(&thing);
                let taken = state.taken().saturating_sub(held);
                let free = limit.saturating_sub(taken).max(held);
                if free < least {
                    return Err(StorageQuotaRejection::Full { limit, taken, wanted: least });
                }
                if state.held.len() >= max_held(&thing) && !state.held.contains_key(&thing) {
                    return Err(StorageQuotaRejection::Busy);
                }
                let bytes = free.min(most).max(least).max(held);
                Ok(vec![StorageQuotaEvent::Held { thing, bytes, until }])
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
                let unchanged = bytes == state.counted && closed.is_empty();
                // A count by a superseded conductor is older.
                if unchanged || as_of <= state.as_of {
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
    fn stored_and_held_bytes_never_exceed_the_limit() {
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
    fn a_hold_of_unknown_size_takes_at_most_what_is_left() {
        given::<StorageQuota>([held("a", 60)]).when(hold("b", 1, 1_000)).then([held("b", 40)]);
        given::<StorageQuota>([held("a", 100)])
            .when(hold("b", 1, 1_000))
            .then_rejected(&full(100, 1));
    }

    #[test]
    fn a_hold_is_replaced_and_released_once() {
        given::<StorageQuota>([held("a", 60)]).when(hold("a", 90, 90)).then([held("a", 90)]);
        let release = || StorageQuotaCommand::Release { thing: "a".to_owned() };
        let released = StorageQuotaEvent::Released { thing: "a".to_owned() };
        given::<StorageQuota>([held("a", 60)]).when(release()).then([released.clone()]);
        given::<StorageQuota>([held("a", 60), released]).when(release()).then_nothing();
    }

    #[test]
    fn a_hold_may_be_repeated_in_a_full_account_unless_it_has_ended() {
        let full_account = || vec![held("a", 60), counted(90, 5, &[])];
        given::<StorageQuota>(full_account()).when(hold("a", 60, 60)).then([held("a", 60)]);
        given::<StorageQuota>(full_account()).when(hold("a", 1, 70)).then([held("a", 60)]);
        given::<StorageQuota>(full_account()).when(hold("a", 9, 10)).then([held("a", 60)]);
        given::<StorageQuota>(full_account()).when(hold("a", 61, 61)).then_rejected(&full(90, 61));
        let ended = StorageQuotaEvent::Released { thing: "a".to_owned() };
        given::<StorageQuota>(full_account().into_iter().chain([ended]))
            .when(hold("a", 60, 60))
            .then_rejected(&full(90, 60));
    }

    #[test]
    fn holds_are_extended_even_if_the_account_is_full() {
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
    fn an_older_count_is_ignored() {
        given::<StorageQuota>([held("a", 6)]).when(count(6, 5, &["a", "b"])).then([counted(
            6,
            5,
            &["a"],
        )]);
        given::<StorageQuota>([counted(6, 5, &[])]).when(count(6, 9, &[])).then_nothing();
        given::<StorageQuota>([counted(6, 5, &[])]).when(count(0, 4, &[])).then_nothing();
    }

    #[test]
    fn the_number_of_holds_is_limited() {
        let many = (0..MAX_OPEN_HOLDS).map(|n| held(&n.to_string(), 0));
        let many: Vec<StorageQuotaEvent> = many.collect();
        given::<StorageQuota>(many.clone())
            .when(hold("a", 0, 0))
            .then_rejected(&StorageQuotaRejection::Busy);
        given::<StorageQuota>(many.clone()).when(hold("7", 1, 1)).then([held("7", 1)]);
        // Concurrent uploads do not delay a finished job.
        let job = JobId::from_uuid(uuid::Uuid::from_u128(1)).to_string();
        given::<StorageQuota>(many).when(hold(&job, 1, 1)).then([held(&job, 1)]);
    }
}
