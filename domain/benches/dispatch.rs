//! Measures a scheduling round while a hundred thousand jobs of a thousand tenants wait.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench has a clock, reports, and fails by panicking"
)]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use ffapi_domain::{
    JobId, Personal, Tenant, Timestamp,
    account::{Limits, Tiers},
    dispatch::{Caps, Dispatch, DispatchEvent},
    job::{JobEvent, JobSpec},
    media::{MediaRequest, Pool, Probe},
};
use uuid::Uuid;

const TENANTS: u128 = 1_000;
const JOBS: u128 = 100_000;
const ROUNDS: u64 = 10_000;

fn main() {
    let free = Limits { concurrent_jobs: 50, ..Limits::default() };
    let caps = Caps::new(Tiers { free, ..Tiers::default() }, Duration::from_mins(10));
    let mut dispatch = Dispatch::new(caps);
    let at = Timestamp::from_millis;
    let tenants: Vec<Tenant> = (0..TENANTS).map(|n| format!("t{n}").parse().unwrap()).collect();
    let of = |n: u128| tenants.get(usize::try_from(n % TENANTS).unwrap()).unwrap();
    let start = Instant::now();
    for n in 0..JOBS {
        let request = MediaRequest::Probe(Probe { input: Personal::Erased });
        let submitted = JobEvent::Submitted { spec: Box::new(JobSpec::of(request)) };
        let job = JobId::from_uuid(Uuid::from_u128(n));
        dispatch.job(job, of(n), None, at(0), &submitted);
    }
    let folded = start.elapsed();
    let present = BTreeSet::from([Pool::Cpu]);
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let now = at(round);
        let start = Instant::now();
        let jobs = dispatch.choose(Pool::Cpu, &present, 1, now);
        let event = DispatchEvent::Released { jobs: jobs.clone() };
        dispatch.record_dispatch(Pool::Cpu, now, &event);
        rounds.push(start.elapsed());
        for release in jobs {
            let worker = String::new();
            let started = JobEvent::AttemptStarted {
                attempt: 1,
                worker,
                pool: "cpu".to_owned(),
                device: None,
                waited: None,
            };
            dispatch.job(release.job, &release.tenant, None, now, &started);
            let done = JobEvent::Completed { attempt: 1 };
            dispatch.job(release.job, &release.tenant, None, at(round + 5), &done);
        }
    }
    rounds.sort_unstable();
    let nth = |percent: usize| *rounds.get(rounds.len() * percent / 100).unwrap();
    println!(
        "a round, {JOBS} jobs of {TENANTS} tenants waiting|p50 {:?}, p99 {:?} (folded in {folded:?})|",
        nth(50),
        nth(99),
    );
}
