//! What any gateway has answered, or any event has reported, is what every gateway's reads contain.

use futures::{StreamExt, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{fleet::Fleet, stack::http};

/// Requests that are in flight at once.
const CONCURRENCY: usize = 8;

async fn send(
    fleet: &Fleet,
    method: Method,
    url: &str,
    body: Option<&Value>,
) -> (StatusCode, Value) {
    let request = http().request(method, url).header("x-api-key", &fleet.key);
    let request = match body {
        Some(body) => request.json(body),
        None => request,
    };
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

/// Submits a job that waits, reads it from the other gateway, cancels it there, and reads that from
/// the first one; returns what was stale.
async fn race(fleet: &Fleet, number: usize) -> Vec<String> {
    let [one, other] = [number % 2, (number + 1) % 2].map(|n| format!("{}/api/v1", fleet.urls[n]));
    let mut stale = vec![];
    let body = json!({ "input": "a.mp4", "not_before": "2100-01-01T00:00:00Z" });
    let (status, answer) = send(fleet, Method::POST, &format!("{one}/probe"), Some(&body)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer:#}");
    let id = answer["job"]["id"].as_str().unwrap().to_owned();
    let job = format!("/jobs/{id}");
    let (status, _) = send(fleet, Method::GET, &format!("{other}{job}"), None).await;
    if status != StatusCode::OK {
        stale.push(format!("{id} is {status} after it was created"));
    }
    let (_, list) = send(fleet, Method::GET, &format!("{other}/jobs?limit=200"), None).await;
    if !list["data"].as_array().unwrap().iter().any(|job| job["id"] == id.as_str()) {
        stale.push(format!("{id} is not in the list"));
    }
    let cancel = format!("{other}{job}/cancel");
    let (status, answer) = send(fleet, Method::POST, &cancel, Some(&json!({}))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer:#}");
    let (_, read) = send(fleet, Method::GET, &format!("{one}{job}"), None).await;
    if read["status"] != "cancelled" {
        stale.push(format!("{id} is {} after it was cancelled", read["status"]));
    }
    stale
}

#[tokio::test]
async fn a_write_through_one_gateway_is_read_from_the_other() {
    let fleet = Fleet::without_workers().await;
    let races = stream::iter(0..150).map(|number| race(&fleet, number));
    let stale: Vec<String> = races.buffer_unordered(CONCURRENCY).collect::<Vec<_>>().await.concat();
    assert_eq!(stale, Vec::<String>::new());
}
