use ffapi_domain::preset::{PresetEvent, PresetVersion};

use super::{Samples, values::text};

impl Samples for PresetEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        Some(match event {
            None => {
                let body = [(text("priority"), "low".into())].into_iter().collect();
                let version = PresetVersion { version: 3, kind: text("probe"), body };
                Self::Defined { version }
            }
            Some(Self::Defined { .. }) => Self::Deleted {},
            Some(Self::Deleted {}) => return None,
        })
    }
}
