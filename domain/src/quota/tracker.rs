use std::collections::BTreeMap;

use super::QuotaEvent;
use crate::{JobId, Tenant, job::JobEvent, media::Micros};

/// A reservation whose job is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub job: JobId,
    /// Whose.
    pub tenant: Tenant,
    /// In which month it was reserved, as its aggregate is named.
    pub month: String,
    /// What counts.
    pub micros: Micros,
}

/// The process manager that settles: what is reserved, and which of it waits to be settled.
#[derive(Debug, Clone, Default)]
pub struct QuotaTracker {
    /// By the month in which it was reserved: a job that was tried in two has two.
    open: BTreeMap<JobId, BTreeMap<String, Tenant>>,
    /// What a job that sealed its outputs is charged once they are delivered, by whichever attempt.
    sealed: BTreeMap<JobId, Micros>,
    /// What jobs that are over are charged, as far as they have reservations.
    over: BTreeMap<JobId, Micros>,
}

impl QuotaTracker {
    /// Folds in one event of a month. `live` says which jobs are not over: what a worker that came back
    /// from the dead reserves for one that is counts nothing.
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
            JobEvent::Completed { .. } => {
                let charged = self.sealed.remove(&job).unwrap_or(0);
                self.end(job, charged);
            }
            JobEvent::Failed { .. } | JobEvent::Cancelled {} => self.end(job, 0),
            // It runs again: what it reserved is still its own.
            JobEvent::Retried { .. } => {
                self.over.remove(&job);
            }
            JobEvent::Submitted { .. }
            | JobEvent::AttemptStarted { .. }
            | JobEvent::AttemptFailed { .. }
            | JobEvent::AttemptAbandoned { .. }
            | JobEvent::CancelRequested { .. }
            | JobEvent::OutputsExpired {}
            | JobEvent::PriorityChanged { .. } => {}
        }
    }

    fn end(&mut self, job: JobId, charged: Micros) {
        if self.open.contains_key(&job) {
            self.over.insert(job, charged);
        }
    }

    /// What is to be settled.
    pub fn due(&self) -> Vec<Due> {
        let due = self.over.iter().flat_map(|(job, micros)| {
            let months = self.open.get(job).into_iter().flatten().rev().enumerate();
            months.map(|(nth, (month, tenant))| {
                // It counts in the month in which it was tried last.
                let micros = if nth == 0 { *micros } else { 0 };
                Due { job: *job, tenant: tenant.clone(), month: month.clone(), micros }
            })
        });
        due.collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        Personal,
        job::{Failure, FailureCode},
        media::{Effort, Spent},
    };

    #[test]
    fn a_reservation_is_settled_once_its_job_is_over() {
        let (job, tenant) = (JobId::from_uuid(Uuid::from_u128(1)), "a".parse::<Tenant>().unwrap());
        let mut ledger = QuotaTracker::default();
        let reserved = QuotaEvent::Reserved { job, key: None, makers: vec![], micros: 9 };
        ledger.quota(&tenant, "2026-11", &reserved, |_| true);
        assert_eq!(ledger.due(), []);
        let effort = Effort { charged: 7, ..Effort::default() };
        let spent = Some(Spent { effort, seconds: 1.0, bytes: 1 });
        let sealed = JobEvent::OutputsSealed { attempt: 1, outputs: vec![], result: None, spent };
        ledger.job(job, &sealed);
        assert_eq!(ledger.due(), []);
        ledger.job(job, &JobEvent::Completed { attempt: 1 });
        let due = Due { job, tenant: tenant.clone(), month: "2026-11".to_owned(), micros: 7 };
        assert_eq!(ledger.due(), [due]);
        ledger.quota(&tenant, "2026-11", &QuotaEvent::Settled { job, micros: 7 }, |_| true);
        assert_eq!(ledger.due(), []);
        // Tried in two months, it counts in the later one.
        ledger.quota(&tenant, "2026-11", &reserved, |_| true);
        ledger.quota(&tenant, "2026-12", &reserved, |_| true);
        ledger.job(job, &sealed);
        ledger.job(job, &JobEvent::Completed { attempt: 2 });
        let due: Vec<_> = ledger.due().into_iter().map(|due| (due.month, due.micros)).collect();
        assert_eq!(due, [("2026-12".to_owned(), 7), ("2026-11".to_owned(), 0)]);
        for month in ["2026-11", "2026-12"] {
            ledger.quota(&tenant, month, &QuotaEvent::Settled { job, micros: 0 }, |_| true);
        }
        assert_eq!(ledger.due(), []);
        // One that made nothing costs nothing; one that is tried again keeps what it has.
        ledger.quota(&tenant, "2026-11", &reserved, |_| true);
        ledger.job(job, &JobEvent::Cancelled {});
        assert_eq!(ledger.due().first().unwrap().micros, 0);
        ledger.job(job, &JobEvent::Retried { next_attempt: 2, lease: None });
        assert_eq!(ledger.due(), []);
    }

    #[test]
    fn outputs_are_charged_when_they_are_delivered_whichever_attempt_does() {
        let (job, tenant) = (JobId::from_uuid(Uuid::from_u128(1)), "a".parse::<Tenant>().unwrap());
        let mut ledger = QuotaTracker::default();
        let reserved = QuotaEvent::Reserved { job, key: None, makers: vec![], micros: 7 };
        let effort = Effort { charged: 7, ..Effort::default() };
        let spent = Some(Spent { effort, seconds: 1.0, bytes: 1 });
        let failure = Failure { code: FailureCode::OutputExists, message: Personal::Erased };
        ledger.quota(&tenant, "2026-11", &reserved, |_| true);
        ledger.job(
            job,
            &JobEvent::OutputsSealed { attempt: 1, outputs: vec![], result: None, spent },
        );
        ledger.job(job, &JobEvent::Failed { failure, dead_lettered: false });
        let charged = |ledger: &QuotaTracker| ledger.due().first().map(|due| due.micros);
        assert_eq!(charged(&ledger), Some(0));
        ledger.quota(&tenant, "2026-11", &QuotaEvent::Settled { job, micros: 0 }, |_| true);
        ledger.job(job, &JobEvent::Retried { next_attempt: 2, lease: None });
        ledger.quota(&tenant, "2026-11", &reserved, |_| true);
        ledger.job(job, &JobEvent::Completed { attempt: 2 });
        assert_eq!(charged(&ledger), Some(7));
    }

    #[test]
    fn what_is_reserved_for_a_job_that_is_over_comes_back() {
        let (job, tenant) = (JobId::from_uuid(Uuid::from_u128(1)), "a".parse::<Tenant>().unwrap());
        let mut ledger = QuotaTracker::default();
        ledger.job(job, &JobEvent::Cancelled {});
        let reserved = QuotaEvent::Reserved { job, key: None, makers: vec![], micros: 7 };
        ledger.quota(&tenant, "2026-11", &reserved, |_| false);
        assert_eq!(ledger.due().first().map(|due| due.micros), Some(0));
    }
}
