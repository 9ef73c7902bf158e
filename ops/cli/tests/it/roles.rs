//! Two instances of each role work correctly at once, and one of each may crash.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    fleet::Fleet,
    polling::until,
    stack::{quick, slow, steady},
};

#[tokio::test]
async fn two_instances_of_each_role_run_every_job_once_and_one_of_each_may_crash() {
    let mut fleet = Fleet::new().await;
    let upload = fleet.upload().await;
    let mut jobs = Vec::new();
    for n in 0..4 {
        jobs.push(fleet.convert(&upload, &format!("{n}.mp4"), quick()).await);
    }
    for job in &jobs {
        let job = fleet.completed(job).await;
        assert_eq!(job["attempts"].as_array().unwrap().len(), 1, "{job:#}");
    }
    fleet.kill_one("conductor");
    fleet.kill_one("projector");
    let job = fleet.convert(&upload, "after.mp4", quick()).await;
    fleet.completed(&job).await;
}

#[tokio::test]
async fn of_two_workers_with_the_same_task_one_wins() {
    let fleet = Fleet::new().await;
    let upload = fleet.upload().await;
    let job = fleet.convert(&upload, "a.mp4", steady()).await;
    fleet.job(&job, |job| job["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
    // The same task under another name, so that the other worker gets it.
    let nats =
        ffapi_nats::Nats::connect(&ffapi_nats::NatsConfig { url: fleet.nats.url() }).await.unwrap();
    let work = ffapi_nats::Work::new(nats);
    let task = json!({ "job": job, "tenant": "default", "attempt": 1 }).to_string();
    work.offer("cpu", &format!("copy.{job}.1"), task.into(), None).await.unwrap();
    let done = fleet.completed(&job).await;
    assert_eq!(done["attempts"].as_array().unwrap().len(), 1, "{done:#}");
    let names = async || work.names("cpu").await.unwrap();
    until(names, |names| !names.iter().any(|name| name.contains(&job))).await;
}

#[tokio::test]
async fn the_job_of_a_silent_worker_is_reassigned_within_a_minute() {
    let mut fleet = Fleet::new().await;
    let upload = fleet.upload().await;
    fleet.kill_one("worker");
    let job = fleet.convert(&upload, "a.mp4", slow()).await;
    fleet.job(&job, |job| job["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
    fleet.start("worker");
    let present = "/api/v1/admin/workers";
    let two = |_, workers: &Value| workers["data"].as_array().is_some_and(|all| all.len() == 2);
    fleet.until(&fleet.urls[0], present, two).await;
    // The worker that has the job is suspended: only its heartbeats stop.
    fleet.kill_one("worker");
    let start = Instant::now();
    let job = fleet.job(&job, |job| job["attempt"] == 2).await;
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
    assert_eq!(job["attempts"][0]["outcome"], "abandoned", "{job:#}");
}

#[tokio::test]
async fn a_worker_of_one_task_ends_after_it_or_without_any() {
    let fleet = Fleet::without_workers().await;
    let upload = fleet.upload().await;
    let mut jobs = Vec::new();
    for n in 0..2 {
        jobs.push(fleet.convert(&upload, &format!("{n}.mp4"), quick()).await);
    }
    let completed = async || {
        let mut completed = 0;
        for job in &jobs {
            let over = fleet.job(job, |_| true).await["status"] == "completed";
            completed += u32::from(over);
        }
        completed
    };
    for expected in [1, 2, 2] {
        let status = fleet.run(&["worker", "--once", "--idle", "5"]).await;
        assert!(status.success(), "{status}");
        assert_eq!(completed().await, expected);
    }
}
