use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{BatchCommand, BatchEvent, Counts};
use crate::{
    BatchId, JobId, LeaseId, Tenant, Timestamp,
    job::{JobCommand, JobEvent, JobSpec, JobStatus},
};

/// The process manager of batches: computes the pending steps of each batch.
///
/// The caller that requests something carries it out immediately; steps that are still pending a
/// while later, because that process died, are done here. Repeating a step is harmless.
#[derive(Debug, Clone, Default)]
pub struct BatchTracker {
    known: BTreeMap<BatchId, TrackedBatch>,
    of_job: BTreeMap<JobId, BatchId>,
    /// Batches that may have pending steps.
    dirty: BTreeSet<BatchId>,
}

#[derive(Debug, Clone)]
struct TrackedBatch {
    tenant: Tenant,
    jobs: BTreeMap<JobId, Member>,
    cancelled: bool,
    retried: BTreeSet<JobId>,
    /// The lease whose queue slots the retried jobs spend.
    lease: Option<LeaseId>,
    round: u32,
    ended: bool,
    /// A job was retried after the end, and the batch is not reopened yet.
    stale: bool,
    /// Time of the last request.
    requested_at: Timestamp,
}

#[derive(Debug, Clone)]
enum Member {
    /// Not created yet.
    Pending(Box<JobSpec>),
    Created(JobStatus),
}

/// A pending command.
#[derive(Debug, Clone)]
pub struct Step<C, Id> {
    /// The tenant of the target.
    pub tenant: Tenant,
    /// Id of the target.
    pub id: Id,
    /// The command for the target.
    pub command: C,
}

/// Pending commands: for jobs, and for batches.
type Steps = (Vec<Step<JobCommand, JobId>>, Vec<Step<BatchCommand, BatchId>>);

/// Time that the requesting process has to carry out its request.
const REQUESTER_GRACE: Duration = Duration::from_secs(2);

impl BatchTracker {
    /// Folds in one event of a batch.
    pub fn batch(&mut self, id: BatchId, tenant: &Tenant, at: Timestamp, event: &BatchEvent) {
        if let BatchEvent::Submitted { spec } = event {
            let pending = |spec: &JobSpec| Member::Pending(Box::new(spec.clone()));
            let jobs = spec.jobs.iter().map(|job| (job.id, pending(&job.spec))).collect();
            self.of_job.extend(spec.jobs.iter().map(|job| (job.id, id)));
            let known = TrackedBatch {
                tenant: tenant.clone(),
                jobs,
                cancelled: false,
                retried: BTreeSet::new(),
                lease: None,
                round: 0,
                ended: false,
                stale: false,
                requested_at: at,
            };
            self.known.insert(id, known);
        }
        let Some(known) = self.known.get_mut(&id) else { return };
        match event {
            BatchEvent::Submitted { .. } => {}
            BatchEvent::CancelRequested {} => {
                known.cancelled = true;
                known.retried.clear();
                known.requested_at = at;
            }
            BatchEvent::Retried { jobs, lease } => {
                known.lease = *lease;
                known.reopen(at);
                // Jobs that already run again were retried by another client.
                let over = |job: &&JobId| match known.jobs.get(*job) {
                    Some(Member::Created(status)) => status.is_over(),
                    Some(Member::Pending(_)) | None => false,
                };
                let retried: Vec<JobId> = jobs.iter().filter(over).copied().collect();
                known.retried.extend(retried);
            }
            BatchEvent::Reopened {} => known.reopen(at),
            BatchEvent::Ended { counts: reported, .. } => {
                known.ended = true;
                // A job was retried just before this event: the counts are outdated.
                let counts = known.counts();
                known.stale = counts != *reported;
                if !known.stale && counts.completed == counts.total {
                    // No job can be retried: nothing more will happen to this batch.
                    let known = self.known.remove(&id);
                    for job in known.iter().flat_map(|known| known.jobs.keys()) {
                        self.of_job.remove(job);
                    }
                    self.dirty.remove(&id);
                    return;
                }
            }
        }
        self.dirty.insert(id);
    }

    /// Folds in one event of a job.
    pub fn job(&mut self, job: JobId, event: &JobEvent) {
        let (Some(status), Some(batch)) = (JobStatus::after(event), self.of_job.get(&job)) else {
            return;
        };
        let Some(known) = self.known.get_mut(batch) else { return };
        known.jobs.insert(job, Member::Created(status));
        if matches!(event, JobEvent::Retried { .. }) {
            known.retried.remove(&job);
            known.stale |= known.ended;
        }
        if status.is_over() || known.stale {
            self.dirty.insert(*batch);
        }
    }

    /// Forgets that a job is to be retried, because it rejects that.
    pub fn drop_retry(&mut self, job: JobId) {
        let Some(batch) = self.of_job.get(&job) else { return };
        if let Some(known) = self.known.get_mut(batch) {
            known.retried.remove(&job);
        }
    }

    /// The commands that are due now.
    pub fn due(&mut self, now: Timestamp) -> Steps {
        let mut steps = Steps::default();
        let known = &self.known;
        self.dirty.retain(|id| known.get(id).is_some_and(|known| known.due(*id, now, &mut steps)));
        steps
    }

    /// The batch that a job belongs to, while more events of the batch may follow.
    pub fn of(&self, job: JobId) -> Option<BatchId> {
        self.of_job.get(&job).copied()
    }
}

impl TrackedBatch {
    fn reopen(&mut self, at: Timestamp) {
        self.round = self.round.saturating_add(1);
        self.cancelled = false;
        self.ended = false;
        self.stale = false;
        self.requested_at = at;
    }

    /// True if one of these jobs is not created yet.
    fn has_pending(&self, jobs: &BTreeSet<JobId>) -> bool {
        jobs.iter().any(|job| matches!(self.jobs.get(job), Some(Member::Pending(_))))
    }

    fn counts(&self) -> Counts {
        Counts::of(self.jobs.values().map(|member| match member {
            Member::Pending(_) => JobStatus::Queued,
            Member::Created(status) => *status,
        }))
    }

    /// Adds due commands; true if this batch must be checked again even without a new event.
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
                // The log has every job before those that read its outputs.
                Member::Pending(spec) if self.has_pending(&spec.request.input_jobs()) => continue,
                Member::Pending(spec) => JobCommand::Submit { spec: spec.clone() },
                Member::Created(JobStatus::Failed | JobStatus::Cancelled)
                    if self.retried.contains(job) =>
                {
                    JobCommand::Retry { lease: self.lease }
                }
                Member::Created(status) if self.cancelled && !status.is_over() => {
                    JobCommand::Cancel
                }
                Member::Created(_) => continue,
            };
            waits = true;
            if now.since(self.requested_at) >= REQUESTER_GRACE {
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
