//! The places of a tenant's queue: how many jobs it may have that are not over.
//!
//! A gateway leases a block of places, each job that it submits spends one of them within the job's
//! own message, and the conductor says how many of those jobs are over. What was leased, less what
//! came back unspent, less what is over, never exceeds what the account has; and a submission costs no
//! message beside its own.

mod ledger;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Decider, LeaseId, Timestamp};

pub use self::ledger::{Due, RoomLedger};

/// What happened to a tenant's places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomEvent {
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
pub enum RoomCommand {
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
pub struct RoomState {
    leased: u64,
    returned: u64,
    over: u64,
    /// What may still be returned, of each lease that is not closed.
    open: BTreeMap<LeaseId, u32>,
}

impl RoomState {
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
pub struct Room;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoomRejection {
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
    state: &RoomState,
    unspent: Vec<(LeaseId, u32)>,
) -> impl Iterator<Item = RoomEvent> + use<'_> {
    unspent.into_iter().filter_map(|(lease, unspent)| {
        let unspent = unspent.min(state.places(lease));
        (unspent > 0).then_some(RoomEvent::Returned { lease, unspent })
    })
}

impl Decider for Room {
    type Command = RoomCommand;
    type Event = RoomEvent;
    type State = RoomState;
    type Rejection = RoomRejection;

    const CATEGORY: &'static str = "room";

    fn decide(state: &RoomState, command: RoomCommand) -> Result<Vec<RoomEvent>, RoomRejection> {
        match command {
            RoomCommand::Lease { lease, .. } if state.open.contains_key(&lease) => Ok(vec![]),
            RoomCommand::Lease { lease, least, most, until, limit } => {
                let room = u64::from(limit).saturating_sub(state.taken());
                if room < u64::from(least) {
                    return Err(RoomRejection::Full { limit, taken: state.taken() });
                }
                let share = u32::try_from(room / SHARE).unwrap_or(u32::MAX);
                let places = share.min(most).max(least);
                Ok(vec![RoomEvent::Leased { lease, places, until }])
            }
            RoomCommand::Return { unspent } => Ok(returned(state, unspent).collect()),
            RoomCommand::Expire { mut unspent } => {
                unspent.retain(|(lease, _)| state.open.contains_key(lease));
                if unspent.is_empty() {
                    return Ok(vec![]);
                }
                let closed = unspent.iter().map(|(lease, _)| *lease).collect();
                let closed = RoomEvent::Freed { over: state.over, closed };
                Ok(returned(state, unspent).chain([closed]).collect())
            }
            RoomCommand::Free { over, closed } => {
                let open = |lease: &LeaseId| state.open.contains_key(lease);
                let closed: Vec<LeaseId> = closed.into_iter().filter(open).collect();
                let over = over.max(state.over);
                if over == state.over && closed.is_empty() {
                    return Ok(vec![]);
                }
                Ok(vec![RoomEvent::Freed { over, closed }])
            }
        }
    }

    fn evolve(mut state: RoomState, event: &RoomEvent) -> RoomState {
        match event {
            RoomEvent::Leased { lease, places, .. } => {
                state.leased = state.leased.saturating_add((*places).into());
                state.open.insert(*lease, *places);
            }
            RoomEvent::Returned { lease, unspent } => {
                state.returned = state.returned.saturating_add((*unspent).into());
                if let Some(places) = state.open.get_mut(lease) {
                    *places = places.saturating_sub(*unspent);
                    if *places == 0 {
                        state.open.remove(lease);
                    }
                }
            }
            RoomEvent::Freed { over, closed } => {
                state.over = *over;
                state.open.retain(|lease, _| !closed.contains(lease));
            }
        }
        state
    }

    fn carry(state: &RoomState) -> Option<serde_json::Value> {
        serde_json::to_value(state).ok()
    }

    fn carried(state: &serde_json::Value) -> Option<RoomState> {
        RoomState::deserialize(state).ok()
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

    fn ask(n: u128, (least, most): (u32, u32), limit: u32) -> RoomCommand {
        let until = Timestamp::from_millis(9);
        RoomCommand::Lease { lease: lease(n), least, most, until, limit }
    }

    fn leased(n: u128, places: u32) -> RoomEvent {
        RoomEvent::Leased { lease: lease(n), places, until: Timestamp::from_millis(9) }
    }

    fn freed(over: u64) -> RoomEvent {
        RoomEvent::Freed { over, closed: vec![] }
    }

    #[test]
    fn a_block_is_large_while_there_is_room_and_small_near_the_limit() {
        given::<Room>([]).when(ask(1, (1, 64), 10_000)).then([leased(1, 64)]);
        given::<Room>([]).when(ask(1, (1, 64), 80)).then([leased(1, 10)]);
        given::<Room>([leased(1, 78)]).when(ask(2, (1, 64), 80)).then([leased(2, 1)]);
        // Asked twice, given once.
        given::<Room>([leased(1, 8)]).when(ask(1, (1, 8), 80)).then_nothing();
        // What needs them all gets them all.
        given::<Room>([]).when(ask(1, (80, 80), 80)).then([leased(1, 80)]);
    }

    #[test]
    fn more_than_there_is_room_for_is_refused() {
        let full = |taken| RoomRejection::Full { limit: 80, taken };
        given::<Room>([leased(1, 80)]).when(ask(2, (1, 64), 80)).then_rejected(&full(80));
        given::<Room>([leased(1, 78)]).when(ask(2, (3, 3), 80)).then_rejected(&full(78));
        given::<Room>([])
            .when(ask(1, (1, 1), 0))
            .then_rejected(&RoomRejection::Full { limit: 0, taken: 0 });
    }

    #[test]
    fn what_comes_back_and_what_is_over_makes_room() {
        let returned = RoomEvent::Returned { lease: lease(1), unspent: 1 };
        given::<Room>([leased(1, 80), returned]).when(ask(2, (1, 64), 80)).then([leased(2, 1)]);
        given::<Room>([leased(1, 80), freed(80)]).when(ask(2, (1, 64), 80)).then([leased(2, 10)]);
    }

    #[test]
    fn nothing_comes_back_twice() {
        let give_back = |n, unspent| RoomCommand::Return { unspent: vec![(lease(n), unspent)] };
        let returned = |unspent| RoomEvent::Returned { lease: lease(1), unspent };
        given::<Room>([leased(1, 8)]).when(give_back(1, 3)).then([returned(3)]);
        given::<Room>([leased(1, 8), returned(6)]).when(give_back(1, 6)).then([returned(2)]);
        given::<Room>([leased(1, 8), returned(8)]).when(give_back(1, 1)).then_nothing();
        given::<Room>([leased(1, 8)]).when(give_back(2, 1)).then_nothing();
        let close = RoomEvent::Freed { over: 8, closed: vec![lease(1)] };
        given::<Room>([leased(1, 8), close]).when(give_back(1, 1)).then_nothing();
    }

    #[test]
    fn a_gateway_that_wakes_up_after_its_lease_returns_nothing_a_second_time() {
        let returned = RoomEvent::Returned { lease: lease(1), unspent: 5 };
        let closed = RoomEvent::Freed { over: 2, closed: vec![lease(1)] };
        let expire = || RoomCommand::Expire { unspent: vec![(lease(1), 5)] };
        given::<Room>([leased(1, 8), freed(2)])
            .when(expire())
            .then([returned.clone(), closed.clone()]);
        let give_back = RoomCommand::Return { unspent: vec![(lease(1), 5)] };
        given::<Room>([leased(1, 8), returned.clone(), closed.clone()])
            .when(give_back)
            .then_nothing();
        given::<Room>([leased(1, 8), returned, closed]).when(expire()).then_nothing();
    }

    #[test]
    fn how_things_stand_is_carried_from_message_to_message() {
        let past = [leased(1, 8), RoomEvent::Returned { lease: lease(1), unspent: 3 }, freed(2)];
        let state = Room::replay(&past);
        let carried = Room::carry(&state).unwrap();
        assert_eq!(Room::carried(&carried), Some(state));
        assert_eq!(Room::carried(&serde_json::json!({ "leased": 8 })), None);
    }

    #[test]
    fn what_is_over_is_said_once() {
        let free = |over| RoomCommand::Free { over, closed: vec![] };
        given::<Room>([leased(1, 8)]).when(free(3)).then([freed(3)]);
        given::<Room>([leased(1, 8), freed(3)]).when(free(3)).then_nothing();
        given::<Room>([leased(1, 8), freed(3)]).when(free(2)).then_nothing();
    }
}
