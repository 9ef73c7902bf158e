//! What-if simulation: real arrivals and durations with other weights, limits or fleets. Jobs are
//! not executed; the scheduling decisions are made by the production code.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Caps, Dispatch, DispatchEvent};
use crate::{
    JobId, KeyId, Personal, Tenant, Timestamp,
    job::{JobEvent, JobSpec, Membership, Priority},
    media::{Hardware, MediaRequest, Pool, Probe},
};

/// A job's arrival.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The job.
    pub job: JobId,
    /// The tenant that owns it.
    pub tenant: Tenant,
    /// The key that submitted it.
    pub key: Option<KeyId>,
    /// When it was submitted.
    pub at: Timestamp,
    /// Its earliest start.
    pub not_before: Option<Timestamp>,
    /// Its priority.
    pub priority: Priority,
    /// Its hardware preference.
    pub wish: Hardware,
    /// The batch that it belongs to.
    pub batch: Option<Membership>,
    /// How long it occupies a slot.
    pub takes: Duration,
}

/// A job's simulated run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The job.
    pub job: JobId,
    /// The tenant that owns it.
    pub tenant: Tenant,
    /// The pool that it ran in.
    pub pool: Pool,
    /// Since when it was eligible.
    pub ready: Timestamp,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

/// Simulates job arrivals at a fleet; returns the runs of the jobs that found a slot, in start
/// order.
pub fn simulate(arrivals: &[Arrival], fleet: &BTreeMap<Pool, usize>, caps: Caps) -> Vec<Run> {
    let mut dispatch = Dispatch::new(caps);
    let present = fleet.iter().filter(|(_, slots)| **slots > 0).map(|(pool, _)| *pool).collect();
    let mut arriving: Vec<&Arrival> = arrivals.iter().collect();
    arriving.sort_by_key(|arrival| (arrival.at, arrival.job));
    let by_id: BTreeMap<JobId, &Arrival> = arriving.iter().map(|one| (one.job, *one)).collect();
    let mut arriving = arriving.into_iter().peekable();
    let mut ends: BTreeSet<(Timestamp, JobId)> = BTreeSet::new();
    let mut runs = Vec::new();
    loop {
        let next = [
            arriving.peek().map(|arrival| arrival.at),
            ends.first().map(|(at, _)| *at),
            dispatch.next_timer(),
        ];
        let Some(now) = next.into_iter().flatten().min() else { return runs };
        while let Some((_, job)) = ends.first().copied().filter(|(at, _)| *at <= now) {
            ends.pop_first();
            if let Some(arrival) = by_id.get(&job) {
                let done = JobEvent::Completed { attempt: 1 };
                dispatch.job(job, &arrival.tenant, arrival.key, now, &done);
            }
        }
        while let Some(arrival) = arriving.next_if(|arrival| arrival.at <= now) {
            let Arrival { job, tenant, key, .. } = arrival;
            dispatch.job(*job, tenant, *key, now, &submitted(arrival));
        }
        let before = runs.len();
        for (pool, slots) in fleet {
            let free = slots.saturating_sub(dispatch.in_flight_in(*pool));
            let jobs = dispatch.choose(*pool, &present, free, now);
            dispatch.record_dispatch(*pool, now, &DispatchEvent::Released { jobs: jobs.clone() });
            for release in jobs {
                let Some(arrival) = by_id.get(&release.job) else { continue };
                let started = JobEvent::AttemptStarted {
                    attempt: 1,
                    worker: String::new(),
                    pool: pool.as_str().to_owned(),
                    device: None,
                    waited: None,
                };
                dispatch.job(release.job, &arrival.tenant, arrival.key, now, &started);
                let ended = now.plus(arrival.takes);
                ends.insert((ended, release.job));
                runs.push(Run {
                    job: release.job,
                    tenant: arrival.tenant.clone(),
                    pool: *pool,
                    ready: arrival.not_before.map_or(arrival.at, |due| due.max(arrival.at)),
                    started: now,
                    ended,
                });
            }
        }
        let idle = runs.len() == before && arriving.peek().is_none() && ends.is_empty();
        if idle && dispatch.next_timer().is_none() {
            // The remaining jobs need hardware that the fleet does not have.
            return runs;
        }
    }
}

fn submitted(arrival: &Arrival) -> JobEvent {
    let request = MediaRequest::Probe(Probe { input: Personal::Erased });
    JobEvent::Submitted {
        spec: Box::new(JobSpec {
            priority: arrival.priority,
            not_before: arrival.not_before,
            hardware: Some(arrival.wish),
            batch: arrival.batch,
            ..JobSpec::of(request)
        }),
    }
}
