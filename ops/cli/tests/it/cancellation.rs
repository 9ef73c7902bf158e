use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::stack::{Stack, quick, slow};

#[tokio::test]
async fn a_cancelled_encode_stops_within_a_second_and_leaves_no_file() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", slow()).await;
    stack.until(&job, |job| job.json["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
    let start = Instant::now();
    let answer = stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let ended = stack.finished(&job).await;
    assert_eq!(ended.text("/status"), "cancelled", "{ended:#?}");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(ended.text("/attempts/0/outcome"), "cancelled");
    assert_eq!(stack.files(), Vec::<String>::new());
    assert_eq!(
        stack.history(&job).await,
        ["job.queued", "job.started", "job.cancel_requested", "job.cancelled"]
    );
    let output = stack.get(&format!("/jobs/{job}/outputs/a.mp4")).await;
    assert_eq!(output.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_job_stops_within_a_second_in_every_stage() {
    let stack = Stack::new().await;
    let video = stack.upload_bunny().await;
    // Long enough to be interrupted: the video, looped eight times.
    let long =
        json!({ "type": "concat", "inputs": [video, video, video, video, video, video, video] });
    let slow = |extra: serde_json::Value| {
        let mut transcode = json!({ "type": "transcode", "preset": "veryslow" });
        for (name, value) in extra.as_object().unwrap() {
            transcode[name] = value.clone();
        }
        transcode
    };
    let stages = [
        ("looking ahead", json!([long, slow(json!({ "two_pass": true, "video_bitrate": "1M" }))])),
        ("searching for the quality", json!([long, slow(json!({ "target_vmaf": 90 }))])),
        (
            "following the camera",
            json!([long, { "type": "filter", "name": "stabilize" }, slow(json!({}))]),
        ),
        ("measuring loudness", json!([long, { "type": "audio", "normalize": true }])),
    ];
    for (stage, operations) in stages {
        let job = stack.convert(&video, &format!("{stage}.mp4"), operations).await;
        stack.until(&job, |job| job.text("/stage") == stage).await;
        let start = Instant::now();
        stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
        let ended = stack.finished(&job).await;
        assert_eq!(ended.text("/status"), "cancelled", "{stage}: {ended:#?}");
        assert!(start.elapsed() < Duration::from_secs(1), "{stage}: {:?}", start.elapsed());
    }
    let ladder = json!({ "input": video, "output": "s", "type": "hls", "encoder_preset": "veryslow",
                         "metrics": ["vmaf"], "variants": [{ "name": "a", "height": 720 }] });
    let job = stack.post("/stream", &ladder).await;
    let job = job.text("/job/id");
    stack.until(job, |job| job.json["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
    let start = Instant::now();
    stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
    assert_eq!(stack.finished(job).await.text("/status"), "cancelled");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(stack.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_cancelled_job_can_be_retried_and_a_completed_one_cannot() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    // Whichever comes first, the job has exactly one outcome.
    stack.send(stack.request(Method::DELETE, &format!("/jobs/{job}"))).await;
    let ended = stack.finished(&job).await;
    let retried = stack.post(&format!("/jobs/{job}/retry"), &json!({})).await;
    if ended.text("/status") == "completed" {
        assert_eq!(retried.status, StatusCode::CONFLICT);
        return;
    }
    assert_eq!(retried.status, StatusCode::ACCEPTED);
    let ended = stack.until(&job, |job| job.text("/status") == "completed").await;
    assert_eq!(ended.text("/status"), "completed");
    let again = stack.post(&format!("/jobs/{job}/retry"), &json!({})).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn more_jobs_than_slots_wait_and_all_complete() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    // More jobs than slots, so that some must wait.
    let mut jobs = Vec::new();
    for n in 0..6 {
        jobs.push(stack.convert(&upload, &format!("{n}.mp4"), quick()).await);
    }
    let last = jobs.last().unwrap().clone();
    let body = json!({ "priority": "high" });
    stack.send(stack.request(Method::PATCH, &format!("/jobs/{last}")).json(&body)).await;
    for job in &jobs {
        assert_eq!(stack.finished(job).await.text("/status"), "completed");
    }
}
