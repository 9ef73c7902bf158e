//! How long files are kept, and the request and response of an on-demand retention run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long files are kept; `None` for permanently.
#[derive(Debug, Clone, Copy, Default)]
pub struct RetentionPeriods {
    /// Outputs, from the completion of their job on, unless the job itself says otherwise.
    pub outputs: Option<Duration>,
    /// Uploads, from their completion on.
    pub uploads: Option<Duration>,
}

/// NATS subject that requests a retention run; with `dry` it only reports what would be deleted.
pub const CLEANUP: &str = "rpc.cleanup";

/// What a retention run deleted, or would delete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupReport {
    /// Jobs whose outputs were deleted.
    pub jobs: u64,
    /// Uploads that were deleted.
    pub uploads: u64,
    /// Delivery records that were deleted; not counted in a dry run.
    pub deliveries: u64,
}
