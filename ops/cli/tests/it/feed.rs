//! The event feed of an account, as pages and as a stream that can be resumed.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    polling::POLL_TIMEOUT,
    stack::{Stack, bunny},
};

/// One server-sent event.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

/// An open stream of events.
pub(crate) struct Stream {
    response: reqwest::Response,
    read: String,
}

impl Stream {
    pub(crate) async fn open(stack: &Stack, path: &str, last: Option<&str>) -> Self {
        let request = stack.request(Method::GET, path).header("accept", "text/event-stream");
        let request = match last {
            Some(last) => request.header("last-event-id", last),
            None => request,
        };
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Self { response, read: String::new() }
    }

    /// The next event; `None` once the server ends the stream. Heartbeats do not extend the timeout.
    pub(crate) async fn next(&mut self) -> Option<Sent> {
        tokio::time::timeout(POLL_TIMEOUT, self.next_event()).await.unwrap()
    }

    async fn next_event(&mut self) -> Option<Sent> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.read = rest;
                let field = |name: &str| {
                    let value = event.lines().find_map(|line| line.strip_prefix(name));
                    value.map(|value| value.trim_start_matches(':').trim().to_owned())
                };
                let Some(data) = field("data") else { continue };
                return Some(Sent {
                    id: field("id").unwrap_or_default(),
                    kind: field("event").unwrap_or_default(),
                    data: serde_json::from_str(&data).unwrap(),
                });
            }
            let chunk = self.response.chunk().await.ok()??;
            self.read.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

/// Every event of a feed, page by page.
pub(crate) async fn all(stack: &Stack, path: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let request = stack.request(Method::GET, &format!("{path}?limit=37{after}"));
        let page = stack.send(request.header("accept", "application/json")).await;
        assert_eq!(page.status, StatusCode::OK, "{page:#?}");
        all.extend(page.json["data"].as_array().unwrap().clone());
        if page.json["has_more"] != true {
            return all;
        }
        after = format!("&after={}", page.text("/next_cursor"));
    }
}

#[tokio::test]
async fn an_account_reads_and_follows_only_its_own_events() {
    let stack = Stack::new().await;
    stack.write_file("video.mp4", &std::fs::read(bunny()).unwrap());
    let mut stream = Stream::open(&stack, "/events", None).await;
    let key = stack
        .post(
            "/api-keys",
            &json!({ "name": "x", "tenant": "other", "scopes": ["jobs:write", "jobs:read"] }),
        )
        .await;
    let other = key.text("/secret").to_owned();
    let theirs =
        stack.request_as(&other, Method::POST, "/probe").json(&json!({ "input": "a.mp4" }));
    assert_eq!(stack.send(theirs).await.status, StatusCode::CREATED);
    let job =
        stack.post("/probe", &json!({ "input": "video.mp4" })).await.text("/job/id").to_owned();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last: &Sent| last.kind != "job.completed") {
        seen.push(stream.next().await.unwrap());
    }
    assert!(seen.iter().all(|event| event.data["job_id"] == job.as_str()), "{seen:#?}");
    assert_eq!(seen[0].kind, "job.queued");
    // The same events in pages.
    let mut pages = all(&stack, "/events").await;
    pages.retain(|event| event["type"] != "key.created");
    let logged: Vec<&Sent> = seen.iter().filter(|event| !event.id.is_empty()).collect();
    assert_eq!(pages.len(), logged.len());
    for (page, sent) in pages.iter().zip(&logged) {
        assert_eq!(*page, sent.data);
    }
    // A reader that reconnects resumes without gaps or duplicates.
    let mut again = Stream::open(&stack, "/events", Some(&logged[0].id)).await;
    for sent in &logged[1..] {
        assert_eq!(again.next().await.unwrap().id, sent.id);
    }
    // A reader with a position of another log starts with the current state.
    let mut lost = Stream::open(&stack, "/events", Some("9-1-0")).await;
    let reset = lost.next().await.unwrap();
    assert_eq!((reset.kind.as_str(), &reset.data["data"]["processing"]), ("reset", &json!(0)));
    let bad = stack.get("/events?after=yesterday").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn large_events_reach_open_streams_and_pages() {
    let stack = Stack::new().await;
    stack.write_file("video.mp4", &std::fs::read(bunny()).unwrap());
    let mut stream = Stream::open(&stack, "/events", None).await;
    let images = json!({
        "input": "video.mp4",
        "output": "frames/a-name-that-makes-the-list-of-outputs-long-%06d.jpg",
        "operations": [{ "type": "scale", "width": 16 }]
    });
    let submitted = stack.post("/convert", &images).await;
    assert_eq!(submitted.status, StatusCode::CREATED, "{submitted:#?}");
    let job = submitted.text("/job/id").to_owned();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last: &Sent| last.kind != "job.completed") {
        seen.push(stream.next().await.unwrap());
    }
    let sealed: Vec<&Sent> = seen.iter().filter(|e| e.kind == "job.outputs_sealed").collect();
    let [sealed] = sealed[..] else { panic!("{seen:#?}") };
    // The message in the log is larger than those that are kept for streams.
    let shown = stack.finished(&job).await;
    let outputs = usize::try_from(shown.json["outputs_total"].as_u64().unwrap()).unwrap();
    assert!(outputs > 100, "{outputs}");
    assert_eq!(shown.json["outputs"].as_array().unwrap().len(), 100);
    // All of them are in the pages of their list.
    let (mut listed, mut cursor) = (0, String::new());
    loop {
        let page = stack.get(&format!("/jobs/{job}/outputs?limit=70{cursor}")).await;
        listed += page.json["data"].as_array().unwrap().len();
        if page.json["has_more"] != true {
            break;
        }
        cursor = format!("&cursor={}", page.text("/next_cursor"));
    }
    assert_eq!(listed, outputs);
    assert_eq!(sealed.data["data"]["outputs_total"], outputs);
    let pages = all(&stack, "/events").await;
    assert!(pages.contains(&sealed.data), "{pages:#?}");
}

/// The body of a batch whose message in the log is larger than the pages that a stream reads.
fn large_batch() -> Value {
    let metadata: serde_json::Map<String, Value> =
        (0..30).map(|number| (number.to_string(), "x".repeat(1_000).into())).collect();
    let job = || {
        json!({
            "kind": "probe", "input": "video.mp4", "not_before": "2100-01-01T00:00:00Z",
            "metadata": metadata
        })
    };
    json!({ "jobs": (0..24).map(|_| job()).collect::<Vec<_>>() })
}

#[tokio::test]
async fn a_stream_resumes_before_and_behind_a_message_larger_than_its_pages() {
    let stack = Stack::new().await;
    let scheduled = json!({ "input": "video.mp4", "not_before": "2100-01-01T00:00:00Z" });
    let mut live = Stream::open(&stack, "/events", None).await;
    assert_eq!(stack.post("/probe", &scheduled).await.status, StatusCode::CREATED);
    let first = live.next().await.unwrap();
    let batch = stack.post("/batch", &large_batch()).await;
    assert_eq!(batch.status, StatusCode::CREATED, "{batch:#?}");
    let last = stack.post("/probe", &scheduled).await.text("/job/id").to_owned();
    let until_last = async |stream: &mut Stream| {
        let mut seen = vec![];
        while seen.last().is_none_or(|event: &Sent| event.data["job_id"] != last.as_str()) {
            seen.push(stream.next().await.unwrap());
        }
        seen.into_iter().map(|event| event.id).collect::<Vec<String>>()
    };
    let seen = until_last(&mut live).await;
    let mut resumed = Stream::open(&stack, "/events", Some(&first.id)).await;
    assert_eq!(until_last(&mut resumed).await, seen);
    let mut behind = Stream::open(&stack, "/events", Some(&seen[0])).await;
    assert_eq!(until_last(&mut behind).await, seen[1..]);
}

/// Checks an event's data against its schema in the document.
fn assert_matches_schema(document: &Value, event: &Value) {
    let kind = event["type"].as_str().unwrap();
    let schema = &document["components"]["schemas"][kind.replace('.', "_")];
    assert!(schema.is_object(), "{kind} is not in the document");
    let data = event["data"].as_object().unwrap();
    for field in schema["required"].as_array().unwrap() {
        assert!(!data[field.as_str().unwrap()].is_null(), "{kind} lacks {field}: {event:#}");
    }
    for (field, value) in data {
        let known = &schema["properties"][field]["type"];
        assert!(!known.is_null(), "{kind} has {field}, which is not in the document");
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_u64() => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let kinds: Vec<&str> = match known {
            Value::String(one) => vec![one],
            many => many.as_array().unwrap().iter().filter_map(Value::as_str).collect(),
        };
        let fits = kinds.contains(&is) || (is == "integer" && kinds.contains(&"number"));
        assert!(fits, "{kind}: {field} is {is}, not {kinds:?}");
    }
}

#[tokio::test]
async fn published_events_match_their_schema() {
    let stack = Stack::new().await;
    let url = format!("{}/asyncapi.json", stack.url);
    let document: Value = crate::stack::http().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(document["asyncapi"], "3.1.0");
    stack.write_file("video.mp4", &std::fs::read(bunny()).unwrap());
    let mut live = Stream::open(&stack, "/events", None).await;
    let input = stack.upload_bunny().await;
    let long = stack.convert(&input, "a.mp4", crate::stack::slow()).await;
    stack.until(&long, |job| job.json["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
    let high = stack.request(Method::PATCH, &format!("/jobs/{long}"));
    stack.send(high.json(&json!({ "priority": "high" }))).await;
    stack.post(&format!("/jobs/{long}/cancel"), &json!({})).await;
    stack.finished(&long).await;
    let jobs = json!({ "jobs": [{ "kind": "probe", "input": "video.mp4" }, { "kind": "probe", "input": "none.mp4" }] });
    let batch = stack.post("/batch", &jobs).await;
    let id = batch.text("/id").to_owned();
    for job in batch.json["jobs"].as_array().unwrap() {
        stack.finished(job.as_str().unwrap()).await;
    }
    let key = stack.post("/api-keys", &json!({ "name": "x", "scopes": ["jobs:read"] })).await;
    stack.post(&format!("/api-keys/{}/revoke", key.text("/id")), &json!({})).await;
    let hook = stack.post("/webhooks", &json!({ "url": "https://example.com" })).await;
    stack.send(stack.request(Method::DELETE, &format!("/webhooks/{}", hook.text("/id")))).await;
    let mut kinds = std::collections::BTreeSet::new();
    loop {
        let event = live.next().await.unwrap();
        assert_matches_schema(&document, &event.data);
        kinds.insert(event.kind.clone());
        if event.kind == "webhook.deleted" {
            break;
        }
    }
    assert!(!id.is_empty());
    for wanted in [
        "job.queued",
        "job.started",
        "job.progress",
        "job.priority_changed",
        "job.cancel_requested",
        "job.cancelled",
        "job.outputs_sealed",
        "job.completed",
        "job.attempt_failed",
        "job.failed",
        "batch.queued",
        "key.created",
        "key.revoked",
        "webhook.created",
    ] {
        assert!(kinds.contains(wanted), "{wanted} was not published: {kinds:?}");
    }
}

#[tokio::test]
async fn a_future_position_is_rejected_with_the_current_end() {
    let stack = Stack::new().await;
    let waiting = json!({ "input": "a.mp4", "not_before": "2100-01-01T00:00:00Z" });
    let job = stack.post("/probe", &waiting).await.text("/job/id").to_owned();
    let mut stream =
        Stream::open(&stack, &format!("/jobs/{job}/events"), Some("1-999999999-0")).await;
    stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
    assert_eq!(stream.next().await.unwrap().kind, "job.cancelled");
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_client_that_cannot_send_headers_resumes_by_a_parameter() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let probe = stack.post("/probe", &json!({ "input": upload })).await;
    let job = probe.text("/job/id").to_owned();
    stack.finished(&job).await;
    let path = format!("/jobs/{job}/events");
    let mut stream = Stream::open(&stack, &path, None).await;
    let first = stream.next().await.unwrap();
    let mut after = Stream::open(&stack, &format!("{path}?lastEventId={}", first.id), None).await;
    assert_eq!(after.next().await.unwrap().id, stream.next().await.unwrap().id);
    let unknown = stack.get(&format!("{path}?last_event_id={}", first.id)).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST, "{unknown:#?}");
    assert_eq!(unknown.text("/errors/0/parameter"), "last_event_id");
}
