//! What would have happened: real arrivals and durations, other weights, caps or fleets. Jobs run in
//! their heads only; who goes when is decided by the very code that decides it in earnest.

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

/// A job as it came.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Which.
    pub job: JobId,
    /// Whose.
    pub tenant: Tenant,
    /// Who asked for it.
    pub key: Option<KeyId>,
    /// When.
    pub at: Timestamp,
    /// Not to start earlier.
    pub not_before: Option<Timestamp>,
    /// How urgent.
    pub priority: Priority,
    /// What it would like to run on.
    pub wish: Hardware,
    /// The batch that it is one of.
    pub batch: Option<Membership>,
    /// For how long a slot is busy with it.
    pub takes: Duration,
}

/// A job as it would have gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Which.
    pub job: JobId,
    /// Whose.
    pub tenant: Tenant,
    /// What on.
    pub pool: Pool,
    /// Since when it could go.
    pub ready: Timestamp,
    /// When it went.
    pub started: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
}

/// Lets jobs arrive at a fleet; answers how those ran that found a slot, in the order in which they
/// started.
pub fn simulate(arrivals: &[Arrival], fleet: &BTreeMap<Pool, usize>, caps: Caps) -> Vec<Run> {
    let mut dispatch = Dispatch::new(caps);
    let present = fleet.iter().filter(|(_, slots)| **slots > 0).map(|(pool, _)| *pool).collect();
    let mut coming: Vec<&Arrival> = arrivals.iter().collect();
    coming.sort_by_key(|arrival| (arrival.at, arrival.job));
    let known: BTreeMap<JobId, &Arrival> = coming.iter().map(|one| (one.job, *one)).collect();
    let mut coming = coming.into_iter().peekable();
    let mut ends: BTreeSet<(Timestamp, JobId)> = BTreeSet::new();
    let mut runs = Vec::new();
    loop {
        let next = [
            coming.peek().map(|arrival| arrival.at),
            ends.first().map(|(at, _)| *at),
            dispatch.next_timer(),
        ];
        let Some(now) = next.into_iter().flatten().min() else { return runs };
        while let Some((_, job)) = ends.first().copied().filter(|(at, _)| *at <= now) {
            ends.pop_first();
            if let Some(arrival) = known.get(&job) {
                let done = JobEvent::Completed { attempt: 1 };
                dispatch.job(job, &arrival.tenant, arrival.key, now, &done);
            }
        }
        while let Some(arrival) = coming.next_if(|arrival| arrival.at <= now) {
            let Arrival { job, tenant, key, .. } = arrival;
            dispatch.job(*job, tenant, *key, now, &submitted(arrival));
        }
        let before = runs.len();
        for (pool, slots) in fleet {
            let free = slots.saturating_sub(dispatch.out_in(*pool));
            let jobs = dispatch.choose(*pool, &present, free, now);
            dispatch.written(*pool, now, &DispatchEvent::Released { jobs: jobs.clone() });
            for release in jobs {
                let Some(arrival) = known.get(&release.job) else { continue };
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
        let nothing_moves = runs.len() == before && coming.peek().is_none() && ends.is_empty();
        if nothing_moves && dispatch.next_timer().is_none() {
            // What is left wishes for something that the fleet does not have.
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
