//! Uploads of which this gateway makes a file at this moment.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use ffapi_domain::UploadId;
use tokio::sync::{Mutex as Turnstile, OwnedMutexGuard};

static ALL: Mutex<BTreeMap<UploadId, Weak<Turnstile<()>>>> = Mutex::new(BTreeMap::new());

/// Waits until no other request makes a file of an upload; those that come later wait for the guard.
pub(super) async fn of(id: UploadId) -> OwnedMutexGuard<()> {
    turnstile(id).lock_owned().await
}

fn turnstile(id: UploadId) -> Arc<Turnstile<()>> {
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, turnstile| turnstile.strong_count() > 0);
    if let Some(turnstile) = all.get(&id).and_then(Weak::upgrade) {
        return turnstile;
    }
    let turnstile = Arc::new(Turnstile::new(()));
    all.insert(id, Arc::downgrade(&turnstile));
    turnstile
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn requests_wait_for_others_of_the_same_upload_only() {
        let id = |n| UploadId::from_uuid(Uuid::from_u128(n));
        let first = of(id(1)).await;
        let mut second = Box::pin(of(id(1)));
        assert!((&mut second).now_or_never().is_none());
        assert!(of(id(2)).now_or_never().is_some());
        drop(first);
        let _second = second.await;
        assert!(of(id(1)).now_or_never().is_none());
    }
}
