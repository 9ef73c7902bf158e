mod put;

use super::{
    retry::{MAX_ABANDONED, MAX_ATTEMPTS, MAX_DEFERRED, deferral},
    *,
};
use crate::{
    Decider, Personal, Timestamp,
    media::{Convert, MediaRequest, Overwrite},
    spec::given,
};

fn spec() -> Box<JobSpec> {
    Box::new(JobSpec {
        metadata: Personal::Erased,
        ..JobSpec::of(MediaRequest::Convert(Convert {
            input: Personal::Clear("in.mp4".parse().unwrap()),
            output: Personal::Clear("out.mp4".parse().unwrap()),
            operations: vec![],
            overwrite: Overwrite::Fail,
        }))
    })
}

fn submitted() -> JobEvent {
    JobEvent::Submitted { spec: spec() }
}

fn started(attempt: u32) -> JobEvent {
    JobEvent::AttemptStarted {
        attempt,
        worker: "w1".to_owned(),
        pool: "cpu".to_owned(),
        device: None,
        waited: None,
    }
}

fn start(attempt: u32, worker: &str) -> JobCommand {
    JobCommand::StartAttempt {
        attempt,
        worker: worker.to_owned(),
        pool: "cpu".to_owned(),
        device: None,
        waited: None,
    }
}

fn failure(code: FailureCode) -> Failure {
    Failure { code, message: Personal::Clear("why".to_owned()) }
}

fn fail(attempt: u32, code: FailureCode) -> JobCommand {
    JobCommand::FailAttempt {
        attempt,
        failure: failure(code),
        at: Timestamp::from_millis(1000),
        chance: 0,
    }
}

fn failed_attempt(attempt: u32, retry_at: Option<u64>) -> JobEvent {
    JobEvent::AttemptFailed {
        attempt,
        failure: failure(FailureCode::MediaCrashed),
        retry_at: retry_at.map(Timestamp::from_millis),
    }
}

fn abandon(attempt: u32) -> JobCommand {
    JobCommand::AbandonAttempt { attempt, reason: "gone".to_owned(), handed_back: false }
}

fn abandoned(attempt: u32) -> JobEvent {
    JobEvent::AttemptAbandoned { attempt, reason: "gone".to_owned(), handed_back: false }
}

fn sealed(attempt: u32) -> JobEvent {
    JobEvent::OutputsSealed { attempt, outputs: vec![], result: None, spent: None, plan: None }
}

fn seal(attempt: u32) -> JobCommand {
    JobCommand::SealOutputs { attempt, outputs: vec![], result: None, spent: None, plan: None }
}

const CANCEL_REQUESTED: JobEvent = JobEvent::CancelRequested { attempt: 1 };
const CANCELLED: JobEvent = JobEvent::Cancelled {};

fn ended_histories() -> Vec<Vec<JobEvent>> {
    let last =
        JobEvent::Failed { failure: failure(FailureCode::InvalidInput), dead_lettered: false };
    vec![
        vec![submitted(), started(1), sealed(1), JobEvent::Completed { attempt: 1 }],
        vec![submitted(), started(1), failed_attempt(1, None), last],
        vec![submitted(), CANCELLED],
    ]
}

#[test]
fn a_job_is_submitted_once() {
    given::<Job>([]).when(JobCommand::Submit { spec: spec() }).then([submitted()]);
    given::<Job>([submitted()])
        .when(JobCommand::Submit { spec: spec() })
        .then_rejected(&JobRejection::AlreadySubmitted);
}

#[test]
fn a_job_without_a_queue_slot_fails_before_it_starts() {
    let refuse = || JobCommand::Refuse { failure: failure(FailureCode::QuotaExceeded) };
    let failed =
        JobEvent::Failed { failure: failure(FailureCode::QuotaExceeded), dead_lettered: false };
    given::<Job>([submitted()]).when(refuse()).then([failed]);
    given::<Job>([submitted(), started(1)]).when(refuse()).then_nothing();
    given::<Job>([submitted(), started(1), sealed(1), abandoned(1)]).when(refuse()).then_nothing();
    for past in ended_histories() {
        given::<Job>(past).when(refuse()).then_rejected(&JobRejection::AlreadyOver);
    }
}

#[test]
fn every_command_but_submit_needs_a_job() {
    for command in [
        start(1, "w1"),
        fail(1, FailureCode::Internal),
        abandon(1),
        JobCommand::Cancel,
        JobCommand::ConfirmCancel { attempt: 1 },
        seal(1),
        JobCommand::Complete { attempt: 1 },
        JobCommand::Retry { lease: None },
        JobCommand::Reprioritise { priority: Priority::High },
    ] {
        given::<Job>([]).when(command).then_rejected(&JobRejection::NotFound);
    }
}

#[test]
fn a_worker_starts_the_next_attempt() {
    given::<Job>([submitted()]).when(start(1, "w1")).then([started(1)]);
    given::<Job>([submitted()])
        .when(start(2, "w1"))
        .then_rejected(&JobRejection::StaleAttempt { attempt: 2 });
}

#[test]
fn starting_twice_is_idempotent_for_the_same_worker() {
    given::<Job>([submitted(), started(1)]).when(start(1, "w1")).then_nothing();
}

#[test]
fn only_one_of_two_workers_starts_an_attempt() {
    given::<Job>([submitted(), started(1)])
        .when(start(1, "w2"))
        .then_rejected(&JobRejection::TakenBy { worker: "w1".to_owned() });
}

#[test]
fn a_failed_attempt_is_retried_after_a_delay() {
    given::<Job>([submitted(), started(1)])
        .when(fail(1, FailureCode::MediaCrashed))
        .then([failed_attempt(1, Some(3000))]);
    given::<Job>([submitted(), started(1), failed_attempt(1, Some(3000)), started(2)])
        .when(fail(2, FailureCode::MediaCrashed))
        .then([failed_attempt(2, Some(9000))]);
}

#[test]
fn exhausted_attempts_are_dead_lettered() {
    let history = [
        submitted(),
        started(1),
        failed_attempt(1, Some(3000)),
        started(2),
        failed_attempt(2, Some(9000)),
        started(3),
    ];
    given::<Job>(history).when(fail(3, FailureCode::MediaCrashed)).then([
        failed_attempt(3, None),
        JobEvent::Failed { failure: failure(FailureCode::MediaCrashed), dead_lettered: true },
    ]);
}

#[test]
fn bad_input_is_never_retried() {
    given::<Job>([submitted(), started(1)]).when(fail(1, FailureCode::InvalidInput)).then([
        JobEvent::AttemptFailed {
            attempt: 1,
            failure: failure(FailureCode::InvalidInput),
            retry_at: None,
        },
        JobEvent::Failed { failure: failure(FailureCode::InvalidInput), dead_lettered: false },
    ]);
}

#[test]
fn a_lost_worker_uses_up_no_attempt() {
    given::<Job>([submitted(), started(1)]).when(abandon(1)).then([abandoned(1)]);
    given::<Job>([submitted(), started(1), abandoned(1), started(2)])
        .when(fail(2, FailureCode::MediaCrashed))
        .then([failed_attempt(2, Some(3000))]);
}

#[test]
fn a_job_that_keeps_losing_workers_is_dead_lettered() {
    let mut history = vec![submitted()];
    for attempt in 1..MAX_ABANDONED {
        history.extend([started(attempt), abandoned(attempt)]);
    }
    history.push(started(MAX_ABANDONED));
    let state = Job::replay(&history);
    let events = Job::decide(&state, abandon(MAX_ABANDONED)).unwrap();
    assert!(
        matches!(events.last(), Some(JobEvent::Failed { failure, dead_lettered: true })
            if failure.code == FailureCode::WorkerLost),
        "{events:?}"
    );
}

#[test]
fn commands_of_a_superseded_attempt_are_rejected() {
    let history = [submitted(), started(1), abandoned(1), started(2)];
    for command in [
        fail(1, FailureCode::Internal),
        abandon(1),
        seal(1),
        JobCommand::Complete { attempt: 1 },
        JobCommand::ConfirmCancel { attempt: 1 },
        start(1, "w1"),
    ] {
        given::<Job>(history.clone())
            .when(command)
            .then_rejected(&JobRejection::StaleAttempt { attempt: 1 });
    }
}

#[test]
fn a_queued_job_is_cancelled_immediately() {
    given::<Job>([submitted()]).when(JobCommand::Cancel).then([CANCELLED]);
}

#[test]
fn a_running_job_is_cancelled_when_its_worker_has_stopped() {
    given::<Job>([submitted(), started(1)]).when(JobCommand::Cancel).then([CANCEL_REQUESTED]);
    let requested = [submitted(), started(1), CANCEL_REQUESTED];
    given::<Job>(requested.clone()).when(JobCommand::Cancel).then_nothing();
    given::<Job>(requested.clone())
        .when(JobCommand::ConfirmCancel { attempt: 1 })
        .then([CANCELLED]);
    given::<Job>(requested.clone()).when(abandon(1)).then([CANCELLED]);
    given::<Job>(requested.clone()).when(fail(1, FailureCode::MediaCrashed)).then([CANCELLED]);
    given::<Job>(requested).when(seal(1)).then_rejected(&JobRejection::Cancelling);
}

#[test]
fn confirming_a_cancel_that_was_not_requested_is_rejected() {
    given::<Job>([submitted(), started(1)])
        .when(JobCommand::ConfirmCancel { attempt: 1 })
        .then_rejected(&JobRejection::StaleAttempt { attempt: 1 });
}

#[test]
fn the_seal_is_the_commit_point() {
    let history = [submitted(), started(1), sealed(1)];
    given::<Job>([submitted(), started(1)]).when(seal(1)).then([sealed(1)]);
    given::<Job>(history.clone()).when(seal(1)).then_nothing();
    given::<Job>(history.clone())
        .when(JobCommand::Cancel)
        .then_rejected(&JobRejection::AlreadySealed);
    given::<Job>(history)
        .when(JobCommand::Complete { attempt: 1 })
        .then([JobEvent::Completed { attempt: 1 }]);
}

#[test]
fn a_job_without_sealed_outputs_cannot_complete() {
    given::<Job>([submitted(), started(1)])
        .when(JobCommand::Complete { attempt: 1 })
        .then_rejected(&JobRejection::NotSealed);
}

#[test]
fn a_sealed_job_whose_worker_was_lost_is_delivered_by_the_next() {
    let history = [submitted(), started(1), sealed(1), abandoned(1), started(2)];
    let state = Job::replay(&history);
    assert_eq!(state.run().unwrap().sealed_by, Some(1));
    given::<Job>(history)
        .when(JobCommand::Complete { attempt: 2 })
        .then([JobEvent::Completed { attempt: 2 }]);
}

#[test]
fn a_job_that_failed_during_delivery_is_run_again() {
    let mut history = vec![submitted(), started(1), sealed(1)];
    history
        .extend(Job::decide(&Job::replay(&history), fail(1, FailureCode::OutputExists)).unwrap());
    history.extend([JobEvent::Retried { next_attempt: 2, lease: None }, started(2)]);
    given::<Job>(history.clone())
        .when(JobCommand::Complete { attempt: 2 })
        .then_rejected(&JobRejection::NotSealed);
    given::<Job>(history).when(seal(2)).then([sealed(2)]);
}

#[test]
fn completing_twice_is_idempotent() {
    let done = [submitted(), started(1), sealed(1), JobEvent::Completed { attempt: 1 }];
    given::<Job>(done).when(JobCommand::Complete { attempt: 1 }).then_nothing();
}

#[test]
fn attempts_handed_back_do_not_count_as_lost() {
    let handed_back = |attempt| JobEvent::AttemptAbandoned {
        attempt,
        reason: "stopped".to_owned(),
        handed_back: true,
    };
    let mut history = vec![submitted()];
    for attempt in 1..=2 * MAX_ABANDONED {
        history.extend([started(attempt), handed_back(attempt)]);
    }
    let last = 2 * MAX_ABANDONED + 1;
    history.push(started(last));
    let command = JobCommand::AbandonAttempt {
        attempt: last,
        reason: "stopped".to_owned(),
        handed_back: true,
    };
    given::<Job>(history).when(command).then([handed_back(last)]);
}

#[test]
fn attempts_without_room_on_a_disk_do_not_count_until_there_were_many() {
    let full = || failure(FailureCode::ScratchFull);
    let deferred = |attempt, millis| JobEvent::AttemptFailed {
        attempt,
        failure: full(),
        retry_at: Some(Timestamp::from_millis(millis)),
    };
    let mut history = vec![submitted()];
    for earlier in 0..MAX_DEFERRED {
        let attempt = earlier + 1;
        history.push(started(attempt));
        let wait = u64::try_from(deferral(earlier, 0).as_millis()).unwrap();
        let event = deferred(attempt, 1_000 + wait);
        given::<Job>(history.clone())
            .when(fail(attempt, FailureCode::ScratchFull))
            .then([event.clone()]);
        history.push(event);
    }
    let last = MAX_DEFERRED + 1;
    history.push(started(last));
    // Another failure is the first one that counts.
    given::<Job>(history.clone())
        .when(fail(last, FailureCode::MediaCrashed))
        .then([failed_attempt(last, Some(3_000))]);
    given::<Job>(history).when(fail(last, FailureCode::ScratchFull)).then([
        JobEvent::AttemptFailed { attempt: last, failure: full(), retry_at: None },
        JobEvent::Failed { failure: full(), dead_lettered: true },
    ]);
}

#[test]
fn max_attempts_of_the_request_is_respected() {
    let once = || {
        let spec = Box::new(JobSpec { max_attempts: Some(1), ..*spec() });
        [JobEvent::Submitted { spec }, started(1)]
    };
    given::<Job>(once()).when(fail(1, FailureCode::MediaCrashed)).then([
        failed_attempt(1, None),
        JobEvent::Failed { failure: failure(FailureCode::MediaCrashed), dead_lettered: true },
    ]);
}

#[test]
fn an_ended_job_rejects_further_work() {
    for history in ended_histories() {
        for command in [
            start(2, "w1"),
            fail(1, FailureCode::Internal),
            abandon(1),
            seal(1),
            JobCommand::Cancel,
            JobCommand::Reprioritise { priority: Priority::High },
        ] {
            given::<Job>(history.clone()).when(command).then_rejected(&JobRejection::AlreadyOver);
        }
    }
}

#[test]
fn a_failed_or_cancelled_job_can_be_retried_under_the_next_number() {
    given::<Job>([submitted(), CANCELLED])
        .when(JobCommand::Retry { lease: None })
        .then([JobEvent::Retried { next_attempt: 1, lease: None }]);
    let failed = [
        submitted(),
        started(1),
        failed_attempt(1, None),
        JobEvent::Failed { failure: failure(FailureCode::InvalidInput), dead_lettered: false },
    ];
    given::<Job>(failed)
        .when(JobCommand::Retry { lease: None })
        .then([JobEvent::Retried { next_attempt: 2, lease: None }]);
}

#[test]
fn a_job_with_many_attempts_is_submitted_anew_instead() {
    let attempt = |number| {
        [started(number), failed_attempt(number, None)].into_iter().chain([
            JobEvent::Failed { failure: failure(FailureCode::InvalidInput), dead_lettered: false },
            JobEvent::Retried { next_attempt: number + 1, lease: None },
        ])
    };
    let mut history: Vec<JobEvent> = vec![submitted()];
    history.extend((1..=MAX_ATTEMPTS).flat_map(attempt));
    history.pop();
    given::<Job>(history)
        .when(JobCommand::Retry { lease: None })
        .then_rejected(&JobRejection::TooManyAttempts);
}

#[test]
fn a_live_or_completed_job_cannot_be_retried() {
    let done = vec![submitted(), started(1), sealed(1), JobEvent::Completed { attempt: 1 }];
    for history in [vec![submitted()], vec![submitted(), started(1)], done] {
        given::<Job>(history)
            .when(JobCommand::Retry { lease: None })
            .then_rejected(&JobRejection::NotOver);
    }
}

#[test]
fn a_live_jobs_priority_can_change() {
    let high = JobCommand::Reprioritise { priority: Priority::High };
    let changed = JobEvent::PriorityChanged { priority: Priority::High };
    given::<Job>([submitted()]).when(high.clone()).then([changed.clone()]);
    given::<Job>([submitted(), changed]).when(high).then_nothing();
}

#[test]
fn evolve_is_total() {
    let failed = JobEvent::Failed { failure: failure(FailureCode::Internal), dead_lettered: true };
    let events = [
        submitted(),
        started(1),
        failed_attempt(1, None),
        abandoned(1),
        CANCEL_REQUESTED,
        CANCELLED,
        sealed(1),
        JobEvent::Completed { attempt: 1 },
        failed,
        JobEvent::Retried { next_attempt: 2, lease: None },
        JobEvent::OutputsExpired {},
        JobEvent::OutputsDeleted { only: None },
        JobEvent::PriorityChanged { priority: Priority::Low },
    ];
    for a in &events {
        for b in &events {
            for c in &events {
                let _ = Job::replay([a, b, c]);
            }
        }
    }
}

#[test]
fn erased_fields_are_accepted_by_the_view() {
    let mut spec = spec();
    if let MediaRequest::Convert(convert) = &mut spec.request {
        convert.input = Personal::Erased;
    }
    let meta = EventMetadata {
        id: crate::JobId::from_uuid(uuid::Uuid::nil()),
        tenant: "acme".parse().unwrap(),
        at: Timestamp::from_millis(1),
        trace_id: None,
    };
    let row = JobView::apply(None, &JobEvent::Submitted { spec }, &meta).unwrap();
    assert_eq!(row.request.input(), &Personal::Erased);
}
