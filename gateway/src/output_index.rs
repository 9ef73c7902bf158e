use std::collections::BTreeMap;

use ffapi_domain::{
    Tenant, Timestamp,
    job::{JobStatus, JobView},
    retention::RetentionPeriods,
};
use serde::Serialize;

use crate::output_expiry::expiry;

/// The outputs of a job, by name.
#[derive(Debug, Serialize)]
pub(crate) struct OutputIndex {
    pub(crate) tenant: Tenant,
    pub(crate) status: JobStatus,
    /// When the outputs will be deleted; absent if they are kept permanently.
    pub(crate) expires_at: Option<Timestamp>,
    /// When the outputs were deleted.
    pub(crate) deleted_at: Option<Timestamp>,
    /// When the job was completed.
    pub(crate) modified: Timestamp,
    pub(crate) files: BTreeMap<String, IndexedOutput>,
}

#[derive(Debug, Serialize)]
pub(crate) struct IndexedOutput {
    /// Absent once erased.
    pub(crate) location: Option<String>,
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

impl OutputIndex {
    pub(crate) fn of(job: &JobView, retention: RetentionPeriods) -> Self {
        let files = job.outputs.iter().filter_map(|file| {
            let output = IndexedOutput {
                location: file.location.as_ref().cloned(),
                size: file.size,
                sha256: file.sha256.clone(),
            };
            Some((file.name.as_ref()?.clone(), output))
        });
        Self {
            tenant: job.summary.tenant.clone(),
            status: job.summary.status,
            expires_at: expiry(&job.summary, retention),
            deleted_at: job.summary.outputs_expired_at,
            modified: job.summary.completed_at.unwrap_or(job.summary.updated_at),
            files: files.collect(),
        }
    }
}
