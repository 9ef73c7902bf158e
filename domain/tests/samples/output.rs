use ffapi_domain::output::OutputEvent;

use super::{Samples, values::job};

impl Samples for OutputEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        Some(match event {
            None => Self::Reserved { job: job(7) },
            Some(Self::Reserved { .. }) => return None,
        })
    }
}
