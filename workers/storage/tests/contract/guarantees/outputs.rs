use ffapi_domain::{Timestamp, media::Overwrite};
use ffapi_storage::StorageError;

use super::{Store, at, staged};

pub(crate) async fn a_staged_file_is_invisible_until_it_is_published(store: Store) {
    let to = at(&store, "videos/a.mp4");
    store.storage.check_free(&to, Overwrite::Fail).await.unwrap();
    let sha256 = store.stage(1, &to, b"video").await;
    assert!(!store.exists(&to).await);
    store.publish(1, &to, &sha256, Overwrite::Fail).await.unwrap();
    assert_eq!(store.bytes(&to).await, b"video");
    let taken = store.storage.check_free(&to, Overwrite::Fail).await;
    assert!(matches!(taken, Err(StorageError::Exists(_))), "{taken:?}");
    store.storage.check_free(&to, Overwrite::Replace).await.unwrap();
}

pub(crate) async fn publishing_is_idempotent(store: Store) {
    for (path, overwrite) in [("a.mp4", Overwrite::Fail), ("b.mp4", Overwrite::Replace)] {
        let to = at(&store, path);
        let sha256 = store.stage(1, &to, b"video").await;
        for time in ["first", "second"] {
            let published = store.publish(1, &to, &sha256, overwrite).await;
            assert!(published.is_ok(), "{time}: {published:?}");
        }
        assert_eq!(store.bytes(&to).await, b"video");
    }
}

pub(crate) async fn another_object_is_kept_unless_overwriting_is_requested(store: Store) {
    let to = at(&store, "a.mp4");
    store.put(&to, b"precious").await;
    let sha256 = store.stage(1, &to, b"video").await;
    let refused = store.publish(1, &to, &sha256, Overwrite::Fail).await;
    assert!(matches!(refused, Err(StorageError::Exists(_))), "{refused:?}");
    assert_eq!(store.bytes(&to).await, b"precious");
    store.publish(1, &to, &sha256, Overwrite::Replace).await.unwrap();
    assert_eq!(store.bytes(&to).await, b"video");
}

pub(crate) async fn a_published_object_is_withdrawn_while_it_is_the_staged_one(store: Store) {
    for overwrite in [Overwrite::Fail, Overwrite::Replace] {
        let to = at(&store, "made/a.mp4");
        let sha256 = store.stage(1, &to, b"video").await;
        store.publish(1, &to, &sha256, overwrite).await.unwrap();
        for _ in 0..2 {
            store.storage.withdraw(&[(staged(1), to.clone())]).await.unwrap();
        }
        assert!(!store.exists(&to).await, "{overwrite:?}");
    }
}

pub(crate) async fn equal_bytes_of_another_attempt_are_a_different_object(store: Store) {
    let to = at(&store, "made/a.mp4");
    let sha256 = store.stage(1, &to, b"bytes").await;
    store.publish(1, &to, &sha256, Overwrite::Fail).await.unwrap();
    store.stage(2, &to, b"bytes").await;
    let refused = store.publish(2, &to, &sha256, Overwrite::Fail).await;
    assert!(matches!(refused, Err(StorageError::Exists(_))), "{refused:?}");
    store.publish(2, &to, &sha256, Overwrite::Replace).await.unwrap();
    // The replaced attempt has nothing to withdraw any more.
    store.storage.withdraw(&[(staged(1), to.clone())]).await.unwrap();
    assert_eq!(store.bytes(&to).await, b"bytes");
    store.storage.withdraw(&[(staged(2), to.clone())]).await.unwrap();
    assert!(!store.exists(&to).await);
}

pub(crate) async fn an_output_that_was_written_anew_is_not_removed(store: Store) {
    let to = at(&store, "a.mp4");
    store.put(&to, b"video").await;
    let remove = |size: u64, completed: u64| {
        let completed = Some(Timestamp::from_millis(completed));
        store.storage.remove_output(&to, size, completed)
    };
    remove(6, u64::MAX / 2).await.unwrap();
    assert!(store.exists(&to).await, "another size");
    remove(5, 1).await.unwrap();
    assert!(store.exists(&to).await, "written after the job was completed");
    remove(5, u64::MAX / 2).await.unwrap();
    assert!(!store.exists(&to).await);
}
