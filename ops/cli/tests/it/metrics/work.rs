//! Work of every kind, and failures of every kind that leave a trace of their own in metrics.

use futures::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Scraped;
use crate::{
    polling::until,
    receiver::Receiver,
    stack::{Answer, Stack, http, quick},
};

/// The tenant of a key that is used up and revoked.
pub(super) const OTHER_TENANT: &str = "acme-media";

pub(super) async fn of_every_kind(stack: &Stack, metrics: &Scraped) {
    let receiver = Receiver::new().await;
    hooks(stack, &receiver).await;
    let input = stack.upload_bunny().await;
    let converted = jobs(stack, &input).await;
    requests(stack, &converted).await;
    credentials(stack).await;
    receiver.until("/broken", |got| got.len() >= 2).await;
    let attempts = async || metrics.value("ffapi_webhook_attempts_total", &[]).await;
    until(attempts, |attempts| *attempts >= 2.0).await;
    outages(stack, metrics).await;
    // Counted every 16 seconds, each alone: one count may fall into the outage.
    let counted = async || {
        let families = metrics.families().await;
        ["ffapi_dead_letters", "ffapi_projection_parked_messages"]
            .iter()
            .all(|family| families.contains_key(*family))
    };
    until(counted, |counted| *counted).await;
}

/// One endpoint that receives, and one that does not.
async fn hooks(stack: &Stack, receiver: &Receiver) {
    receiver.answer("/broken", 500, "");
    for path in ["/fine", "/broken"] {
        let hook = json!({ "url": format!("{}{path}", receiver.url), "events": ["job.completed"] });
        assert_eq!(stack.post("/webhooks", &hook).await.status, StatusCode::CREATED);
    }
}

/// A job of each kind, one that fails, one that is cancelled; returns the converted one.
async fn jobs(stack: &Stack, input: &str) -> String {
    let converted = stack.convert(input, "a.mp4", quick()).await;
    let bodies = [
        ("/probe", json!({ "input": input })),
        ("/analyze", json!({ "input": input, "metrics": ["loudness"] })),
        (
            "/thumbnails",
            json!({ "input": input, "output": "t", "mode": "count", "count": 2, "width": 160 }),
        ),
        (
            "/stream",
            json!({
                "input": input, "output": "s", "type": "hls", "encoder_preset": "ultrafast",
                "variants": [{ "name": "low", "height": 90 }],
            }),
        ),
    ];
    let mut all = vec![converted.clone()];
    for (path, body) in bodies {
        let answer = stack.post(path, &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{path} {answer:#?}");
        all.push(answer.text("/job/id").to_owned());
    }
    for job in &all {
        let finished = stack.finished(job).await;
        assert_eq!(finished.text("/status"), "completed", "{finished:#?}");
    }
    let body = json!({ "input": "missing.mp4", "output": "b.mp4", "operations": quick() });
    let failing = stack.post("/convert", &body).await;
    assert_eq!(stack.finished(failing.text("/job/id")).await.text("/status"), "failed");
    let later = json!({ "input": input, "not_before": "2099-01-01T00:00:00Z" });
    let later = stack.post("/probe", &later).await;
    let cancel = format!("/jobs/{}/cancel", later.text("/job/id"));
    stack.post(&cancel, &json!({})).await;
    stack.finished(later.text("/job/id")).await;
    // Rejected by the aggregate: the job is over.
    let rejected = stack.post(&format!("/jobs/{converted}/cancel"), &json!({})).await;
    assert_eq!(rejected.status, StatusCode::CONFLICT, "{rejected:#?}");
    converted
}

/// Reads, a download, a stream of events, questions, and requests that are rejected.
async fn requests(stack: &Stack, job: &str) {
    assert_eq!(stack.get("/jobs").await.status, StatusCode::OK);
    let output = stack.get(&format!("/jobs/{job}/outputs/a.mp4")).await;
    assert_eq!(output.status, StatusCode::OK);
    let waiting = stack.request(Method::GET, &format!("/jobs/{job}")).header("prefer", "wait=1");
    assert_eq!(stack.send(waiting).await.status, StatusCode::OK);
    assert_eq!(stack.get("/jobs/job_nothing").await.status, StatusCode::NOT_FOUND);
    let invalid = stack.post("/convert", &json!({ "input": 1 })).await;
    assert!(invalid.status.is_client_error(), "{invalid:#?}");
    let not_media = stack
        .request(Method::POST, "/uploads")
        .header("content-type", "application/octet-stream")
        .body("no media");
    assert!(stack.send(not_media).await.status.is_client_error());
    let far = stack.get(&format!("/jobs/{job}?min_position=1-999999999-0")).await;
    assert_eq!(far.status, StatusCode::SERVICE_UNAVAILABLE, "{far:#?}");
    let body = json!({ "kind": "probe", "input": "a.mp4" });
    assert_eq!(stack.post("/validate", &body).await.status, StatusCode::OK);
    assert_eq!(stack.post("/admin/cleanup", &json!({})).await.status, StatusCode::OK);
    let events = stack.request(Method::GET, "/events").header("accept", "text/event-stream");
    let mut events = events.send().await.unwrap().bytes_stream();
    tokio::spawn(async move { while events.next().await.is_some() {} });
}

/// A key that is used up, and revoked.
async fn credentials(stack: &Stack) {
    let body = json!({ "name": "x", "tenant": OTHER_TENANT, "scopes": ["jobs:read"] });
    let made = stack.post("/api-keys", &body).await;
    let (id, secret) = (made.text("/id").to_owned(), made.text("/secret").to_owned());
    let get = async || stack.send(stack.request_as(&secret, Method::GET, "/jobs")).await;
    until(get, |answer: &Answer| answer.status == StatusCode::TOO_MANY_REQUESTS).await;
    stack.post(&format!("/api-keys/{id}/revoke"), &Value::Null).await;
    until(get, |answer: &Answer| answer.status == StatusCode::UNAUTHORIZED).await;
    let nobody = http().get(format!("{}/api/v1/jobs", stack.url)).send().await.unwrap();
    assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
}

/// Kills each server while it is needed; what fails then has an error in its labels.
async fn outages(stack: &Stack, metrics: &Scraped) {
    let labels = async |family: &str| {
        let families = metrics.families().await;
        families.get(family).map(|family| family.labels.clone()).unwrap_or_default()
    };
    let (nats, postgres) =
        ("messaging_client_operation_duration_seconds", "db_client_operation_duration_seconds");
    let failed = async || {
        stack.arm_failpoint("commands.before_append.job", "nats-server");
        let body = json!({ "input": "missing.mp4" });
        let _ = stack.request(Method::POST, "/probe").json(&body).send().await;
        labels(nats).await
    };
    until(failed, |labels| labels.contains("error_type")).await;
    let failed = async || {
        stack.arm_failpoint("projector.before_commit.job_list", "postgres");
        let body = json!({ "input": "missing.mp4" });
        let _ = stack.request(Method::POST, "/probe").json(&body).send().await;
        for _ in 0..20 {
            let _ = stack.request(Method::GET, "/queue").send().await;
            let _ = stack.request(Method::GET, "/jobs").send().await;
        }
        labels(postgres).await
    };
    let all = |labels: &std::collections::BTreeSet<String>| {
        labels.contains("error_type") && labels.contains("db_response_status_code")
    };
    until(failed, all).await;
}
