//! Long outages of NATS or Postgres: nothing is lost, and work resumes by itself.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    fleet::Fleet,
    polling::until,
    stack::{Answer, bunny, http, quick, slow},
};

fn progress(job: &Value) -> f64 {
    job["progress"].as_f64().unwrap_or(0.0)
}

fn order(upload: &str, n: usize) -> String {
    json!({ "input": upload, "output": format!("{n}.mp4"), "operations": quick() }).to_string()
}

/// True for a 503 response with `Retry-After`; other errors fail the test.
fn is_retry_later(answer: &Answer) -> bool {
    answer.status == StatusCode::SERVICE_UNAVAILABLE
        && answer.json["retry_hint"] == "retry"
        && answer.header("retry-after").parse::<u64>().is_ok()
}

#[tokio::test]
async fn a_nats_outage_of_a_minute_loses_no_attempt_and_no_request() {
    let mut fleet = Fleet::new().await;
    // The encode takes longer than the outage.
    let long = fleet.data.path().join("long.mp4");
    let mut looped = Command::new("ffmpeg");
    looped.args(["-v", "error", "-stream_loop", "9", "-i"]).arg(bunny()).args(["-c", "copy"]);
    assert!(looped.arg(&long).status().unwrap().success());
    let upload = fleet.upload_file(&long).await;
    let job = fleet.convert(&upload, "long.mp4", slow()).await;
    fleet.job(&job, |job| progress(job) > 0.0).await;

    fleet.nats.kill();
    let (away, mut orders) = (Instant::now(), 0);
    while away.elapsed() < Duration::from_mins(1) {
        let answer =
            fleet.post("/convert", order(&upload, orders).into(), &orders.to_string()).await;
        assert!(is_retry_later(&answer), "{answer:?}");
        orders += 1;
        // The delay of `Retry-After`.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    fleet.nats.restart().unwrap();

    // The same attempt continues.
    let then = fleet.job(&job, |job| job["id"].is_string()).await;
    assert_eq!(then["status"], "processing", "{then:#}");
    let now = fleet.job(&job, |job| progress(job) > progress(&then)).await;
    assert_eq!((&now["attempt"], now["attempts"].as_array().unwrap().len()), (&json!(1), 1));
    let cancel = fleet.post(&format!("/jobs/{job}/cancel"), "".into(), "").await;
    assert_eq!(cancel.status, StatusCode::ACCEPTED, "{cancel:?}");
    fleet.job(&job, |job| job["status"] == "cancelled").await;

    // Repeated requests with the same key create one job, whatever became of the first.
    for n in 0..orders {
        let answer = fleet.post("/convert", order(&upload, n).into(), &n.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let done = fleet.completed(answer.text("/job/id")).await;
        assert_eq!(done["attempts"].as_array().unwrap().len(), 1, "{done:#}");
    }
    let (_, listed) = fleet.get(&fleet.urls[0], "/api/v1/jobs").await.unwrap();
    assert_eq!(listed["data"].as_array().unwrap().len(), orders + 1);
}

#[tokio::test]
async fn a_frozen_nats_loses_no_attempt() {
    let fleet = Fleet::new().await;
    let long = fleet.data.path().join("long.mp4");
    let mut looped = Command::new("ffmpeg");
    looped.args(["-v", "error", "-stream_loop", "9", "-i"]).arg(bunny()).args(["-c", "copy"]);
    assert!(looped.arg(&long).status().unwrap().success());
    let upload = fleet.upload_file(&long).await;
    let jobs = [
        fleet.convert(&upload, "a.mp4", slow()).await,
        fleet.convert(&upload, "b.mp4", slow()).await,
    ];
    for job in &jobs {
        fleet.job(job, |job| progress(job) > 0.0).await;
    }
    // Its heartbeats were received for long enough that missing ones would count.
    tokio::time::sleep(Duration::from_secs(9)).await;
    let signal = |name: &str| {
        let pid = fleet.nats.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    };
    // Connections stay open; requests only time out.
    signal("STOP");
    tokio::time::sleep(Duration::from_secs(12)).await;
    signal("CONT");
    for job in &jobs {
        let then = fleet.job(job, |job| job["id"].is_string()).await;
        let now = fleet.job(job, |job| progress(job) > progress(&then)).await;
        assert_eq!((&now["attempt"], now["attempts"].as_array().unwrap().len()), (&json!(1), 1));
        fleet.post(&format!("/jobs/{job}/cancel"), "".into(), "").await;
    }
}

#[tokio::test]
async fn a_gateway_with_a_frozen_log_is_not_ready_and_rejects_no_key_that_may_be_new() {
    let fleet = Fleet::without_workers().await;
    let ask = async |path: &str, key: &str| {
        let request = http().get(format!("{}{path}", fleet.urls[0])).header("x-api-key", key);
        request.send().await.unwrap().status()
    };
    let key = || {
        let id = ffapi_domain::KeyId::from_uuid(uuid::Uuid::now_v7());
        ffapi_gateway::mint(&ffapi_gateway::Pepper::new([9; 32]), id, [9; 32]).secret
    };
    let ready = async || ask("/health/ready", "").await;
    until(ready, |status| *status == StatusCode::OK).await;
    // It is up to date, and this key does not exist.
    let old = key();
    until(
        async || ask("/api/v1/jobs", &old).await,
        |status| {
            assert!(matches!(status.as_u16(), 401 | 503), "{status}");
            *status == StatusCode::UNAUTHORIZED
        },
    )
    .await;
    let signal = |name: &str| {
        let pid = fleet.nats.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    };
    signal("STOP");
    let still = Instant::now();
    // Another gateway may have created the key just before.
    let new = key();
    assert_eq!(ask("/api/v1/jobs", &new).await, StatusCode::SERVICE_UNAVAILABLE);
    until(ready, |status| *status == StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(still.elapsed() < Duration::from_secs(10), "{:?}", still.elapsed());
    for secret in [&fleet.key, &old, &new] {
        assert_eq!(ask("/api/v1/jobs", secret).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    signal("CONT");
    until(ready, |status| *status == StatusCode::OK).await;
    until(async || ask("/api/v1/jobs", &new).await, |status| *status == StatusCode::UNAUTHORIZED)
        .await;
    until(async || ask("/api/v1/jobs", &fleet.key).await, |status| *status == StatusCode::OK).await;
}

#[tokio::test]
async fn a_postgres_outage_of_half_a_minute_stops_no_job() {
    let mut fleet = Fleet::new().await;
    let upload = fleet.upload().await;
    let first = fleet.convert(&upload, "first.mp4", quick()).await;
    fleet.completed(&first).await;

    fleet.postgres.kill();
    let away = Instant::now();
    let mut jobs = Vec::new();
    while away.elapsed() < Duration::from_secs(30) {
        let path = format!("{}/api/v1/jobs/{first}", fleet.urls[0]);
        let asked = http().get(path).header("x-api-key", &fleet.key).send();
        let answer = asked.await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let answer = Answer { status, headers, json: answer.json().await.unwrap() };
        // From the log, where that has more than the rows did.
        let is_read = answer.status == StatusCode::OK && answer.json["status"] == "completed";
        assert!(is_read || is_retry_later(&answer), "{answer:?}");
        // Requests are appended to the log and processed without the read models.
        let job = fleet.convert(&upload, &format!("{}.mp4", jobs.len()), quick()).await;
        fleet.completed(&job).await;
        jobs.push(job);
    }
    let last = jobs.last().unwrap();
    let events = format!("/api/v1/jobs/{last}/events");
    let stream = http().get(format!("{}{events}", fleet.urls[0]));
    let stream = stream.header("x-api-key", &fleet.key).send().await.unwrap().text().await.unwrap();
    assert!(stream.contains("event: job.completed"), "{stream}");
    while fleet.postgres.restart().is_err() {}

    for job in &jobs {
        let done = fleet.completed(job).await;
        assert_eq!(done["attempts"].as_array().unwrap().len(), 1, "{done:#}");
    }
}
