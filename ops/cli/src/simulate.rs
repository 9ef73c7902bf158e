//! Simulates the scheduling of past jobs with other weights, limits or worker fleets.

use std::{collections::BTreeMap, io::Write, time::Duration};

use anyhow::Context;
use ffapi_domain::{
    Category, Decider, JobId, Tenant, Timestamp,
    account::{Account, AccountEvent, AccountTerms, LimitsPatch},
    dispatch::{
        Caps,
        simulate::{Arrival, Run, simulate as run},
    },
    job::{Job, JobEvent},
    media::Pool,
};
use ffapi_nats::{Actor, Decision, Message, subject};

use crate::{arguments::Simulate, config::Config, roles::AppContext};

/// A job of the log with its actual times.
struct RecordedJob {
    arrival: Arrival,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
}

/// The waiting times of a tenant's jobs, and the total time that slots were busy with them.
#[derive(Default)]
struct TenantTotals {
    waits: Vec<Duration>,
    busy: Duration,
}

/// Prints actual and simulated waiting times and utilisation.
pub(crate) async fn simulate(config: &Config, asked: Simulate) -> anyhow::Result<()> {
    let context = AppContext::new(config).await?;
    let time = |text: &Option<String>, name: &str| {
        let parsed = text.as_deref().map(str::parse::<Timestamp>).transpose();
        parsed.with_context(|| format!("--{name} must be a time like 2026-11-21T12:00:00Z"))
    };
    let (from, to) = (time(&asked.from, "from")?, time(&asked.to, "to")?);
    let log = context.commands.log();
    let last = log.last_sequence().await?;
    let mut caps = Caps::new(config.tiers.clone(), config.scheduling.aging);
    let mut pages = log.pages(subject::category(Category::Account.as_str()), last);
    while let Some(messages) = pages.next().await? {
        for message in &messages {
            account(&context, message, &mut caps).await?;
        }
    }
    apply_overrides(&asked, &mut caps)?;
    let mut messages = Vec::new();
    let mut pages = log.pages(subject::category(Category::Job.as_str()), last);
    while let Some(page) = pages.next().await? {
        messages.extend(page);
    }
    let mut real = read(&context, &messages).await?;
    real.retain(|job| {
        from.is_none_or(|from| job.arrival.at >= from)
            && to.is_none_or(|to| job.arrival.at < to)
            && job.started.is_some()
            && job.ended.is_some()
    });
    anyhow::ensure!(!real.is_empty(), "no job was submitted in that time and has ended");
    let fleet = fleet(&asked)?;
    let arrivals: Vec<Arrival> = real.iter().map(|job| job.arrival.clone()).collect();
    let runs = run(&arrivals, &fleet, caps);
    report(&real, &runs, fleet.values().sum())
}

async fn account(context: &AppContext, message: &Message, caps: &mut Caps) -> anyhow::Result<()> {
    let Some((Account::CATEGORY, tenant, _)) = message.address() else { return Ok(()) };
    let decision: Decision<AccountEvent> = context.commands.codec().read(message).await?;
    let tenant: Tenant = tenant.parse()?;
    for event in &decision.events {
        caps.account(&tenant, event);
    }
    Ok(())
}

/// Applies the requested `tenant=weight` and `tenant=jobs` overrides.
fn apply_overrides(asked: &Simulate, caps: &mut Caps) -> anyhow::Result<()> {
    let mut patches: BTreeMap<Tenant, LimitsPatch> = BTreeMap::new();
    for (overrides, is_weight) in [(&asked.weight, true), (&asked.cap, false)] {
        for one in overrides {
            let (tenant, number) =
                one.split_once('=').with_context(|| format!("{one} must be tenant=number"))?;
            let number: u32 = number.parse().with_context(|| format!("{one}: not a number"))?;
            let patch = patches.entry(tenant.parse()?).or_default();
            if is_weight {
                patch.weight = Some(number);
            } else {
                patch.concurrent_jobs = Some(number);
            }
        }
    }
    for (tenant, limits) in patches {
        let terms = AccountTerms { limits, ..caps.terms(&tenant) };
        caps.account(&tenant, &AccountEvent::Changed { terms });
    }
    Ok(())
}

fn fleet(asked: &Simulate) -> anyhow::Result<BTreeMap<Pool, usize>> {
    let mut fleet = BTreeMap::new();
    for one in &asked.slots {
        let (pool, slots) = one.split_once('=').unwrap_or(("cpu", one.as_str()));
        let known = Pool::ALL.iter().copied().find(|known| known.as_str() == pool);
        let pool = known.with_context(|| format!("{pool} is not a pool"))?;
        fleet.insert(pool, slots.parse().with_context(|| format!("{one}: not a number of slots"))?);
    }
    Ok(fleet)
}

async fn read(context: &AppContext, messages: &[Message]) -> anyhow::Result<Vec<RecordedJob>> {
    let mut jobs: BTreeMap<JobId, RecordedJob> = BTreeMap::new();
    for message in messages {
        let Some((Job::CATEGORY, tenant, id)) = message.address() else { continue };
        let (id, tenant): (JobId, Tenant) = (id.parse()?, tenant.parse()?);
        let decision: Decision<JobEvent> = context.commands.codec().read(message).await?;
        let at = Timestamp::from_millis(decision.at);
        for event in &decision.events {
            if let JobEvent::Submitted { spec } = event {
                let key = match &decision.actor {
                    Actor::Key(key) => key.parse().ok(),
                    Actor::Worker(_) | Actor::Process(_) => None,
                };
                let arrival = Arrival {
                    job: id,
                    tenant: tenant.clone(),
                    key,
                    at,
                    not_before: spec.not_before,
                    priority: spec.priority,
                    wish: spec.hardware.unwrap_or_default(),
                    batch: spec.batch,
                    takes: Duration::ZERO,
                };
                jobs.insert(id, RecordedJob { arrival, started: None, ended: None });
            }
            let Some(job) = jobs.get_mut(&id) else { continue };
            match event {
                // The duration of a retried job includes all its attempts.
                JobEvent::AttemptStarted { .. } => job.started = job.started.or(Some(at)),
                JobEvent::Completed { .. } | JobEvent::Failed { .. } | JobEvent::Cancelled {} => {
                    job.ended = Some(at);
                    job.arrival.takes =
                        job.started.map(|start| at.since(start)).unwrap_or_default();
                }
                _ => {}
            }
        }
    }
    Ok(jobs.into_values().collect())
}

fn report(real: &[RecordedJob], runs: &[Run], slots: usize) -> anyhow::Result<()> {
    let (mut actual, mut simulated): (
        BTreeMap<&Tenant, TenantTotals>,
        BTreeMap<&Tenant, TenantTotals>,
    ) = (BTreeMap::new(), BTreeMap::new());
    let ready = |job: &Arrival| job.not_before.map_or(job.at, |due| due.max(job.at));
    for job in real {
        let (Some(started), Some(ended)) = (job.started, job.ended) else { continue };
        let sum = actual.entry(&job.arrival.tenant).or_default();
        sum.waits.push(started.since(ready(&job.arrival)));
        sum.busy = sum.busy.saturating_add(ended.since(started));
    }
    for run in runs {
        let sum = simulated.entry(&run.tenant).or_default();
        sum.waits.push(run.started.since(run.ready));
        sum.busy = sum.busy.saturating_add(run.ended.since(run.started));
    }
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{:<20} {:>6}  {:>27}  {:>27}",
        "tenant", "jobs", "waited: p50 / p95 / max", "would: p50 / p95 / max"
    )?;
    for (tenant, sum) in &mut actual {
        let then = simulated.entry(*tenant).or_default();
        let jobs = sum.waits.len();
        writeln!(out, "{tenant:<20} {jobs:>6}  {:>27}  {:>27}", sum.shown(), then.shown())?;
    }
    let span = |begins: Option<Timestamp>, ends: Option<Timestamp>| {
        ends.zip(begins).map_or(Duration::ZERO, |(end, begin)| end.since(begin))
    };
    let begin = real.iter().map(|job| job.arrival.at).min();
    let really = span(begin, real.iter().filter_map(|job| job.ended).max());
    let then = span(begin, runs.iter().map(|run| run.ended).max());
    let busy = |sums: &BTreeMap<&Tenant, TenantTotals>| -> f64 {
        sums.values().map(|sum| sum.busy.as_secs_f64()).sum()
    };
    writeln!(
        out,
        "all done after {:.1} s, would be after {:.1} s; {slots} slots would be busy {:.0} % of it",
        really.as_secs_f64(),
        then.as_secs_f64(),
        busy(&simulated) / (then.as_secs_f64() * slots_f64(slots)).max(f64::EPSILON) * 100.0,
    )?;
    if runs.len() < real.len() {
        let left = real.len().saturating_sub(runs.len());
        writeln!(out, "{left} jobs would never run: no slot of this fleet can run them")?;
    }
    Ok(())
}

fn slots_f64(slots: usize) -> f64 {
    u32::try_from(slots).map_or(f64::MAX, f64::from)
}

impl TenantTotals {
    fn shown(&mut self) -> String {
        self.waits.sort_unstable();
        let nth = |percent: usize| {
            let last = self.waits.len().saturating_sub(1);
            let wait = self.waits.get(last.saturating_mul(percent) / 100);
            wait.map_or(0.0, Duration::as_secs_f64)
        };
        format!("{:.1} / {:.1} / {:.1} s", nth(50), nth(95), nth(100))
    }
}
