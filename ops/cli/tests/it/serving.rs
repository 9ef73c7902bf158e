//! How files and pages are served to ordinary clients: browsers, caches, probes.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use crate::stack::{Answer, Stack, http, quick};

/// A completed conversion to `Fée 1.mp4`, and the URL of that output.
async fn converted(stack: &Stack) -> (String, String) {
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "Fée 1.mp4", quick()).await;
    stack.finished(&job).await;
    let url = format!("{}/api/v1/jobs/{job}/outputs/F%C3%A9e%201.mp4", stack.url);
    (job, url)
}

#[tokio::test]
async fn an_output_is_cacheable_conditional_and_sent_in_parts() {
    let stack = Stack::new().await;
    let (job, url) = converted(&stack).await;
    let get = |query: &str| http().get(format!("{url}{query}")).header("x-api-key", &stack.key);
    let send = async |request: RequestBuilder| stack.send(request).await;
    let whole = send(get("")).await;
    assert_eq!(whole.status, StatusCode::OK, "{whole:#?}");
    let (etag, modified) = (whole.header("etag"), whole.header("last-modified"));
    for (name, value) in [
        ("content-type", "video/mp4"),
        ("cache-control", "private, max-age=86400, immutable"),
        ("accept-ranges", "bytes"),
        (
            "content-disposition",
            "inline; filename=\"F_e 1.mp4\"; filename*=UTF-8''F%C3%A9e%201.mp4",
        ),
    ] {
        assert_eq!(whole.header(name), value, "{whole:#?}");
    }
    // A browser may show it by itself, which puts it into a page.
    let policy = whole.header("content-security-policy");
    assert!(policy.contains("media-src 'self'") && !policy.contains("sandbox"), "{policy}");
    for (name, value) in [("if-none-match", etag), ("if-modified-since", modified)] {
        let known = send(get("").header(name, value)).await;
        assert_eq!(
            (known.status, known.header("etag")),
            (StatusCode::NOT_MODIFIED, etag),
            "{name}"
        );
    }
    let size: u64 = whole.header("content-length").parse().unwrap();
    let part = send(get("").header("range", "bytes=0-9").header("if-range", etag)).await;
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.header("content-range"), format!("bytes 0-9/{size}"));
    let stale = send(get("").header("range", "bytes=0-9").header("if-range", "\"other\"")).await;
    assert_eq!(stale.status, StatusCode::OK);
    let beyond = send(get("").header("range", format!("bytes={size}-"))).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.header("content-range"), format!("bytes */{size}"));
    let saved = send(get("?download=my%20clip.mp4")).await;
    assert_eq!(saved.header("content-disposition"), "attachment; filename=\"my clip.mp4\"");
    // With a token, which is for everybody who has the URL, and by `HEAD`.
    let token = stack.post("/tokens", &json!({ "outputs": job, "ttl": 60 })).await;
    let head = http().head(format!("{url}?token={}", token.text("/token")));
    let head = send(head).await;
    assert_eq!(head.status, StatusCode::OK, "{head:#?}");
    assert_eq!(head.header("content-length"), size.to_string());
    let cached = head.header("cache-control");
    assert!(cached.starts_with("public, max-age=") && cached != "public, max-age=0", "{cached}");
}

#[tokio::test]
async fn a_stream_of_an_ended_job_tells_a_browser_not_to_reconnect() {
    let stack = Stack::new().await;
    let (job, _) = converted(&stack).await;
    let events = stack.request(Method::GET, &format!("/jobs/{job}/events"));
    let page = stack.send(events.header("accept", "application/json")).await;
    let last = page.json["data"].as_array().unwrap().last().unwrap()["id"].clone();
    let again = stack.request(Method::GET, &format!("/jobs/{job}/events"));
    let again = stack.send(again.header("last-event-id", last.as_str().unwrap())).await;
    assert_eq!(again.status, StatusCode::NO_CONTENT, "{again:#?}");
}

#[tokio::test]
async fn the_paths_that_people_and_probes_try_first_answer_without_a_key() {
    let stack = Stack::new().await;
    let get = async |path: &str| -> Answer {
        stack.send(http().get(format!("{}{path}", stack.url))).await
    };
    // The client follows the redirect to the documentation.
    let start = get("/").await;
    assert_eq!(start.status, StatusCode::OK, "{start:#?}");
    assert!(start.header("content-type").starts_with("text/html"), "{start:#?}");
    for path in ["/livez", "/readyz", "/health", "/health/ready"] {
        assert_eq!(get(path).await.text("/status"), "ok", "{path}");
    }
}
