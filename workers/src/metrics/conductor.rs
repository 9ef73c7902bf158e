//! What the acting conductor sees of all jobs. Only events that are new are counted, by one process.

use std::{sync::LazyLock, time::Duration};

use ffapi_domain::{
    Timestamp,
    dispatch::JobFacts,
    job::{JobEvent, JobSpec},
    media::Pool,
};
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, Meter},
};

pub(crate) use super::queue::{QueueState, queue_changed};
use super::{WORK_SECONDS, count, pool_label, queue, seconds};

/// From a free worker that polls to a queue of a night.
const WAIT_SECONDS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3_600.0, 36_000.0];
/// From an idle round to one that blocks the queue.
const ROUND_SECONDS: [f64; 12] =
    [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(&meter()));

fn meter() -> Meter {
    global::meter("ffapi-workers")
}

struct Instruments {
    submitted: Counter<u64>,
    ended: Counter<u64>,
    durations: Histogram<f64>,
    dispatches: Histogram<f64>,
    retries: Counter<u64>,
    failed_attempts: Counter<u64>,
    abandoned: Counter<u64>,
    releases: Counter<u64>,
    rounds: Histogram<f64>,
    recreations: Counter<u64>,
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        Self {
            submitted: count(meter, "ffapi.jobs.submitted", "Jobs that were submitted"),
            ended: count(
                meter,
                "ffapi.jobs",
                "Jobs that ended, by outcome; `dead_lettered` ones failed after their last attempt",
            ),
            durations: seconds(
                meter,
                "ffapi.job.duration",
                "Time from a job's submission, or its retry by hand, to its end",
                &WORK_SECONDS,
            ),
            dispatches: seconds(
                meter,
                "ffapi.dispatch.duration",
                "Time from when an attempt could start until a worker started it",
                &WAIT_SECONDS,
            ),
            retries: count(
                meter,
                "ffapi.job.retries",
                "Further attempts at jobs: automatic ones, and those requested after the end",
            ),
            failed_attempts: count(
                meter,
                "ffapi.attempts.failed",
                "Attempts that failed, by error",
            ),
            abandoned: count(
                meter,
                "ffapi.attempts.abandoned",
                "Attempts whose worker vanished (`lost`) or was stopped (`handed_back`)",
            ),
            releases: count(
                meter,
                "ffapi.releases",
                "Attempts that workers were permitted to take",
            ),
            rounds: seconds(
                meter,
                "ffapi.conductor.round.duration",
                "Time of one round of everything that is due",
                &ROUND_SECONDS,
            ),
            recreations: count(
                meter,
                "ffapi.queue.recreations",
                "Times that the work queue was missing or had no leader, and was recreated",
            ),
        }
    }
}

/// Starts with known counters at zero, and reads the state of the queue whenever metrics are.
pub(crate) fn prepare() {
    for reason in ["lost", "handed_back"] {
        INSTRUMENTS.abandoned.add(0, &[KeyValue::new("reason", reason)]);
    }
    for cause in ["automatic", "requested"] {
        INSTRUMENTS.retries.add(0, &[KeyValue::new("cause", cause)]);
    }
    INSTRUMENTS.recreations.add(0, &[]);
    queue::observe(&meter());
}

pub(crate) fn round_done(time: Duration) {
    INSTRUMENTS.rounds.record(time.as_secs_f64(), &[]);
}

pub(crate) fn queue_recreated() {
    INSTRUMENTS.recreations.add(1, &[]);
}

pub(crate) fn released(pool: Pool, jobs: usize) {
    INSTRUMENTS.releases.add(jobs as u64, &[pool_label(pool)]);
}

/// Records a new event of a job. `facts` are from before the event.
pub(crate) fn job_event(event: &JobEvent, at: Timestamp, facts: Option<JobFacts>) {
    match event {
        JobEvent::Submitted { spec } => submitted(spec),
        JobEvent::AttemptStarted { pool, .. } => {
            let pool = Pool::ALL.iter().copied().find(|known| known.as_str() == pool);
            if let (Some(pool), Some(facts)) = (pool, facts) {
                let waited = at.since(facts.eligible_since).as_secs_f64();
                INSTRUMENTS.dispatches.record(waited, &[pool_label(pool)]);
            }
        }
        JobEvent::AttemptFailed { failure, retry_at, .. } => {
            let labels = [KeyValue::new("error_code", failure.code.as_str())];
            INSTRUMENTS.failed_attempts.add(1, &labels);
            if retry_at.is_some() {
                INSTRUMENTS.retries.add(1, &[KeyValue::new("cause", "automatic")]);
            }
        }
        JobEvent::AttemptAbandoned { handed_back, .. } => {
            let reason = if *handed_back { "handed_back" } else { "lost" };
            INSTRUMENTS.abandoned.add(1, &[KeyValue::new("reason", reason)]);
        }
        JobEvent::Retried { .. } => {
            INSTRUMENTS.retries.add(1, &[KeyValue::new("cause", "requested")]);
        }
        JobEvent::Completed { .. } => ended("completed", None, at, facts),
        JobEvent::Cancelled {} => ended("cancelled", None, at, facts),
        JobEvent::Failed { failure, dead_lettered } => {
            let outcome = if *dead_lettered { "dead_lettered" } else { "failed" };
            ended(outcome, Some(failure.code.as_str()), at, facts);
        }
        JobEvent::CancelRequested { .. }
        | JobEvent::OutputsSealed { .. }
        | JobEvent::OutputsExpired {}
        | JobEvent::OutputsDeleted { .. }
        | JobEvent::PriorityChanged { .. } => {}
    }
}

fn submitted(spec: &JobSpec) {
    let labels = [
        KeyValue::new("kind", spec.request.kind()),
        KeyValue::new("priority", queue::priority_name(spec.priority)),
    ];
    INSTRUMENTS.submitted.add(1, &labels);
}

fn ended(
    outcome: &'static str,
    error_code: Option<&'static str>,
    at: Timestamp,
    facts: Option<JobFacts>,
) {
    let Some(facts) = facts else { return };
    let kind = KeyValue::new("kind", facts.kind);
    let labels = [kind.clone(), KeyValue::new("outcome", outcome)];
    INSTRUMENTS.durations.record(at.since(facts.submitted_at).as_secs_f64(), &labels);
    let error_code = KeyValue::new("error_code", error_code.unwrap_or("none"));
    INSTRUMENTS.ended.add(1, &[kind, KeyValue::new("outcome", outcome), error_code]);
}
