use ffapi_domain::{
    Personal,
    batch::{BatchEvent, BatchJob, BatchSpec, BatchStatus, Counts},
    job::JobSpec,
    media::{MediaRequest, Probe},
};

use super::{
    Samples,
    job::spec,
    values::{callback, job, lease, text},
};

impl Samples for BatchEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        Some(match event {
            None => {
                let jobs = MediaRequest::full().into_iter().zip(1..);
                let jobs = jobs.map(|(request, n)| BatchJob { id: job(n), spec: spec(request) });
                Self::Submitted { spec: Box::new(batch(jobs.collect())) }
            }
            Some(Self::Submitted { .. }) => Self::CancelRequested {},
            Some(Self::CancelRequested {}) => {
                Self::Retried { jobs: vec![job(7)], lease: Some(lease(9)) }
            }
            Some(Self::Retried { .. }) => Self::Reopened {},
            Some(Self::Reopened {}) => {
                let counts = Counts { total: 2, completed: 1, failed: 1, ..Counts::default() };
                Self::Ended { round: 1, status: BatchStatus::PartialSuccess, counts }
            }
            Some(Self::Ended { .. }) => return None,
        })
    }

    fn sparse() -> Vec<Self> {
        let spec = JobSpec::of(MediaRequest::Probe(Probe { input: Personal::Erased }));
        let spec = batch(vec![BatchJob { id: job(7), spec }]);
        vec![
            Self::Submitted { spec: Box::new(spec) },
            Self::Retried { jobs: vec![job(7)], lease: None },
        ]
    }
}

fn batch(jobs: Vec<BatchJob>) -> BatchSpec {
    let name = Personal::Clear(Some(text("b")));
    BatchSpec { name, max_parallel: 5, callback: Some(callback("batch.completed")), jobs }
}
