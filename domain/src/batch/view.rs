use serde::{Deserialize, Serialize};

use super::BatchEvent;
use crate::{BatchId, Personal, Tenant, Timestamp};

/// A batch as the API shows it, but for its counts, which are its jobs' to tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchView {
    /// Its name.
    pub id: BatchId,
    /// Whose it is.
    pub tenant: Tenant,
    /// For a person.
    pub name: Personal<Option<String>>,
    /// So many of its jobs may run at once.
    pub max_parallel: u32,
    /// How many jobs it has.
    pub total: u32,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the newest thing happened to the batch itself.
    pub updated_at: Timestamp,
    /// When its last job ended.
    pub ended_at: Option<Timestamp>,
    /// It was called off.
    pub cancel_requested: bool,
    /// Count of its events.
    pub version: u64,
}

impl BatchView {
    /// Folds one event in. `None` in means no row yet; `None` out means still none.
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
