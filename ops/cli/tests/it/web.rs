//! Inputs from the web: real bytes, and nothing of what is behind our own doors.

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

/// Serves one file to whoever asks; what follows `/slow` never comes to its end.
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
async fn a_film_from_the_web_is_converted_and_its_signature_shown_to_nobody() {
    let stack = Stack::with(&[("FFAPI_EGRESS__ALLOW", "127.0.0.1/32,10.1.0.0/16")]).await;
    let web = serve(std::fs::read(bunny()).unwrap()).await;
    let body = json!({
        "input": format!("{web}/film.mp4?signature=hush"), "output": "a.mp4", "operations": quick(),
    });
    let request = stack.request(Method::POST, "/convert").header("prefer", "wait=60");
    let answer = stack.send(request.json(&body)).await;
    assert_eq!(answer.text("/job/status"), "completed", "{answer:#?}");
    assert_eq!(answer.text("/job/input"), format!("{web}/film.mp4?…"));
    let job = answer.text("/job/id");
    for path in ["", "/events", "/logs"] {
        let request = stack.request(Method::GET, &format!("/jobs/{job}{path}"));
        let shown = stack.send(request.header("accept", "application/json")).await;
        assert!(!shown.json.to_string().contains("hush"), "{shown:#?}");
    }
    let said = std::fs::read_to_string(stack.data.path().join("up.log")).unwrap();
    assert!(!said.contains("hush"), "{said}");

    let slow = json!({ "input": format!("{web}/slow.mp4"), "output": "b.mp4" });
    let job = stack.post("/convert", &slow).await.text("/job/id").to_owned();
    stack.until(&job, |job| job.text("/status") == "processing").await;
    let start = std::time::Instant::now();
    stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
    assert_eq!(stack.over(&job).await.text("/status"), "cancelled");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());

    let limit = json!({ "limits": { "max_file_bytes": 1_000 } });
    stack.send(stack.request(Method::PATCH, "/accounts/default").json(&limit)).await;
    let large = json!({ "input": format!("{web}/film.mp4"), "output": "c.mp4" });
    let job = stack.post("/convert", &large).await.text("/job/id").to_owned();
    assert_eq!(stack.over(&job).await.text("/error/code"), "input_too_large");
}

#[tokio::test]
async fn an_input_that_never_ends_takes_no_more_than_the_time_of_a_job() {
    let stack = Stack::with(&[
        ("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"),
        ("FFAPI_TIERS__ENTERPRISE__MAX_JOB_SECONDS", "2"),
    ])
    .await;
    let web = serve(std::fs::read(bunny()).unwrap()).await;
    let slow = json!({ "input": format!("{web}/slow.mp4"), "output": "a.mp4" });
    let job = stack.post("/convert", &slow).await.text("/job/id").to_owned();
    let over = stack.over(&job).await;
    assert_eq!(over.text("/error/code"), "time_limit_exceeded", "{over:#?}");
}

#[tokio::test]
async fn questions_of_one_account_keep_no_other_waiting() {
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
    // Both are waited for at once: the first of the others are under way by then.
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
async fn nothing_behind_our_own_doors_is_fetched() {
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
    // A name is looked at where it is asked for.
    let body = json!({ "input": format!("http://localhost:{port}/a.mp4"), "output": "a.mp4" });
    let job = stack.post("/convert", &body).await.text("/job/id").to_owned();
    let failed = stack.over(&job).await;
    assert_eq!(failed.text("/error/code"), "input_forbidden", "{failed:#?}");
    assert_eq!(failed.text("/error/retry_hint"), "no_retry");
}
