//! A lock for each upload that is being completed: a gateway makes one file of it at a time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use ffapi_domain::UploadId;
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

static ALL: Mutex<BTreeMap<UploadId, Weak<Lock<()>>>> = Mutex::new(BTreeMap::new());

/// Waits until no other request of this gateway completes an upload; later ones wait until the guard is dropped.
pub(super) async fn acquire(id: UploadId) -> OwnedMutexGuard<()> {
    lock_of(id).lock_owned().await
}

fn lock_of(id: UploadId) -> Arc<Lock<()>> {
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, lock| lock.strong_count() > 0);
    if let Some(lock) = all.get(&id).and_then(Weak::upgrade) {
        return lock;
    }
    let lock = Arc::new(Lock::new(()));
    all.insert(id, Arc::downgrade(&lock));
    lock
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn requests_wait_for_others_of_the_same_upload_only() {
        let id = |n| UploadId::from_uuid(Uuid::from_u128(n));
        let first = acquire(id(1)).await;
        let mut second = Box::pin(acquire(id(1)));
        assert!((&mut second).now_or_never().is_none());
        assert!(acquire(id(2)).now_or_never().is_some());
        drop(first);
        let _second = second.await;
        assert!(acquire(id(1)).now_or_never().is_none());
    }
}
