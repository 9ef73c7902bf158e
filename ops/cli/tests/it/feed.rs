//! An account's own feed: everything that happens to it, as pages and as a stream that resumes.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::stack::{Stack, bunny};

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

    /// The next event; none once the server ends the stream.
    pub(crate) async fn next(&mut self) -> Option<Sent> {
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
            let waiting = tokio::time::timeout(crate::stack::PATIENCE, self.response.chunk());
            let chunk = waiting.await.unwrap().ok()??;
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
async fn an_account_reads_and_follows_everything_of_its_own_and_nothing_else() {
    let stack = Stack::new().await;
    stack.place("film.mp4", &std::fs::read(bunny()).unwrap());
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
        stack.post("/probe", &json!({ "input": "film.mp4" })).await.text("/job/id").to_owned();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last: &Sent| last.kind != "job.completed") {
        seen.push(stream.next().await.unwrap());
    }
    assert!(seen.iter().all(|event| event.data["job_id"] == job.as_str()), "{seen:#?}");
    assert_eq!(seen[0].kind, "job.queued");
    // The same in pages.
    let pages = all(&stack, "/events").await;
    let logged: Vec<&Sent> = seen.iter().filter(|event| !event.id.is_empty()).collect();
    assert_eq!(pages.len(), logged.len());
    for (page, sent) in pages.iter().zip(&logged) {
        assert_eq!(*page, sent.data);
    }
    // A reader that was away goes on where it was; it misses nothing and sees nothing twice.
    let mut again = Stream::open(&stack, "/events", Some(&logged[0].id)).await;
    for sent in &logged[1..] {
        assert_eq!(again.next().await.unwrap().id, sent.id);
    }
    // One that saw another log begins anew, with where things stand.
    let mut lost = Stream::open(&stack, "/events", Some("9-1-0")).await;
    let reset = lost.next().await.unwrap();
    assert_eq!((reset.kind.as_str(), &reset.data["data"]["processing"]), ("reset", &json!(0)));
    let bad = stack.get("/events?after=yesterday").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
}
