//! Retention: expired files are deleted, events are kept.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    polling::until,
    stack::{Stack, bunny, quick},
};

async fn gone_from_the_store(stack: &Stack, upload: &str) {
    let kept = |files: &Vec<String>| files.iter().any(|path| path.contains(upload));
    until(async || stack.stored(), |files| !kept(files)).await;
}

#[tokio::test]
async fn outputs_and_uploads_are_deleted_after_their_retention_and_the_job_shows_it() {
    let stack = Stack::with(&[
        ("FFAPI_RETENTION__OUTPUTS", "1"),
        ("FFAPI_RETENTION__UPLOADS", "1"),
        ("FFAPI_RETENTION__EVERY", "1"),
    ])
    .await;
    let video = stack.write_file("video.mp4", &std::fs::read(bunny()).unwrap());
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&video, "out/a.mp4", quick()).await;
    assert_eq!(stack.finished(&job).await.text("/status"), "completed");
    let gone = stack.until(&job, |job| !job.text("/outputs_expired_at").is_empty()).await;
    // The result is still known; the files are deleted.
    assert_eq!((gone.text("/status"), gone.text("/outputs/0/name")), ("completed", "a.mp4"));
    let read = stack.get(&format!("/jobs/{job}/outputs/a.mp4")).await;
    assert_eq!(read.status, StatusCode::GONE, "{read:#?}");
    let history = stack.history(&job).await;
    assert_eq!(history.last().unwrap(), "job.outputs_expired");
    gone_from_the_store(&stack, &upload).await;
    let refused = stack.post("/probe", &json!({ "input": upload })).await;
    assert_eq!(refused.text("/errors/0/pointer"), "#/input", "{refused:#?}");
    // Files that the owner stored directly are never deleted.
    assert!(stack.files().iter().any(|path| path.ends_with("video.mp4")));
    assert!(!stack.files().iter().any(|path| path.ends_with("a.mp4")));
    crate::crash::equals_its_rebuild(&stack);
}

#[tokio::test]
async fn a_dry_run_lists_what_would_be_deleted() {
    let stack =
        Stack::with(&[("FFAPI_RETENTION__OUTPUTS", "1"), ("FFAPI_RETENTION__EVERY", "100000")])
            .await;
    let video = stack.write_file("video.mp4", &std::fs::read(bunny()).unwrap());
    let job = stack.convert(&video, "a.mp4", quick()).await;
    stack.finished(&job).await;
    let would = async || {
        let would = stack.post("/admin/cleanup", &json!({ "dry_run": true })).await;
        assert_eq!(would.status, StatusCode::OK, "{would:#?}");
        would
    };
    until(would, |would| would.json["jobs"] == 1).await;
    assert!(stack.files().iter().any(|path| path.ends_with("a.mp4")), "a dry run deletes nothing");
    let done = stack.post("/admin/cleanup", &json!({})).await;
    assert_eq!(done.json["jobs"], 1, "{done:#?}");
    assert!(!stack.files().iter().any(|path| path.ends_with("a.mp4")));
}

#[tokio::test]
async fn an_interrupted_cleanup_is_repeated() {
    for failpoint in ["retention.before_expired", "retention.before_upload"] {
        let now = [("FFAPI_RETENTION__OUTPUTS", "1"), ("FFAPI_RETENTION__UPLOADS", "1")];
        let settings = [&now[..], &[("FFAPI_RETENTION__EVERY", "100000")]].concat();
        let mut stack = Stack::with(&settings).await;
        let video = stack.write_file("video.mp4", &std::fs::read(bunny()).unwrap());
        let upload = stack.upload_bunny().await;
        let job = stack.convert(&video, "a.mp4", quick()).await;
        stack.finished(&job).await;
        stack.arm_failpoint(failpoint, "");
        let clean_up = async || {
            let _ = stack.request(Method::POST, "/admin/cleanup").json(&json!({})).send().await;
            stack.has_exited()
        };
        until(clean_up, |died| *died).await;
        let settings = [&now[..], &[("FFAPI_RETENTION__EVERY", "1")]].concat();
        stack.restart_with(&settings).await;
        let gone = stack.until(&job, |job| !job.text("/outputs_expired_at").is_empty()).await;
        assert_eq!(gone.text("/status"), "completed");
        let history = stack.history(&job).await;
        assert_eq!(history.iter().filter(|event| *event == "job.outputs_expired").count(), 1);
        gone_from_the_store(&stack, &upload).await;
        assert!(!stack.files().iter().any(|path| path.ends_with("a.mp4")));
    }
}

#[tokio::test]
async fn leftover_segments_of_a_replaced_stream_are_deleted() {
    let stack =
        Stack::with(&[("FFAPI_RETENTION__OUTPUTS", "1"), ("FFAPI_RETENTION__EVERY", "100000")])
            .await;
    let video = stack.write_file("video.mp4", &std::fs::read(bunny()).unwrap());
    let stream = async |height: u32, segment: u32| {
        let body = json!({
            "input": video, "output": "f", "overwrite": "replace",
            "segment_duration": segment, "variants": [{ "name": format!("v{height}"), "height": height }], "encoder_preset": "ultrafast", "type": "cmaf",
        });
        let made = stack.post("/stream", &body).await;
        let job = made.text("/job/id").to_owned();
        assert_eq!(stack.finished(&job).await.text("/status"), "completed", "{made:#?}");
        job
    };
    let first = stream(144, 1).await;
    let count = stack.files().len();
    stream(90, 5).await;
    assert!(stack.files().len() > 5 && count > 5);
    let clean_up = async || {
        stack.post("/admin/cleanup", &json!({})).await;
        stack.get(&format!("/jobs/{first}")).await
    };
    until(clean_up, |job| !job.text("/outputs_expired_at").is_empty()).await;
    let of_streams = async || {
        stack.post("/admin/cleanup", &json!({})).await;
        stack.files().into_iter().filter(|path| !path.ends_with("video.mp4")).collect::<Vec<_>>()
    };
    until(of_streams, Vec::is_empty).await;
}
