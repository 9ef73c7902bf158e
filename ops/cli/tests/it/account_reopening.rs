//! Accounts during and after an erasure accept nothing until an admin reopens them.

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    keys, operator,
    polling::until,
    receiver::Receiver,
    stack::{Answer, Stack, bunny},
};

const SCOPES: [&str; 3] = ["jobs:read", "jobs:write", "keys:manage"];

async fn send(stack: &Stack, secret: &str, path: &str, body: &Value) -> Answer {
    stack.send(stack.request_as(secret, Method::POST, path).json(body)).await
}

async fn upload(stack: &Stack, secret: &str) -> Answer {
    let request = stack.request_as(secret, Method::POST, "/uploads");
    let request = request.header("content-type", "application/octet-stream");
    stack.send(request.body(std::fs::read(bunny()).unwrap())).await
}

async fn admin(stack: &Stack, method: Method, path: &str) -> Answer {
    stack.send(stack.request(method, path)).await
}

/// The events of a tenant's jobs, by job.
fn jobs(stack: &Stack, tenant: &str) -> std::collections::BTreeMap<String, Vec<String>> {
    let (success, printed) = operator::run(stack, &["replay", "--tenant", tenant]);
    assert!(success, "{printed}");
    let mut jobs = std::collections::BTreeMap::<String, Vec<String>>::new();
    for line in printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let subject = line["subject"].as_str().unwrap_or_default();
        let Some(id) = subject.strip_prefix(&format!("ev.job.{tenant}.")) else { continue };
        let kind = line["event"].as_object().unwrap().keys().next().unwrap().clone();
        jobs.entry(id.to_owned()).or_default().push(kind);
    }
    jobs
}

#[tokio::test]
async fn an_erased_account_accepts_nothing_until_it_is_reopened() {
    let stack = Stack::new().await;
    let (_, old) = keys::key(&stack, "acme", &SCOPES).await;
    let before = upload(&stack, &old).await.text("/id").to_owned();
    let preset = json!({ "name": "web", "kind": "probe", "body": { "priority": "high" } });
    assert_eq!(send(&stack, &old, "/presets", &preset).await.status, StatusCode::CREATED);
    let erased = admin(&stack, Method::DELETE, "/accounts/acme").await;
    assert_eq!((erased.status, erased.text("/status")), (StatusCode::OK, "erased"), "{erased:#?}");

    let key = json!({ "name": "k", "tenant": "acme", "scopes": SCOPES });
    let refused = stack.post("/api-keys", &key).await;
    assert_eq!(refused.status, StatusCode::GONE, "{refused:#?}");
    assert!(refused.text("/detail").contains("/accounts/acme/reopen"), "{refused:#?}");
    let change = stack.request(Method::PATCH, "/accounts/acme").json(&json!({ "tier": "basic" }));
    assert_eq!(stack.send(change).await.status, StatusCode::GONE);

    let opened = admin(&stack, Method::POST, "/accounts/acme/reopen").await;
    assert_eq!((opened.status, opened.text("/status")), (StatusCode::OK, "open"), "{opened:#?}");
    let again = admin(&stack, Method::POST, "/accounts/acme/reopen").await;
    assert_eq!(again.status, StatusCode::OK, "a repeated request has no effect: {again:#?}");
    let unknown = admin(&stack, Method::POST, "/accounts/nobody/reopen").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let own = send(&stack, &old, "/probe", &json!({ "input": before })).await;
    assert_eq!(own.status, StatusCode::UNAUTHORIZED, "keys from before the erasure are rejected");

    // After reopening everything works, and new data can be read.
    let (_, new) = keys::key(&stack, "acme", &SCOPES).await;
    // Nothing of the former holder's is found: no upload, no preset of any version.
    let get = |path: &str| stack.send(stack.request_as(&new, Method::GET, path));
    assert_eq!(get("/uploads").await.json["data"], json!([]));
    let presets = get("/presets?limit=200").await;
    let is_shared = |preset: &Value| preset["global"] == true;
    assert!(presets.json["data"].as_array().unwrap().iter().all(is_shared), "{presets:#?}");
    for path in ["/presets/web", "/presets/web/1"] {
        assert_eq!(get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(send(&stack, &new, "/presets", &preset).await.status, StatusCode::CREATED);
    assert_eq!(get("/presets/web").await.json["body"], preset["body"]);
    let gone = send(&stack, &new, "/probe", &json!({ "input": before })).await;
    assert_eq!(gone.status, StatusCode::UNPROCESSABLE_ENTITY, "{gone:#?}");
    let input = upload(&stack, &new).await.text("/id").to_owned();
    let body = json!({ "input": input, "metadata": { "of": "the new" } });
    let job = send(&stack, &new, "/probe", &body).await.text("/job/id").to_owned();
    let show =
        async || stack.send(stack.request_as(&new, Method::GET, &format!("/jobs/{job}"))).await;
    let done = until(show, |job| matches!(job.text("/status"), "completed" | "failed")).await;
    assert_eq!(done.text("/status"), "completed", "{done:#?}");
    assert_eq!(done.json["metadata"], json!({ "of": "the new" }));
    let (success, printed) = operator::run(&stack, &["audit", "verify"]);
    assert!(success, "{printed}");
    crate::crash::equals_its_rebuild(&stack);

    // It can be erased again.
    let erased = admin(&stack, Method::DELETE, "/accounts/acme").await;
    assert_eq!(erased.status, StatusCode::OK, "{erased:#?}");
    let late = send(&stack, &new, "/probe", &json!({ "input": input })).await;
    assert_eq!(late.status, StatusCode::UNAUTHORIZED, "{late:#?}");
}

#[tokio::test]
async fn requests_during_an_erasure_are_rejected_or_cancelled() {
    let stack = Stack::new().await;
    let limits = json!({ "tier": "enterprise" });
    stack.send(stack.request(Method::PATCH, "/accounts/acme").json(&limits)).await;
    let (_, key) = keys::key(&stack, "acme", &SCOPES).await;
    let body = json!({ "input": "none.mp4", "not_before": "2099-01-01T00:00:00Z" });
    let (stack, key, body) = (&stack, &key, &body);
    let senders = (0..16).map(|_| async move {
        let mut answers = Vec::new();
        for _ in 0..400 {
            answers.push(send(stack, key, "/probe", body).await);
            if answers.last().unwrap().status != StatusCode::CREATED {
                break;
            }
        }
        answers
    });
    let erase = async {
        until(async || jobs(stack, "acme").len(), |jobs| *jobs > 20).await;
        admin(stack, Method::DELETE, "/accounts/acme").await
    };
    let (answers, erased) = futures::join!(join_all(senders), erase);
    assert_eq!(erased.status, StatusCode::OK, "{erased:#?}");
    for answer in answers.iter().filter_map(|answers| answers.last()) {
        let refused = [StatusCode::GONE, StatusCode::UNAUTHORIZED].contains(&answer.status);
        assert!(refused, "{answer:#?}");
    }
    let over = |jobs: &std::collections::BTreeMap<String, Vec<String>>| {
        let ends = |kinds: &Vec<String>| kinds.last().is_some_and(|last| last == "job.cancelled");
        jobs.values().all(ends)
    };
    let all = until(async || jobs(stack, "acme"), over).await;
    assert!(all.len() > 20, "{}", all.len());
}

#[tokio::test]
async fn requests_before_an_erasure_are_not_replayed_after_reopening() {
    let stack = Stack::new().await;
    let video = || std::fs::read(bunny()).unwrap();
    let once = async |secret: &str, path: &str, kind: &str, body: Vec<u8>| {
        let request = stack.request_as(secret, Method::POST, path);
        let request = request.header("idempotency-key", "\"once\"").header("content-type", kind);
        stack.send(request.body(body)).await
    };
    let store =
        async |secret: &str| once(secret, "/uploads", "application/octet-stream", video()).await;
    // Its fingerprint has no upload id, so both requests are the same.
    let job = json!({ "input": "none.mp4", "not_before": "2099-01-01T00:00:00Z" }).to_string();
    let submit = async |secret: &str| {
        once(secret, "/probe", "application/json", job.clone().into_bytes()).await
    };
    let replayed = |answer: &Answer| answer.header("idempotent-replayed") == "true";
    let (_, old) = keys::key(&stack, "acme", &SCOPES).await;
    let before = (store(&old).await.text("/id").to_owned(), submit(&old).await);
    assert!(replayed(&store(&old).await) && replayed(&submit(&old).await));
    for (method, path) in
        [(Method::DELETE, "/accounts/acme"), (Method::POST, "/accounts/acme/reopen")]
    {
        let answer = admin(&stack, method, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:#?}");
    }

    let (_, new) = keys::key(&stack, "acme", &SCOPES).await;
    for method in [Method::GET, Method::DELETE] {
        let path = format!("/uploads/{}", before.0);
        let gone = stack.send(stack.request_as(&new, method, &path)).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND, "{gone:#?}");
    }
    let (stored, submitted) = (store(&new).await, submit(&new).await);
    for answer in [&stored, &submitted] {
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:#?}");
        assert!(!replayed(answer), "{answer:#?}");
    }
    assert_ne!(stored.text("/id"), before.0);
    assert_ne!(submitted.text("/job/id"), before.1.text("/job/id"));
    // The bytes exist.
    let read = stack.request_as(&new, Method::POST, "/probe").header("prefer", "wait=60");
    let read = stack.send(read.json(&json!({ "input": stored.text("/id") }))).await;
    assert_eq!(read.text("/job/status"), "completed", "{read:#?}");
}

#[tokio::test]
async fn webhooks_after_reopening_are_signed_with_the_new_secret() {
    let stack = Stack::with(&[("FFAPI_EGRESS__ALLOW", "127.0.0.1/32")]).await;
    let receiver = Receiver::new().await;
    let mut secrets = Vec::new();
    for path in ["/before", "/anew"] {
        let (_, key) = keys::key(&stack, "acme", &SCOPES).await;
        let body = json!({
            "input": "none.mp4", "not_before": "2099-01-01T00:00:00Z",
            "webhook_url": format!("{}{path}", receiver.url), "webhook_events": ["job.queued"],
        });
        let made = send(&stack, &key, "/probe", &body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
        let asked = stack.request_as(&key, Method::GET, "/webhooks/signing-secret");
        secrets.push(stack.send(asked).await.text("/secret").to_owned());
        let got = receiver.until(path, |got| !got.is_empty()).await;
        assert!(got[0].is_signed_with(secrets.last().unwrap()), "{path}");
        for (method, path) in
            [(Method::DELETE, "/accounts/acme"), (Method::POST, "/accounts/acme/reopen")]
        {
            let answer = admin(&stack, method, path).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:#?}");
        }
    }
    assert_ne!(secrets[0], secrets[1]);
}
