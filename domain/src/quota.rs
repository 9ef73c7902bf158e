//! A tenant's media minutes in one calendar month (UTC): reserved before they are used, settled
//! when the job ends. The sum of reserved and used minutes never exceeds the account's limit.

mod tracker;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Category, Decider, JobId, KeyId, media::Micros};

pub use self::tracker::{Due, QuotaTracker};

/// Microseconds in a media minute.
pub const MINUTE: Micros = 60_000_000;

/// Media time in minutes, not rounded.
#[expect(clippy::cast_precision_loss, reason = "far from what a float cannot count")]
pub const fn minutes(micros: Micros) -> f64 {
    micros as f64 / MINUTE as f64
}

/// What happened to a month's minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuotaEvent {
    /// Media time was reserved for a job.
    #[serde(rename = "quota.reserved")]
    Reserved {
        /// The job.
        job: JobId,
        /// The key that submitted it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<KeyId>,
        /// Ancestors of that key, the nearest first: the time counts towards their limits too.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        makers: Vec<KeyId>,
        /// Media time in microseconds.
        micros: Micros,
    },
    /// The job ended; this much media time is charged.
    #[serde(rename = "quota.settled")]
    Settled {
        /// The job.
        job: JobId,
        /// Media time in microseconds; 0 if it made no output.
        micros: Micros,
    },
}

/// A command for a month's minutes.
#[derive(Debug, Clone)]
pub enum QuotaCommand {
    /// Reserve media time for a job. Idempotent per job.
    Reserve {
        /// The job.
        job: JobId,
        /// The key that submitted it.
        key: Option<KeyId>,
        /// Media time in microseconds.
        micros: Micros,
        /// The account's monthly limit.
        limit: Micros,
        /// The key's monthly limit.
        key_limit: Option<Micros>,
        /// Ancestors of the key, the nearest first: their limits apply too.
        makers: Vec<Budget>,
    },
    /// Charge what an ended job used.
    Settle {
        /// The job.
        job: JobId,
        /// Media time to charge, in microseconds.
        micros: Micros,
    },
}

/// The monthly limit of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// The key.
    pub key: KeyId,
    /// Media time in microseconds; `None` if the key has no limit.
    pub limit: Option<Micros>,
}

/// The reservation of one job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Reservation {
    /// The key that submitted the job, and that key's ancestors.
    keys: Vec<KeyId>,
    micros: Micros,
}

/// State of a month's media time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuotaState {
    /// Reservations of jobs that have not ended.
    open: BTreeMap<JobId, Reservation>,
    /// Media time that ended jobs used.
    used: Micros,
    used_by: BTreeMap<KeyId, Micros>,
}

impl QuotaState {
    /// Media time used and reserved.
    pub fn taken(&self) -> Micros {
        let open = self.open.values().map(|reservation| reservation.micros);
        open.fold(self.used, Micros::saturating_add)
    }

    /// Media time used and reserved by one key and its descendants.
    pub fn taken_by(&self, key: KeyId) -> Micros {
        let used = self.used_by.get(&key).copied().unwrap_or(0);
        let open = self.open.values().filter(|reservation| reservation.keys.contains(&key));
        open.map(|reservation| reservation.micros).fold(used, Micros::saturating_add)
    }

    /// Media time that is reserved for a job already.
    fn reserved(&self, job: JobId) -> Micros {
        self.open.get(&job).map_or(0, |reservation| reservation.micros)
    }
}

/// The quota decider.
#[derive(Debug)]
pub struct Quota;

/// Why a quota command is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuotaRejection {
    /// Not enough media time is left.
    #[error("{whose} has {left} media minutes left this month, and this job takes {wanted}")]
    Exceeded {
        /// The exceeded limit: `the account`, `the key` or `a key that made it`.
        whose: &'static str,
        /// Minutes left, rounded down.
        left: Micros,
        /// Minutes needed, rounded up.
        wanted: Micros,
    },
}

impl Decider for Quota {
    type Command = QuotaCommand;
    type Event = QuotaEvent;
    type State = QuotaState;
    type Rejection = QuotaRejection;

    const CATEGORY: &'static str = Category::Quota.as_str();

    fn decide(
        state: &QuotaState,
        command: QuotaCommand,
    ) -> Result<Vec<QuotaEvent>, QuotaRejection> {
        match command {
            QuotaCommand::Reserve { job, key, micros, limit, key_limit, makers } => {
                let reserved = state.reserved(job);
                if state.open.contains_key(&job) && reserved >= micros {
                    return Ok(vec![]);
                }
                let check = |whose, taken: Micros, limit: Micros| {
                    let left = limit.saturating_sub(taken.saturating_sub(reserved));
                    let (left, wanted) = (left / MINUTE, micros.div_ceil(MINUTE));
                    let exceeded = QuotaRejection::Exceeded { whose, left, wanted };
                    let total = taken.saturating_sub(reserved).saturating_add(micros);
                    if total > limit { Err(exceeded) } else { Ok(()) }
                };
                check("the account", state.taken(), limit)?;
                if let (Some(key), Some(limit)) = (key, key_limit) {
                    check("the key", state.taken_by(key), limit)?;
                }
                for maker in &makers {
                    if let Some(limit) = maker.limit {
                        check("a key that made it", state.taken_by(maker.key), limit)?;
                    }
                }
                let makers = makers.into_iter().map(|maker| maker.key).collect();
                Ok(vec![QuotaEvent::Reserved { job, key, makers, micros }])
            }
            QuotaCommand::Settle { job, .. } if !state.open.contains_key(&job) => Ok(vec![]),
            QuotaCommand::Settle { job, micros } => Ok(vec![QuotaEvent::Settled { job, micros }]),
        }
    }

    fn evolve(mut state: QuotaState, event: &QuotaEvent) -> QuotaState {
        match event {
            QuotaEvent::Reserved { job, key, makers, micros } => {
                let keys = key.iter().chain(makers).copied().collect();
                state.open.insert(*job, Reservation { keys, micros: *micros });
            }
            QuotaEvent::Settled { job, micros } => {
                let reserved = state.open.remove(job);
                state.used = state.used.saturating_add(*micros);
                for key in reserved.map(|reservation| reservation.keys).unwrap_or_default() {
                    let used = state.used_by.entry(key).or_default();
                    *used = used.saturating_add(*micros);
                }
            }
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::spec::given;

    fn job(n: u128) -> JobId {
        JobId::from_uuid(Uuid::from_u128(n))
    }

    fn key() -> KeyId {
        KeyId::from_uuid(Uuid::from_u128(1))
    }

    fn reserve(n: u128, minutes: Micros, key_limit: Option<Micros>) -> QuotaCommand {
        QuotaCommand::Reserve {
            job: job(n),
            key: Some(key()),
            micros: minutes * MINUTE,
            limit: 10 * MINUTE,
            key_limit: key_limit.map(|minutes| minutes * MINUTE),
            makers: vec![],
        }
    }

    fn reserved(n: u128, minutes: Micros) -> QuotaEvent {
        let micros = minutes * MINUTE;
        QuotaEvent::Reserved { job: job(n), key: Some(key()), makers: vec![], micros }
    }

    fn child(n: u128) -> KeyId {
        KeyId::from_uuid(Uuid::from_u128(100 + n))
    }

    /// The same, by a key that `key()` created.
    fn reserve_as_child(n: u128, minutes: Micros, maker_limit: Micros) -> QuotaCommand {
        QuotaCommand::Reserve {
            job: job(n),
            key: Some(child(n)),
            micros: minutes * MINUTE,
            limit: 10 * MINUTE,
            key_limit: Some(maker_limit * MINUTE),
            makers: vec![Budget { key: key(), limit: Some(maker_limit * MINUTE) }],
        }
    }

    fn reserved_by_child(n: u128, minutes: Micros) -> QuotaEvent {
        let micros = minutes * MINUTE;
        QuotaEvent::Reserved { job: job(n), key: Some(child(n)), makers: vec![key()], micros }
    }

    fn settled(n: u128, minutes: Micros) -> QuotaEvent {
        QuotaEvent::Settled { job: job(n), micros: minutes * MINUTE }
    }

    fn exceeded(whose: &'static str, left: Micros, wanted: Micros) -> QuotaRejection {
        QuotaRejection::Exceeded { whose, left, wanted }
    }

    #[test]
    fn reserved_and_used_time_never_exceed_the_limit() {
        given::<Quota>([]).when(reserve(1, 10, None)).then([reserved(1, 10)]);
        given::<Quota>([reserved(1, 6)]).when(reserve(2, 4, None)).then([reserved(2, 4)]);
        given::<Quota>([reserved(1, 6)]).when(reserve(2, 5, None)).then_rejected(&exceeded(
            "the account",
            4,
            5,
        ));
        given::<Quota>([reserved(1, 6), settled(1, 6)])
            .when(reserve(2, 5, None))
            .then_rejected(&exceeded("the account", 4, 5));
        given::<Quota>([reserved(1, 6), settled(1, 0)])
            .when(reserve(2, 5, None))
            .then([reserved(2, 5)]);
    }

    #[test]
    fn a_key_limit_narrows_the_account_limit() {
        given::<Quota>([reserved(1, 2)])
            .when(reserve(2, 2, Some(3)))
            .then_rejected(&exceeded("the key", 1, 2));
    }

    #[test]
    fn child_keys_share_their_parents_budget() {
        given::<Quota>([]).when(reserve_as_child(1, 2, 2)).then([reserved_by_child(1, 2)]);
        for before in [vec![], vec![settled(1, 2)]] {
            let before = std::iter::once(reserved_by_child(1, 2)).chain(before);
            given::<Quota>(before).when(reserve_as_child(2, 1, 2)).then_rejected(&exceeded(
                "a key that made it",
                0,
                1,
            ));
        }
        // The parent key cannot use what its children used.
        given::<Quota>([reserved_by_child(1, 2)])
            .when(reserve(3, 1, Some(2)))
            .then_rejected(&exceeded("the key", 0, 1));
    }

    #[test]
    fn another_attempt_of_the_same_job_reserves_no_more() {
        given::<Quota>([reserved(1, 6)]).when(reserve(1, 6, None)).then_nothing();
        given::<Quota>([reserved(1, 6)]).when(reserve(1, 7, None)).then([reserved(1, 7)]);
        let settle = QuotaCommand::Settle { job: job(1), micros: 6 * MINUTE };
        given::<Quota>([reserved(1, 6)]).when(settle.clone()).then([settled(1, 6)]);
        given::<Quota>([reserved(1, 6), settled(1, 6)]).when(settle).then_nothing();
    }
}
