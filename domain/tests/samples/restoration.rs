use ffapi_domain::restoration::LogEvent;

use super::{Samples, values::text};

impl Samples for LogEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        Some(match event {
            None => Self::Restored {
                backup: text("20261130T070000Z-1-42"),
                from_epoch: 1,
                epoch: 2,
                sequence: 42,
            },
            Some(Self::Restored { .. }) => return None,
        })
    }
}
