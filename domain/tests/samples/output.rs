use ffapi_domain::output::OutputEvent;

use super::{
    Samples,
    values::{at, job},
};

impl Samples for OutputEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        Some(match event {
            None => Self::Reserved { job: job(7), job_sequence: Some(3), until: Some(at(5)) },
            Some(Self::Reserved { .. }) => return None,
        })
    }

    fn sparse() -> Vec<Self> {
        vec![Self::Reserved { job: job(7), job_sequence: None, until: None }]
    }
}
