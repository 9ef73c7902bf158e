use std::collections::BTreeMap;

use super::QuotaEvent;
use crate::{
    JobId, Tenant,
    job::{FailureCode, JobEvent},
    media::Micros,
};

/// A reservation of an ended job that must be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The job.
    pub job: JobId,
    /// The tenant that owns it.
    pub tenant: Tenant,
    /// The month in which it was reserved: the id of the aggregate.
    pub month: String,
    /// Media time to charge, in microseconds.
    pub micros: Micros,
}

/// The process manager of quotas: tracks reservations and which of them must be settled.
#[derive(Debug, Clone, Default)]
pub struct QuotaTracker {
    /// Open reservations by job and month: a job that ran in two months has two.
    open: BTreeMap<JobId, BTreeMap<String, Tenant>>,
    /// What a job with sealed outputs is charged once they are delivered, by any attempt.
    sealed: BTreeMap<JobId, Micros>,
    /// What ended jobs with open reservations are charged.
    over: BTreeMap<JobId, Micros>,
}

impl QuotaTracker {
    /// Folds in one event of a month. `live` tells whether a job has not ended: a reservation by a
    /// worker that resumes after its job has ended is charged nothing.
    pub fn quota(
        &mut self,
        tenant: &Tenant,
        month: &str,
        event: &QuotaEvent,
        live: impl Fn(JobId) -> bool,
    ) {
        match event {
            QuotaEvent::Reserved { job, .. } => {
                self.open.entry(*job).or_default().insert(month.to_owned(), tenant.clone());
                if !live(*job) {
                    self.over.entry(*job).or_insert(0);
                }
            }
            QuotaEvent::Settled { job, .. } => {
                let months = self.open.entry(*job).or_default();
                months.remove(month);
                if months.is_empty() {
                    self.open.remove(job);
                    self.over.remove(job);
                }
            }
        }
    }

    /// Folds in one event of a job.
    pub fn job(&mut self, job: JobId, event: &JobEvent) {
        match event {
            JobEvent::OutputsSealed { spent, .. } => {
                let charged = spent.as_ref().map_or(0, |spent| spent.effort.charged);
                self.sealed.insert(job, charged);
            }
            // Also a job that is cancelled while its outputs are put at URLs: they were made.
            JobEvent::Completed { .. } | JobEvent::Cancelled {} => {
                let charged = self.sealed.remove(&job).unwrap_or(0);
                self.end(job, charged);
            }
            JobEvent::Failed { failure, .. } => {
                let sealed = self.sealed.remove(&job);
                let charged = sealed.filter(|_| is_of_outputs_host(failure.code)).unwrap_or(0);
                self.end(job, charged);
            }
            // It runs again and keeps its reservation.
            JobEvent::Retried { .. } => {
                self.over.remove(&job);
            }
            JobEvent::Submitted { .. }
            | JobEvent::AttemptStarted { .. }
            | JobEvent::AttemptFailed { .. }
            | JobEvent::AttemptAbandoned { .. }
            | JobEvent::CancelRequested { .. }
            | JobEvent::OutputsExpired {}
            | JobEvent::OutputsDeleted { .. }
            | JobEvent::PriorityChanged { .. } => {}
        }
    }

    fn end(&mut self, job: JobId, charged: Micros) {
        if self.open.contains_key(&job) {
            self.over.insert(job, charged);
        }
    }

    /// The reservations that must be settled.
    pub fn due(&self) -> Vec<Due> {
        let due = self.over.iter().flat_map(|(job, micros)| {
            let months = self.open.get(job).into_iter().flatten().rev().enumerate();
            months.map(|(nth, (month, tenant))| {
                // The charge counts in the month of the last attempt.
                let micros = if nth == 0 { *micros } else { 0 };
                Due { job: *job, tenant: tenant.clone(), month: month.clone(), micros }
            })
        });
        due.collect()
    }
}

/// True if the host of an output's URL did not accept what was made. Such a job is charged: its client may
/// own the host, which can read a whole output and then report a failure.
const fn is_of_outputs_host(code: FailureCode) -> bool {
    matches!(
        code,
        FailureCode::OutputForbidden
            | FailureCode::OutputUrlExpired
            | FailureCode::OutputUnreachable
            | FailureCode::TimeLimitExceeded
    )
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        Personal,
        job::Failure,
        media::{Effort, Spent},
    };

    /// The seal of an attempt that is charged 7 µs.
    fn sealed_by(attempt: u32) -> JobEvent {
        let effort = Effort { charged: 7, ..Effort::default() };
        let spent = Some(Spent { effort, seconds: 1.0, bytes: 1, cpu_seconds: None });
        JobEvent::OutputsSealed { attempt, outputs: vec![], result: None, spent, plan: None }
    }

    #[test]
    fn a_reservation_is_settled_when_its_job_ends() {
        let (job, tenant) = (JobId::from_uuid(Uuid::from_u128(1)), "a".parse::<Tenant>().unwrap());
        let mut tracker = QuotaTracker::default();
        let reserved = QuotaEvent::Reserved { job, key: None, makers: vec![], micros: 9 };
        tracker.quota(&tenant, "2026-11", &reserved, |_| true);
        assert_eq!(tracker.due(), []);
        let sealed = sealed_by(1);
        tracker.job(job, &sealed);
        assert_eq!(tracker.due(), []);
        tracker.job(job, &JobEvent::Completed { attempt: 1 });
        let due = Due { job, tenant: tenant.clone(), month: "2026-11".to_owned(), micros: 7 };
        assert_eq!(tracker.due(), [due]);
        tracker.quota(&tenant, "2026-11", &QuotaEvent::Settled { job, micros: 7 }, |_| true);
        assert_eq!(tracker.due(), []);
        // A job that ran in two months is charged in the later one.
        tracker.quota(&tenant, "2026-11", &reserved, |_| true);
        tracker.quota(&tenant, "2026-12", &reserved, |_| true);
        tracker.job(job, &sealed);
        tracker.job(job, &JobEvent::Completed { attempt: 2 });
        let due: Vec<_> = tracker.due().into_iter().map(|due| (due.month, due.micros)).collect();
        assert_eq!(due, [("2026-12".to_owned(), 7), ("2026-11".to_owned(), 0)]);
        for month in ["2026-11", "2026-12"] {
            tracker.quota(&tenant, month, &QuotaEvent::Settled { job, micros: 0 }, |_| true);
        }
        assert_eq!(tracker.due(), []);
        // A job without outputs is charged nothing; a retried job keeps its reservation.
        tracker.quota(&tenant, "2026-11", &reserved, |_| true);
        tracker.job(job, &JobEvent::Cancelled {});
        assert_eq!(tracker.due().first().unwrap().micros, 0);
        tracker.job(job, &JobEvent::Retried { next_attempt: 2, lease: None });
        assert_eq!(tracker.due(), []);
    }

    #[test]
    fn outputs_are_charged_on_delivery_by_any_attempt() {
        let (job, tenant) = (JobId::from_uuid(Uuid::from_u128(1)), "a".parse::<Tenant>().unwrap());
        let mut tracker = QuotaTracker::default();
        let reserved = QuotaEvent::Reserved { job, key: None, makers: vec![], micros: 7 };
        let failure = Failure { code: FailureCode::OutputExists, message: Personal::Erased };
        tracker.quota(&tenant, "2026-11", &reserved, |_| true);
        tracker.job(job, &sealed_by(1));
        tracker.job(job, &JobEvent::Failed { failure, dead_lettered: false });
        let charged = |tracker: &QuotaTracker| tracker.due().first().map(|due| due.micros);
        assert_eq!(charged(&tracker), Some(0));
        tracker.quota(&tenant, "2026-11", &QuotaEvent::Settled { job, micros: 0 }, |_| true);
        tracker.job(job, &JobEvent::Retried { next_attempt: 2, lease: None });
        tracker.quota(&tenant, "2026-11", &reserved, |_| true);
        // A job that fails in its delivery makes its outputs again.
        tracker.job(job, &JobEvent::Cancelled {});
        assert_eq!(charged(&tracker), Some(0));
        tracker.job(job, &JobEvent::Retried { next_attempt: 2, lease: None });
        tracker.job(job, &sealed_by(2));
        let reason = "gone".to_owned();
        tracker.job(job, &JobEvent::AttemptAbandoned { attempt: 2, reason, handed_back: false });
        tracker.job(job, &JobEvent::Completed { attempt: 3 });
        assert_eq!(charged(&tracker), Some(7));
    }

    #[test]
    fn outputs_are_charged_if_the_host_of_their_url_does_not_take_them() {
        let (job, tenant) = (JobId::from_uuid(Uuid::from_u128(1)), "a".parse::<Tenant>().unwrap());
        let charged = |code, is_sealed| {
            let mut tracker = QuotaTracker::default();
            let reserved = QuotaEvent::Reserved { job, key: None, makers: vec![], micros: 9 };
            tracker.quota(&tenant, "2026-11", &reserved, |_| true);
            let sealed = sealed_by(1);
            if is_sealed {
                tracker.job(job, &sealed);
            }
            let failure = Failure { code, message: Personal::Erased };
            tracker.job(job, &JobEvent::Failed { failure, dead_lettered: true });
            tracker.due().first().map(|due| due.micros)
        };
        for code in [
            FailureCode::OutputForbidden,
            FailureCode::OutputUrlExpired,
            FailureCode::OutputUnreachable,
            FailureCode::TimeLimitExceeded,
        ] {
            assert_eq!((charged(code, true), charged(code, false)), (Some(7), Some(0)), "{code:?}");
        }
        // The service's own.
        for code in [FailureCode::StorageUnavailable, FailureCode::WorkerLost] {
            assert_eq!(charged(code, true), Some(0), "{code:?}");
        }
    }

    /// Otherwise a client whose host takes the outputs slowly could cancel after the last one.
    #[test]
    fn outputs_are_charged_if_their_job_is_cancelled_while_they_are_put() {
        let (job, tenant) = (JobId::from_uuid(Uuid::from_u128(1)), "a".parse::<Tenant>().unwrap());
        let mut tracker = QuotaTracker::default();
        let reserved = QuotaEvent::Reserved { job, key: None, makers: vec![], micros: 9 };
        tracker.quota(&tenant, "2026-11", &reserved, |_| true);
        let sealed = sealed_by(1);
        tracker.job(job, &sealed);
        tracker.job(job, &JobEvent::Cancelled {});
        assert_eq!(tracker.due().first().map(|due| due.micros), Some(7));
    }

    #[test]
    fn a_reservation_for_an_ended_job_is_released() {
        let (job, tenant) = (JobId::from_uuid(Uuid::from_u128(1)), "a".parse::<Tenant>().unwrap());
        let mut tracker = QuotaTracker::default();
        tracker.job(job, &JobEvent::Cancelled {});
        let reserved = QuotaEvent::Reserved { job, key: None, makers: vec![], micros: 7 };
        tracker.quota(&tenant, "2026-11", &reserved, |_| false);
        assert_eq!(tracker.due().first().map(|due| due.micros), Some(0));
    }
}
