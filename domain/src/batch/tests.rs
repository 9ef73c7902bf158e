use uuid::Uuid;

use super::*;
use crate::{
    BatchId, JobId, Personal, Tenant, Timestamp,
    job::{JobCommand, JobEvent, JobSpec},
    location::Location,
    media::{MediaRequest, Probe},
    spec::given,
};

fn job(n: u128) -> JobId {
    JobId::from_uuid(Uuid::from_u128(n))
}

fn spec() -> JobSpec {
    JobSpec::of(MediaRequest::Probe(Probe { input: Personal::Erased }))
}

fn submitted(jobs: u128) -> BatchEvent {
    let jobs = (1..=jobs).map(|n| BatchJob { id: job(n), spec: spec() }).collect();
    let spec =
        Box::new(BatchSpec { name: Personal::Clear(None), max_parallel: 5, callback: None, jobs });
    BatchEvent::Submitted { spec }
}

fn ended(round: u32) -> BatchEvent {
    let status = BatchStatus::Completed;
    BatchEvent::Ended { round, status, counts: Counts::default() }
}

fn end(round: u32) -> BatchCommand {
    BatchCommand::End { round, counts: Counts::default() }
}

#[test]
fn a_batch_is_cancelled_once_and_not_after_its_end() {
    given::<Batch>([submitted(1)])
        .when(BatchCommand::Cancel)
        .then([BatchEvent::CancelRequested {}]);
    given::<Batch>([submitted(1), BatchEvent::CancelRequested {}])
        .when(BatchCommand::Cancel)
        .then_nothing();
    given::<Batch>([submitted(1), ended(0)])
        .when(BatchCommand::Cancel)
        .then_rejected(&BatchRejection::AlreadyOver);
    given::<Batch>([]).when(BatchCommand::Cancel).then_rejected(&BatchRejection::NotFound);
}

#[test]
fn it_ends_once_per_round() {
    given::<Batch>([submitted(1)]).when(end(0)).then([ended(0)]);
    given::<Batch>([submitted(1), ended(0)]).when(end(0)).then_nothing();
    let again =
        || [submitted(1), ended(0), BatchEvent::Retried { jobs: vec![job(1)], lease: None }];
    given::<Batch>(again()).when(end(0)).then_nothing();
    given::<Batch>(again()).when(end(1)).then([ended(1)]);
}

#[test]
fn a_batch_can_be_retried_but_not_while_it_is_being_cancelled() {
    let retry = BatchCommand::Retry { jobs: vec![job(1)], lease: None };
    let retried = BatchEvent::Retried { jobs: vec![job(1)], lease: None };
    given::<Batch>([submitted(1), ended(0)]).when(retry.clone()).then([retried]);
    given::<Batch>([submitted(1), BatchEvent::CancelRequested {}])
        .when(retry)
        .then_rejected(&BatchRejection::Cancelling);
    given::<Batch>([submitted(1)])
        .when(BatchCommand::Retry { jobs: vec![], lease: None })
        .then_rejected(&BatchRejection::NothingToRetry);
}

fn counts(completed: u32, failed: u32, cancelled: u32) -> Counts {
    let total = completed + failed + cancelled;
    Counts { total, completed, failed, cancelled, ..Counts::default() }
}

#[test]
fn its_status_follows_from_its_jobs() {
    assert_eq!(counts(2, 0, 0).status(false), BatchStatus::Completed);
    assert_eq!(counts(1, 1, 0).status(false), BatchStatus::PartialSuccess);
    assert_eq!(counts(1, 0, 1).status(false), BatchStatus::PartialSuccess);
    assert_eq!(counts(0, 2, 0).status(false), BatchStatus::Failed);
    assert_eq!(counts(0, 0, 2).status(false), BatchStatus::Cancelled);
    assert_eq!(counts(1, 0, 1).status(true), BatchStatus::Cancelled);
    assert_eq!(counts(2, 0, 0).status(true), BatchStatus::Completed);
    let open = Counts { queued: 1, total: 3, ..counts(2, 0, 0) };
    assert_eq!(open.status(false), BatchStatus::Processing);
}

struct Manager {
    batches: BatchTracker,
    batch: BatchId,
    tenant: Tenant,
}

impl Manager {
    fn new(jobs: u128) -> Self {
        let (batch, tenant) = (BatchId::from_uuid(Uuid::from_u128(99)), "a".parse().unwrap());
        let mut manager = Self { batches: BatchTracker::default(), batch, tenant };
        manager.batch(&submitted(jobs));
        manager
    }

    fn ended(&mut self, round: u32, completed: u32, cancelled: u32) {
        let total = completed + cancelled;
        let counts = Counts { total, completed, cancelled, ..Counts::default() };
        let status = counts.status(false);
        self.batch(&BatchEvent::Ended { round, status, counts });
    }

    fn batch(&mut self, event: &BatchEvent) {
        self.batches.batch(self.batch, &self.tenant, Timestamp::from_millis(0), event);
    }

    fn job(&mut self, n: u128, event: &JobEvent) {
        self.batches.job(job(n), event);
    }

    fn job_submitted(&mut self, n: u128) {
        self.job(n, &JobEvent::Submitted { spec: Box::new(spec()) });
    }

    /// The due steps, as short descriptions.
    fn due(&mut self, seconds: u64) -> Vec<String> {
        let (jobs, batches) = self.batches.due(Timestamp::from_millis(seconds * 1_000));
        let jobs = jobs.into_iter().map(|step| {
            let verb = if matches!(step.command, JobCommand::Submit { .. }) {
                "submit"
            } else if matches!(step.command, JobCommand::Cancel) {
                "cancel"
            } else {
                assert!(
                    matches!(step.command, JobCommand::Retry { lease: None }),
                    "{:?}",
                    step.command
                );
                "retry"
            };
            format!("{verb} {}", step.id.uuid().as_u128())
        });
        let batches = batches.into_iter().map(|step| match step.command {
            BatchCommand::End { round, counts } => format!("end {round} {}", counts.completed),
            BatchCommand::Reopen => "reopen".to_owned(),
            other @ (BatchCommand::Submit { .. }
            | BatchCommand::Cancel
            | BatchCommand::Retry { .. }) => format!("{other:?}"),
        });
        jobs.chain(batches).collect()
    }
}

const DONE: JobEvent = JobEvent::Completed { attempt: 1 };
const CANCELLED: JobEvent = JobEvent::Cancelled {};

#[test]
fn missing_jobs_are_submitted_after_a_grace_period() {
    let mut manager = Manager::new(3);
    manager.job_submitted(2);
    assert_eq!(manager.due(1), Vec::<String>::new());
    assert_eq!(manager.due(3), ["submit 1", "submit 3"]);
    manager.job_submitted(1);
    manager.job_submitted(3);
    assert_eq!(manager.due(3), Vec::<String>::new());
}

#[test]
fn cancelling_a_batch_cancels_its_jobs() {
    let mut manager = Manager::new(2);
    manager.job_submitted(1);
    manager.job(1, &DONE);
    manager.job_submitted(2);
    manager.batch(&BatchEvent::CancelRequested {});
    assert_eq!(manager.due(3), ["cancel 2"]);
    manager.job(2, &CANCELLED);
    assert_eq!(manager.due(3), ["end 0 1"]);
}

#[test]
fn it_ends_when_its_last_job_ends() {
    let mut manager = Manager::new(2);
    manager.job_submitted(1);
    manager.job_submitted(2);
    manager.job(1, &DONE);
    assert_eq!(manager.due(9), Vec::<String>::new());
    manager.job(2, &DONE);
    assert_eq!(manager.due(9), ["end 0 2"]);
    // Repeated until the log contains the event.
    assert_eq!(manager.due(9), ["end 0 2"]);
    manager.ended(0, 2, 0);
    assert_eq!(manager.due(9), Vec::<String>::new());
    assert_eq!(manager.batches.of(job(1)), None);
}

#[test]
fn failed_jobs_are_retried_individually_or_together() {
    let mut manager = Manager::new(2);
    manager.job_submitted(1);
    manager.job_submitted(2);
    manager.job(1, &CANCELLED);
    manager.job(2, &CANCELLED);
    assert_eq!(manager.due(9), ["end 0 0"]);
    manager.ended(0, 0, 2);
    manager.batch(&BatchEvent::Retried { jobs: vec![job(1), job(2)], lease: None });
    manager.job(1, &JobEvent::Retried { next_attempt: 1, lease: None });
    assert_eq!(manager.due(9), ["retry 2"]);
    manager.job(2, &JobEvent::Retried { next_attempt: 1, lease: None });
    manager.job(1, &CANCELLED);
    manager.job(2, &CANCELLED);
    assert_eq!(manager.due(9), ["end 1 0"]);
    manager.ended(1, 0, 2);
    manager.job(2, &JobEvent::Retried { next_attempt: 1, lease: None });
    assert_eq!(manager.due(9), ["reopen"]);
    manager.batch(&BatchEvent::Reopened {});
    manager.job(2, &DONE);
    assert_eq!(manager.due(9), ["end 2 1"]);
}

#[test]
fn a_batch_that_ended_during_a_retry_is_reopened() {
    let mut manager = Manager::new(1);
    manager.job_submitted(1);
    manager.job(1, &CANCELLED);
    assert_eq!(manager.due(9), ["end 0 0"]);
    // Another client retried the job between the check and the append.
    manager.job(1, &JobEvent::Retried { next_attempt: 1, lease: None });
    let counts = Counts { total: 1, cancelled: 1, ..Counts::default() };
    let status = BatchStatus::Cancelled;
    manager.batch(&BatchEvent::Ended { round: 0, status, counts });
    assert_eq!(manager.due(9), ["reopen"]);
    manager.batch(&BatchEvent::Reopened {});
    manager.job(1, &DONE);
    assert_eq!(manager.due(9), ["end 1 1"]);
}

#[test]
fn a_job_retried_by_another_client_is_not_retried_twice() {
    let mut manager = Manager::new(1);
    manager.job_submitted(1);
    manager.job(1, &CANCELLED);
    manager.job(1, &JobEvent::Retried { next_attempt: 1, lease: None });
    manager.batch(&BatchEvent::Retried { jobs: vec![job(1)], lease: None });
    manager.job(1, &CANCELLED);
    assert_eq!(manager.due(9), ["end 1 0"]);
}

#[test]
fn a_batch_ends_although_a_job_rejects_its_retry() {
    let mut manager = Manager::new(2);
    for number in [1, 2] {
        manager.job_submitted(number);
        manager.job(number, &CANCELLED);
    }
    manager.ended(0, 0, 2);
    manager.batch(&BatchEvent::Retried { jobs: vec![job(1), job(2)], lease: None });
    assert_eq!(manager.due(9), ["retry 1", "retry 2"]);
    manager.batches.drop_retry(job(1));
    manager.job(2, &JobEvent::Retried { next_attempt: 1, lease: None });
    manager.job(2, &DONE);
    assert_eq!(manager.due(9), ["end 1 1"]);
}

#[test]
fn a_job_is_submitted_after_the_jobs_whose_outputs_it_reads() {
    let output = Location::JobOutput { job: job(2), name: "a.mp4".to_owned() };
    let reader = JobSpec::of(MediaRequest::Probe(Probe { input: Personal::Clear(output) }));
    let jobs = [(1, reader), (2, spec())].map(|(n, spec)| BatchJob { id: job(n), spec }).into();
    let spec = BatchSpec { name: Personal::Clear(None), max_parallel: 5, callback: None, jobs };
    let mut manager = Manager::new(0);
    manager.batch(&BatchEvent::Submitted { spec: Box::new(spec) });
    assert_eq!(manager.due(3), ["submit 2"]);
    manager.job_submitted(2);
    assert_eq!(manager.due(3), ["submit 1"]);
}
