//! The queue slots of a tenant: how many unfinished jobs it may have.
//!
//! A gateway leases a block of slots, each job that it submits spends one of them within the job's
//! own message, and the conductor reports how many of those jobs have ended. Slots leased, minus
//! slots returned unspent, minus jobs ended, never exceed the account's limit; and a submission
//! needs no additional message.

mod tracker;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Category, Decider, LeaseId, Timestamp};

pub use self::tracker::{Due, QueueQuotaTracker};

/// What happened to a tenant's queue slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueQuotaEvent {
    /// A block of slots was leased to a gateway.
    #[serde(rename = "room.leased")]
    Leased {
        /// The lease's id, which jobs name when they spend one of its slots.
        lease: LeaseId,
        /// Number of slots.
        #[serde(rename = "places")]
        slots: u32,
        /// The lease's end: no slot of it is spent later.
        until: Timestamp,
    },
    /// Slots of a lease were returned unspent, and will not be spent.
    #[serde(rename = "room.returned")]
    Returned {
        /// The lease they belong to.
        lease: LeaseId,
        /// Number of slots returned.
        unspent: u32,
    },
    /// Jobs that occupied slots ended.
    #[serde(rename = "room.freed")]
    Freed {
        /// Total number of jobs that have ended.
        over: u64,
        /// Leases whose slots are all spent or returned; nothing more is recorded for them.
        closed: Vec<LeaseId>,
    },
}

/// A command for a tenant's queue slots.
#[derive(Debug, Clone)]
pub enum QueueQuotaCommand {
    /// Lease slots: fewer than requested near the limit, so that no gateway holds slots that
    /// another one needs.
    Lease {
        /// Id of the new lease.
        lease: LeaseId,
        /// Minimum number of slots.
        least: u32,
        /// Maximum number of slots.
        most: u32,
        /// The lease's end: no slot of it is spent later.
        until: Timestamp,
        /// The account's limit.
        limit: u32,
    },
    /// Return slots.
    Return {
        /// Number of unspent slots by lease.
        unspent: Vec<(LeaseId, u32)>,
    },
    /// Take back the remaining slots of expired leases whose gateways are dead or stalled. A
    /// gateway that resumes later has nothing to return.
    Expire {
        /// Number of unspent slots by lease.
        unspent: Vec<(LeaseId, u32)>,
    },
    /// Report ended jobs.
    Free {
        /// Total number of jobs that have ended.
        over: u64,
        /// Leases that are used up.
        closed: Vec<LeaseId>,
    },
}

/// State of a tenant's queue slots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueQuotaState {
    leased: u64,
    returned: u64,
    over: u64,
    /// Slots that may still be returned, of each lease that is not closed.
    open: BTreeMap<LeaseId, u32>,
}

impl QueueQuotaState {
    /// Unfinished jobs, plus slots that gateways hold for new ones.
    pub const fn taken(&self) -> u64 {
        self.leased.saturating_sub(self.returned).saturating_sub(self.over)
    }

    /// Number of returnable slots of a lease; 0 if it is closed.
    pub fn slots(&self, lease: LeaseId) -> u32 {
        self.open.get(&lease).copied().unwrap_or(0)
    }

    /// True if gateways may hold unspent slots.
    pub fn has_open_leases(&self) -> bool {
        !self.open.is_empty()
    }
}

/// The queue quota decider.
#[derive(Debug)]
pub struct QueueQuota;

/// Why a queue quota command is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueQuotaRejection {
    /// There are not enough free slots.
    #[error("the account's queue has {limit} slots, and {taken} are taken")]
    Full {
        /// The account's limit.
        limit: u32,
        /// Slots in use or leased.
        taken: u64,
    },
}

/// One block takes at most this fraction (1/8) of the free slots.
const BLOCK_FRACTION: u64 = 8;

/// The events for slots returned: no more than each lease has.
fn returned(
    state: &QueueQuotaState,
    unspent: Vec<(LeaseId, u32)>,
) -> impl Iterator<Item = QueueQuotaEvent> + use<'_> {
    unspent.into_iter().filter_map(|(lease, unspent)| {
        let unspent = unspent.min(state.slots(lease));
        (unspent > 0).then_some(QueueQuotaEvent::Returned { lease, unspent })
    })
}

impl Decider for QueueQuota {
    type Command = QueueQuotaCommand;
    type Event = QueueQuotaEvent;
    type State = QueueQuotaState;
    type Rejection = QueueQuotaRejection;

    const CATEGORY: &'static str = Category::QueueQuota.as_str();

    fn decide(
        state: &QueueQuotaState,
        command: QueueQuotaCommand,
    ) -> Result<Vec<QueueQuotaEvent>, QueueQuotaRejection> {
        match command {
            QueueQuotaCommand::Lease { lease, .. } if state.open.contains_key(&lease) => Ok(vec![]),
            QueueQuotaCommand::Lease { lease, least, most, until, limit } => {
                let free = u64::from(limit).saturating_sub(state.taken());
                if free < u64::from(least) {
                    return Err(QueueQuotaRejection::Full { limit, taken: state.taken() });
                }
                let share = u32::try_from(free / BLOCK_FRACTION).unwrap_or(u32::MAX);
                let slots = share.min(most).max(least);
                Ok(vec![QueueQuotaEvent::Leased { lease, slots, until }])
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
            QueueQuotaEvent::Leased { lease, slots, .. } => {
                state.leased = state.leased.saturating_add((*slots).into());
                state.open.insert(*lease, *slots);
            }
            QueueQuotaEvent::Returned { lease, unspent } => {
                state.returned = state.returned.saturating_add((*unspent).into());
                if let Some(slots) = state.open.get_mut(lease) {
                    *slots = slots.saturating_sub(*unspent);
                    if *slots == 0 {
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

    fn request(n: u128, (least, most): (u32, u32), limit: u32) -> QueueQuotaCommand {
        let until = Timestamp::from_millis(9);
        QueueQuotaCommand::Lease { lease: lease(n), least, most, until, limit }
    }

    fn leased(n: u128, slots: u32) -> QueueQuotaEvent {
        QueueQuotaEvent::Leased { lease: lease(n), slots, until: Timestamp::from_millis(9) }
    }

    fn freed(over: u64) -> QueueQuotaEvent {
        QueueQuotaEvent::Freed { over, closed: vec![] }
    }

    #[test]
    fn blocks_shrink_near_the_limit() {
        given::<QueueQuota>([]).when(request(1, (1, 64), 10_000)).then([leased(1, 64)]);
        given::<QueueQuota>([]).when(request(1, (1, 64), 80)).then([leased(1, 10)]);
        given::<QueueQuota>([leased(1, 78)]).when(request(2, (1, 64), 80)).then([leased(2, 1)]);
        // A repeated request is granted once.
        given::<QueueQuota>([leased(1, 8)]).when(request(1, (1, 8), 80)).then_nothing();
        // A request that needs all slots gets them all.
        given::<QueueQuota>([]).when(request(1, (80, 80), 80)).then([leased(1, 80)]);
    }

    #[test]
    fn a_request_beyond_the_limit_is_rejected() {
        let full = |taken| QueueQuotaRejection::Full { limit: 80, taken };
        given::<QueueQuota>([leased(1, 80)]).when(request(2, (1, 64), 80)).then_rejected(&full(80));
        given::<QueueQuota>([leased(1, 78)]).when(request(2, (3, 3), 80)).then_rejected(&full(78));
        given::<QueueQuota>([])
            .when(request(1, (1, 1), 0))
            .then_rejected(&QueueQuotaRejection::Full { limit: 0, taken: 0 });
    }

    #[test]
    fn returned_slots_and_ended_jobs_free_capacity() {
        let returned = QueueQuotaEvent::Returned { lease: lease(1), unspent: 1 };
        given::<QueueQuota>([leased(1, 80), returned])
            .when(request(2, (1, 64), 80))
            .then([leased(2, 1)]);
        given::<QueueQuota>([leased(1, 80), freed(80)])
            .when(request(2, (1, 64), 80))
            .then([leased(2, 10)]);
    }

    #[test]
    fn slots_are_returned_once() {
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
    fn a_gateway_that_resumes_after_its_lease_expired_returns_nothing() {
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
    fn a_snapshot_round_trips() {
        let past =
            [leased(1, 8), QueueQuotaEvent::Returned { lease: lease(1), unspent: 3 }, freed(2)];
        let state = QueueQuota::replay(&past);
        let from_snapshot = QueueQuota::snapshot(&state).unwrap();
        assert_eq!(QueueQuota::from_snapshot(&from_snapshot), Some(state));
        assert_eq!(QueueQuota::from_snapshot(&serde_json::json!({ "leased": 8 })), None);
    }

    #[test]
    fn ended_jobs_are_reported_once() {
        let free = |over| QueueQuotaCommand::Free { over, closed: vec![] };
        given::<QueueQuota>([leased(1, 8)]).when(free(3)).then([freed(3)]);
        given::<QueueQuota>([leased(1, 8), freed(3)]).when(free(3)).then_nothing();
        given::<QueueQuota>([leased(1, 8), freed(3)]).when(free(2)).then_nothing();
    }
}
