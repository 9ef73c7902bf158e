//! What a store in a local folder guarantees beyond the contract of all stores.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::Path};

use ffapi_domain::{JobId, Tenant, location::Location};
use ffapi_storage::{Staged, Storage, StorageError, TenantStorage};
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

/// The store in a folder as a tenant sees it.
fn open(root: &Path) -> TenantStorage {
    let tenant: Tenant = "acme".parse().unwrap();
    Storage::open(root).unwrap().of(&tenant)
}

#[test]
fn the_store_is_private_even_if_its_folder_was_open_before() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let mode = || root.metadata().unwrap().permissions().mode() & 0o777;
    Storage::open(&root).unwrap();
    assert_eq!(mode(), 0o700);
    std::fs::set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
    Storage::open(&root).unwrap();
    assert_eq!(mode(), 0o700);
}

#[tokio::test]
async fn a_staged_file_is_the_open_file_whatever_has_its_name_now() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(&folder.path().join("store"));
    let path = folder.path().join("made");
    std::fs::write(&path, b"video").unwrap();
    let made = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"in its place").unwrap();
    let to = at("a.mp4");
    let received = storage.stage(&out(), made, &to, CancellationToken::new()).await.unwrap();
    assert_eq!(received.size, 5);
}

#[tokio::test]
async fn cancelled_staging_stops_in_the_middle_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(&folder.path().join("store"));
    let made = std::fs::File::create_new(folder.path().join("made")).unwrap();
    // Hashing it would take a day.
    made.set_len(1 << 43).unwrap();
    let stop = CancellationToken::new();
    let (staged, to) = (out(), at("a.mp4"));
    let staging = storage.stage(&staged, made, &to, stop.clone());
    let (staged, ()) = futures::join!(staging, async { stop.cancel() });
    assert!(matches!(staged, Err(StorageError::Interrupted(_))), "{staged:?}");
}

#[tokio::test]
async fn links_in_the_store_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let storage = open(&root);
    std::fs::create_dir(root.join("acme")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.join("acme/a.mp4")).unwrap();
    std::os::unix::fs::symlink("/etc", root.join("acme/folder")).unwrap();
    for name in ["a.mp4", "folder/passwd", "folder", "none.mp4", "a.mp4/b.mp4"] {
        let refused = storage.open(&at(name)).await;
        assert!(matches!(refused, Err(StorageError::NotFound(_))), "{name}: {refused:?}");
    }
}

#[tokio::test]
async fn a_staged_file_is_the_open_file_and_private_to_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let storage = open(&root);
    let made = folder.path().join("made");
    std::fs::write(&made, b"video").unwrap();
    std::fs::set_permissions(&made, Permissions::from_mode(0o666)).unwrap();
    let open = std::fs::File::open(&made).unwrap();
    storage.stage(&out(), open, &at("a.mp4"), CancellationToken::new()).await.unwrap();
    let staged = root.join("acme/.staging").join(job().to_string()).join("1/out");
    assert_eq!(std::fs::metadata(staged).unwrap().permissions().mode() & 0o777, 0o600);
}
