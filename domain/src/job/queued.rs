use serde::{Deserialize, Serialize};

use super::{EventMetadata, JobEvent, JobStatus, Priority};
use crate::{JobId, Tenant, Timestamp};

/// A job in the read model of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    /// The job's id.
    pub id: JobId,
    /// The tenant that owns it.
    pub tenant: Tenant,
    /// Its status.
    pub status: JobStatus,
    /// Its priority among the jobs of its tenant.
    pub priority: Priority,
    /// Earliest start of its next attempt.
    pub not_before: Option<Timestamp>,
    /// When it got its current status.
    pub since: Timestamp,
}

impl QueueEntry {
    /// Folds in one event. A `None` input means that there is no row yet, a `None` result that
    /// there still is none.
    pub fn apply(row: Option<Self>, event: &JobEvent, meta: &EventMetadata) -> Option<Self> {
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
