use std::os::unix::fs::FileExt;

use bytes::Bytes;
use ffapi_domain::location::Location;
use ffapi_storage::{Opened, StorageError};
use futures::{TryStreamExt, stream};

use super::{Store, at, upload};

pub(crate) async fn a_range_is_read(store: Store) {
    let to = at(&store, "a.mp4");
    store.put(&to, b"0123456789").await;
    let reading = store.storage.read(&to, Some(3..7)).await.unwrap();
    assert_eq!((reading.size, reading.range.clone()), (10, 3..7));
    let chunks: Vec<Bytes> = reading.bytes.try_collect().await.unwrap();
    assert_eq!(chunks.concat(), b"3456");
    let opened = store.storage.open(&to).await.unwrap();
    for (offset, length, wanted) in [(0, 2, "01"), (8, 5, "89"), (10, 5, ""), (90, 5, "")] {
        assert_eq!(read_at(&opened, offset, length).await.unwrap(), wanted.as_bytes());
    }
}

pub(crate) async fn an_object_that_is_replaced_is_not_mixed_with_the_new_one(store: Store) {
    let to = at(&store, "a.mp4");
    store.put(&to, b"0123456789").await;
    let opened = store.storage.open(&to).await.unwrap();
    assert_eq!(read_at(&opened, 0, 5).await.unwrap(), b"01234");
    store.put(&to, b"ABCDEFGHIJ").await;
    match read_at(&opened, 5, 5).await {
        Ok(rest) => assert_eq!(rest, b"56789", "the open file is the old one"),
        Err(error) => assert!(matches!(error, StorageError::Replaced(_)), "{error:?}"),
    }
}

pub(crate) async fn what_does_not_exist_is_not_found(store: Store) {
    for location in [at(&store, "none.mp4"), Location::Upload(upload(5))] {
        let refused = store.storage.size(&location).await;
        assert!(matches!(refused, Err(StorageError::NotFound(_))), "{refused:?}");
        let refused = store.storage.read(&location, None).await;
        assert!(matches!(refused, Err(StorageError::NotFound(_))), "{refused:?}");
        let refused = store.storage.open(&location).await;
        assert!(matches!(refused, Err(StorageError::NotFound(_))), "{refused:?}");
        assert!(store.storage.remove(&location).await.is_ok());
    }
}

pub(crate) async fn erasure_removes_everything_of_one_tenant_only(store: Store) {
    let neighbour = Store::new(&store.all, 1_000);
    for store in [&store, &neighbour] {
        store.put(&at(store, "videos/a.mp4"), b"video").await;
        store.stage(1, &at(store, "b.mp4"), b"video").await;
        let bytes = stream::iter([Ok(Bytes::from_static(b"x"))]);
        store.storage.receive(upload(1), bytes, 10).await.unwrap();
    }
    for _ in 0..2 {
        store.all.erase(&store.tenant).await.unwrap();
    }
    for (store, kept) in [(&store, false), (&neighbour, true)] {
        assert_eq!(store.exists(&at(store, "videos/a.mp4")).await, kept);
        assert_eq!(store.exists(&Location::Upload(upload(1))).await, kept);
    }
}

async fn read_at(opened: &Opened, offset: u64, length: u64) -> Result<Vec<u8>, StorageError> {
    match opened {
        Opened::File(file) => {
            let mut bytes = vec![0; usize::try_from(length).unwrap()];
            let count = file.read_at(&mut bytes, offset)?;
            bytes.truncate(count);
            Ok(bytes)
        }
        Opened::Remote(object) => Ok(object.read_at(offset, length).await?.to_vec()),
    }
}
