//! The state of read models and connections, read whenever metrics are.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use opentelemetry::{KeyValue, metrics::Meter};
use sqlx::PgPool;

use super::{lag::lag, meter, projection_label};

/// What a runner does with its read model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProjectionState {
    /// Another process writes it.
    Waiting,
    /// It follows the log.
    Running,
    /// It failed, and begins again.
    Retrying,
    /// The log is not the one that its rows are from: it stopped.
    Diverged,
}

impl ProjectionState {
    const ALL: [Self; 4] = [Self::Waiting, Self::Running, Self::Retrying, Self::Diverged];

    const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Diverged => "diverged",
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Observed {
    state: ProjectionState,
    /// None until its rows have been read.
    position: Option<u64>,
}

/// The read models of this process.
static PROJECTIONS: Mutex<BTreeMap<&'static str, Observed>> = Mutex::new(BTreeMap::new());
/// Parked messages of each read model, of all processes.
static PARKED: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// Jobs that failed after their last attempt; none until they were counted.
static DEAD_LETTERS: Mutex<Option<u64>> = Mutex::new(None);

pub(crate) fn state_changed(projection: &'static str, state: ProjectionState) {
    let mut all = PROJECTIONS.lock().unwrap_or_else(PoisonError::into_inner);
    all.entry(projection).or_insert(Observed { state, position: None }).state = state;
}

/// Records the sequence up to which a read model has applied the log.
pub(crate) fn position_changed(projection: &'static str, position: u64) {
    let mut all = PROJECTIONS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(observed) = all.get_mut(projection) {
        observed.position = Some(position);
    }
}

pub(crate) fn parked_counted(parked: impl IntoIterator<Item = (String, u64)>) {
    *PARKED.lock().unwrap_or_else(PoisonError::into_inner) = parked.into_iter().collect();
}

pub(crate) fn dead_letters_counted(jobs: u64) {
    *DEAD_LETTERS.lock().unwrap_or_else(PoisonError::into_inner) = Some(jobs);
}

fn projections() -> BTreeMap<&'static str, Observed> {
    PROJECTIONS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The read models that this process writes, with their positions.
fn written() -> impl Iterator<Item = (&'static str, u64)> {
    let written = |(name, observed): (&'static str, Observed)| {
        let waits = observed.state == ProjectionState::Waiting;
        observed.position.filter(|_| !waits).map(|position| (name, position))
    };
    projections().into_iter().filter_map(written)
}

/// Reads the state of the read models of this process whenever metrics are.
pub(crate) fn observe_projections() {
    let meter = meter();
    observe_dead_letters(&meter);
    meter
        .u64_observable_gauge("ffapi.projection.state")
        .with_description("1 for the state that a read model is in, 0 for the others")
        .with_callback(|observer| {
            for (name, observed) in projections() {
                for state in ProjectionState::ALL {
                    let labels =
                        [KeyValue::new("projection", name), KeyValue::new("state", state.name())];
                    observer.observe((observed.state == state).into(), &labels);
                }
            }
        })
        .build();
    meter
        .u64_observable_gauge("ffapi.projection.position")
        .with_description("The sequence up to which a read model has applied its stream")
        .with_callback(|observer| {
            for (name, position) in written() {
                observer.observe(position, &projection_label(name));
            }
        })
        .build();
    meter
        .u64_observable_gauge("ffapi.projection.lag.events")
        .with_description("Messages that a read model has not applied yet")
        .with_callback(|observer| {
            for (name, position) in written() {
                if let Some(lag) = lag(name, position) {
                    observer.observe(lag.events, &projection_label(name));
                }
            }
        })
        .build();
    meter
        .f64_observable_gauge("ffapi.projection.lag")
        .with_unit("s")
        .with_description("Age of the oldest message that a read model has not applied yet")
        .with_callback(|observer| {
            for (name, position) in written() {
                if let Some(lag) = lag(name, position) {
                    observer.observe(lag.time.as_secs_f64(), &projection_label(name));
                }
            }
        })
        .build();
    meter
        .u64_observable_gauge("ffapi.projection.parked_messages")
        .with_description("Messages that are skipped by a read model until it is rebuilt")
        .with_callback(|observer| {
            for (name, parked) in &*PARKED.lock().unwrap_or_else(PoisonError::into_inner) {
                observer.observe(*parked, &[KeyValue::new("projection", name.clone())]);
            }
        })
        .build();
}

fn observe_dead_letters(meter: &Meter) {
    meter
        .u64_observable_gauge("ffapi.dead_letters")
        .with_description("Jobs that failed after their last attempt and were not retried since")
        .with_callback(|observer| {
            if let Some(jobs) = *DEAD_LETTERS.lock().unwrap_or_else(PoisonError::into_inner) {
                observer.observe(jobs, &[]);
            }
        })
        .build();
}

/// Reads the number of connections of a pool whenever metrics are.
pub(crate) fn observe_pool(name: &'static str, pool: &PgPool) {
    let meter = meter();
    let pool_label = KeyValue::new("db.client.connection.pool.name", name);
    let (observed, label) = (pool.clone(), pool_label.clone());
    meter
        .u64_observable_gauge("db.client.connection.count")
        .with_description("Connections to Postgres, by whether they are in use")
        .with_callback(move |observer| {
            let idle = observed.num_idle() as u64;
            let used = u64::from(observed.size()).saturating_sub(idle);
            for (state, count) in [("idle", idle), ("used", used)] {
                let state = KeyValue::new("db.client.connection.state", state);
                observer.observe(count, &[label.clone(), state]);
            }
        })
        .build();
    let max = u64::from(pool.options().get_max_connections());
    meter
        .u64_observable_gauge("db.client.connection.max")
        .with_description("Maximum number of connections to Postgres")
        .with_callback(move |observer| observer.observe(max, std::slice::from_ref(&pool_label)))
        .build();
}
