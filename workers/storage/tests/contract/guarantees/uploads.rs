use std::{
    io,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use ffapi_domain::location::Location;
use ffapi_storage::StorageError;
use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use super::{Store, upload};

pub(crate) async fn an_upload_is_stored_completely_with_its_hash(store: Store) {
    let id = upload(1);
    // Several parts, and not a whole number of them.
    let chunks = stream::iter((0..200).map(|n| Ok(Bytes::from(vec![n; 100_000]))));
    let received = store.storage.receive(id, chunks, 100_000_000).await.unwrap();
    assert_eq!(received.size, 20_000_000);
    let stored = store.bytes(&Location::Upload(id)).await;
    assert_eq!(hex::encode(Sha256::digest(&stored)), received.sha256);
    for time in ["first", "second"] {
        assert!(store.storage.forget(id).await.is_ok(), "{time}");
    }
    assert!(!store.exists(&Location::Upload(id)).await);
}

pub(crate) async fn a_too_large_or_interrupted_upload_leaves_nothing(store: Store) {
    let id = upload(1);
    let endless = stream::repeat_with(|| Ok(Bytes::from(vec![0; 1_000_000]))).boxed();
    let refused = store.storage.receive(id, endless, 20_000_000).await;
    assert!(matches!(refused, Err(StorageError::TooLarge { max: 20_000_000 })), "{refused:?}");
    let broken = stream::iter([Ok(Bytes::from_static(b"half")), Err(io::Error::other("gone"))]);
    let refused = store.storage.receive(id, broken, 1_000_000).await;
    assert!(matches!(refused, Err(StorageError::Interrupted(_))), "{refused:?}");
    assert!(!store.exists(&Location::Upload(id)).await);
    let later = SystemTime::now() + Duration::from_mins(1);
    assert_eq!(uploads_of(&store, later).await, []);
}

pub(crate) async fn an_upload_moves_to_another_id(store: Store) {
    let bytes = |text: &'static str| stream::iter([Ok(Bytes::from_static(text.as_bytes()))]);
    store.storage.receive(upload(1), bytes("new"), 10).await.unwrap();
    store.storage.receive(upload(2), bytes("old"), 10).await.unwrap();
    store.storage.rename(upload(1), upload(2)).await.unwrap();
    assert_eq!(store.bytes(&Location::Upload(upload(2))).await, b"new");
    assert!(!store.exists(&Location::Upload(upload(1))).await);
}

pub(crate) async fn old_uploads_are_listed(store: Store) {
    let bytes = stream::iter([Ok(Bytes::from_static(b"x"))]);
    store.storage.receive(upload(1), bytes, 10).await.unwrap();
    let (earlier, later) = (Duration::from_mins(1), Duration::from_mins(1));
    assert_eq!(uploads_of(&store, SystemTime::now() - earlier).await, []);
    assert_eq!(uploads_of(&store, SystemTime::now() + later).await, [upload(1)]);
}

pub(crate) async fn parts_that_do_not_follow_are_removed_by_the_next_request(store: Store) {
    let (id, storage) = (upload(1), &store.storage);
    storage.begin_partial(id, Bytes::from_static(b"description")).await.unwrap();
    for (offset, part) in [(0, "first"), (5, "second"), (7, "stray")] {
        storage.append_partial(id, offset, part.into()).await.unwrap();
    }
    let partial = storage.partial(id).await.unwrap().unwrap();
    storage.remove_strays(id, &partial).await.unwrap();
    assert!(storage.read_part(id, 7).await.is_err());
    let partial = storage.partial(id).await.unwrap().unwrap();
    let bytes: Vec<Bytes> = storage.read_partial(id, &partial).try_collect().await.unwrap();
    assert_eq!(bytes.concat(), b"firstsecond");
}

async fn uploads_of(store: &Store, before: SystemTime) -> Vec<ffapi_domain::UploadId> {
    let all = store.all.uploads_before(before).await.unwrap();
    let own = all.into_iter().filter(|(tenant, _)| *tenant == store.tenant);
    own.map(|(_, id)| id).collect()
}
