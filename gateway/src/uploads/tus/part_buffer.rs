//! Memory for the bytes of requests that continue uploads: bounded for each tenant, however many of them
//! it sends at once.

use ffapi_domain::Tenant;
use tokio::sync::OwnedSemaphorePermit;

use crate::{problem::Problem, tenant_slots::TenantSlots};

/// Requests of one tenant at a time that continue uploads.
static APPENDS: TenantSlots = TenantSlots::new(256);
/// Those of them that store large parts.
static LARGE_PARTS: TenantSlots = TenantSlots::new(16);
/// Bytes that are stored at once, and bytes that the others store at once.
const LARGE_PART: u64 = 8 * 1024 * 1024;
const SMALL_PART: u64 = 512 * 1024;

/// The right of a request to keep bytes in memory until they are stored.
#[derive(Debug)]
pub(super) struct PartBuffer {
    /// Bytes after which they are stored.
    pub(super) size: u64,
    _append: OwnedSemaphorePermit,
    _large: Option<OwnedSemaphorePermit>,
}

impl PartBuffer {
    /// Waits until a tenant may continue another upload.
    ///
    /// # Errors
    /// 429 if it continues many that do not end.
    pub(super) async fn of(tenant: &Tenant) -> Result<Self, Problem> {
        let busy = || Problem::rate_limited("many uploads are being continued; try again", 1);
        let append = APPENDS.acquire(tenant).await.ok_or_else(busy)?;
        let large = LARGE_PARTS.try_acquire(tenant);
        let size = if large.is_some() { LARGE_PART } else { SMALL_PART };
        Ok(Self { size, _append: append, _large: large })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_memory_of_a_tenants_uploads_is_bounded() {
        let (one, other): (Tenant, Tenant) = ("one".parse().unwrap(), "other".parse().unwrap());
        let mut buffers = Vec::new();
        while let Ok(buffer) = PartBuffer::of(&one).await {
            buffers.push(buffer);
        }
        let bytes: u64 = buffers.iter().map(|buffer| buffer.size).sum();
        assert_eq!((buffers.len(), bytes), (256, 16 * LARGE_PART + 240 * SMALL_PART));
        assert_eq!(PartBuffer::of(&other).await.unwrap().size, LARGE_PART);
        buffers.remove(0);
        assert_eq!(PartBuffer::of(&one).await.unwrap().size, LARGE_PART);
    }
}
