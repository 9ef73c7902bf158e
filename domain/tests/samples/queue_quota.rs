use ffapi_domain::queue_quota::QueueQuotaEvent;

use super::{
    Samples,
    values::{at, lease},
};

impl Samples for QueueQuotaEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        Some(match event {
            None => Self::Leased { lease: lease(9), slots: 8, until: at(5) },
            Some(Self::Leased { .. }) => Self::Returned { lease: lease(9), unspent: 3 },
            Some(Self::Returned { .. }) => Self::Freed { over: 5, closed: vec![lease(9)] },
            Some(Self::Freed { .. }) => return None,
        })
    }
}
