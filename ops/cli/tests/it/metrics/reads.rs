//! What a gateway need not read from the log.

use futures::{StreamExt, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Scraped;
use crate::{
    fleet::Fleet,
    stack::{free_port, http},
};

/// More than the other reads that a gateway makes while it handles so many requests: it polls a few times
/// a second.
const SUBMISSIONS: u32 = 200;
/// Requests that are in flight at once.
const CONCURRENCY: usize = 16;

async fn send(fleet: &Fleet, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
    let url = format!("{}/api/v1{path}", fleet.urls[0]);
    let request = http().request(method, url).header("x-api-key", &fleet.key).json(body);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn submit(fleet: &Fleet) -> Value {
    let body = json!({ "input": "a.mp4", "not_before": "2100-01-01T00:00:00Z" });
    let (status, mut answer) = send(fleet, Method::POST, "/probe", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{answer:#}");
    answer["job"].take()
}

#[tokio::test]
async fn answers_to_writes_are_not_read_back_and_are_what_a_read_returns() {
    let mut fleet = Fleet::of(&["conductor", "projector"]).await;
    let address = format!("127.0.0.1:{}", free_port());
    fleet.start_with("gateway", &[("FFAPI_METRICS__LISTEN", &address)]);
    fleet.until(&fleet.urls[0], "/health/ready", |status, _| status == StatusCode::OK).await;

    let job = submit(&fleet).await;
    let path = format!("/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(send(&fleet, Method::GET, &path, &json!({})).await, (StatusCode::OK, job));
    let changes = [
        (Method::PATCH, path.clone(), json!({ "priority": "high" }), StatusCode::OK),
        (Method::POST, format!("{path}/cancel"), json!({}), StatusCode::ACCEPTED),
        (Method::POST, format!("{path}/retry"), json!({}), StatusCode::ACCEPTED),
    ];
    for (method, changed, body, expected) in changes {
        let (status, answer) = send(&fleet, method, &changed, &body).await;
        assert_eq!(status, expected, "{answer:#}");
        let (_, read) = send(&fleet, Method::GET, &path, &json!({})).await;
        assert_eq!(answer, read, "{changed}");
    }

    let scraped = Scraped { url: format!("http://{address}/metrics") };
    let reads = [("messaging_destination_name", "EVENTS"), ("messaging_operation_name", "get")];
    let reads = async || scraped.value("messaging_client_operation_duration_seconds", &reads).await;
    let before = reads().await;
    assert!(before > 0.0);
    let submissions = stream::iter(0..SUBMISSIONS).map(|_| submit(&fleet));
    submissions.buffer_unordered(CONCURRENCY).collect::<Vec<_>>().await;
    let read = reads().await - before;
    assert!(read < f64::from(SUBMISSIONS), "{read} reads for {SUBMISSIONS} submissions");
}
