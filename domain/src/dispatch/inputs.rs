//! Jobs that read outputs of other jobs: they wait until those jobs have completed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{BlockReason, Dispatch, Hold};
use crate::{JobId, Tenant, Timestamp};

/// How long a job is kept whose input will not be made: a client that retries both jobs need not
/// retry them in order.
const RETRY_GRACE: Duration = Duration::from_secs(2);

/// Which jobs read outputs of which.
#[derive(Debug, Clone, Default)]
pub(super) struct InputJobs {
    /// The jobs whose outputs a job reads, until it has completed.
    of_reader: BTreeMap<JobId, BTreeSet<JobId>>,
    /// The readers of a job, until it has completed.
    readers: BTreeMap<JobId, BTreeSet<JobId>>,
    /// Jobs that wait for a job that ended without outputs, and since when.
    without_input: BTreeMap<JobId, Timestamp>,
}

/// A job that waits for an output that will not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingInput {
    /// The waiting job.
    pub job: JobId,
    /// The tenant that owns both.
    pub tenant: Tenant,
    /// The job that ended without outputs.
    pub input: JobId,
}

impl InputJobs {
    /// Records the jobs whose outputs a submitted job reads.
    pub(super) fn add(&mut self, reader: JobId, inputs: BTreeSet<JobId>) {
        if inputs.is_empty() {
            return;
        }
        for input in &inputs {
            self.readers.entry(*input).or_default().insert(reader);
        }
        self.of_reader.insert(reader, inputs);
    }

    /// Forgets a completed job as a reader; returns the jobs that read its outputs.
    pub(super) fn completed(&mut self, job: JobId) -> BTreeSet<JobId> {
        for input in self.of_reader.remove(&job).into_iter().flatten() {
            if let Some(readers) = self.readers.get_mut(&input) {
                readers.remove(&job);
                if readers.is_empty() {
                    self.readers.remove(&input);
                }
            }
        }
        self.readers.remove(&job).unwrap_or_default()
    }

    /// The jobs that read outputs of a job that has not completed.
    pub(super) fn readers(&self, job: JobId) -> BTreeSet<JobId> {
        self.readers.get(&job).cloned().unwrap_or_default()
    }

    /// Forgets that a job waits for another one.
    pub(super) fn stop_waiting(&mut self, job: JobId) {
        self.without_input.remove(&job);
    }
}

impl Dispatch {
    /// The job that a job waits for, if any. A job that is not known has completed: it was submitted
    /// before its readers.
    pub(super) fn awaited(&self, reader: JobId) -> Option<JobId> {
        let inputs = self.inputs.of_reader.get(&reader)?;
        let mut unfinished = inputs.iter().filter(|input| self.live.contains_key(input)).copied();
        let first = unfinished.clone().next();
        // One that will not complete is the reason that matters.
        unfinished.find(|input| !self.is_live(*input)).or(first)
    }

    /// Considers again what each of these jobs waits for, after a job that they read changed.
    pub(super) fn review_readers(&mut self, readers: BTreeSet<JobId>, at: Timestamp) {
        for reader in readers {
            let waits = |waiting: &&super::Waiting| waiting.hold == Hold::Inputs;
            let Some(waiting) = self.waiting.get(&reader).filter(waits) else { continue };
            if self.awaited(reader).is_some() {
                self.record_missing_input(reader, at);
                continue;
            }
            let (tenant, due) = (waiting.tenant.clone(), waiting.ready);
            self.dequeue(reader);
            self.enqueue(reader, &tenant, at, (due > at).then_some(due));
        }
    }

    /// Records whether the job that a reader waits for has ended without outputs.
    pub(super) fn record_missing_input(&mut self, reader: JobId, at: Timestamp) {
        if self.awaited(reader).is_some_and(|input| !self.is_live(input)) {
            self.inputs.without_input.entry(reader).or_insert(at);
        } else {
            self.inputs.without_input.remove(&reader);
        }
    }

    /// The jobs that wait for an output that will not be made, because its job failed or was
    /// cancelled and has not been retried for 2 seconds.
    pub fn missing_inputs(&self, now: Timestamp) -> Vec<MissingInput> {
        let late = self.inputs.without_input.iter();
        let late = late.filter(|(_, since)| now.since(**since) >= RETRY_GRACE);
        late.filter_map(|(job, _)| {
            let tenant = self.waiting.get(job)?.tenant.clone();
            Some(MissingInput { job: *job, tenant, input: self.awaited(*job)? })
        })
        .collect()
    }

    /// Records that a job in [`Self::missing_inputs`] was failed: the event follows through the log.
    pub fn missing_input_handled(&mut self, job: JobId) {
        self.inputs.without_input.remove(&job);
    }

    /// Why a job waits that reads outputs of others.
    pub(super) fn input_reason(&self, job: JobId) -> Option<BlockReason> {
        self.awaited(job).map(|job| BlockReason::WaitingFor { job })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{at, caps, fold_at, job, spec, started, submitted},
        *,
    };
    use crate::{
        Personal,
        job::{Failure, FailureCode, JobEvent, JobSpec},
        location::Location,
        media::{MediaRequest, Pool, Probe},
    };

    const DONE: JobEvent = JobEvent::Completed { attempt: 1 };

    fn reads(input: u128) -> JobSpec {
        let location = Location::JobOutput { job: job(input), name: "a.mp4".to_owned() };
        JobSpec::of(MediaRequest::Probe(Probe { input: Personal::Clear(location) }))
    }

    fn failed() -> JobEvent {
        let message = Personal::Clear(String::new());
        let failure = Failure { code: FailureCode::InvalidInput, message };
        JobEvent::Failed { failure, dead_lettered: false }
    }

    /// The jobs that are released when every slot is free.
    fn released(d: &mut Dispatch, now: u64) -> Vec<JobId> {
        let chosen = d.choose(Pool::Cpu, &[Pool::Cpu].into(), 9, at(now));
        chosen.into_iter().map(|release| release.job).collect()
    }

    #[test]
    fn a_job_waits_until_the_jobs_that_make_its_inputs_have_completed() {
        let mut d = Dispatch::new(caps(9));
        fold_at(&mut d, 1, "a", 1, &submitted(spec()));
        fold_at(&mut d, 2, "a", 2, &submitted(reads(1)));
        fold_at(&mut d, 3, "a", 3, &submitted(reads(2)));
        assert_eq!(released(&mut d, 4), [job(1)]);
        fold_at(&mut d, 1, "a", 5, &started(1, "cpu"));
        let positions = d.queue_positions(&"a".parse().unwrap(), &[Pool::Cpu].into(), 9);
        let reasons: Vec<_> = positions.iter().map(|place| (place.job, place.why)).collect();
        let waits = |reader, input| (job(reader), BlockReason::WaitingFor { job: job(input) });
        assert_eq!(reasons, [waits(2, 1), waits(3, 2)]);
        fold_at(&mut d, 1, "a", 6, &DONE);
        assert_eq!(released(&mut d, 7), [job(2)]);
        fold_at(&mut d, 2, "a", 8, &started(1, "cpu"));
        fold_at(&mut d, 2, "a", 9, &DONE);
        assert_eq!(released(&mut d, 10), [job(3)]);
        assert_eq!(d.facts(job(3)).unwrap().eligible_since, at(9));
    }

    #[test]
    fn a_job_that_completed_before_is_not_waited_for() {
        let mut d = Dispatch::new(caps(9));
        fold_at(&mut d, 1, "a", 1, &submitted(spec()));
        fold_at(&mut d, 1, "a", 2, &started(1, "cpu"));
        fold_at(&mut d, 1, "a", 3, &DONE);
        fold_at(&mut d, 2, "a", 4, &submitted(reads(1)));
        assert_eq!(released(&mut d, 5), [job(2)]);
    }

    #[test]
    fn a_start_time_still_applies_once_the_inputs_exist() {
        let mut d = Dispatch::new(caps(9));
        fold_at(&mut d, 1, "a", 1, &submitted(spec()));
        let later = JobSpec { not_before: Some(at(100)), ..reads(1) };
        fold_at(&mut d, 2, "a", 2, &submitted(later));
        fold_at(&mut d, 1, "a", 3, &started(1, "cpu"));
        fold_at(&mut d, 1, "a", 4, &DONE);
        assert_eq!(released(&mut d, 5), []);
        assert_eq!(released(&mut d, 100), [job(2)]);
    }

    #[test]
    fn a_job_is_reported_whose_input_will_not_be_made() {
        for end in [failed(), JobEvent::Cancelled {}] {
            let mut d = Dispatch::new(caps(9));
            fold_at(&mut d, 1, "a", 1_000, &submitted(spec()));
            fold_at(&mut d, 2, "a", 1_001, &submitted(reads(1)));
            assert_eq!(d.missing_inputs(at(9_000)), []);
            fold_at(&mut d, 1, "a", 2_000, &end);
            assert_eq!(d.missing_inputs(at(3_999)), []);
            let missing = d.missing_inputs(at(4_000));
            assert_eq!(
                missing,
                [MissingInput { job: job(2), tenant: "a".parse().unwrap(), input: job(1) }]
            );
            fold_at(&mut d, 2, "a", 4_001, &failed());
            assert_eq!(d.missing_inputs(at(9_000)), []);
        }
    }

    #[test]
    fn both_jobs_can_be_retried_in_any_order() {
        let retried = JobEvent::Retried { next_attempt: 1, lease: None };
        for order in [[1, 2], [2, 1]] {
            let mut d = Dispatch::new(caps(9));
            fold_at(&mut d, 1, "a", 1, &submitted(spec()));
            fold_at(&mut d, 2, "a", 2, &submitted(reads(1)));
            fold_at(&mut d, 1, "a", 3, &failed());
            fold_at(&mut d, 2, "a", 4, &failed());
            fold_at(&mut d, order[0], "a", 5, &retried);
            fold_at(&mut d, order[1], "a", 6, &retried);
            assert_eq!(d.missing_inputs(at(9_000)), []);
            assert_eq!(released(&mut d, 7), [job(1)]);
            fold_at(&mut d, 1, "a", 8, &started(1, "cpu"));
            fold_at(&mut d, 1, "a", 9, &DONE);
            assert_eq!(released(&mut d, 10), [job(2)]);
        }
    }

    #[test]
    fn cancelled_readers_and_completed_jobs_leave_nothing_behind() {
        let mut d = Dispatch::new(caps(9));
        fold_at(&mut d, 1, "a", 1, &submitted(spec()));
        fold_at(&mut d, 2, "a", 2, &submitted(reads(1)));
        fold_at(&mut d, 2, "a", 3, &JobEvent::Cancelled {});
        assert_eq!(d.waiting(), 1);
        assert_eq!(d.backlog(&[Pool::Cpu].into()).jobs.len(), 1);
        fold_at(&mut d, 1, "a", 4, &started(1, "cpu"));
        fold_at(&mut d, 1, "a", 5, &DONE);
        fold_at(&mut d, 3, "a", 6, &submitted(reads(1)));
        fold_at(&mut d, 3, "a", 7, &started(1, "cpu"));
        fold_at(&mut d, 3, "a", 8, &DONE);
        assert!(!d.inputs.of_reader.contains_key(&job(3)));
        assert_eq!(d.held.of(&"a".parse().unwrap()).count(), 0);
    }
}
