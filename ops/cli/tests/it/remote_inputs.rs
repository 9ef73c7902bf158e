//! Inputs from URLs: real downloads, and no access to internal addresses.

use std::{sync::Arc, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    keys,
    stack::{Stack, bunny, quick},
};

/// Serves one file at every path; below `/slow` the response never ends.
async fn serve(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bytes = Arc::new(bytes);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let bytes = Arc::clone(&bytes);
            tokio::spawn(async move {
                let mut head = vec![0; 4_096];
                let read = connection.read(&mut head).await.unwrap_or(0);
                let slow = head[..read].starts_with(b"GET /slow");
                let length = bytes.len() + usize::from(slow);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                let _ = connection.write_all(head.as_bytes()).await;
                let _ = connection.write_all(&bytes).await;
                if slow {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_video_from_a_signed_url_is_converted_and_its_signature_is_never_shown() {
    let stack = Stack::with(&[("FFAPI_EGRESS__ALLOW", "127.0.0.1/32,10.1.0.0/16")]).await;
    let web = serve(std::fs::read(bunny()).unwrap()).await;
    let body = json!({
        "input": format!("{web}/video.mp4?signature=hush"), "output": "a.mp4", "operations": quick(),
    });
    let request = stack.request(Method::POST, "/convert").header("prefer", "wait=60");
    let answer = stack.send(request.json(&body)).await;
    assert_eq!(answer.text("/job/status"), "completed", "{answer:#?}");
    assert_eq!(answer.text("/job/input"), format!("{web}/video.mp4?…"));
    let job = answer.text("/job/id");
    for path in ["", "/events", "/logs"] {
        let request = stack.request(Method::GET, &format!("/jobs/{job}{path}"));
        let shown = stack.send(request.header("accept", "application/json")).await;
        assert!(!shown.json.to_string().contains("hush"), "{shown:#?}");
    }
    let printed = std::fs::read_to_string(stack.data.path().join("up.log")).unwrap();
    assert!(!printed.contains("hush"), "{printed}");

    let input = format!("{web}/video.mp4?signature=hush-2");
    let overrides = json!({ "overrides": { "input": input, "output": "a2.mp4" } });
    let rerun = stack.post(&format!("/jobs/{job}/rerun"), &overrides).await;
    let diff = stack.get(&format!("/jobs/{}/diff", rerun.text("/job/id"))).await;
    assert_eq!(diff.status, StatusCode::OK, "{diff:#?}");
    assert!(!diff.json.to_string().contains("hush"), "{diff:#?}");

    let slow = json!({ "input": format!("{web}/slow.mp4"), "output": "b.mp4" });
    let job = stack.post("/convert", &slow).await.text("/job/id").to_owned();
    stack.until(&job, |job| job.text("/status") == "processing").await;
    let start = std::time::Instant::now();
    stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
    assert_eq!(stack.finished(&job).await.text("/status"), "cancelled");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());

    // The limit is for all inputs of a job together.
    let bytes = std::fs::metadata(bunny()).unwrap().len();
    let limit = json!({ "limits": { "max_file_bytes": bytes * 3 / 2 } });
    stack.send(stack.request(Method::PATCH, "/accounts/default").json(&limit)).await;
    let two = json!({ "input": format!("{web}/1.mp4"), "output": "d.mp4", "operations": [
        { "type": "concat", "inputs": [format!("{web}/2.mp4")] } ] });
    let job = stack.post("/convert", &two).await.text("/job/id").to_owned();
    let failed = stack.finished(&job).await;
    assert_eq!(failed.text("/error/code"), "input_too_large", "{failed:#?}");
    assert!(failed.text("/error/message").contains("together"), "{failed:#?}");

    let limit = json!({ "limits": { "max_file_bytes": 1_000 } });
    stack.send(stack.request(Method::PATCH, "/accounts/default").json(&limit)).await;
    let large = json!({ "input": format!("{web}/video.mp4"), "output": "c.mp4" });
    let job = stack.post("/convert", &large).await.text("/job/id").to_owned();
    assert_eq!(stack.finished(&job).await.text("/error/code"), "input_too_large");
}

#[tokio::test]
async fn an_endless_input_is_stopped_at_the_jobs_time_limit() {
    let stack = Stack::with(&[
        ("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"),
        ("FFAPI_TIERS__ENTERPRISE__MAX_JOB_SECONDS", "2"),
    ])
    .await;
    let web = serve(std::fs::read(bunny()).unwrap()).await;
    let slow = json!({ "input": format!("{web}/slow.mp4"), "output": "a.mp4" });
    let job = stack.post("/convert", &slow).await.text("/job/id").to_owned();
    let ended = stack.finished(&job).await;
    assert_eq!(ended.text("/error/code"), "time_limit_exceeded", "{ended:#?}");
}

#[tokio::test]
async fn validations_of_one_account_do_not_delay_others() {
    let stack = Stack::with(&[("FFAPI_EGRESS__ALLOW", "127.0.0.1/32")]).await;
    let web = serve(std::fs::read(bunny()).unwrap()).await;
    let upload = stack.upload_bunny().await;
    let (_, acme) = keys::key(&stack, "acme", &["jobs:read", "jobs:write"]).await;
    let never = json!({ "kind": "probe", "input": format!("{web}/slow.mp4") });
    let asked = (0..8).map(|_| {
        let request = stack.request_as(&acme, Method::POST, "/validate").json(&never);
        tokio::spawn(request.send())
    });
    let asked: Vec<_> = asked.collect();
    // Both are awaited concurrently, while the first of the others are running.
    let own = json!({ "kind": "probe", "input": upload });
    for _ in 0..10 {
        let answer = stack.post("/validate", &own).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:#?}");
    }
    for answer in asked {
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    }
}

#[tokio::test]
async fn internal_addresses_are_never_fetched() {
    let stack = Stack::new().await;
    let web = serve(b"secret".to_vec()).await;
    let port = web.rsplit(':').next().unwrap();
    for input in [
        format!("http://127.0.0.1:{port}/a.mp4"),
        format!("http://2130706433:{port}/a.mp4"),
        format!("http://[::ffff:127.0.0.1]:{port}/a.mp4"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "https://user:password@example.com/a.mp4".to_owned(),
        "ftp://example.com/a.mp4".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let body = json!({ "input": input, "output": "a.mp4" });
        let answer = stack.post("/convert", &body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{input}: {answer:#?}");
        assert_eq!(answer.text("/errors/0/pointer"), "#/input");
    }
    // A host name is checked when it is resolved.
    let body = json!({ "input": format!("http://localhost:{port}/a.mp4"), "output": "a.mp4" });
    let job = stack.post("/convert", &body).await.text("/job/id").to_owned();
    let failed = stack.finished(&job).await;
    assert_eq!(failed.text("/error/code"), "input_forbidden", "{failed:#?}");
    assert_eq!(failed.text("/error/retry_hint"), "no_retry");
}
