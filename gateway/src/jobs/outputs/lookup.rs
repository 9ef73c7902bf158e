//! Where the outputs of jobs are, for downloads: a player reads thousands of files of one job, and each
//! is found without the job's whole list.

use std::sync::Arc;

use ffapi_domain::{JobId, Tenant};

use crate::{
    jobs::find::current, output_index::OutputIndex, problem::Problem, state::Gateway,
    tenant_slots::TenantSlots,
};

/// Jobs of one tenant that are looked up at a time for downloads, if they are not in the cache.
static LOOKUPS: TenantSlots = TenantSlots::new(4);

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
    gateway.reads.newest(tenant).await;
    let cached = || gateway.caches.outputs.get(&id, 0, |index| index.tenant == *tenant);
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
    let may_cache = gateway.caches.outputs.is_open();
    let (job, position) = current(gateway, tenant, id).await?;
    let index = Arc::new(OutputIndex::of(&job, gateway.retention));
    if may_cache {
        gateway.caches.outputs.insert(id, (Arc::clone(&index), position.sequence));
    }
    Ok(index)
}
