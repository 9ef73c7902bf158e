use uuid::Uuid;

use super::*;
use crate::{
    Personal,
    account::{AccountEvent, AccountTerms, Limits, LimitsPatch, Tiers},
    job::{Failure, FailureCode, JobSpec},
    key::{KeyEvent, KeyTerms},
    media::{Convert, MediaRequest, Overwrite},
};

fn job(n: u128) -> JobId {
    JobId::from_uuid(Uuid::from_u128(n))
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn submitted(priority: Priority, not_before: Option<u64>) -> JobEvent {
    let request = MediaRequest::Convert(Convert {
        input: Personal::Erased,
        output: Personal::Erased,
        operations: vec![],
        overwrite: Overwrite::Fail,
    });
    JobEvent::Submitted {
        spec: Box::new(JobSpec {
            request,
            priority,
            metadata: Personal::Erased,
            not_before: not_before.map(Timestamp::from_millis),
            hardware: None,
        }),
    }
}

fn dispatch(jobs: &[(u128, &str, Priority)]) -> Dispatch {
    let mut dispatch = Dispatch::default();
    for (n, name, priority) in jobs {
        dispatch.job(job(*n), &tenant(name), None, &submitted(*priority, None));
    }
    dispatch
}

/// So many at once for every tenant.
fn caps(concurrent_jobs: usize) -> Caps {
    let concurrent_jobs = u32::try_from(concurrent_jobs).unwrap();
    let free = Limits { concurrent_jobs, ..Limits::default() };
    Caps::new(Tiers { free, ..Tiers::default() })
}

fn chosen(dispatch: &mut Dispatch, free: usize, limit: usize) -> Vec<JobId> {
    dispatch
        .choose(
            (Pool::Cpu, &BTreeSet::from([Pool::Cpu])),
            free,
            &caps(limit),
            Timestamp::from_millis(0),
        )
        .into_iter()
        .map(|r| r.job)
        .collect()
}

fn release(dispatch: &mut Dispatch, free: usize) -> Vec<JobId> {
    let jobs = dispatch.choose(
        (Pool::Cpu, &BTreeSet::from([Pool::Cpu])),
        free,
        &caps(100),
        Timestamp::from_millis(0),
    );
    let ids = jobs.iter().map(|r| r.job).collect();
    dispatch.released(Pool::Cpu, &DispatchEvent::Released { jobs });
    ids
}

const NORMAL: Priority = Priority::Normal;

#[test]
fn tenants_take_turns() {
    let mut d = dispatch(&[(1, "a", NORMAL), (2, "a", NORMAL), (3, "a", NORMAL), (4, "b", NORMAL)]);
    assert_eq!(chosen(&mut d, 3, 10), [job(1), job(4), job(2)]);
}

#[test]
fn the_turn_goes_on_where_it_was() {
    let mut d = dispatch(&[(1, "a", NORMAL), (2, "a", NORMAL), (3, "b", NORMAL)]);
    assert_eq!(release(&mut d, 1), [job(1)]);
    assert_eq!(release(&mut d, 1), [job(3)]);
    assert_eq!(release(&mut d, 1), [job(2)]);
}

#[test]
fn a_tenants_urgent_jobs_go_first_then_its_oldest() {
    let mut d = dispatch(&[(1, "a", Priority::Low), (2, "a", NORMAL), (3, "a", Priority::High)]);
    assert_eq!(chosen(&mut d, 9, 9), [job(3), job(2), job(1)]);
    d.job(job(1), &tenant("a"), None, &JobEvent::PriorityChanged { priority: Priority::High });
    assert_eq!(chosen(&mut d, 9, 9), [job(1), job(3), job(2)]);
}

#[test]
fn a_tenant_at_its_limit_waits_and_others_do_not() {
    let mut d = dispatch(&[(1, "a", NORMAL), (2, "a", NORMAL), (3, "b", NORMAL)]);
    assert_eq!(chosen(&mut d, 9, 1), [job(1), job(3)]);
}

#[test]
fn a_released_job_is_not_chosen_again_until_its_attempt_ends() {
    let mut d = dispatch(&[(1, "a", NORMAL)]);
    assert_eq!(release(&mut d, 1), [job(1)]);
    assert_eq!(release(&mut d, 1), []);
    let started = JobEvent::AttemptStarted {
        attempt: 1,
        worker: "w".to_owned(),
        pool: "cpu".to_owned(),
        device: None,
    };
    d.job(job(1), &tenant("a"), None, &started);
    assert_eq!(d.out().get(&job(1)).unwrap().worker.as_deref(), Some("w"));
    d.job(
        job(1),
        &tenant("a"),
        None,
        &JobEvent::AttemptAbandoned { attempt: 1, reason: String::new() },
    );
    let again =
        d.choose((Pool::Cpu, &BTreeSet::from([Pool::Cpu])), 1, &caps(1), Timestamp::from_millis(0));
    assert_eq!((again[0].job, again[0].attempt), (job(1), 2));
}

#[test]
fn a_timer_holds_a_job_back_until_it_is_due() {
    let mut d = Dispatch::default();
    d.job(job(1), &tenant("a"), None, &submitted(NORMAL, Some(500)));
    assert_eq!(d.next_timer(), Some(Timestamp::from_millis(500)));
    assert!(
        d.choose(
            (Pool::Cpu, &BTreeSet::from([Pool::Cpu])),
            1,
            &caps(1),
            Timestamp::from_millis(499)
        )
        .is_empty()
    );
    assert_eq!(
        d.choose(
            (Pool::Cpu, &BTreeSet::from([Pool::Cpu])),
            1,
            &caps(1),
            Timestamp::from_millis(500)
        )
        .len(),
        1
    );
    assert_eq!(d.next_timer(), None);
}

#[test]
fn a_failed_attempt_waits_out_its_back_off() {
    let mut d = dispatch(&[(1, "a", NORMAL)]);
    release(&mut d, 1);
    let started = JobEvent::AttemptStarted {
        attempt: 1,
        worker: "w".to_owned(),
        pool: "cpu".to_owned(),
        device: None,
    };
    d.job(job(1), &tenant("a"), None, &started);
    let failure = Failure { code: FailureCode::MediaCrashed, message: Personal::Erased };
    let failed = JobEvent::AttemptFailed {
        attempt: 1,
        failure,
        retry_at: Some(Timestamp::from_millis(2000)),
    };
    d.job(job(1), &tenant("a"), None, &failed);
    assert!(chosen(&mut d, 1, 1).is_empty());
    let again = d.choose(
        (Pool::Cpu, &BTreeSet::from([Pool::Cpu])),
        1,
        &caps(1),
        Timestamp::from_millis(2000),
    );
    assert_eq!(again[0].attempt, 2);
}

#[test]
fn a_cancelled_job_is_never_released() {
    let mut d = dispatch(&[(1, "a", NORMAL)]);
    let jobs =
        d.choose((Pool::Cpu, &BTreeSet::from([Pool::Cpu])), 1, &caps(1), Timestamp::from_millis(0));
    d.job(job(1), &tenant("a"), None, &JobEvent::Cancelled {});
    d.released(Pool::Cpu, &DispatchEvent::Released { jobs });
    assert!(d.out().is_empty());
    assert_eq!(d.waiting(), 0);
}

#[test]
fn a_retried_job_waits_again_under_its_next_number() {
    let mut d = dispatch(&[(1, "a", NORMAL)]);
    d.job(job(1), &tenant("a"), None, &JobEvent::Cancelled {});
    d.job(job(1), &tenant("a"), None, &JobEvent::Retried { next_attempt: 3 });
    let again =
        d.choose((Pool::Cpu, &BTreeSet::from([Pool::Cpu])), 1, &caps(1), Timestamp::from_millis(0));
    assert_eq!(again[0].attempt, 3);
}

fn wishing(dispatch: &mut Dispatch, n: u128, wish: Hardware) {
    let JobEvent::Submitted { mut spec } = submitted(NORMAL, None) else { return };
    spec.hardware = Some(wish);
    dispatch.job(job(n), &tenant("a"), None, &JobEvent::Submitted { spec });
}

fn chosen_in(dispatch: &mut Dispatch, pool: Pool, present: &[Pool]) -> Vec<JobId> {
    let present = present.iter().copied().collect();
    let jobs = dispatch.choose((pool, &present), 9, &caps(9), Timestamp::from_millis(0));
    jobs.into_iter().map(|release| release.job).collect()
}

#[test]
fn a_job_goes_to_the_hardware_it_likes_or_falls_back_as_declared() {
    use crate::media::Fallback;
    let mut d = dispatch(&[(1, "a", NORMAL)]);
    wishing(&mut d, 2, Hardware { prefer: Pool::Vaapi, fallback: Fallback::Cpu });
    wishing(&mut d, 3, Hardware { prefer: Pool::Vaapi, fallback: Fallback::Fail });
    let with = [Pool::Cpu, Pool::Vaapi];
    assert_eq!(chosen_in(&mut d, Pool::Cpu, &with), [job(1)]);
    assert_eq!(chosen_in(&mut d, Pool::Vaapi, &with), [job(2), job(3)]);
    // Without such a worker one job is the processor's, in its turn; the other waits.
    assert_eq!(chosen_in(&mut d, Pool::Cpu, &[Pool::Cpu]), [job(1), job(2)]);
}

#[test]
fn pools_count_what_is_out_in_them() {
    let mut d = dispatch(&[(1, "a", NORMAL), (2, "a", NORMAL)]);
    assert_eq!(release(&mut d, 2).len(), 2);
    assert_eq!((d.out_in(Pool::Cpu), d.out_in(Pool::Vaapi)), (2, 0));
    let started = JobEvent::AttemptStarted {
        attempt: 1,
        worker: "w".to_owned(),
        pool: "vaapi".to_owned(),
        device: None,
    };
    d.job(job(1), &tenant("a"), None, &started);
    assert_eq!((d.out_in(Pool::Cpu), d.out_in(Pool::Vaapi)), (1, 1));
    d.job(job(1), &tenant("a"), None, &JobEvent::Completed { attempt: 1 });
    assert_eq!((d.out_in(Pool::Cpu), d.out_in(Pool::Vaapi)), (1, 0));
}

fn key(n: u128) -> KeyId {
    KeyId::from_uuid(Uuid::from_u128(n))
}

#[test]
fn a_key_at_its_cap_waits_and_the_others_of_its_tenant_do_not() {
    let mut d = Dispatch::default();
    for (n, by) in [(1, 7), (2, 7), (3, 8), (4, 7)] {
        d.job(job(n), &tenant("a"), Some(key(by)), &submitted(NORMAL, None));
    }
    let mut caps = caps(9);
    let terms = KeyTerms { max_concurrent_jobs: Some(1), ..KeyTerms::default() };
    let created = KeyEvent::Created {
        name: Personal::Erased,
        hash: String::new(),
        pepper_version: 1,
        scopes: BTreeSet::new(),
        description: None,
        terms,
        at: Timestamp::from_millis(0),
    };
    caps.key(key(7), &created);
    let round = |d: &mut Dispatch| {
        let present = BTreeSet::from([Pool::Cpu]);
        let jobs = d.choose((Pool::Cpu, &present), 9, &caps, Timestamp::from_millis(0));
        let ids: Vec<JobId> = jobs.iter().map(|release| release.job).collect();
        d.released(Pool::Cpu, &DispatchEvent::Released { jobs });
        ids
    };
    assert_eq!(round(&mut d), [job(1), job(3)]);
    assert_eq!(round(&mut d), []);
    d.job(job(1), &tenant("a"), None, &JobEvent::Completed { attempt: 1 });
    assert_eq!(round(&mut d), [job(2)]);
}

#[test]
fn an_accounts_own_limit_goes_before_its_tiers() {
    let mut d = dispatch(&[(1, "a", NORMAL), (2, "a", NORMAL), (3, "b", NORMAL), (4, "b", NORMAL)]);
    let mut caps = caps(2);
    let limits = LimitsPatch { concurrent_jobs: Some(1), ..LimitsPatch::default() };
    let terms = AccountTerms { limits, ..AccountTerms::default() };
    caps.account(&tenant("a"), &AccountEvent::Changed { terms });
    let present = BTreeSet::from([Pool::Cpu]);
    let jobs = d.choose((Pool::Cpu, &present), 9, &caps, Timestamp::from_millis(0));
    let of = |name: &str| jobs.iter().filter(|release| release.tenant == tenant(name)).count();
    assert_eq!((of("a"), of("b")), (1, 2));
}
