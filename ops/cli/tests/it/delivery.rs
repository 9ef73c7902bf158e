//! Outputs that cannot be delivered are rolled back; existing files are kept and still counted.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use serde_json::json;

use crate::{
    polling::until,
    stack::{Answer, Stack, bunny},
};

const RETENTION: [(&str, &str); 2] =
    [("FFAPI_RETENTION__OUTPUTS", "1"), ("FFAPI_RETENTION__EVERY", "100000")];

const LONG_RETENTION: [(&str, &str); 2] =
    [("FFAPI_RETENTION__OUTPUTS", "100000"), ("FFAPI_RETENTION__EVERY", "100000")];

/// Packages the clip into one folder, in renditions of these heights.
async fn package(stack: &Stack, heights: &[u32]) -> String {
    package_over(stack, heights, "fail").await
}

/// As [`package`], with a policy for existing files.
async fn package_over(stack: &Stack, heights: &[u32], overwrite: &str) -> String {
    package_as(stack, heights, "cmaf", overwrite).await
}

/// As [`package_over`], with manifests of a type.
async fn package_as(stack: &Stack, heights: &[u32], kind: &str, overwrite: &str) -> String {
    let variants: Vec<_> = heights
        .iter()
        .map(|height| json!({ "name": format!("v{height}"), "height": height }))
        .collect();
    let body = json!({
        "input": "clip.mp4", "output": "f", "segment_duration": 2, "variants": variants,
        "encoder_preset": "ultrafast", "type": kind, "overwrite": overwrite,
    });
    let made = stack.post("/stream", &body).await;
    made.text("/job/id").to_owned()
}

/// Checks the failure of a package of which some files existed already.
fn assert_output_exists(ended: &Answer) {
    assert_eq!(ended.text("/status"), "failed", "{ended:#?}");
    assert_eq!(ended.text("/error/code"), "output_exists", "{ended:#?}");
}

fn sorted(stack: &Stack) -> Vec<String> {
    let mut files = stack.files();
    files.sort();
    files
}

/// The staging folder of a job's outputs.
fn staging(stack: &Stack, job: &str) -> Option<PathBuf> {
    let stored = stack.stored();
    let mine = stored.iter().find(|path| path.contains(&format!("/.staging/{job}/")))?;
    Path::new(mine).ancestors().find(|folder| folder.ends_with(job)).map(Path::to_owned)
}

#[tokio::test]
async fn a_package_that_conflicts_with_other_files_is_rolled_back() {
    let stack = Stack::with(&RETENTION).await;
    stack.write_file("clip.mp4", &std::fs::read(bunny()).unwrap());
    let first = package_as(&stack, &[144], "hls", "fail").await;
    assert_eq!(stack.finished(&first).await.text("/status"), "completed");
    let counted = stack.poll("/accounts/default", |shown| shown.json["storage_taken"] != 0).await;
    let (taken, files) = (counted.json["storage_taken"].clone(), sorted(&stack));

    // Neither its manifest nor the first rendition exist yet.
    let second = package_as(&stack, &[90, 144], "dash", "fail").await;
    assert_output_exists(&stack.finished(&second).await);
    until(async || sorted(&stack), |left| *left == files).await;
    stack.poll("/accounts/default", |shown| shown.json["storage_taken"] == taken).await;

    // The files of the first job still belong to it, and are deleted with it.
    let clean_up = async || {
        stack.post("/admin/cleanup", &json!({})).await;
        stack.files()
    };
    until(clean_up, |left| matches!(&left[..], [clip] if clip.ends_with("clip.mp4"))).await;
    stack.poll("/accounts/default", |shown| shown.json["storage_taken"] == 0).await;

    // Without conflicts, a retry creates all outputs.
    stack.post(&format!("/jobs/{second}/retry"), &json!({})).await;
    let ended = stack.until(&second, |job| job.text("/status") == "completed").await;
    assert_eq!(ended.json["attempts"].as_array().map(Vec::len), Some(2), "{ended:#?}");
}

/// Runs a package whose delivery fails, because another file appears once it is sealed, with a worker
/// that crashes before it rolls back the published files. Returns the files that existed before, and the staging folder.
async fn died_in_delivery(
    stack: &mut Stack,
    settings: &[(&str, &str)],
) -> (String, Vec<String>, PathBuf) {
    stack.write_file("clip.mp4", &std::fs::read(bunny()).unwrap());
    stack.write_file("f/v144/index.m3u8", b"another's");
    let files = sorted(stack);
    let other = files.iter().find(|path| path.ends_with("index.m3u8")).unwrap();
    std::fs::remove_file(other).unwrap();
    stack.arm_failpoint("worker.after_seal", "");
    let job = package(stack, &[90, 144]).await;
    stack.exited().await;
    std::fs::write(other, b"another's").unwrap();
    stack.arm_failpoint("worker.after_outcome", "");
    stack.start_with(settings);
    stack.died_and_restarted_with(settings).await;
    assert_output_exists(&stack.finished(&job).await);
    assert!(stack.files().iter().any(|path| path.contains("/f/v90/")), "some were published");
    let staging = staging(stack, &job).unwrap();
    (job, files, staging)
}

/// Runs the cleanup as if two hours had passed.
async fn clean_up(stack: &Stack, staging: &Path) {
    let two_hours_ago = SystemTime::now() - Duration::from_hours(2);
    File::open(staging).unwrap().set_modified(two_hours_ago).unwrap();
    stack.post("/admin/cleanup", &json!({})).await;
    until(async || staging.exists(), |there| !there).await;
}

#[tokio::test]
async fn cleanup_removes_what_a_dead_worker_had_published() {
    let mut stack = Stack::with(&RETENTION).await;
    let (_, files, staging) = died_in_delivery(&mut stack, &RETENTION).await;
    // It is not cleaned up while a worker may still use it.
    stack.post("/admin/cleanup", &json!({})).await;
    assert!(staging.exists());
    clean_up(&stack, &staging).await;
    assert_eq!(sorted(&stack), files);
}

#[tokio::test]
async fn cleaning_up_a_failed_job_keeps_the_files_of_a_later_one() {
    let mut stack = Stack::with(&LONG_RETENTION).await;
    let (_, _, staging) = died_in_delivery(&mut stack, &LONG_RETENTION).await;
    let later = package_over(&stack, &[90, 144], "replace").await;
    let ended = stack.finished(&later).await;
    assert_eq!(ended.text("/status"), "completed", "{ended:#?}");
    let mut files = sorted(&stack);
    files.retain(|path| !path.contains("/.staging/"));
    assert!(files.len() > 10, "{files:#?}");
    clean_up(&stack, &staging).await;
    assert_eq!(sorted(&stack), files);
}

#[tokio::test]
async fn published_files_are_removed_if_the_retry_fails_before_any_output() {
    let mut stack = Stack::with(&RETENTION).await;
    let (job, files, _) = died_in_delivery(&mut stack, &RETENTION).await;
    let clip = files.iter().find(|path| path.ends_with("clip.mp4")).unwrap();
    std::fs::remove_file(clip).unwrap();
    stack.post(&format!("/jobs/{job}/retry"), &json!({})).await;
    let ended = stack.until(&job, |job| job.text("/error/code") == "input_not_found").await;
    assert_eq!(ended.text("/status"), "failed", "{ended:#?}");
    let left: Vec<String> = files.iter().filter(|path| *path != clip).cloned().collect();
    until(async || sorted(&stack), |there| *there == left).await;
}

#[tokio::test]
async fn files_that_a_failed_later_job_would_have_replaced_expire_with_their_own_job() {
    let stack = Stack::with(&RETENTION).await;
    stack.write_file("clip.mp4", &std::fs::read(bunny()).unwrap());
    let first = package_as(&stack, &[90], "hls", "fail").await;
    assert_eq!(stack.finished(&first).await.text("/status"), "completed");
    let later = package_as(&stack, &[90, 144], "dash", "fail").await;
    assert_output_exists(&stack.finished(&later).await);
    // Only one conflicting file is left, which a shorter clip does not create.
    let (clip, third) = ("/clip.mp4", "/f/v90/00003.m4s");
    let files = stack.files();
    assert!(files.iter().any(|path| path.ends_with(third)), "{files:#?}");
    for path in files.iter().filter(|path| !path.ends_with(third)) {
        std::fs::remove_file(path).unwrap();
    }
    let clip = files.iter().find(|path| path.ends_with(clip)).unwrap();
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-i", bunny().to_str().unwrap(), "-t", "1", "-c", "copy", clip])
        .status();
    assert!(made.unwrap().success());
    stack.post(&format!("/jobs/{later}/retry"), &json!({})).await;
    stack.until(&later, |job| job.text("/status") == "completed").await;
    assert!(stack.files().iter().any(|path| path.ends_with(third)));
    let clean_up = async || {
        stack.post("/admin/cleanup", &json!({})).await;
        stack.files()
    };
    until(clean_up, |left| left == std::slice::from_ref(clip)).await;
}
