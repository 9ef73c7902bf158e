//! The places of a tenant's queue: how many jobs it may have that are not over.
//!
//! A gateway leases a block of places, each job that it submits spends one of them within the job's
//! own message, and the conductor says how many of those jobs are over. What was leased, less what
//! came back unspent, less what is over, never exceeds what the account has; and a submission costs no
//! message beside its own.

mod tracker;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Decider, LeaseId, Timestamp};

pub use self::tracker::{Due, QueueQuotaTracker};

/// What happened to a tenant's places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueQuotaEvent {
    /// A gateway may spend so many.
    #[serde(rename = "room.leased")]
    Leased {
        /// What jobs name that spend one.
        lease: LeaseId,
        /// So many.
        places: u32,
        /// Nothing of it is spent later.
        until: Timestamp,
    },
    /// Some of them were not spent, and will not be.
    #[serde(rename = "room.returned")]
    Returned {
        /// Of which lease.
        lease: LeaseId,
        /// So many.
        unspent: u32,
    },
    /// Jobs that had places are over.
    #[serde(rename = "room.freed")]
    Freed {
        /// So many since the beginning.
        over: u64,
        /// Leases of which every place is spent or returned: nothing more is heard of them.
        closed: Vec<LeaseId>,
    },
}

/// What may be asked.
#[derive(Debug, Clone)]
pub enum QueueQuotaCommand {
    /// Lease places: fewer than wanted near the limit, so that no gateway holds what another one needs.
    Lease {
        /// Under this name.
        lease: LeaseId,
        /// Fewer are of no use.
        least: u32,
        /// More are not wanted.
        most: u32,
        /// Nothing of it is spent later.
        until: Timestamp,
        /// What the account has.
        limit: u32,
    },
    /// Give places back.
    Return {
        /// Of which leases, how many.
        unspent: Vec<(LeaseId, u32)>,
    },
    /// Take back what leases have left of which nothing more should be heard: their gateways are dead, or
    /// stand still. One that wakes up later has nothing to return.
    Expire {
        /// Of which leases, how many.
        unspent: Vec<(LeaseId, u32)>,
    },
    /// Say what is over.
    Free {
        /// So many jobs since the beginning.
        over: u64,
        /// Leases that are used up.
        closed: Vec<LeaseId>,
    },
}

/// How a tenant's places stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueQuotaState {
    leased: u64,
    returned: u64,
    over: u64,
    /// What may still be returned, of each lease that is not closed.
    open: BTreeMap<LeaseId, u32>,
}

impl QueueQuotaState {
    /// Jobs that are not over, and places that gateways hold for more.
    pub const fn taken(&self) -> u64 {
        self.leased.saturating_sub(self.returned).saturating_sub(self.over)
    }

    /// How many places a lease has that is not closed.
    pub fn places(&self, lease: LeaseId) -> u32 {
        self.open.get(&lease).copied().unwrap_or(0)
    }

    /// True if gateways may hold places that are not spent.
    pub fn is_lent(&self) -> bool {
        !self.open.is_empty()
    }
}

/// The decider of a tenant's places.
#[derive(Debug)]
pub struct QueueQuota;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueQuotaRejection {
    /// There is not so much room.
    #[error("the account's queue has {limit} places, and {taken} are taken")]
    Full {
        /// What the account has.
        limit: u32,
        /// What is taken of it.
        taken: u64,
    },
}

/// Of the room that is left, what one block takes at most.
const SHARE: u64 = 8;

/// What comes back of each lease: no more than it has.
fn returned(
    state: &QueueQuotaState,
    unspent: Vec<(LeaseId, u32)>,
) -> impl Iterator<Item = QueueQuotaEvent> + use<'_> {
    unspent.into_iter().filter_map(|(lease, unspent)| {
        let unspent = unspent.min(state.places(lease));
        (unspent > 0).then_some(QueueQuotaEvent::Returned { lease, unspent })
    })
}

impl Decider for QueueQuota {
    type Command = QueueQuotaCommand;
    type Event = QueueQuotaEvent;
    type State = QueueQuotaState;
    type Rejection = QueueQuotaRejection;

    const CATEGORY: &'static str = "room";

    fn decide(
        state: &QueueQuotaState,
        command: QueueQuotaCommand,
    ) -> Result<Vec<QueueQuotaEvent>, QueueQuotaRejection> {
        match command {
            QueueQuotaCommand::Lease { lease, .. } if state.open.contains_key(&lease) => Ok(vec![]),
            QueueQuotaCommand::Lease { lease, least, most, until, limit } => {
                let room = u64::from(limit).saturating_sub(state.taken());
                if room < u64::from(least) {
                    return Err(QueueQuotaRejection::Full { limit, taken: state.taken() });
                }
                let share = u32::try_from(room / SHARE).unwrap_or(u32::MAX);
                let places = share.min(most).max(least);
                Ok(vec![QueueQuotaEvent::Leased { lease, places, until }])
            }
            QueueQuotaCommand::Return { unspent } => Ok(returned(state, unspent).collect()),
            QueueQuotaCommand::Expire { mut unspent } => {
                unspent.retain(|(lease, _)| state.open.contains_key(lease));
                if unspent.is_empty() {
                    return Ok(vec![]);
                }
                let closed = unspent.iter().map(|(lease, _)| *lease).collect();
                let closed = QueueQuotaEvent::Freed { over: state.over, closed };
                Ok(returned(state, unspent).chain([closed]).collect())
            }
            QueueQuotaCommand::Free { over, closed } => {
                let open = |lease: &LeaseId| state.open.contains_key(lease);
                let closed: Vec<LeaseId> = closed.into_iter().filter(open).collect();
                let over = over.max(state.over);
                if over == state.over && closed.is_empty() {
                    return Ok(vec![]);
                }
                Ok(vec![QueueQuotaEvent::Freed { over, closed }])
            }
        }
    }

    fn evolve(mut state: QueueQuotaState, event: &QueueQuotaEvent) -> QueueQuotaState {
        match event {
            QueueQuotaEvent::Leased { lease, places, .. } => {
                state.leased = state.leased.saturating_add((*places).into());
                state.open.insert(*lease, *places);
            }
            QueueQuotaEvent::Returned { lease, unspent } => {
                state.returned = state.returned.saturating_add((*unspent).into());
                if let Some(places) = state.open.get_mut(lease) {
                    *places = places.saturating_sub(*unspent);
                    if *places == 0 {
                        state.open.remove(lease);
                    }
                }
            }
            QueueQuotaEvent::Freed { over, closed } => {
                state.over = *over;
                state.open.retain(|lease, _| !closed.contains(lease));
            }
        }
        state
    }

    fn snapshot(state: &QueueQuotaState) -> Option<serde_json::Value> {
        serde_json::to_value(state).ok()
    }

    fn from_snapshot(state: &serde_json::Value) -> Option<QueueQuotaState> {
        QueueQuotaState::deserialize(state).ok()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::spec::given;

    fn lease(n: u128) -> LeaseId {
        LeaseId::from_uuid(Uuid::from_u128(n))
    }

    fn ask(n: u128, (least, most): (u32, u32), limit: u32) -> QueueQuotaCommand {
        let until = Timestamp::from_millis(9);
        QueueQuotaCommand::Lease { lease: lease(n), least, most, until, limit }
    }

    fn leased(n: u128, places: u32) -> QueueQuotaEvent {
        QueueQuotaEvent::Leased { lease: lease(n), places, until: Timestamp::from_millis(9) }
    }

    fn freed(over: u64) -> QueueQuotaEvent {
        QueueQuotaEvent::Freed { over, closed: vec![] }
    }

    #[test]
    fn a_block_is_large_while_there_is_room_and_small_near_the_limit() {
        given::<QueueQuota>([]).when(ask(1, (1, 64), 10_000)).then([leased(1, 64)]);
        given::<QueueQuota>([]).when(ask(1, (1, 64), 80)).then([leased(1, 10)]);
        given::<QueueQuota>([leased(1, 78)]).when(ask(2, (1, 64), 80)).then([leased(2, 1)]);
        // Asked twice, given once.
        given::<QueueQuota>([leased(1, 8)]).when(ask(1, (1, 8), 80)).then_nothing();
        // What needs them all gets them all.
        given::<QueueQuota>([]).when(ask(1, (80, 80), 80)).then([leased(1, 80)]);
    }

    #[test]
    fn more_than_there_is_room_for_is_refused() {
        let full = |taken| QueueQuotaRejection::Full { limit: 80, taken };
        given::<QueueQuota>([leased(1, 80)]).when(ask(2, (1, 64), 80)).then_rejected(&full(80));
        given::<QueueQuota>([leased(1, 78)]).when(ask(2, (3, 3), 80)).then_rejected(&full(78));
        given::<QueueQuota>([])
            .when(ask(1, (1, 1), 0))
            .then_rejected(&QueueQuotaRejection::Full { limit: 0, taken: 0 });
    }

    #[test]
    fn what_comes_back_and_what_is_over_makes_room() {
        let returned = QueueQuotaEvent::Returned { lease: lease(1), unspent: 1 };
        given::<QueueQuota>([leased(1, 80), returned])
            .when(ask(2, (1, 64), 80))
            .then([leased(2, 1)]);
        given::<QueueQuota>([leased(1, 80), freed(80)])
            .when(ask(2, (1, 64), 80))
            .then([leased(2, 10)]);
    }

    #[test]
    fn nothing_comes_back_twice() {
        let give_back =
            |n, unspent| QueueQuotaCommand::Return { unspent: vec![(lease(n), unspent)] };
        let returned = |unspent| QueueQuotaEvent::Returned { lease: lease(1), unspent };
        given::<QueueQuota>([leased(1, 8)]).when(give_back(1, 3)).then([returned(3)]);
        given::<QueueQuota>([leased(1, 8), returned(6)]).when(give_back(1, 6)).then([returned(2)]);
        given::<QueueQuota>([leased(1, 8), returned(8)]).when(give_back(1, 1)).then_nothing();
        given::<QueueQuota>([leased(1, 8)]).when(give_back(2, 1)).then_nothing();
        let close = QueueQuotaEvent::Freed { over: 8, closed: vec![lease(1)] };
        given::<QueueQuota>([leased(1, 8), close]).when(give_back(1, 1)).then_nothing();
    }

    #[test]
    fn a_gateway_that_wakes_up_after_its_lease_returns_nothing_a_second_time() {
        let returned = QueueQuotaEvent::Returned { lease: lease(1), unspent: 5 };
        let closed = QueueQuotaEvent::Freed { over: 2, closed: vec![lease(1)] };
        let expire = || QueueQuotaCommand::Expire { unspent: vec![(lease(1), 5)] };
        given::<QueueQuota>([leased(1, 8), freed(2)])
            .when(expire())
            .then([returned.clone(), closed.clone()]);
        let give_back = QueueQuotaCommand::Return { unspent: vec![(lease(1), 5)] };
        given::<QueueQuota>([leased(1, 8), returned.clone(), closed.clone()])
            .when(give_back)
            .then_nothing();
        given::<QueueQuota>([leased(1, 8), returned, closed]).when(expire()).then_nothing();
    }

    #[test]
    fn how_things_stand_is_carried_from_message_to_message() {
        let past =
            [leased(1, 8), QueueQuotaEvent::Returned { lease: lease(1), unspent: 3 }, freed(2)];
        let state = QueueQuota::replay(&past);
        let from_snapshot = QueueQuota::snapshot(&state).unwrap();
        assert_eq!(QueueQuota::from_snapshot(&from_snapshot), Some(state));
        assert_eq!(QueueQuota::from_snapshot(&serde_json::json!({ "leased": 8 })), None);
    }

    #[test]
    fn what_is_over_is_said_once() {
        let free = |over| QueueQuotaCommand::Free { over, closed: vec![] };
        given::<QueueQuota>([leased(1, 8)]).when(free(3)).then([freed(3)]);
        given::<QueueQuota>([leased(1, 8), freed(3)]).when(free(3)).then_nothing();
        given::<QueueQuota>([leased(1, 8), freed(3)]).when(free(2)).then_nothing();
    }
}
