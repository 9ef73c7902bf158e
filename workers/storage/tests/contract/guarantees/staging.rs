use std::time::{Duration, SystemTime};

use ffapi_domain::media::Overwrite;

use super::{Store, at, staged};

pub(crate) async fn dropped_staging_cannot_be_published(store: Store) {
    let to = at(&store, "a.mp4");
    for _ in 0..2 {
        let sha256 = store.stage(1, &to, b"video").await;
        store.storage.clear_staging(staged(1).job, 9, &to).await;
        assert!(store.publish(1, &to, &sha256, Overwrite::Fail).await.is_err());
        assert!(!store.exists(&to).await);
        assert_eq!(jobs(&store, Duration::from_mins(1)).await, 0, "nothing is left of it");
    }
}

pub(crate) async fn a_file_of_several_parts_is_published_byte_by_byte(store: Store) {
    let to = at(&store, "large.mp4");
    let bytes: Vec<u8> =
        (0..40_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let sha256 = store.stage(1, &to, &bytes).await;
    store.publish(1, &to, &sha256, Overwrite::Fail).await.unwrap();
    assert!(store.bytes(&to).await == bytes);
}

pub(crate) async fn an_empty_file_is_published(store: Store) {
    let to = at(&store, "empty.vtt");
    let sha256 = store.stage(1, &to, b"").await;
    store.publish(1, &to, &sha256, Overwrite::Fail).await.unwrap();
    assert_eq!(store.bytes(&to).await, b"");
}

pub(crate) async fn a_second_try_of_an_attempt_replaces_the_first(store: Store) {
    let to = at(&store, "a.mp4");
    store.stage(1, &to, b"interrupted").await;
    let sha256 = store.stage(1, &to, b"video").await;
    store.publish(1, &to, &sha256, Overwrite::Fail).await.unwrap();
    assert_eq!(store.bytes(&to).await, b"video");
}

pub(crate) async fn old_staged_jobs_are_listed(store: Store) {
    store.stage(1, &at(&store, "a.mp4"), b"video").await;
    assert_eq!(jobs(&store, Duration::from_mins(1)).await, 1);
    let before = SystemTime::now() - Duration::from_mins(1);
    let old = store.all.staged_before(before).await.unwrap();
    assert!(old.iter().all(|job| job.tenant != store.tenant), "it has only just changed");
}

/// The tenant's jobs that have anything staged, as a cleanup so much later sees it.
async fn jobs(store: &Store, later: Duration) -> usize {
    let all = store.all.staged_before(SystemTime::now() + later).await.unwrap();
    all.iter().filter(|job| job.tenant == store.tenant && job.job == staged(1).job).count()
}
