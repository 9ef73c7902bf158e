use std::time::Duration;

use uuid::Uuid;

use super::{
    simulate::{Arrival, Run, simulate},
    *,
};
use crate::{
    Personal,
    account::{AccountEvent, AccountTerms, Limits, LimitsPatch, Tiers},
    job::{Failure, FailureCode, JobSpec},
    key::{KeyEvent, KeyTerms},
    media::{Fallback, MediaRequest, Probe},
};

const NORMAL: Priority = Priority::Normal;
const AGING: Duration = Duration::from_mins(10);

pub(super) fn job(n: u128) -> JobId {
    JobId::from_uuid(Uuid::from_u128(n))
}

fn key(n: u128) -> KeyId {
    KeyId::from_uuid(Uuid::from_u128(n))
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

pub(super) const fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(super) fn spec() -> JobSpec {
    JobSpec::of(MediaRequest::Probe(Probe { input: Personal::Erased }))
}

pub(super) fn submitted(spec: JobSpec) -> JobEvent {
    JobEvent::Submitted { spec: Box::new(spec) }
}

/// Concurrency limit of every tenant.
pub(super) fn caps(concurrent_jobs: u32) -> Caps {
    let free = Limits { concurrent_jobs, ..Limits::default() };
    Caps::new(Tiers { free, ..Tiers::default() }, AGING)
}

fn dispatch_within(max: u32, jobs: &[(u128, &str, Priority)]) -> Dispatch {
    let mut dispatch = Dispatch::new(caps(max));
    for (n, name, priority) in jobs {
        fold(&mut dispatch, *n, name, &submitted(JobSpec { priority: *priority, ..spec() }));
    }
    dispatch
}

fn dispatch(jobs: &[(u128, &str, Priority)]) -> Dispatch {
    dispatch_within(100, jobs)
}

pub(super) fn fold_at(dispatch: &mut Dispatch, n: u128, name: &str, now: u64, event: &JobEvent) {
    dispatch.job(job(n), &tenant(name), None, at(now), event);
}

pub(super) fn fold(dispatch: &mut Dispatch, n: u128, name: &str, event: &JobEvent) {
    fold_at(dispatch, n, name, 0, event);
}

pub(super) fn started(attempt: u32, pool: &str) -> JobEvent {
    JobEvent::AttemptStarted {
        attempt,
        worker: "w".to_owned(),
        pool: pool.to_owned(),
        device: None,
        waited: None,
    }
}

fn choose_at(dispatch: &mut Dispatch, free: usize, now: u64) -> Vec<Release> {
    dispatch.choose(Pool::Cpu, &BTreeSet::from([Pool::Cpu]), free, at(now))
}

fn chosen(dispatch: &mut Dispatch, free: usize) -> Vec<JobId> {
    choose_at(dispatch, free, 0).into_iter().map(|release| release.job).collect()
}

fn release_at(dispatch: &mut Dispatch, free: usize, now: u64) -> Vec<Release> {
    let jobs = choose_at(dispatch, free, now);
    dispatch.record_dispatch(Pool::Cpu, at(now), &DispatchEvent::Released { jobs: jobs.clone() });
    jobs
}

fn release(dispatch: &mut Dispatch, free: usize) -> Vec<JobId> {
    release_at(dispatch, free, 0).into_iter().map(|release| release.job).collect()
}

#[test]
fn tenants_take_turns() {
    let mut d = dispatch(&[(1, "a", NORMAL), (2, "a", NORMAL), (3, "a", NORMAL), (4, "b", NORMAL)]);
    assert_eq!(chosen(&mut d, 3), [job(1), job(4), job(2)]);
}

#[test]
fn turns_continue_across_rounds() {
    let mut d = dispatch(&[(1, "a", NORMAL), (2, "a", NORMAL), (3, "b", NORMAL)]);
    assert_eq!(release(&mut d, 1), [job(1)]);
    assert_eq!(release(&mut d, 1), [job(3)]);
    assert_eq!(release(&mut d, 1), [job(2)]);
}

#[test]
fn a_tenants_jobs_are_ordered_by_priority_then_age() {
    let mut d = dispatch(&[(1, "a", Priority::Low), (2, "a", NORMAL), (3, "a", Priority::High)]);
    assert_eq!(chosen(&mut d, 9), [job(3), job(2), job(1)]);
    fold(&mut d, 1, "a", &JobEvent::PriorityChanged { priority: Priority::High });
    assert_eq!(chosen(&mut d, 9), [job(1), job(3), job(2)]);
}

#[test]
fn waiting_ages_a_job_into_a_higher_lane() {
    let mut d = dispatch(&[(1, "a", Priority::Low)]);
    let high = || submitted(JobSpec { priority: Priority::High, ..spec() });
    let levels = u64::try_from(AGING.as_millis()).unwrap() * 2;
    fold_at(&mut d, 2, "a", levels - 1, &high());
    fold_at(&mut d, 3, "a", levels + 1, &high());
    let order: Vec<JobId> = choose_at(&mut d, 9, levels + 1).iter().map(|r| r.job).collect();
    assert_eq!(order, [job(2), job(1), job(3)]);
}

#[test]
fn a_tenant_at_its_limit_does_not_block_others() {
    let mut d = dispatch_within(1, &[(1, "a", NORMAL), (2, "a", NORMAL), (3, "b", NORMAL)]);
    assert_eq!(chosen(&mut d, 9), [job(1), job(3)]);
}

#[test]
fn a_batch_respects_max_parallel_and_takes_turns() {
    let mut d = Dispatch::new(caps(100));
    let batch = BatchId::from_uuid(Uuid::from_u128(9));
    for n in 1..=4 {
        let index = u32::try_from(n).unwrap();
        let member = Membership { id: batch, index, max_parallel: 3 };
        fold(&mut d, n, "a", &submitted(JobSpec { batch: Some(member), ..spec() }));
    }
    fold(&mut d, 8, "a", &submitted(spec()));
    fold(&mut d, 9, "a", &submitted(spec()));
    // They alternate, although the batch came first; its fourth job waits for one of the three.
    assert_eq!(release(&mut d, 9), [job(8), job(1), job(9), job(2), job(3)]);
    assert_eq!(release(&mut d, 9), []);
    assert_eq!(
        d.queue_position(job(4), &tenant("a"), &[Pool::Cpu].into()).unwrap().why,
        BlockReason::BatchCap { most: 3 }
    );
    fold(&mut d, 2, "a", &JobEvent::Cancelled {});
    assert_eq!(release(&mut d, 9), [job(4)]);
}

#[test]
fn a_flow_that_rejoins_repeatedly_does_not_starve_others() {
    let mut d = Dispatch::new(caps(100));
    let batch = BatchId::from_uuid(Uuid::from_u128(9));
    for n in 1..=3 {
        let member = Membership { id: batch, index: 0, max_parallel: 9 };
        fold(&mut d, n, "a", &submitted(JobSpec { batch: Some(member), ..spec() }));
    }
    let mut went = Vec::new();
    for n in 10..20 {
        // There is one single job at any time, which is released as soon as possible.
        if went.last().is_none_or(|last: &JobId| *last >= job(10)) {
            fold(&mut d, n, "a", &submitted(spec()));
        }
        went.extend(release(&mut d, 1));
    }
    assert!(went.contains(&job(3)), "{went:?}");
}

#[test]
fn a_released_job_is_not_chosen_again_until_its_attempt_ends() {
    let mut d = dispatch(&[(1, "a", NORMAL)]);
    assert_eq!(release(&mut d, 1), [job(1)]);
    assert_eq!(release(&mut d, 1), []);
    fold(&mut d, 1, "a", &started(1, "cpu"));
    assert_eq!(d.in_flight().get(&job(1)).unwrap().worker.as_deref(), Some("w"));
    let reason = String::new();
    fold(&mut d, 1, "a", &JobEvent::AttemptAbandoned { attempt: 1, reason, handed_back: false });
    let again = choose_at(&mut d, 1, 0);
    assert_eq!((again[0].job, again[0].attempt), (job(1), 2));
}

#[test]
fn a_timer_delays_a_job_until_it_is_due() {
    let mut d = Dispatch::new(caps(1));
    fold(&mut d, 1, "a", &submitted(JobSpec { not_before: Some(at(500)), ..spec() }));
    assert_eq!(d.next_timer(), Some(at(500)));
    assert!(choose_at(&mut d, 1, 499).is_empty());
    let why = d.queue_position(job(1), &tenant("a"), &BTreeSet::new()).unwrap().why;
    assert_eq!(why, BlockReason::Scheduled { until: at(500) });
    assert_eq!(choose_at(&mut d, 1, 500).len(), 1);
    assert_eq!(d.next_timer(), None);
}

#[test]
fn a_failed_attempt_waits_for_its_back_off() {
    let mut d = dispatch(&[(1, "a", NORMAL)]);
    release(&mut d, 1);
    fold(&mut d, 1, "a", &started(1, "cpu"));
    let failure = Failure { code: FailureCode::MediaCrashed, message: Personal::Erased };
    let failed = JobEvent::AttemptFailed { attempt: 1, failure, retry_at: Some(at(2_000)) };
    fold(&mut d, 1, "a", &failed);
    assert!(chosen(&mut d, 1).is_empty());
    let why = d.queue_position(job(1), &tenant("a"), &BTreeSet::new()).unwrap().why;
    assert_eq!(why, BlockReason::Backoff { until: at(2_000) });
    assert_eq!(choose_at(&mut d, 1, 2_000)[0].attempt, 2);
}

#[test]
fn a_cancelled_job_is_never_released() {
    let mut d = dispatch(&[(1, "a", NORMAL)]);
    let jobs = choose_at(&mut d, 1, 0);
    fold(&mut d, 1, "a", &JobEvent::Cancelled {});
    d.record_dispatch(Pool::Cpu, at(0), &DispatchEvent::Released { jobs });
    assert!(d.in_flight().is_empty());
    assert_eq!(d.waiting(), 0);
}

#[test]
fn a_retried_job_waits_again_under_its_next_number() {
    let mut d = dispatch(&[(1, "a", NORMAL)]);
    fold(&mut d, 1, "a", &JobEvent::Cancelled {});
    fold(&mut d, 1, "a", &JobEvent::Retried { next_attempt: 3, lease: None });
    assert_eq!(choose_at(&mut d, 1, 0)[0].attempt, 3);
}

fn chosen_in(dispatch: &mut Dispatch, pool: Pool, present: &[Pool]) -> Vec<JobId> {
    let present = present.iter().copied().collect();
    let jobs = dispatch.choose(pool, &present, 9, at(0));
    jobs.into_iter().map(|release| release.job).collect()
}

#[test]
fn a_job_runs_on_preferred_hardware_or_falls_back() {
    let mut d = dispatch(&[(1, "a", NORMAL)]);
    for (n, fallback) in [(2, Fallback::Cpu), (3, Fallback::Fail)] {
        let hardware = Some(Hardware { prefer: Pool::Vaapi, fallback });
        fold(&mut d, n, "a", &submitted(JobSpec { hardware, ..spec() }));
    }
    let with = [Pool::Cpu, Pool::Vaapi];
    assert_eq!(chosen_in(&mut d, Pool::Cpu, &with), [job(1)]);
    assert_eq!(chosen_in(&mut d, Pool::Vaapi, &with), [job(2), job(3)]);
    // Without such a worker, one job falls back to the CPU in its turn; the other waits.
    assert_eq!(chosen_in(&mut d, Pool::Cpu, &[Pool::Cpu]), [job(1), job(2)]);
    let why = d.queue_position(job(3), &tenant("a"), &[Pool::Cpu].into()).unwrap().why;
    assert_eq!(why, BlockReason::NoWorker { pool: Pool::Vaapi });
}

#[test]
fn releases_to_pools_without_workers_are_taken_back() {
    let mut d = dispatch(&[]);
    for (n, fallback) in [(1, Fallback::Cpu), (2, Fallback::Cpu), (3, Fallback::Fail)] {
        let hardware = Some(Hardware { prefer: Pool::Vaapi, fallback });
        fold(&mut d, n, "a", &submitted(JobSpec { hardware, ..spec() }));
    }
    let (with, without) = ([Pool::Cpu, Pool::Vaapi].into(), [Pool::Cpu].into());
    let jobs = d.choose(Pool::Vaapi, &with, 9, at(0));
    d.record_dispatch(Pool::Vaapi, at(0), &DispatchEvent::Released { jobs });
    fold(&mut d, 1, "a", &started(1, "vaapi"));
    assert!(d.stranded(&with).is_empty());
    // One has started, so its loss is detected otherwise; another has no fallback.
    let stranded = d.stranded(&without).remove(&Pool::Vaapi).unwrap();
    assert_eq!(stranded.iter().map(|release| release.job).collect::<Vec<_>>(), [job(2)]);
    let taken = DispatchEvent::TakenBack { jobs: stranded };
    d.record_dispatch(Pool::Vaapi, at(9), &taken);
    assert_eq!((d.in_flight_in(Pool::Vaapi), d.waiting()), (2, 1));
    let again = d.choose(Pool::Cpu, &without, 9, at(9));
    assert_eq!((again.len(), again[0].job, again[0].attempt), (1, job(2), 1));
    d.record_dispatch(Pool::Cpu, at(9), &DispatchEvent::Released { jobs: again });
    // A repeated event changes nothing.
    d.record_dispatch(Pool::Vaapi, at(9), &taken);
    assert_eq!((d.in_flight_in(Pool::Cpu), d.waiting()), (1, 0));
}

#[test]
fn jobs_in_flight_are_counted_per_pool() {
    let mut d = dispatch(&[(1, "a", NORMAL), (2, "a", NORMAL)]);
    assert_eq!(release(&mut d, 2).len(), 2);
    assert_eq!((d.in_flight_in(Pool::Cpu), d.in_flight_in(Pool::Vaapi)), (2, 0));
    fold(&mut d, 1, "a", &started(1, "vaapi"));
    assert_eq!((d.in_flight_in(Pool::Cpu), d.in_flight_in(Pool::Vaapi)), (1, 1));
    fold(&mut d, 1, "a", &JobEvent::Completed { attempt: 1 });
    assert_eq!((d.in_flight_in(Pool::Cpu), d.in_flight_in(Pool::Vaapi)), (1, 0));
}

#[test]
fn child_keys_share_their_parents_limit() {
    let mut d = Dispatch::new(caps(9));
    let made = |max: Option<u32>, makers: Vec<KeyId>| KeyEvent::Created {
        name: Personal::Erased,
        hash: String::new(),
        pepper_version: 1,
        scopes: BTreeSet::new(),
        description: None,
        terms: KeyTerms { max_concurrent_jobs: max, ..KeyTerms::default() },
        makers,
        at: at(0),
    };
    d.caps_mut().key(key(7), &made(Some(2), vec![]));
    d.caps_mut().key(key(8), &made(Some(2), vec![key(7)]));
    d.caps_mut().key(key(9), &made(Some(2), vec![key(8), key(7)]));
    for (n, by) in [(1, 7), (2, 8), (3, 8), (4, 9), (5, 6)] {
        d.job(job(n), &tenant("a"), Some(key(by)), at(0), &submitted(spec()));
    }
    assert_eq!(release(&mut d, 9).len(), 3, "two of the related keys, and one of an unrelated key");
    assert_eq!(release(&mut d, 9), []);
}

#[test]
fn a_key_at_its_limit_does_not_block_other_keys() {
    let mut d = Dispatch::new(caps(9));
    for (n, by) in [(1, 7), (2, 7), (3, 8), (4, 7)] {
        d.job(job(n), &tenant("a"), Some(key(by)), at(0), &submitted(spec()));
    }
    let terms = KeyTerms { max_concurrent_jobs: Some(1), ..KeyTerms::default() };
    let created = KeyEvent::Created {
        name: Personal::Erased,
        hash: String::new(),
        pepper_version: 1,
        scopes: BTreeSet::new(),
        description: None,
        terms,
        makers: vec![],
        at: at(0),
    };
    d.caps_mut().key(key(7), &created);
    assert_eq!(release(&mut d, 9), [job(1), job(3)]);
    assert_eq!(release(&mut d, 9), []);
    fold(&mut d, 1, "a", &JobEvent::Completed { attempt: 1 });
    assert_eq!(release(&mut d, 9), [job(2)]);
}

#[test]
fn an_accounts_own_limit_overrides_its_tiers() {
    let jobs = [(1, "a", NORMAL), (2, "a", NORMAL), (3, "b", NORMAL), (4, "b", NORMAL)];
    let mut d = dispatch_within(2, &jobs);
    let limits = LimitsPatch { concurrent_jobs: Some(1), ..LimitsPatch::default() };
    let terms = AccountTerms { limits, ..AccountTerms::default() };
    d.caps_mut().account(&tenant("a"), &AccountEvent::Changed { terms });
    let jobs = choose_at(&mut d, 9, 0);
    let of = |name: &str| jobs.iter().filter(|release| release.tenant == tenant(name)).count();
    assert_eq!((of("a"), of("b")), (1, 2));
}

#[test]
fn a_release_states_why_the_job_waited() {
    let why = |release: &Release| release.waited.map(|waited| waited.why);
    // By a limit.
    let mut d = dispatch_within(1, &[(1, "a", NORMAL), (2, "a", NORMAL)]);
    assert_eq!(why(&release_at(&mut d, 9, 0)[0]), None);
    assert!(release_at(&mut d, 9, 1_000).is_empty());
    fold_at(&mut d, 1, "a", 2_000, &JobEvent::Completed { attempt: 1 });
    let released = release_at(&mut d, 9, 2_000);
    let waited = Waited { since: at(0), why: BlockReason::AccountCap { most: 1 } };
    assert_eq!(released[0].waited, Some(waited));
    // By priority, and by busy slots alone.
    let mut d = dispatch(&[(1, "a", NORMAL), (2, "a", Priority::High), (3, "b", NORMAL)]);
    assert_eq!(release_at(&mut d, 1, 0)[0].job, job(2));
    assert_eq!(why(&release_at(&mut d, 1, 1_000)[0]), Some(BlockReason::Busy));
    assert_eq!(why(&release_at(&mut d, 1, 2_000)[0]), Some(BlockReason::Priority));
    // By missing hardware.
    let mut d = Dispatch::new(caps(9));
    let hardware = Some(Hardware { prefer: Pool::Vaapi, fallback: Fallback::Fail });
    fold(&mut d, 1, "a", &submitted(JobSpec { hardware, ..spec() }));
    d.record_absent_pools(&[Pool::Cpu].into(), at(500));
    let jobs = d.choose(Pool::Vaapi, &[Pool::Vaapi].into(), 1, at(1_000));
    assert_eq!(why(&jobs[0]), Some(BlockReason::NoWorker { pool: Pool::Vaapi }));
}

/// Jobs of one length that all arrive at the start.
fn backlog(name: &str, first: u128, count: u128, seconds: u64) -> Vec<Arrival> {
    let arrival = |n| Arrival {
        job: job(first + n),
        tenant: tenant(name),
        key: None,
        at: at(0),
        not_before: None,
        priority: NORMAL,
        wish: Hardware::default(),
        batch: None,
        takes: Duration::from_secs(seconds),
    };
    (0..count).map(arrival).collect()
}

fn weighing(weights: &[(&str, u32)]) -> Caps {
    let mut caps = caps(1_000);
    for (name, weight) in weights {
        let limits = LimitsPatch { weight: Some(*weight), ..LimitsPatch::default() };
        let terms = AccountTerms { limits, ..AccountTerms::default() };
        caps.account(&tenant(name), &AccountEvent::Changed { terms });
    }
    caps
}

fn busy_until(runs: &[Run], name: &str, end: Timestamp) -> f64 {
    let of = runs.iter().filter(|run| run.tenant == tenant(name));
    of.map(|run| run.ended.min(end).since(run.started).as_secs_f64()).sum()
}

#[test]
fn slots_are_shared_by_weight_regardless_of_job_length() {
    let weights = [("a", 1), ("b", 2), ("c", 4), ("d", 8)];
    let lengths = [("a", 7), ("b", 60), ("c", 3), ("d", 20)];
    let mut arrivals = Vec::new();
    for (n, (name, seconds)) in lengths.into_iter().enumerate() {
        arrivals.extend(backlog(name, u128::try_from(n).unwrap() * 10_000, 2_000, seconds));
    }
    let runs = simulate(&arrivals, &[(Pool::Cpu, 16)].into(), weighing(&weights));
    assert_eq!(runs.len(), arrivals.len());
    // While all tenants have waiting jobs: until the first backlog ends.
    let end = weights
        .iter()
        .filter_map(|(name, _)| {
            runs.iter().filter(|run| run.tenant == tenant(name)).map(|run| run.started).max()
        })
        .min()
        .unwrap();
    let busy: Vec<f64> = weights.iter().map(|(name, _)| busy_until(&runs, name, end)).collect();
    let all: f64 = busy.iter().sum();
    for ((name, weight), busy) in weights.iter().zip(&busy) {
        let (share, wanted) = (busy / all, f64::from(*weight) / 15.0);
        assert!((share / wanted - 1.0).abs() < 0.05, "{name} has {share:.4}, not {wanted:.4}");
    }
}

#[test]
fn a_small_tenant_waits_for_only_a_few_slots() {
    let mut arrivals = Vec::new();
    for (n, name) in ["big", "bigger", "biggest"].into_iter().enumerate() {
        arrivals.extend(backlog(name, u128::try_from(n).unwrap() * 10_000, 3_000, 30));
    }
    // One short job every five minutes, while thousands of others wait.
    for n in 0..50_u64 {
        let small = backlog("small", 90_000 + u128::from(n), 1, 5).remove(0);
        arrivals.push(Arrival { at: at((n + 1) * 300_000), ..small });
    }
    let weights = [("big", 8), ("bigger", 8), ("biggest", 8), ("small", 1)];
    let runs = simulate(&arrivals, &[(Pool::Cpu, 8)].into(), weighing(&weights));
    let waits = runs.iter().filter(|run| run.tenant == tenant("small"));
    let longest = waits.map(|run| run.started.since(run.ready)).max().unwrap();
    assert!(longest <= Duration::from_secs(30), "it waited {longest:?}");
}

#[test]
fn low_priority_never_starves() {
    let mut arrivals: Vec<Arrival> = Vec::new();
    for n in 0..2_000_u64 {
        let one = backlog("a", u128::from(n), 1, 10).remove(0);
        let (at, priority) = (at(n * 9_000), Priority::High);
        arrivals.push(Arrival { at, priority, ..one });
    }
    let low = backlog("a", 90_000, 1, 10).remove(0);
    arrivals.push(Arrival { priority: Priority::Low, ..low });
    let runs = simulate(&arrivals, &[(Pool::Cpu, 1)].into(), caps(9));
    let run = runs.iter().find(|run| run.job == job(90_000)).unwrap();
    let waited = run.started.since(run.ready);
    assert!(waited > AGING && waited < AGING * 2 + Duration::from_mins(30), "{waited:?}");
}
