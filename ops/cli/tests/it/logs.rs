//! What is logged: the ids of what a line is about, at levels that can be changed, and nothing that is
//! secret or personal.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    collector::{Collector, Line, Protocol},
    polling::until,
    receiver::Receiver,
    stack::{Stack, ffapi, quick},
};

/// Everything that our crates log.
const ALL: (&str, &str) = ("RUST_LOG", "warn,ffapi=trace");

fn lines(stack: &Stack) -> Vec<Value> {
    let log = std::fs::read_to_string(stack.data.path().join("up.log")).unwrap();
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What a client sends that belongs in no log.
const PRIVATE: [&str; 9] = [
    "holiday-of-alice",
    "alice@example.com",
    "planted-password",
    "planted-signature",
    "planted-metadata",
    "planted-overlay",
    "planted-query",
    "planted-token",
    "planted-path",
];

/// Requests and jobs with private texts wherever a client can put one; returns more of them.
async fn work(stack: &Stack, receiver: &Receiver) -> Vec<String> {
    let hook = json!({ "url": format!("{}/planted-path?planted-query", receiver.url) });
    let made = stack.post("/webhooks", &hook).await;
    let webhook_secret = made.text("/secret").to_owned();
    let key = json!({ "name": "alice@example.com", "scopes": ["jobs:read"] });
    let made = stack.post("/api-keys", &key).await;
    let other_key = made.text("/secret").to_owned();
    let upload = stack
        .request(Method::POST, "/uploads")
        .header("content-type", "application/octet-stream")
        .header("content-disposition", "attachment; filename=\"holiday-of-alice.mp4\"")
        .body(std::fs::read(crate::stack::bunny()).unwrap());
    let input = stack.send(upload).await.text("/id").to_owned();
    let mut operations = quick();
    let text = json!({ "type": "text", "text": "planted-overlay" });
    operations.as_array_mut().unwrap().insert(1, text);
    let body = |input: &str, output: &str| {
        json!({
            "input": input, "output": output, "operations": operations,
            "metadata": { "owner": "alice@example.com", "note": "planted-metadata" },
        })
    };
    let completed = stack.post("/convert", &body(&input, "holiday-of-alice.mp4")).await;
    let signed = "http://alice:planted-password@127.0.0.1:9/a.mp4?sig=planted-signature";
    let unreachable = "http://127.0.0.1:9/holiday-of-alice.mp4?sig=planted-signature";
    let missing = stack.post("/convert", &body("holiday-of-alice.mov", "b.mp4")).await;
    let fetched = stack.post("/convert", &body(unreachable, "c.mp4")).await;
    stack.post("/convert", &body(signed, "d.mp4")).await;
    for answer in [&completed, &missing, &fetched] {
        stack.finished(answer.text("/job/id")).await;
    }
    // The output is there already.
    let again = stack.post("/convert", &body(&input, "holiday-of-alice.mp4")).await;
    if !again.text("/job/id").is_empty() {
        stack.finished(again.text("/job/id")).await;
    }
    let outputs = format!("/jobs/{}/outputs/holiday-of-alice.mp4", completed.text("/job/id"));
    stack.get(&outputs).await;
    for path in ["/planted-path", "/jobs?status=planted-query", "/jobs/planted-path"] {
        stack.get(path).await;
    }
    stack.send(stack.request_as("planted-token", Method::GET, "/jobs")).await;
    stack.post("/convert", &json!({ "input": "planted-path", "planted-query": 1 })).await;
    receiver.until("/planted-path?planted-query", |got| got.len() >= 2).await;
    let secrets = std::fs::read_to_string(stack.data.path().join("secrets.json")).unwrap();
    let secrets: Value = serde_json::from_str(&secrets).unwrap();
    let mut private: Vec<String> = PRIVATE.map(str::to_owned).to_vec();
    private
        .extend(secrets.as_object().unwrap().values().filter_map(Value::as_str).map(str::to_owned));
    private.extend([stack.key.clone(), other_key, webhook_secret]);
    private
}

#[tokio::test]
async fn lines_have_ids_and_nothing_secret_or_personal() {
    let (collector, receiver) = (Collector::new(Protocol::Http).await, Receiver::new().await);
    let stack = Stack::with(&[
        ALL,
        ("FFAPI_LOG__JSON", "true"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "200"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"),
    ])
    .await;
    let private = work(&stack, &receiver).await;
    assert!(private.iter().all(|text| text.len() > 8), "{private:?}");
    let has = |line: &Value, ids: &[&str]| ids.iter().all(|id| !line[*id].is_null());
    for ids in [
        ["request_id", "trace_id"].as_slice(),
        &["job", "attempt", "trace_id"],
        &["webhook", "event", "trace_id"],
    ] {
        let written = async || lines(&stack).into_iter().find(|line| has(line, ids));
        until(written, Option::is_some).await;
    }
    let exported = async || collector.lines();
    let is_there = |body: &str, id: &str, lines: &[Line]| {
        let mut all = lines.iter().filter(|line| line.body == body && !line.trace.is_empty());
        all.any(|line| line.attributes.contains_key(id))
    };
    let all = until(exported, |all| {
        is_there("request answered", "request_id", all)
            && is_there("attempt outcome recorded", "attempt", all)
            && is_there("webhook attempted", "webhook", all)
    });
    for line in all.await {
        let of_span = line.attributes.get("trace_id");
        assert!(line.trace.is_empty() || of_span.is_none_or(|id| *id == line.trace), "{line:?}");
    }
    let spans = format!("{:#?}", collector.all());
    let lines = format!("{:#?}", collector.lines());
    let written = std::fs::read_to_string(stack.data.path().join("up.log")).unwrap();
    for (what, text) in [("spans", spans), ("exported lines", lines), ("the log", written)] {
        for private in &private {
            let line = text.lines().find(|line| line.contains(private.as_str()));
            assert_eq!(line, None, "{private} is in {what}");
        }
    }
}

#[tokio::test]
async fn levels_can_be_changed_while_the_process_runs() {
    let folder = ffapi_embedded::temporary_folder().unwrap();
    let file = folder.path().join("filter");
    let set = |filter: &str| std::fs::write(&file, filter).unwrap();
    set("warn");
    let path = file.display().to_string();
    let settings = [
        ("FFAPI_LOG__FILTER_FILE", path.as_str()),
        ("FFAPI_LOG__JSON", "true"),
        ("FFAPI_ROTATION__EVERY", "1"),
    ];
    let stack = Stack::with(&settings).await;
    // True if a request is logged: its line is written before its response.
    let is_logged = async || {
        let answer = stack.get("/jobs").await;
        let id = answer.header("x-request-id").to_owned();
        lines(&stack).iter().any(|line| line["request_id"] == id.as_str())
    };
    assert!(!is_logged().await);
    set("warn,ffapi_gateway=debug");
    until(is_logged, |logged| *logged).await;
    set("warn,ffapi_gateway=loud");
    let refused = async || {
        let all = lines(&stack);
        all.into_iter().find(|line| line["message"] == "the log filter was not changed")
    };
    until(refused, Option::is_some).await;
    assert!(is_logged().await, "an invalid filter changes nothing");
    set("warn");
    until(is_logged, |logged| !*logged).await;
}

#[test]
fn an_invalid_filter_is_an_error_at_the_start() {
    let data = ffapi_embedded::temporary_folder().unwrap();
    let mut up = ffapi();
    up.env("FFAPI_LOG__FILTER", "ffapi=loud").args(["up", "--listen", "127.0.0.1:0"]);
    let output = up.arg("--data-dir").arg(data.path()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("ffapi=loud"), "{error}");
}
