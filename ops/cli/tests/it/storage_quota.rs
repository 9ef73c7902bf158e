//! The storage of an account is limited, counted and shown; rejected requests leave almost nothing
//! behind.

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    keys, operator,
    polling::until,
    stack::{Answer, Stack, bunny, quick},
};

const SCOPES: [&str; 2] = ["jobs:read", "jobs:write"];

async fn limit(stack: &Stack, limits: Value) {
    let body = json!({ "limits": limits });
    let changed = stack.send(stack.request(Method::PATCH, "/accounts/acme").json(&body)).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:#?}");
}

async fn upload(stack: &Stack, secret: &str) -> Answer {
    let request = stack.request_as(secret, Method::POST, "/uploads");
    let request = request.header("content-type", "application/octet-stream");
    stack.send(request.body(std::fs::read(bunny()).unwrap())).await
}

/// Uploads without a `Content-Length`.
async fn trickle(stack: &Stack, secret: &str) -> Answer {
    let bytes = std::fs::read(bunny()).unwrap();
    let chunks: Vec<_> =
        bytes.chunks(65_536).map(<[u8]>::to_vec).map(Ok::<_, std::io::Error>).collect();
    let body = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    let request = stack.request_as(secret, Method::POST, "/uploads");
    stack.send(request.header("content-type", "application/octet-stream").body(body)).await
}

async fn taken(stack: &Stack, wanted: u64) {
    stack.poll("/accounts/acme", |shown| shown.json["storage_taken"] == wanted).await;
}

#[tokio::test]
async fn concurrent_uploads_succeed_and_aborted_ones_release_their_storage() {
    let stack = Stack::new().await;
    let (_, key) = keys::key(&stack, "acme", &SCOPES).await;
    let key = key.as_str();
    let small = async |n: usize| {
        let words = format!("WEBVTT\n\n00:01.000 --> 00:02.000\nNumber {n}\n");
        let request = stack.request_as(key, Method::POST, "/uploads");
        let request = request.header("content-type", "application/octet-stream");
        let sent = stack.send(request.body(words)).await;
        assert_eq!(sent.status, StatusCode::CREATED, "{sent:#?}");
        // A small file counts as a block of the disk.
        4_096
    };
    let kept: u64 = join_all((0..40).map(small)).await.into_iter().sum();
    taken(&stack, kept).await;
    let broken = async |_| {
        let first = std::fs::read(bunny()).unwrap()[..65_536].to_vec();
        let chunks = [Ok(first), Err(std::io::Error::other("broken off"))];
        let body = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
        let request = stack.request_as(key, Method::POST, "/uploads");
        let request = request.header("content-type", "application/octet-stream");
        assert!(request.body(body).send().await.is_err());
    };
    join_all((0..40).map(broken)).await;
    taken(&stack, kept).await;
}

/// Sends an upload and resets the request as soon as its last byte is stored; false if the response was
/// faster.
async fn reset(stack: &Stack, video: Vec<u8>) -> bool {
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let before = stack.stored().len();
    let request = client.post(format!("{}/api/v1/uploads", stack.url));
    let request = request.header("x-api-key", &stack.key);
    let request = request.header("content-type", "application/octet-stream");
    let sent = tokio::spawn(request.body(video).send());
    // The name of an incomplete upload contains `#`.
    let whole = || stack.stored().iter().filter(|path| !path.contains('#')).count();
    until(async || whole(), |stored| *stored > before).await;
    sent.abort();
    sent.await.is_err_and(|error| error.is_cancelled())
}

#[tokio::test]
async fn an_upload_is_recorded_even_if_its_request_is_reset() {
    let stack = Stack::new().await;
    let (mut sent, mut size, mut resets) = (0, 0, 0);
    while resets < 5 {
        // Each file differs, so that each is probed.
        let mut video = std::fs::read(bunny()).unwrap();
        video.resize(video.len() + sent + 1, 0);
        size += video.len();
        sent += 1;
        resets += u32::from(reset(&stack, video).await);
    }
    let completed = async || {
        let (_, printed) = operator::run(&stack, &["replay", "--tenant", "default"]);
        printed.matches("ev.upload.").count()
    };
    until(completed, |uploads| *uploads == sent).await;
    let kept = |shown: &Answer| shown.json["storage_taken"] == size;
    stack.poll("/accounts/default", kept).await;
}

#[tokio::test]
async fn a_truncated_upload_is_not_recorded() {
    let stack = Stack::new().await;
    let bytes = std::fs::read(bunny()).unwrap();
    let address = stack.url.strip_prefix("http://").unwrap();
    let connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, driver) = h2::client::handshake(connection).await.unwrap();
    tokio::spawn(driver);
    let request = http::Request::post(format!("{}/api/v1/uploads", stack.url))
        .header("x-api-key", &stack.key)
        .header("content-type", "application/octet-stream")
        .header("content-length", bytes.len())
        .body(())
        .unwrap();
    let (_answer, mut body) = client.ready().await.unwrap().send_request(request, false).unwrap();
    body.send_data(bytes[..65_535].to_vec().into(), false).unwrap();
    until(async || stack.stored().len(), |stored| *stored > 0).await;
    // Some proxies do this when their client disconnects.
    body.send_reset(h2::Reason::NO_ERROR);
    until(async || stack.stored().len(), |stored| *stored == 0).await;
    stack.poll("/accounts/default", |shown| shown.json["storage_taken"] == 0).await;
    let (_, printed) = operator::run(&stack, &["replay", "--tenant", "default"]);
    assert!(!printed.contains("ev.upload."), "{printed}");
}

#[tokio::test]
async fn the_storage_limit_holds_for_uploads_and_outputs() {
    let stack = Stack::new().await;
    let size = std::fs::metadata(bunny()).unwrap().len();
    let (_, key) = keys::key(&stack, "acme", &SCOPES).await;
    limit(&stack, json!({ "storage_bytes": size * 3 + 10 })).await;
    let key = key.as_str();
    // Eight concurrent uploads, of which three fit.
    let all = join_all((0..8).map(|_| upload(&stack, key))).await;
    let (accepted, refused): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|answer| answer.status == StatusCode::CREATED);
    assert_eq!(accepted.len(), 3, "{refused:#?}");
    for answer in &refused {
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{answer:#?}");
        assert!(answer.text("/detail").contains("DELETE /uploads/"), "{answer:#?}");
    }
    taken(&stack, size * 3).await;
    let trickled = trickle(&stack, key).await;
    assert_eq!(trickled.status, StatusCode::PAYLOAD_TOO_LARGE, "{trickled:#?}");
    taken(&stack, size * 3).await;

    // Outputs count as well.
    let input = accepted[0].text("/id").to_owned();
    let job = json!({ "input": input, "output": "a.mp4", "operations": quick() });
    let run = async || {
        let request = stack.request_as(key, Method::POST, "/convert").header("prefer", "wait=60");
        stack.send(request.json(&job)).await
    };
    let full = run().await;
    assert_eq!(full.text("/job/status"), "failed", "{full:#?}");
    assert_eq!(full.text("/job/error/code"), "storage_full", "{full:#?}");
    let remove =
        |id: &str| stack.send(stack.request_as(key, Method::DELETE, &format!("/uploads/{id}")));
    let removed = remove(accepted[1].text("/id")).await;
    assert_eq!(removed.status, StatusCode::OK, "{removed:#?}");
    assert_eq!(remove(accepted[1].text("/id")).await.status, StatusCode::NOT_FOUND);
    taken(&stack, size * 2).await;
    let made = run().await;
    assert_eq!(made.text("/job/status"), "completed", "{made:#?}");
    let made = made.json["job"]["outputs"][0]["size"].as_u64().unwrap();
    taken(&stack, size * 2 + made).await;

    // Recounted from the log it is the same, and freed storage can be used.
    remove(accepted[2].text("/id")).await;
    taken(&stack, size + made).await;
    let fits = trickle(&stack, key).await;
    assert_eq!(fits.status, StatusCode::CREATED, "{fits:#?}");
    taken(&stack, size * 2 + made).await;
}

#[tokio::test]
async fn headers_are_limited_in_size_or_not_stored() {
    let stack = Stack::new().await;
    let body = json!({ "input": "none.mp4", "not_before": "2099-01-01T00:00:00Z" });
    let traced = async |parent: String| {
        let request = stack.request(Method::POST, "/probe").header("traceparent", parent);
        stack.send(request.json(&body)).await
    };
    let long = traced("x".repeat(300_000)).await;
    // The HTTP library may reject it first.
    assert!(long.status.is_client_error(), "{long:#?}");
    let refused = traced("x".repeat(9_000)).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE, "{refused:#?}");
    let ignored = traced("nonsense".repeat(100)).await;
    assert_eq!(ignored.status, StatusCode::CREATED, "{ignored:#?}");
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(traced(parent.to_owned()).await.status, StatusCode::CREATED);
    let (_, printed) = operator::run(&stack, &["replay"]);
    assert!(printed.contains(parent) && !printed.contains("nonsense"), "{printed}");
}

#[tokio::test]
async fn a_batch_that_would_be_stored_many_times_over_is_rejected() {
    let stack = Stack::new().await;
    let label = "x".repeat(1_000);
    let metadata = json!({ "a": label, "b": label, "c": label });
    let job = json!({ "kind": "probe", "input": "none.mp4", "metadata": metadata });
    let last = |stack: &Stack| operator::run(stack, &["replay"]).1.lines().count();
    let before = last(&stack);
    let refused = stack.post("/batch", &json!({ "jobs": vec![job; 1_000] })).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE, "{refused:#?}");
    assert!(refused.text("/detail").contains("several batches"), "{refused:#?}");
    assert_eq!(last(&stack), before, "a rejection is not in the log");
}

#[tokio::test]
async fn a_large_job_is_rejected_and_the_bytes_of_jobs_are_limited_per_hour() {
    let free = ("FFAPI_TIERS__ENTERPRISE__REQUESTS_PER_HOUR", "30");
    let stack = Stack::with(&[free]).await;
    let url = format!("https://example.com/{}.mp4", "x".repeat(4_000));
    let concat = json!({ "type": "concat", "inputs": vec![url; 20] });
    let job = |concats: usize| {
        json!({
            "input": "none.mp4", "output": "o.mp4", "not_before": "2100-01-01T00:00:00Z",
            "operations": vec![concat.clone(); concats]
        })
    };
    let large = stack.post("/convert", &job(2)).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE, "{large:#?}");
    assert!(large.text("/detail").contains("131072 bytes"), "{large:#?}");
    // 30 requests have 480 KiB, and each of these jobs has 79.
    let mut statuses = vec![];
    for number in 0..7 {
        let mut body = job(1);
        body["output"] = format!("{number}.mp4").into();
        statuses.push(stack.post("/convert", &body).await.status.as_u16());
    }
    assert_eq!(statuses, [201, 201, 201, 201, 201, 201, 429]);
    // Ordinary jobs are so small that requests are what is limited.
    let small = json!({ "input": "none.mp4", "not_before": "2100-01-01T00:00:00Z" });
    assert_eq!(stack.post("/probe", &small).await.status, StatusCode::CREATED);
}
