//! The local store: files are stored completely or not at all, and are never overwritten by
//! accident.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use ffapi_domain::{JobId, UploadId, location::Location, media::Overwrite};
use ffapi_storage::{Staged, Storage, StorageError};
use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

fn out() -> Staged {
    Staged { job: job(), attempt: 1, name: "out".to_owned() }
}

fn job() -> JobId {
    JobId::from_uuid(Uuid::from_u128(7))
}

fn at(path: &str) -> Location {
    path.parse().unwrap()
}

async fn bytes_at(storage: &Storage, location: &Location) -> Vec<u8> {
    let reading = storage.read(location, None).await.unwrap();
    let chunks: Vec<Bytes> = reading.bytes.try_collect().await.unwrap();
    chunks.concat()
}

async fn staged(storage: &Storage, folder: &std::path::Path, bytes: &[u8]) -> String {
    let path = folder.join("made");
    std::fs::write(&path, bytes).unwrap();
    let open = std::fs::File::open(&path).unwrap();
    // Replacing the file under its old name has no effect on the open one.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"in its place").unwrap();
    let received = storage.stage(&out(), open, CancellationToken::new()).await.unwrap();
    assert_eq!(received.sha256, hex::encode(Sha256::digest(bytes)));
    received.sha256
}

#[test]
fn the_store_is_private_even_if_its_folder_was_open_before() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let storage = Storage::open(&root).unwrap();
    let tenant = root.join("acme");
    storage.of(&"acme".parse().unwrap()).unwrap();
    assert_eq!((mode(&root), mode(&tenant)), (0o700, 0o700));
    for open in [&root, &tenant] {
        std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    Storage::open(&root).unwrap().of(&"acme".parse().unwrap()).unwrap();
    assert_eq!((mode(&root), mode(&tenant)), (0o700, 0o700));
}

#[tokio::test]
async fn an_upload_is_stored_completely_with_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(folder.path()).unwrap();
    let id = UploadId::from_uuid(Uuid::from_u128(1));
    let chunks = stream::iter((0..50).map(|n| Ok(Bytes::from(vec![n; 100_000]))));
    let received = storage.receive(id, chunks, 10_000_000).await.unwrap();
    assert_eq!(received.size, 5_000_000);
    let stored = bytes_at(&storage, &Location::Upload(id)).await;
    assert_eq!(hex::encode(Sha256::digest(&stored)), received.sha256);
    for time in ["first", "second"] {
        assert!(storage.forget(id).await.is_ok(), "{time}");
    }
    assert!(matches!(storage.size(&Location::Upload(id)).await, Err(StorageError::NotFound(_))));
}

#[tokio::test]
async fn a_too_large_or_interrupted_upload_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(folder.path()).unwrap();
    let id = UploadId::from_uuid(Uuid::from_u128(1));
    let endless = stream::repeat_with(|| Ok(Bytes::from(vec![0; 100_000]))).boxed();
    let refused = storage.receive(id, endless, 1_000_000).await;
    assert!(matches!(refused, Err(StorageError::TooLarge { max: 1_000_000 })), "{refused:?}");
    let broken =
        stream::iter([Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("gone"))]);
    let refused = storage.receive(id, broken, 1_000_000).await;
    assert!(matches!(refused, Err(StorageError::Interrupted(_))), "{refused:?}");
    let refused = storage.size(&Location::Upload(id)).await;
    assert!(matches!(refused, Err(StorageError::NotFound(_))), "{refused:?}");
}

#[tokio::test]
async fn publishing_a_staged_file_is_idempotent() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(&folder.path().join("store")).unwrap();
    let sha = staged(&storage, folder.path(), b"video").await;
    let to = at("videos/a.mp4");
    for _ in 0..2 {
        storage.publish(&out(), &to, &sha, Overwrite::Fail).await.unwrap();
    }
    assert_eq!(bytes_at(&storage, &to).await, b"video");
}

#[tokio::test]
async fn another_file_is_kept_unless_overwriting_is_requested() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let storage = Storage::open(&root).unwrap();
    std::fs::write(root.join("a.mp4"), b"precious").unwrap();
    let sha = staged(&storage, folder.path(), b"video").await;
    let to = at("a.mp4");
    let refused = storage.publish(&out(), &to, &sha, Overwrite::Fail).await;
    assert!(matches!(refused, Err(StorageError::Exists(_))), "{refused:?}");
    assert_eq!(bytes_at(&storage, &to).await, b"precious");
    storage.publish(&out(), &to, &sha, Overwrite::Replace).await.unwrap();
    assert_eq!(bytes_at(&storage, &to).await, b"video");
}

#[tokio::test]
async fn a_published_file_is_withdrawn_while_it_is_the_staged_file() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let storage = Storage::open(&root).unwrap();
    for overwrite in [Overwrite::Fail, Overwrite::Replace] {
        let to = at("made/a.mp4");
        let sha = staged(&storage, folder.path(), b"video").await;
        for _ in 0..2 {
            storage.publish(&out(), &to, &sha, overwrite).await.unwrap();
        }
        for _ in 0..2 {
            storage.withdraw(vec![(out(), to.clone())]).await.unwrap();
        }
        assert!(!storage.is_taken(&to).await.unwrap(), "{overwrite:?}");
        storage.publish(&out(), &to, &sha, overwrite).await.unwrap();
        assert_eq!(bytes_at(&storage, &to).await, b"video", "it is still staged");
        std::fs::remove_file(root.join("made/a.mp4")).unwrap();
    }
}

#[tokio::test]
async fn equal_bytes_of_another_attempt_are_a_different_file() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(&folder.path().join("store")).unwrap();
    let to = at("made/a.mp4");
    let sha = staged(&storage, folder.path(), b"bytes").await;
    storage.publish(&out(), &to, &sha, Overwrite::Fail).await.unwrap();
    let second = Staged { attempt: 2, ..out() };
    let made = folder.path().join("again");
    std::fs::write(&made, b"bytes").unwrap();
    let made = std::fs::File::open(&made).unwrap();
    storage.stage(&second, made, CancellationToken::new()).await.unwrap();

    let refused = storage.publish(&second, &to, &sha, Overwrite::Fail).await;
    assert!(matches!(refused, Err(StorageError::Exists(_))), "{refused:?}");
    storage.publish(&second, &to, &sha, Overwrite::Replace).await.unwrap();
    // The replaced attempt has no file to withdraw any more.
    storage.withdraw(vec![(out(), to.clone())]).await.unwrap();
    assert_eq!(bytes_at(&storage, &to).await, b"bytes");
    storage.withdraw(vec![(second, to.clone())]).await.unwrap();
    assert!(!storage.is_taken(&to).await.unwrap());
}

#[tokio::test]
async fn cancelled_staging_stops_in_the_middle_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(&folder.path().join("store")).unwrap();
    let made = std::fs::File::create_new(folder.path().join("made")).unwrap();
    // Hashing it would take a day.
    made.set_len(1 << 43).unwrap();
    let stop = CancellationToken::new();
    let target = out();
    let staging = storage.stage(&target, made, stop.clone());
    let (staged, ()) = futures::join!(staging, async { stop.cancel() });
    assert!(matches!(staged, Err(StorageError::Interrupted(_))), "{staged:?}");
}

#[tokio::test]
async fn links_in_the_store_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let storage = Storage::open(&root).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.join("a.mp4")).unwrap();
    std::os::unix::fs::symlink("/etc", root.join("folder")).unwrap();
    for name in ["a.mp4", "folder/passwd", "folder", "none.mp4", "a.mp4/b.mp4"] {
        let refused = storage.open_object(&at(name)).await;
        assert!(matches!(refused, Err(StorageError::NotFound(_))), "{name}: {refused:?}");
    }
}

#[tokio::test]
async fn a_staged_file_is_the_open_file_and_private_to_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let storage = Storage::open(&root).unwrap();
    let made = folder.path().join("made");
    std::fs::write(&made, b"video").unwrap();
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o666)).unwrap();
    let open = std::fs::File::open(&made).unwrap();
    storage.stage(&out(), open, CancellationToken::new()).await.unwrap();
    let staged = root.join(".staging").join(job().to_string()).join("1/out");
    assert_eq!(std::fs::metadata(staged).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn dropped_staging_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let storage = Storage::open(&root).unwrap();
    staged(&storage, folder.path(), b"video").await;
    storage.drop_staging(job(), out().attempt).await;
    assert!(std::fs::read_dir(root.join(".staging")).unwrap().next().is_none());
    staged(&storage, folder.path(), b"video").await;
    storage.clear_staging(job(), 9).await;
    assert!(std::fs::read_dir(root.join(".staging")).unwrap().next().is_none());
}
