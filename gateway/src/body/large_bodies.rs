//! Slots for large JSON bodies: a body may take a hundred times its size in memory.

use ffapi_domain::Tenant;
use tokio::sync::OwnedSemaphorePermit;

use crate::{problem::Problem, tenant_slots::TenantSlots};

/// Larger bodies than this, in bytes, need a slot.
pub(super) const LARGE_BODY: usize = 128 * 1024;
/// Large bodies of one tenant that are received and handled at a time.
const SLOTS: usize = 4;

static LARGE_BODIES: TenantSlots = TenantSlots::new(SLOTS);

/// Waits for a slot of a tenant; it is released when the permit is dropped.
///
/// # Errors
/// 429 if none is released in time.
pub(super) async fn acquire(tenant: &Tenant) -> Result<OwnedSemaphorePermit, Problem> {
    LARGE_BODIES.acquire(tenant).await.ok_or_else(|| {
        let detail = format!(
            "{SLOTS} JSON bodies over {LARGE_BODY} bytes of this account are being handled already; wait \
             for their responses"
        );
        Problem::rate_limited(detail, 5)
    })
}
