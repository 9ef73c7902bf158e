//! Outputs that cannot be delivered are taken back, and what stood there before stays and stays counted.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use serde_json::json;

use crate::{
    patience::until,
    stack::{Answer, Stack, bunny},
};

const RETENTION: [(&str, &str); 2] =
    [("FFAPI_RETENTION__OUTPUTS", "1"), ("FFAPI_RETENTION__EVERY", "100000")];

const FOR_LONG: [(&str, &str); 2] =
    [("FFAPI_RETENTION__OUTPUTS", "100000"), ("FFAPI_RETENTION__EVERY", "100000")];

/// Packages the clip into one folder, in renditions of these heights.
async fn package(stack: &Stack, heights: &[u32]) -> String {
    package_over(stack, heights, "fail").await
}

/// The same; `overwrite` says what becomes of files that are there.
async fn package_over(stack: &Stack, heights: &[u32], overwrite: &str) -> String {
    let variants: Vec<_> = heights
        .iter()
        .map(|height| json!({ "name": format!("v{height}"), "height": height }))
        .collect();
    let body = json!({
        "input": "clip.mp4", "output": "f", "segment_duration": 2, "variants": variants,
        "encoder_preset": "ultrafast", "type": "cmaf", "overwrite": overwrite,
    });
    let made = stack.post("/stream", &body).await;
    made.text("/job/id").to_owned()
}

/// How the package fails of which a part was there already.
fn refused(over: &Answer) {
    assert_eq!(over.text("/status"), "failed", "{over:#?}");
    assert_eq!(over.text("/error/code"), "output_exists", "{over:#?}");
}

fn sorted(stack: &Stack) -> Vec<String> {
    let mut files = stack.files();
    files.sort();
    files
}

/// Where a job has staged its outputs.
fn staging(stack: &Stack, job: &str) -> Option<PathBuf> {
    let stored = stack.stored();
    let mine = stored.iter().find(|path| path.contains(&format!("/.staging/{job}/")))?;
    Path::new(mine).ancestors().find(|folder| folder.ends_with(job)).map(Path::to_owned)
}

#[tokio::test]
async fn a_package_that_meets_other_files_in_its_folder_is_taken_back() {
    let stack = Stack::with(&RETENTION).await;
    stack.place("clip.mp4", &std::fs::read(bunny()).unwrap());
    let first = package(&stack, &[144]).await;
    assert_eq!(stack.over(&first).await.text("/status"), "completed");
    let counted = stack.polled("/accounts/default", |shown| shown.json["storage_taken"] != 0).await;
    let (taken, files) = (counted.json["storage_taken"].clone(), sorted(&stack));

    // The first rendition does not stand there yet, and is published before the rest is refused.
    let second = package(&stack, &[90, 144]).await;
    refused(&stack.over(&second).await);
    until(async || sorted(&stack), |left| *left == files).await;
    stack.polled("/accounts/default", |shown| shown.json["storage_taken"] == taken).await;

    // What the first one made is still its own, and goes with it.
    let clean_up = async || {
        stack.post("/admin/cleanup", &json!({})).await;
        stack.files()
    };
    until(clean_up, |left| matches!(&left[..], [clip] if clip.ends_with("clip.mp4"))).await;
    stack.polled("/accounts/default", |shown| shown.json["storage_taken"] == 0).await;

    // Nothing is in its way any more: tried again, it makes its outputs anew.
    stack.post(&format!("/jobs/{second}/retry"), &json!({})).await;
    let over = stack.until(&second, |job| job.text("/status") == "completed").await;
    assert_eq!(over.json["attempts"].as_array().map(Vec::len), Some(2), "{over:#?}");
}

/// A package that failed at its delivery, and the worker that died before it took back what it had published;
/// what stood there before, and where it is staged.
async fn died_in_delivery(
    stack: &mut Stack,
    settings: &[(&str, &str)],
) -> (String, Vec<String>, PathBuf) {
    stack.place("clip.mp4", &std::fs::read(bunny()).unwrap());
    stack.place("f/v144/index.m3u8", b"another's");
    let files = sorted(stack);
    stack.arm("worker.after_outcome", "");
    let job = package(stack, &[90, 144]).await;
    stack.died_and_came_again_with(settings).await;
    refused(&stack.over(&job).await);
    assert!(stack.files().iter().any(|path| path.contains("/f/v90/")), "some were published");
    let staging = staging(stack, &job).unwrap();
    (job, files, staging)
}

/// Cleans up as two hours later.
async fn clean_up(stack: &Stack, staging: &Path) {
    let two_hours_ago = SystemTime::now() - Duration::from_hours(2);
    File::open(staging).unwrap().set_modified(two_hours_ago).unwrap();
    stack.post("/admin/cleanup", &json!({})).await;
    until(async || staging.exists(), |there| !there).await;
}

#[tokio::test]
async fn what_a_worker_that_died_did_not_take_back_goes_with_the_next_cleanup() {
    let mut stack = Stack::with(&RETENTION).await;
    let (_, files, staging) = died_in_delivery(&mut stack, &RETENTION).await;
    // It is not swept while somebody may still be at it.
    stack.post("/admin/cleanup", &json!({})).await;
    assert!(staging.exists());
    clean_up(&stack, &staging).await;
    assert_eq!(sorted(&stack), files);
}

#[tokio::test]
async fn the_same_files_of_a_later_job_stay_when_a_failed_one_is_cleaned_up() {
    let mut stack = Stack::with(&FOR_LONG).await;
    let (_, _, staging) = died_in_delivery(&mut stack, &FOR_LONG).await;
    let later = package_over(&stack, &[90, 144], "replace").await;
    let over = stack.over(&later).await;
    assert_eq!(over.text("/status"), "completed", "{over:#?}");
    let mut files = sorted(&stack);
    files.retain(|path| !path.contains("/.staging/"));
    assert!(files.len() > 10, "{files:#?}");
    clean_up(&stack, &staging).await;
    assert_eq!(sorted(&stack), files);
}

#[tokio::test]
async fn what_was_published_goes_also_if_the_job_is_retried_and_fails_before_it_makes_anything() {
    let mut stack = Stack::with(&RETENTION).await;
    let (job, files, _) = died_in_delivery(&mut stack, &RETENTION).await;
    let clip = files.iter().find(|path| path.ends_with("clip.mp4")).unwrap();
    std::fs::remove_file(clip).unwrap();
    stack.post(&format!("/jobs/{job}/retry"), &json!({})).await;
    let over = stack.until(&job, |job| job.text("/error/code") == "input_not_found").await;
    assert_eq!(over.text("/status"), "failed", "{over:#?}");
    let left: Vec<String> = files.iter().filter(|path| *path != clip).cloned().collect();
    until(async || sorted(&stack), |there| *there == left).await;
}

#[tokio::test]
async fn what_a_failed_attempt_of_a_later_job_would_have_replaced_expires_with_its_own_job() {
    let stack = Stack::with(&RETENTION).await;
    stack.place("clip.mp4", &std::fs::read(bunny()).unwrap());
    let first = package(&stack, &[90]).await;
    assert_eq!(stack.over(&first).await.text("/status"), "completed");
    let later = package(&stack, &[90, 144]).await;
    refused(&stack.over(&later).await);
    // Nothing but one file is in its way any more, which it does not make of a shorter clip.
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
