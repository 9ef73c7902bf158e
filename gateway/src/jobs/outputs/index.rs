//! Where the outputs of jobs are, for downloads: a player reads thousands of files of one job, and each
//! is found without the job's whole list.

use std::{collections::BTreeMap, sync::Arc};

use ffapi_domain::{
    JobId, Tenant, Timestamp,
    job::{JobStatus, JobView},
    retention::RetentionPeriods,
};
use serde::Serialize;

use crate::{
    jobs::{find::current, present::expiry},
    problem::Problem,
    state::Gateway,
    tenant_slots::TenantSlots,
};

/// The outputs of a job, by name.
#[derive(Debug, Serialize)]
pub(crate) struct OutputIndex {
    tenant: Tenant,
    pub(super) status: JobStatus,
    /// When the outputs will be deleted; absent if they are kept permanently.
    pub(super) expires_at: Option<Timestamp>,
    /// When the outputs were deleted.
    pub(super) deleted_at: Option<Timestamp>,
    /// When the job was completed.
    pub(super) modified: Timestamp,
    pub(super) files: BTreeMap<String, IndexedOutput>,
}

#[derive(Debug, Serialize)]
pub(super) struct IndexedOutput {
    /// Absent once erased.
    pub(super) location: Option<String>,
    pub(super) size: u64,
    pub(super) sha256: String,
}

/// Jobs of one tenant that are looked up at a time for downloads, if they are not in the cache.
static LOOKUPS: TenantSlots = TenantSlots::new(4);

impl OutputIndex {
    fn of(job: &JobView, retention: RetentionPeriods) -> Self {
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

/// The outputs of a job as it is now.
///
/// # Errors
/// 404 without such a job; 429 if many jobs of the tenant are being looked up.
pub(super) async fn find(
    gateway: &Gateway,
    tenant: &Tenant,
    id: JobId,
) -> Result<Arc<OutputIndex>, Problem> {
    // When this returns, the cache holds nothing that is older than the request.
    gateway.read_barrier.newest(gateway.commands.log(), tenant).await;
    let cached = || gateway.output_cache.get(&id, 0, |index| index.tenant == *tenant);
    if let Some((index, _)) = cached() {
        return Ok(index);
    }
    let busy =
        || Problem::rate_limited("many jobs are being looked up for downloads; try again", 1);
    let _slot = LOOKUPS.acquire(tenant).await.ok_or_else(busy)?;
    // Another download of the same job may have been first.
    if let Some((index, _)) = cached() {
        return Ok(index);
    }
    let may_cache = gateway.output_cache.is_open();
    let (job, position) = current(gateway, tenant, id).await?;
    let index = Arc::new(OutputIndex::of(&job, gateway.retention));
    if may_cache {
        gateway.output_cache.insert(id, (Arc::clone(&index), position.sequence));
    }
    Ok(index)
}
