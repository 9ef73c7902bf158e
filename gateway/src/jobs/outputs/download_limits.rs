//! Bounds of downloads: how many a tenant has at a time, and how much of each waits to be sent.

use std::{io, sync::Arc};

use bytes::Bytes;
use ffapi_domain::Tenant;
use futures::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{problem::Problem, tenant_slots::TenantSlots};

/// Downloads of one tenant at a time: each holds an open file.
static DOWNLOADS: TenantSlots = TenantSlots::new(256);

/// Bytes of one download that were read from the file and not sent yet. Without this bound the server
/// buffers 400 KiB for each stream that its client does not read.
const MAX_IN_FLIGHT: u32 = 128 * 1024;

/// Waits until a tenant may have another download.
///
/// # Errors
/// 429 if it has many that do not end.
pub(super) async fn slot(tenant: &Tenant) -> Result<OwnedSemaphorePermit, Problem> {
    let busy = || Problem::rate_limited("many outputs are being downloaded; try again", 1);
    DOWNLOADS.acquire(tenant).await.ok_or_else(busy)
}

/// The same bytes, of which few are read before the earlier ones are sent. Holds the slot to its end.
pub(super) fn bounded(
    bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    slot: OwnedSemaphorePermit,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let in_flight = Arc::new(Semaphore::new(usize::try_from(MAX_IN_FLIGHT).unwrap_or(usize::MAX)));
    bytes.then(move |chunk| {
        let _ = &slot;
        let in_flight = Arc::clone(&in_flight);
        async move {
            let bytes = chunk?;
            let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(MAX_IN_FLIGHT);
            let permit = in_flight.acquire_many_owned(size).await.map_err(io::Error::other)?;
            Ok(Bytes::from_owner(InFlight { bytes, _permit: permit }))
        }
    })
}

/// A chunk that counts until it is sent, or dropped.
struct InFlight {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for InFlight {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn little_is_read_before_earlier_chunks_are_dropped() {
        let tenant: Tenant = "acme".parse().unwrap();
        let read = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&read);
        let chunks = stream::iter((0..100).map(|_| Ok(Bytes::from(vec![7; 50 * 1024]))));
        let chunks = chunks.inspect(move |_| _ = count.fetch_add(1, Ordering::Relaxed));
        let mut bytes = Box::pin(bounded(chunks, slot(&tenant).await.unwrap()));
        let mut unsent = Vec::new();
        while let Some(chunk) = futures::FutureExt::now_or_never(bytes.next()).flatten() {
            unsent.push(chunk.unwrap());
        }
        assert_eq!((unsent.len(), read.load(Ordering::Relaxed)), (2, 3));
        unsent.clear();
        assert_eq!(bytes.fold(0, |count, _| async move { count + 1 }).await, 98);
    }
}
