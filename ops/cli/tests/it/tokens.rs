//! Tokens for browsers and players, and the revocation of their keys.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    fleet::Fleet,
    keys::key,
    polling::until,
    stack::{Answer, Stack, http, quick, slow},
};

/// A request with no credentials except those in its URL.
async fn bare(stack: &Stack, path: &str, token: &str) -> Answer {
    let url = format!("{}/api/v1{path}?token={token}", stack.url);
    stack.send(http().get(url)).await
}

#[tokio::test]
async fn a_token_reads_one_resource_until_it_expires() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    let other = stack.convert(&upload, "b.mp4", quick()).await;
    for job in [&job, &other] {
        stack.finished(job).await;
    }
    let made = stack.post("/tokens", &json!({ "outputs": job, "ttl": 60 })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
    let token = made.text("/token");
    let file = format!("/jobs/{job}/outputs/a.mp4");
    assert_eq!(bare(&stack, &file, token).await.status, StatusCode::OK);
    for path in [
        format!("/jobs/{other}/outputs/b.mp4"),
        format!("/jobs/{job}"),
        format!("/jobs/{job}/events"),
        "/jobs".to_owned(),
        "/api-keys".to_owned(),
    ] {
        assert_eq!(bare(&stack, &path, token).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let url = format!("{}/api/v1{file}?token={token}", stack.url);
    let deleted = stack.send(http().delete(url)).await;
    assert_eq!(deleted.status, StatusCode::UNAUTHORIZED);
    let events = stack.post("/tokens", &json!({ "job": job })).await.text("/token").to_owned();
    let answer = bare(&stack, &format!("/jobs/{job}/events"), &events).await;
    assert_eq!(answer.header("content-type"), "text/event-stream", "{answer:#?}");

    for (body, pointer) in [
        (json!({}), "#/job"),
        (json!({ "job": job, "outputs": job }), "#/job"),
        (json!({ "job": job, "ttl": 4_000 }), "#/ttl"),
        (json!({ "outputs": job, "ttl": 604_801 }), "#/ttl"),
        (json!({ "job": job, "ttl": 0 }), "#/ttl"),
        (json!({ "outputs": "job_00000000000070008000000000000000" }), "#/outputs"),
    ] {
        let answer = stack.post("/tokens", &body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:#?}");
        assert_eq!(answer.text("/errors/0/pointer"), pointer);
    }
    let several = json!({ "upload": { "max_bytes": 0, "then": 1 }, "ttl": 0, "colour": 1 });
    let answer = stack.post("/tokens", &several).await;
    let expected = ["#/colour", "#/ttl", "#/upload/max_bytes", "#/upload/then"];
    assert_eq!(answer.pointers(), expected, "{answer:#?}");
    // A field that is null is absent: no permission to upload is needed.
    let (_, reader) = key(&stack, "default", &["jobs:read"]).await;
    let request = stack.request_as(&reader, Method::POST, "/tokens");
    let answer = stack.send(request.json(&json!({ "job": job, "upload": null }))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:#?}");
    // It expires.
    let short = stack.post("/tokens", &json!({ "outputs": job, "ttl": 1 })).await;
    let list = format!("/jobs/{job}/outputs");
    let ask = async || bare(&stack, &list, short.text("/token")).await;
    until(ask, |answer| answer.status != StatusCode::OK).await;
    // No log contains it.
    let log = std::fs::read_to_string(stack.data.path().join("up.log")).unwrap();
    assert!(!log.contains(token), "{log}");
}

#[tokio::test]
async fn one_token_is_revoked_at_every_gateway_and_the_others_of_its_key_stay_valid() {
    let fleet = Fleet::new().await;
    let upload = fleet.upload().await;
    let job = fleet.convert(&upload, "a.mp4", slow()).await;
    fleet.job(&job, |job| job["status"] == "processing").await;
    let [mut revoked, mut other] = [String::new(), String::new()];
    for (n, token) in [&mut revoked, &mut other].into_iter().enumerate() {
        let body = json!({ "job": job }).to_string();
        *token =
            fleet.post("/tokens", body.into(), &format!("token {n}")).await.text("/token").into();
    }
    assert_ne!(revoked, other);
    let open = async |token: &str| {
        let url = format!("{}/api/v1/jobs/{job}/events?token={token}", fleet.urls[1]);
        http().get(url).send().await.unwrap()
    };
    let [mut ended, mut kept] = [open(&revoked).await, open(&other).await];
    for stream in [&mut ended, &mut kept] {
        assert!(stream.chunk().await.unwrap().is_some());
    }
    let url = format!("https://example.com/api/v1/t/{revoked}/outputs/a.mp4");
    for (sent, n) in [(url.as_str(), 0), (revoked.as_str(), 1)] {
        let body = json!({ "token": sent }).to_string();
        let answer = fleet.post("/tokens/revoke", body.into(), &format!("revoke {n}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:#?}");
    }
    while let Ok(Some(_)) = ended.chunk().await {}
    assert_eq!(open(&revoked).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(open(&other).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_urls_of_a_job_work_again_once_theirs_are_revoked() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    stack.finished(&job).await;
    let path = format!("/jobs/{job}");
    let url = async || stack.get(&path).await.text("/download_url").to_owned();
    let read =
        async |path: &str| stack.send(http().get(format!("{}{path}", stack.url))).await.status;
    let first = url().await;
    assert_eq!(read(&first).await, StatusCode::OK);
    let (_, foreign) = key(&stack, "acme", &["jobs:read"]).await;
    let request = stack.request_as(&foreign, Method::POST, "/tokens/revoke");
    let answer = stack.send(request.json(&json!({ "token": first }))).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:#?}");
    assert_eq!(answer.text("/errors/0/pointer"), "#/token");
    assert_eq!(read(&first).await, StatusCode::OK);
    let revoked = stack.post("/tokens/revoke", &json!({ "token": first })).await;
    assert_eq!(revoked.status, StatusCode::OK, "{revoked:#?}");
    assert_eq!(read(&first).await, StatusCode::UNAUTHORIZED);
    let second = url().await;
    assert_ne!(first, second);
    assert_eq!(read(&second).await, StatusCode::OK);
}

#[tokio::test]
async fn a_revoked_key_is_rejected_by_every_gateway_and_its_streams_end() {
    let fleet = Fleet::new().await;
    let upload = fleet.upload().await;
    let job = fleet.convert(&upload, "a.mp4", slow()).await;
    fleet.job(&job, |job| job["status"] == "processing").await;
    let mut waits = Vec::new();
    for n in 0..5 {
        let body = json!({ "name": "k", "scopes": ["jobs:read"] }).to_string();
        let made = fleet.post("/api-keys", body.into(), &format!("key {n}")).await;
        let (id, secret) = (made.text("/id").to_owned(), made.text("/secret").to_owned());
        let ask = async |url: &str, path: &str| {
            let request = http().get(format!("{url}/api/v1{path}")).header("x-api-key", &secret);
            request.send().await.unwrap()
        };
        // The revocation is known to the other gateway as soon as this one has responded.
        let jobs = async || ask(&fleet.urls[1], "/jobs").await.status();
        until(jobs, |status| *status == StatusCode::OK).await;
        let body = json!({ "job": job }).to_string();
        let request = http().post(format!("{}/api/v1/tokens", fleet.urls[1]));
        let request = request.header("x-api-key", &secret);
        let token = request.header("content-type", "application/json").body(body);
        let token: Value = token.send().await.unwrap().json().await.unwrap();
        let token = token["token"].as_str().unwrap();
        let url = format!("{}/api/v1/jobs/{job}/events?token={token}", fleet.urls[1]);
        let mut streams = vec![
            ask(&fleet.urls[1], &format!("/jobs/{job}/events")).await,
            http().get(url).send().await.unwrap(),
        ];
        for stream in &mut streams {
            assert!(stream.chunk().await.unwrap().is_some());
        }
        fleet.post(&format!("/api-keys/{id}/revoke"), "{}".into(), "").await;
        let start = Instant::now();
        until(jobs, |status| *status != StatusCode::OK).await;
        for stream in &mut streams {
            while let Ok(Some(_)) = stream.chunk().await {}
        }
        waits.push(start.elapsed());
    }
    // `make bench` measures the delay; this test only excludes polling.
    assert!(waits.iter().all(|wait| *wait < Duration::from_secs(1)), "{waits:?}");
}

#[tokio::test]
async fn a_gateway_that_lags_behind_rejects_all_keys_and_reports_it() {
    let mut fleet = Fleet::new().await;
    assert!(fleet.get(&fleet.urls[0], "/api/v1/jobs").await.unwrap().0.is_success());
    fleet.nats.kill();
    let reported = fleet.until(&fleet.urls[0], "/api/v1/jobs", |status, body| {
        status == StatusCode::SERVICE_UNAVAILABLE
            && body["detail"].as_str().unwrap_or_default().contains("cannot be checked")
    });
    reported.await;
    let health = fleet.get(&fleet.urls[0], "/health").await.unwrap();
    assert_eq!(health.0, StatusCode::OK);
    fleet.nats.restart().unwrap();
    fleet.until(&fleet.urls[0], "/api/v1/jobs", |status, _| status == StatusCode::OK).await;
}

#[tokio::test]
async fn a_key_of_another_tenant_cannot_create_a_token_for_a_job() {
    let stack = Stack::new().await;
    let body = json!({ "input": "a.mp4", "output": "b.mp4", "not_before": "2100-01-01T00:00:00Z" });
    let job = stack.post("/convert", &body).await.text("/job/id").to_owned();
    let (_, foreign) = key(&stack, "acme", &["jobs:read"]).await;
    let request = stack.request_as(&foreign, Method::POST, "/tokens");
    let answer = stack.send(request.json(&json!({ "job": job }))).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:#?}");
}
