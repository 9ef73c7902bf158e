use serde::{Deserialize, Serialize};

use super::BatchEvent;
use crate::{BatchId, Personal, Tenant, Timestamp};

/// A batch as the API returns it, without its counts, which are folded from its jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchView {
    /// The batch's id.
    pub id: BatchId,
    /// The tenant that owns it.
    pub tenant: Tenant,
    /// Display name.
    pub name: Personal<Option<String>>,
    /// Maximum number of its jobs that run at once.
    pub max_parallel: u32,
    /// Number of its jobs.
    pub total: u32,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When the batch itself last changed.
    pub updated_at: Timestamp,
    /// When its last job ended.
    pub ended_at: Option<Timestamp>,
    /// True if its cancellation was requested.
    pub cancel_requested: bool,
    /// Number of its events.
    pub version: u64,
}

impl BatchView {
    /// Folds in one event. A `None` input means that there is no row yet, a `None` result that
    /// there still is none.
    pub fn apply(
        row: Option<Self>,
        event: &BatchEvent,
        id: BatchId,
        tenant: &Tenant,
        at: Timestamp,
    ) -> Option<Self> {
        let mut row = match (row, event) {
            (None, BatchEvent::Submitted { spec }) => Self {
                id,
                tenant: tenant.clone(),
                name: spec.name.clone(),
                max_parallel: spec.max_parallel,
                total: u32::try_from(spec.jobs.len()).unwrap_or(u32::MAX),
                created_at: at,
                updated_at: at,
                ended_at: None,
                cancel_requested: false,
                version: 0,
            },
            (None, _) => return None,
            (Some(row), _) => row,
        };
        row.version = row.version.saturating_add(1);
        row.updated_at = at;
        match event {
            BatchEvent::Submitted { .. } => {}
            BatchEvent::CancelRequested {} => row.cancel_requested = true,
            BatchEvent::Retried { .. } | BatchEvent::Reopened {} => {
                row.cancel_requested = false;
                row.ended_at = None;
            }
            BatchEvent::Ended { .. } => row.ended_at = Some(at),
        }
        Some(row)
    }
}
