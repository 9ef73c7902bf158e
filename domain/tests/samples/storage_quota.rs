use ffapi_domain::storage_quota::StorageQuotaEvent;

use super::{
    Samples,
    values::{at, text},
};

impl Samples for StorageQuotaEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        let thing = || text("upload_1");
        Some(match event {
            None => Self::Held { thing: thing(), bytes: 7, until: at(5) },
            Some(Self::Held { .. }) => Self::Released { thing: thing() },
            Some(Self::Released { .. }) => {
                Self::Counted { bytes: 7, as_of: 3, closed: vec![thing()] }
            }
            Some(Self::Counted { .. }) => return None,
        })
    }
}
