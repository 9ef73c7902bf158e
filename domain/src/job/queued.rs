use serde::{Deserialize, Serialize};

use super::{JobEvent, JobStatus, Priority, Recorded};
use crate::{JobId, Tenant, Timestamp};

/// A job as the queue sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    /// Which.
    pub id: JobId,
    /// Whose.
    pub tenant: Tenant,
    /// Where it stands.
    pub status: JobStatus,
    /// Its place among its tenant's.
    pub priority: Priority,
    /// It waits at least until then.
    pub not_before: Option<Timestamp>,
    /// Since when it has that status.
    pub since: Timestamp,
}

impl QueueEntry {
    /// Folds one event in. `None` in means no row yet; `None` out means still none.
    pub fn apply(row: Option<Self>, event: &JobEvent, meta: &Recorded) -> Option<Self> {
        let mut row = match (row, event) {
            (None, JobEvent::Submitted { spec }) => Self {
                id: meta.id,
                tenant: meta.tenant.clone(),
                status: JobStatus::Queued,
                priority: spec.priority,
                not_before: spec.not_before,
                since: meta.at,
            },
            (None, _) => return None,
            (Some(row), _) => row,
        };
        if let JobEvent::PriorityChanged { priority } = event {
            row.priority = *priority;
        }
        if let Some(status) = JobStatus::after(event)
            && status != row.status
        {
            row.status = status;
            row.since = meta.at;
            row.not_before =
                if let JobEvent::AttemptFailed { retry_at, .. } = event { *retry_at } else { None };
        }
        Some(row)
    }
}
