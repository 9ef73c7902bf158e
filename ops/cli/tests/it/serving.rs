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
    // Ranges are for `GET`.
    let head = http().head(&url).header("x-api-key", &stack.key).header("range", "bytes=0-9");
    let head = send(head).await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (StatusCode::OK, size.to_string().as_str())
    );
    let other = send(get("").header("if-match", "\"other\"")).await;
    assert_eq!(other.status, StatusCode::PRECONDITION_FAILED, "{other:#?}");
    // A week from now, in the format of HTTP.
    let kept = whole.header("sunset");
    assert!(kept.ends_with(" GMT") && kept != modified, "{whole:#?}");
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
async fn a_key_can_ask_who_it_is_whatever_it_may_do() {
    let stack = Stack::new().await;
    let body = json!({ "name": "up", "tenant": "acme", "scopes": ["audit:read"] });
    let made = stack.post("/api-keys", &body).await;
    let me = stack.send(stack.request_as(made.text("/secret"), Method::GET, "/me")).await;
    assert_eq!(me.status, StatusCode::OK, "{me:#?}");
    assert_eq!(me.text("/key_id"), made.text("/id"));
    assert_eq!(me.json["scopes"], json!(["audit:read"]));
    assert_eq!(me.text("/account/tenant"), "acme");
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
    for path in ["/favicon.ico", "/robots.txt", "/api", "/docs.html"] {
        assert_eq!(get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for (method, path) in [(Method::POST, "/docs"), (Method::DELETE, "/readyz"), (Method::PUT, "/")]
    {
        let refused = http().request(method, format!("{}{path}", stack.url));
        let refused = stack.send(refused).await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{path}: {refused:#?}");
        assert_eq!(refused.header("allow"), "GET, HEAD", "{path}");
    }
}

/// The errors of ffmpeg, as an independent player, while it plays a URL to its end.
fn played(url: &str) -> String {
    let player = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i", url, "-map", "0", "-f", "null", "-"])
        .output()
        .unwrap();
    assert!(player.status.success(), "{player:?}");
    String::from_utf8(player.stderr).unwrap()
}

#[tokio::test]
async fn a_playback_url_is_inherited_by_every_file_of_a_stream() {
    let stack = Stack::new().await;
    let input = stack.upload_bunny().await;
    let body = json!({
        "input": input, "output": "s", "type": "hls", "encoder_preset": "ultrafast",
        "encryption": "aes-128",
        "variants": [{ "name": "a", "height": 90 }, { "name": "b", "height": 120 }]
    });
    let submitted = stack.post("/stream", &body).await;
    assert_eq!(submitted.status, StatusCode::CREATED, "{submitted:#?}");
    let job = submitted.text("/job/id").to_owned();
    stack.finished(&job).await;
    let week = 7 * 24 * 3_600;
    let made = stack.post("/tokens", &json!({ "outputs": job, "ttl": week })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
    let base = format!("{}{}", stack.url, made.text("/url"));
    // A list of jobs has the same URLs as each of them.
    let (one, list) =
        (stack.get(&format!("/jobs/{job}")).await, stack.get("/jobs?kind=stream").await);
    for field in ["playback_url", "poster_url", "sprite_url"] {
        assert_eq!(list.json["data"][0][field], one.json[field], "{field}: {list:#?}");
    }
    assert!(list.text("/data/0/playback_url").ends_with("/outputs/master.m3u8"), "{list:#?}");
    let left = async || -> u64 {
        let answer = stack.get("/jobs?limit=1").await;
        let left = answer.header("ratelimit").split(";r=").nth(1).unwrap().to_owned();
        left.split(';').next().unwrap().parse().unwrap()
    };
    let before = left().await;
    // With the key of the encrypted segments.
    assert_eq!(played(&format!("{base}master.m3u8")), "");
    // Of the account's requests, only the one that asks for this was used up.
    assert_eq!(before - left().await, 1);
    let page = http().get(format!("{base}master.m3u8")).header("origin", "https://any.example.com");
    let page = stack.send(page).await;
    assert_eq!(page.header("access-control-allow-origin"), "*", "{page:#?}");
    assert_eq!(page.header("content-type"), "application/vnd.apple.mpegurl");
    // It opens nothing else, and is in no error.
    let token = made.text("/token");
    for rest in ["", "x", "../jobs", "outputs/../../../jobs"] {
        let url = format!("{}/api/v1/t/{token}/{rest}", stack.url);
        let answer = stack.send(http().get(url)).await;
        assert!(answer.status.is_client_error(), "{rest}: {answer:#?}");
        assert!(!answer.text("/instance").contains(token), "{rest}: {answer:#?}");
    }
    let forged = format!("{}/api/v1/t/{}x/outputs/master.m3u8", stack.url, token);
    assert_eq!(stack.send(http().get(forged)).await.status, StatusCode::UNAUTHORIZED);
    let written = http().delete(format!("{base}master.m3u8"));
    assert_eq!(stack.send(written).await.status, StatusCode::METHOD_NOT_ALLOWED);
    let log = std::fs::read_to_string(stack.data.path().join("up.log")).unwrap();
    assert!(!log.contains(token), "{log}");
    let trail = stack.get("/admin/audit?limit=200").await;
    assert!(!trail.json.to_string().contains(token), "{trail:#?}");
}
