use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::stack::{Stack, quick, slow};

#[tokio::test]
async fn a_running_encode_stops_within_a_second_and_leaves_nothing() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", slow()).await;
    stack.until(&job, |job| job.json["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
    let start = Instant::now();
    let answer = stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let over = stack.over(&job).await;
    assert_eq!(over.text("/status"), "cancelled", "{over:#?}");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(over.text("/attempts/0/outcome"), "cancelled");
    assert_eq!(stack.files(), Vec::<String>::new());
    assert_eq!(
        stack.history(&job).await,
        ["job.queued", "job.started", "job.cancel_requested", "job.cancelled"]
    );
    let output = stack.get(&format!("/jobs/{job}/outputs/a.mp4")).await;
    assert_eq!(output.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn whatever_a_job_is_busy_with_it_stops_within_a_second() {
    let stack = Stack::new().await;
    let film = stack.upload_bunny().await;
    // Long enough to be caught in the middle: the film, eight times over.
    let long = json!({ "type": "concat", "inputs": [film, film, film, film, film, film, film] });
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
        let job = stack.convert(&film, &format!("{stage}.mp4"), operations).await;
        stack.until(&job, |job| job.text("/stage") == stage).await;
        let start = Instant::now();
        stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
        let over = stack.over(&job).await;
        assert_eq!(over.text("/status"), "cancelled", "{stage}: {over:#?}");
        assert!(start.elapsed() < Duration::from_secs(1), "{stage}: {:?}", start.elapsed());
    }
    let ladder = json!({ "input": film, "output": "s", "type": "hls", "encoder_preset": "veryslow",
                         "metrics": ["vmaf"], "variants": [{ "name": "a", "height": 720 }] });
    let job = stack.post("/stream", &ladder).await;
    let job = job.text("/job/id");
    stack.until(job, |job| job.json["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
    let start = Instant::now();
    stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
    assert_eq!(stack.over(job).await.text("/status"), "cancelled");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(stack.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_cancelled_job_can_be_tried_again_and_a_finished_one_not() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    // Whichever comes first, the job ends in exactly one way.
    stack.send(stack.request(Method::DELETE, &format!("/jobs/{job}"))).await;
    let over = stack.over(&job).await;
    let retried = stack.post(&format!("/jobs/{job}/retry"), &json!({})).await;
    if over.text("/status") == "completed" {
        assert_eq!(retried.status, StatusCode::CONFLICT);
        return;
    }
    assert_eq!(retried.status, StatusCode::ACCEPTED);
    let over = stack.until(&job, |job| job.text("/status") == "completed").await;
    assert_eq!(over.text("/status"), "completed");
    let again = stack.post(&format!("/jobs/{job}/retry"), &json!({})).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn more_jobs_than_slots_wait_and_all_complete() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    // More than the slots, so that some must wait.
    let mut jobs = Vec::new();
    for n in 0..6 {
        jobs.push(stack.convert(&upload, &format!("{n}.mp4"), quick()).await);
    }
    let last = jobs.last().unwrap().clone();
    let body = json!({ "priority": "high" });
    stack.send(stack.request(Method::PATCH, &format!("/jobs/{last}")).json(&body)).await;
    for job in &jobs {
        assert_eq!(stack.over(job).await.text("/status"), "completed");
    }
}
