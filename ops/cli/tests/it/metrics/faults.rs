//! What metrics say while a part of the service is away: that is when somebody looks.

use reqwest::StatusCode;
use serde_json::json;

use super::Scraped;
use crate::{
    fleet::Fleet,
    polling::until,
    stack::{bunny, free_port, slow},
};

/// A fleet of one process of each role and another gateway, with the metrics of the projector and the
/// conductor.
async fn fleet() -> (Fleet, Scraped, Scraped) {
    let mut fleet = Fleet::of(&[]).await;
    let addresses = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    fleet.start_with("projector", &[("FFAPI_METRICS__LISTEN", &addresses[0])]);
    fleet.start_with("conductor", &[("FFAPI_METRICS__LISTEN", &addresses[1])]);
    fleet.start("worker");
    fleet.start("gateway");
    fleet.start("gateway");
    for url in &fleet.urls {
        fleet.until(url, "/health/ready", |status, _| status == StatusCode::OK).await;
    }
    let [projector, conductor] =
        addresses.map(|address| Scraped { url: format!("http://{address}/metrics") });
    (fleet, projector, conductor)
}

#[tokio::test]
async fn the_lag_of_read_models_grows_while_their_database_is_away() {
    let (mut fleet, projector, _) = fleet().await;
    let job_list = [("projection", "job_list")];
    let lag = async |unit: &str| {
        projector.value(&format!("ffapi_projection_lag_{unit}"), &job_list).await
    };
    let is_in = async |state: &str| {
        let labels = [job_list[0], ("state", state)];
        projector.value("ffapi_projection_state", &labels).await > 0.5
    };
    until(async || is_in("running").await, |running| *running).await;
    fleet.postgres.kill();
    let body = json!({ "input": "missing.mp4" }).to_string();
    let answer = fleet.post("/probe", body.into(), "1").await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:#?}");
    until(async || lag("events").await, |events| *events >= 1.0).await;
    until(async || lag("seconds").await, |seconds| *seconds > 3.0).await;
    assert!(is_in("retrying").await && !is_in("running").await);
    assert!(projector.value("ffapi_projection_restarts_total", &job_list).await >= 1.0);
    fleet.postgres.restart().unwrap();
    until(async || lag("events").await, |events| *events < 1.0).await;
    until(async || lag("seconds").await, |seconds| *seconds <= 0.0).await;
    assert!(is_in("running").await && !is_in("retrying").await);
}

#[tokio::test]
async fn a_lost_worker_and_the_jobs_that_wait_for_another_are_shown() {
    let (mut fleet, _, conductor) = fleet().await;
    let upload = fleet.upload_file(&bunny()).await;
    let job = fleet.convert(&upload, "a.mp4", slow()).await;
    fleet.job(&job, |job| job["status"] == "processing").await;
    let running = [("pool", "cpu"), ("state", "running")];
    let running = async || conductor.value("ffapi_jobs_in_flight", &running).await;
    until(running, |jobs| *jobs >= 1.0).await;
    assert!(conductor.value("ffapi_fleet_workers", &[]).await >= 1.0);
    fleet.kill_one("worker");
    let lost = [("reason", "lost")];
    let lost = async || conductor.value("ffapi_attempts_abandoned_total", &lost).await;
    until(lost, |attempts| *attempts >= 1.0).await;
    let waiting = [("pool", "cpu"), ("reason", "no_worker")];
    let waiting = async || conductor.value("ffapi_queue_jobs", &waiting).await;
    until(waiting, |jobs| *jobs >= 1.0).await;
    assert!(conductor.value("ffapi_fleet_workers", &[]).await < 1.0);
    let age = async || conductor.value("ffapi_queue_oldest_age_seconds", &[("pool", "cpu")]).await;
    let now = age().await;
    until(age, |later| *later > now + 1.0).await;
}
