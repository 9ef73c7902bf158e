//! The queue and the fleet, as the acting conductor last saw them. Other conductors show nothing.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use ffapi_domain::{dispatch::Backlog, job::Priority, media::Pool};
use opentelemetry::{KeyValue, metrics::Meter};

use super::pool_label;
use crate::clock;

/// What the acting conductor knows.
#[derive(Debug, Clone)]
pub(crate) struct QueueState {
    pub(crate) backlog: Backlog,
    /// Jobs that are released and not started, by pool.
    pub(crate) released: BTreeMap<Pool, usize>,
    /// Jobs that a worker has started, by pool.
    pub(crate) running: BTreeMap<Pool, usize>,
    /// Slots of live workers, by pool.
    pub(crate) slots: BTreeMap<Pool, usize>,
    /// Live workers.
    pub(crate) workers: usize,
    /// Aggregates that are skipped because they cannot be read.
    pub(crate) unreadable: usize,
}

static STATE: Mutex<Option<QueueState>> = Mutex::new(None);

/// Records the state of the queue; none if another conductor acts.
pub(crate) fn queue_changed(state: Option<QueueState>) {
    *STATE.lock().unwrap_or_else(PoisonError::into_inner) = state;
}

fn with_state<T>(read: impl FnOnce(&QueueState) -> T) -> Option<T> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(read)
}

pub(super) const fn priority_name(priority: Priority) -> &'static str {
    match priority {
        Priority::Low => "low",
        Priority::Normal => "normal",
        Priority::High => "high",
    }
}

/// Every pool, also those without a worker and without a job: a missing series would hide both.
fn of_all_pools(counts: &BTreeMap<Pool, usize>) -> impl Iterator<Item = (Pool, u64)> {
    Pool::ALL.iter().map(|pool| (*pool, counts.get(pool).copied().unwrap_or(0) as u64))
}

/// The numbers of waiting jobs. Those that are only waiting for a slot are shown even if there are none.
fn waiting(backlog: &Backlog) -> Vec<([KeyValue; 3], u64)> {
    let labels = |pool, priority, reason| {
        [
            pool_label(pool),
            KeyValue::new("priority", priority_name(priority)),
            KeyValue::new("reason", reason),
        ]
    };
    let mut all = Vec::new();
    for pool in Pool::ALL.iter().copied() {
        for priority in [Priority::Low, Priority::Normal, Priority::High] {
            let is_idle = !backlog.jobs.keys().any(|group| {
                (group.pool, group.priority, group.reason) == (pool, priority, "busy")
            });
            if is_idle {
                all.push((labels(pool, priority, "busy"), 0));
            }
        }
    }
    let groups = backlog.jobs.iter();
    all.extend(
        groups
            .map(|(group, jobs)| (labels(group.pool, group.priority, group.reason), *jobs as u64)),
    );
    all
}

pub(super) fn observe(meter: &Meter) {
    meter
        .u64_observable_gauge("ffapi.queue.jobs")
        .with_description("Waiting jobs, by why they wait; also of pools that have no worker")
        .with_callback(|observer| {
            for (labels, jobs) in with_state(|state| waiting(&state.backlog)).unwrap_or_default() {
                observer.observe(jobs, &labels);
            }
        })
        .build();
    meter
        .f64_observable_gauge("ffapi.queue.oldest_age")
        .with_unit("s")
        .with_description("How long the job that has been eligible longest has waited for a pool")
        .with_callback(|observer| {
            let Some(oldest) = with_state(|state| state.backlog.oldest.clone()) else { return };
            for pool in Pool::ALL.iter().copied() {
                let age = oldest.get(&pool).map(|since| clock::now().since(*since));
                observer.observe(age.unwrap_or_default().as_secs_f64(), &[pool_label(pool)]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("ffapi.jobs.in_flight")
        .with_description("Jobs that are released to a pool, and those that a worker has started")
        .with_callback(|observer| {
            let counts = with_state(|state| (state.released.clone(), state.running.clone()));
            let Some((released, running)) = counts else { return };
            for (state, counts) in [("released", released), ("running", running)] {
                for (pool, jobs) in of_all_pools(&counts) {
                    observer.observe(jobs, &[pool_label(pool), KeyValue::new("state", state)]);
                }
            }
        })
        .build();
    meter
        .u64_observable_gauge("ffapi.fleet.slots")
        .with_description("Slots of all live workers that accept tasks")
        .with_callback(|observer| {
            let Some(slots) = with_state(|state| state.slots.clone()) else { return };
            for (pool, slots) in of_all_pools(&slots) {
                observer.observe(slots, &[pool_label(pool)]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("ffapi.fleet.workers")
        .with_description("Workers that sent a heartbeat within six seconds")
        .with_callback(|observer| {
            if let Some(workers) = with_state(|state| state.workers) {
                observer.observe(workers as u64, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("ffapi.conductor.unreadable_aggregates")
        .with_description("Aggregates that are skipped because they cannot be read")
        .with_callback(|observer| {
            if let Some(unreadable) = with_state(|state| state.unreadable) {
                observer.observe(unreadable as u64, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("ffapi.conductor.acting")
        .with_description("1 if this conductor is the one that acts, else 0")
        .with_callback(|observer| {
            observer.observe(with_state(|_| ()).is_some().into(), &[]);
        })
        .build();
}
