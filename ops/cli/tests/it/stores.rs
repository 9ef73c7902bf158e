//! `ffapi storage`: what the stores hold, whether that is what the log says, and what nothing needs.

use std::{
    fs::{self, File},
    time::{Duration, SystemTime},
};

use crate::{
    operator::run,
    polling::until,
    stack::{Stack, quick},
};

#[tokio::test]
async fn missing_and_changed_outputs_are_found_and_sums_are_those_of_the_files() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    for name in ["a.mp4", "b.mp4", "c.mp4"] {
        let job = stack.convert(&upload, name, quick()).await;
        assert_eq!(stack.finished(&job).await.text("/status"), "completed");
    }
    stack.list_has("/jobs?status=completed", 3).await;
    let folder = stack.data.path().join("storage/default");
    let size = |name: &str| fs::metadata(folder.join(name)).unwrap().len();
    let objects = size("a.mp4") + size("b.mp4") + size("c.mp4");
    let (success, printed) = run(&stack, &["storage", "usage"]);
    assert!(success, "{printed}");
    let row = printed.lines().find(|line| line.contains(" default ")).unwrap();
    assert!(row.contains(&format!("3 ({objects} bytes)")), "{printed}");
    assert!(row.ends_with("0 (0 bytes)"), "nothing is unfinished: {printed}");

    let (success, printed) = run(&stack, &["storage", "verify", "--hash"]);
    assert!(success && printed.contains("3 outputs, of which 0"), "{printed}");
    let mut bytes = fs::read(folder.join("a.mp4")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(folder.join("a.mp4"), bytes).unwrap();
    let (success, printed) = run(&stack, &["storage", "verify"]);
    assert!(success, "of the same size: {printed}");
    fs::remove_file(folder.join("b.mp4")).unwrap();
    let (success, printed) = run(&stack, &["storage", "verify", "--hash"]);
    assert!(!success, "{printed}");
    assert!(printed.contains("local://a.mp4 has other contents"), "{printed}");
    assert!(printed.contains("local://b.mp4 is missing"), "{printed}");
    assert!(!printed.contains("c.mp4"), "{printed}");
}

#[tokio::test]
async fn staged_files_of_ended_jobs_are_listed_and_then_deleted() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    stack.finished(&job).await;
    let staged = stack.data.path().join("storage/default/.staging").join(&job);
    // The worker removes its own after the completion.
    until(async || staged.exists(), |exists| !exists).await;
    fs::create_dir_all(staged.join("1")).unwrap();
    fs::write(staged.join("1/output"), "left over").unwrap();
    let none = "0 of jobs and 0 of uploads would be deleted";
    let (success, printed) = run(&stack, &["storage", "gc", "--dry-run"]);
    assert!(success && printed.contains(none), "it may still be needed: {printed}");
    let long_ago = SystemTime::now() - Duration::from_hours(2);
    File::open(&staged).unwrap().set_modified(long_ago).unwrap();
    let (success, printed) = run(&stack, &["storage", "gc", "--dry-run"]);
    assert!(success && printed.contains(&format!("default {job}: staged")), "{printed}");
    assert!(staged.exists());
    let (success, printed) = run(&stack, &["storage", "gc"]);
    assert!(success && printed.contains("1 of jobs and 0 of uploads were deleted"), "{printed}");
    assert!(!staged.exists());
    assert!(stack.data.path().join("storage/default/a.mp4").exists());
}
