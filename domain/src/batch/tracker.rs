use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{BatchCommand, BatchEvent, Counts};
use crate::{
    BatchId, JobId, LeaseId, Tenant, Timestamp,
    job::{JobCommand, JobEvent, JobSpec, JobStatus},
};

/// The process manager that sees batches through: what of each is still to be done.
///
/// Whoever asked for something carries it out at once; what is not done a while later, because that
/// one died, is done here. Repeating a step is harmless.
#[derive(Debug, Clone, Default)]
pub struct Batches {
    known: BTreeMap<BatchId, Known>,
    of_job: BTreeMap<JobId, BatchId>,
    /// Those that may have something to be done.
    stirred: BTreeSet<BatchId>,
}

#[derive(Debug, Clone)]
struct Known {
    tenant: Tenant,
    jobs: BTreeMap<JobId, Member>,
    cancelled: bool,
    retried: BTreeSet<JobId>,
    /// Of whose places in the queue those have one.
    lease: Option<LeaseId>,
    round: u32,
    ended: bool,
    /// A job was tried again after the end, and the batch does not know yet.
    stale: bool,
    /// When somebody asked for something last.
    asked: Timestamp,
}

#[derive(Debug, Clone)]
enum Member {
    /// Not made yet.
    Promised(Box<JobSpec>),
    Made(JobStatus),
}

/// Something to be done.
#[derive(Debug, Clone)]
pub struct Step<C, Id> {
    /// Whose.
    pub tenant: Tenant,
    /// To what.
    pub id: Id,
    /// What.
    pub command: C,
}

/// What is to be done: to jobs, and to batches.
type Steps = (Vec<Step<JobCommand, JobId>>, Vec<Step<BatchCommand, BatchId>>);

/// How long whoever asked has to carry it out.
const GRACE: Duration = Duration::from_secs(2);

impl Batches {
    /// Folds in one event of a batch.
    pub fn batch(&mut self, id: BatchId, tenant: &Tenant, at: Timestamp, event: &BatchEvent) {
        if let BatchEvent::Submitted { spec } = event {
            let promised = |spec: &JobSpec| Member::Promised(Box::new(spec.clone()));
            let jobs = spec.jobs.iter().map(|job| (job.id, promised(&job.spec))).collect();
            self.of_job.extend(spec.jobs.iter().map(|job| (job.id, id)));
            let known = Known {
                tenant: tenant.clone(),
                jobs,
                cancelled: false,
                retried: BTreeSet::new(),
                lease: None,
                round: 0,
                ended: false,
                stale: false,
                asked: at,
            };
            self.known.insert(id, known);
        }
        let Some(known) = self.known.get_mut(&id) else { return };
        match event {
            BatchEvent::Submitted { .. } => {}
            BatchEvent::CancelRequested {} => {
                known.cancelled = true;
                known.retried.clear();
                known.asked = at;
            }
            BatchEvent::Retried { jobs, lease } => {
                known.lease = *lease;
                known.open_again(at);
                // Those that run again by now were retried by somebody else.
                let over = |job: &&JobId| match known.jobs.get(*job) {
                    Some(Member::Made(status)) => status.is_over(),
                    Some(Member::Promised(_)) | None => false,
                };
                let again: Vec<JobId> = jobs.iter().filter(over).copied().collect();
                known.retried.extend(again);
            }
            BatchEvent::Reopened {} => known.open_again(at),
            BatchEvent::Ended { counts: said, .. } => {
                known.ended = true;
                // A job that was tried again just before this was said: it is not so.
                let counts = known.counts();
                known.stale = counts != *said;
                if !known.stale && counts.completed == counts.total {
                    // Nothing can be tried again: there is no more to say of it.
                    let known = self.known.remove(&id);
                    for job in known.iter().flat_map(|known| known.jobs.keys()) {
                        self.of_job.remove(job);
                    }
                    self.stirred.remove(&id);
                    return;
                }
            }
        }
        self.stirred.insert(id);
    }

    /// Folds in one event of a job.
    pub fn job(&mut self, job: JobId, event: &JobEvent) {
        let (Some(status), Some(batch)) = (JobStatus::after(event), self.of_job.get(&job)) else {
            return;
        };
        let Some(known) = self.known.get_mut(batch) else { return };
        known.jobs.insert(job, Member::Made(status));
        if matches!(event, JobEvent::Retried { .. }) {
            known.retried.remove(&job);
            known.stale |= known.ended;
        }
        if status.is_over() || known.stale {
            self.stirred.insert(*batch);
        }
    }

    /// What is to be done now.
    pub fn due(&mut self, now: Timestamp) -> Steps {
        let mut steps = Steps::default();
        let known = &self.known;
        self.stirred
            .retain(|id| known.get(id).is_some_and(|known| known.due(*id, now, &mut steps)));
        steps
    }

    /// Which batch a job is of, while there is anything to say of it.
    pub fn of(&self, job: JobId) -> Option<BatchId> {
        self.of_job.get(&job).copied()
    }
}

impl Known {
    fn open_again(&mut self, at: Timestamp) {
        self.round = self.round.saturating_add(1);
        self.cancelled = false;
        self.ended = false;
        self.stale = false;
        self.asked = at;
    }

    fn counts(&self) -> Counts {
        Counts::of(self.jobs.values().map(|member| match member {
            Member::Promised(_) => JobStatus::Queued,
            Member::Made(status) => *status,
        }))
    }

    /// Adds what is to be done; true if this batch must be looked at again without anything new.
    fn due(&self, id: BatchId, now: Timestamp, (jobs, batches): &mut Steps) -> bool {
        let tenant = || self.tenant.clone();
        let batch = |command| Step { tenant: tenant(), id, command };
        if self.stale {
            batches.push(batch(BatchCommand::Reopen));
            return true;
        }
        let mut waits = false;
        for (job, member) in &self.jobs {
            let command = match member {
                Member::Promised(spec) => JobCommand::Submit { spec: spec.clone() },
                Member::Made(JobStatus::Failed | JobStatus::Cancelled)
                    if self.retried.contains(job) =>
                {
                    JobCommand::Retry { lease: self.lease }
                }
                Member::Made(status) if self.cancelled && !status.is_over() => JobCommand::Cancel,
                Member::Made(_) => continue,
            };
            waits = true;
            if now.since(self.asked) >= GRACE {
                jobs.push(Step { tenant: tenant(), id: *job, command });
            }
        }
        let counts = self.counts();
        if !waits && !self.ended && counts.is_over() {
            batches.push(batch(BatchCommand::End { round: self.round, counts }));
            return true;
        }
        waits
    }
}
