use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    http_semantics::is_problem,
    stack::{Stack, quick},
};

#[tokio::test]
async fn an_idempotency_key_returns_the_same_job_after_a_restart() {
    let mut stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let body = json!({ "input": upload, "output": "a.mp4", "operations": quick() });
    let send = async |stack: &Stack, body: &Value| {
        let request = stack.request(Method::POST, "/convert").header("idempotency-key", "\"k1\"");
        stack.send(request.json(body)).await
    };
    let first = send(&stack, &body).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (StatusCode::CREATED, ""));
    stack.kill();
    stack.restart().await;
    let second = send(&stack, &body).await;
    assert_eq!(second.status, StatusCode::CREATED, "{second:?}");
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(second.text("/job/id"), first.text("/job/id"));
    let mut other = body.clone();
    other["output"] = json!("b.mp4");
    is_problem(&send(&stack, &other).await, 422);
    let jobs = stack.get("/jobs?min_position=".to_owned().as_str()).await;
    is_problem(&jobs, 400);
    let position = second.header("x-log-position").to_owned();
    let jobs = stack.get(&format!("/jobs?min_position={position}")).await;
    assert_eq!(jobs.json["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_replayed_request_is_answered_even_if_its_resources_were_deleted() {
    let stack = Stack::new().await;
    let preset = json!({ "name": "web", "kind": "convert", "body": { "operations": quick() } });
    let keyed = async |path: &str, body: &Value| {
        let request = stack.request(Method::POST, path).header("idempotency-key", "k");
        stack.send(request.json(body)).await
    };
    let made = keyed("/presets", &preset).await;
    assert_eq!((made.status, made.header("idempotent-replayed")), (StatusCode::CREATED, ""));
    let again = keyed("/presets", &preset).await;
    assert_eq!((again.text("/version"), again.header("idempotent-replayed")), ("", "true"));
    assert_eq!(again.json["version"], 1);
    let job = json!({ "input": "a.mp4", "output": "b.mp4", "preset": "web" });
    let batch = json!({ "jobs": [{ "kind": "convert", "input": "a.mp4", "output": "c.mp4",
                                   "preset": "web" }] });
    let (first, many) = (keyed("/convert", &job).await, keyed("/batch", &batch).await);
    assert_eq!(
        (first.status, many.status),
        (StatusCode::CREATED, StatusCode::CREATED),
        "{first:?}"
    );
    stack.send(stack.request(Method::DELETE, "/presets/web")).await;
    let (again, many_again) = (keyed("/convert", &job).await, keyed("/batch", &batch).await);
    assert_eq!(again.text("/job/id"), first.text("/job/id"), "{again:?}");
    assert_eq!(many_again.text("/id"), many.text("/id"), "{many_again:?}");
    for replayed in [&again, &many_again] {
        assert_eq!(replayed.header("idempotent-replayed"), "true");
    }
    is_problem(&stack.post("/convert", &job).await, 422);
}

#[tokio::test]
async fn an_upload_repeated_under_its_idempotency_key_is_stored_once() {
    let stack = Stack::new().await;
    let send = async |bytes: Vec<u8>| {
        let request = stack.request(Method::POST, "/uploads").header("idempotency-key", "video");
        let request = request.header("content-type", "application/octet-stream");
        stack.send(request.body(bytes)).await
    };
    let video = std::fs::read(crate::stack::bunny()).unwrap();
    let first = send(video.clone()).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (StatusCode::CREATED, ""));
    let again = send(video.clone()).await;
    assert_eq!(
        (again.text("/id"), again.header("idempotent-replayed")),
        (first.text("/id"), "true")
    );
    let mut other = video;
    other.push(0);
    is_problem(&send(other).await, 422);
    let kept = std::fs::read_dir(stack.data.path().join("storage/default/.uploads")).unwrap();
    assert_eq!(kept.count(), 1, "nothing is stored twice, and nothing of a rejected request");
}
