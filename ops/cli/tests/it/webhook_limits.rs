//! Limits of webhook requests, so that the service cannot be used to flood a host.

use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    keys,
    receiver::Receiver,
    stack::{Answer, Stack},
};

const SCOPES: [&str; 2] = ["jobs:read", "jobs:write"];
const RATE: usize = 5;

async fn stack() -> Stack {
    Stack::with(&[("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"), ("FFAPI_WEBHOOKS__HOST_RATE", "5")])
        .await
}

async fn send(stack: &Stack, secret: &str, path: &str, body: &Value) -> Answer {
    stack.send(stack.request_as(secret, Method::POST, path).json(body)).await
}

#[tokio::test]
async fn webhooks_are_limited_and_unique_per_account() {
    let stack = stack().await;
    let receiver = Receiver::new().await;
    let (_, key) = keys::key(&stack, "acme", &SCOPES).await;
    let at = |path: &str| json!({ "url": format!("{}/{path}", receiver.url) });
    let make = async |path: &str| send(&stack, &key, "/webhooks", &at(path)).await;
    let all = futures::future::join_all((0..12).map(|_| make("same"))).await;
    let made: Vec<&Answer> =
        all.iter().filter(|answer| answer.status == StatusCode::CREATED).collect();
    assert_eq!(made.len(), 1, "{all:#?}");
    let same = all.iter().find(|answer| answer.status != StatusCode::CREATED).unwrap();
    assert_eq!(same.status, StatusCode::CONFLICT, "{same:#?}");
    assert!(same.text("/detail").contains("sends the same events"), "{same:#?}");
    let paths: Vec<String> = (0..12).map(|n| n.to_string()).collect();
    let more = futures::future::join_all(paths.iter().map(|path| make(path))).await;
    let more: Vec<&Answer> =
        more.iter().filter(|answer| answer.status == StatusCode::CREATED).collect();
    assert_eq!(more.len(), 4, "the free tier has five");

    // A change cannot create a duplicate, and a deleted webhook frees its slot.
    let path = format!("/webhooks/{}", more[0].text("/id"));
    let patch = |body: Value| stack.send(stack.request_as(&key, Method::PATCH, &path).json(&body));
    assert_eq!(patch(at("same")).await.status, StatusCode::CONFLICT);
    let moved = patch(at("elsewhere")).await;
    assert_eq!(moved.status, StatusCode::OK, "{moved:#?}");
    // A rejected change keeps the old claim; and URLs that differ only in the fragment are the
    // same.
    let id = made[0].text("/id");
    let stale = stack.request_as(&key, Method::PATCH, &format!("/webhooks/{id}"));
    let stale = stale.header("if-match", "\"v99\"").json(&at("third"));
    assert_eq!(stack.send(stale).await.status, StatusCode::PRECONDITION_FAILED);
    for path in ["same", "same#1"] {
        let same = make(path).await;
        assert!(same.text("/detail").contains("sends the same events"), "{same:#?}");
    }
    stack.send(stack.request_as(&key, Method::DELETE, &format!("/webhooks/{id}"))).await;
    stack.list_has_as(&key, "/webhooks", 4).await;
    let again = make("same").await;
    assert_eq!(again.status, StatusCode::CREATED, "{again:#?}");
}

#[tokio::test]
async fn requests_to_one_host_are_rate_limited_across_tenants_and_none_is_lost() {
    const JOBS: usize = 60;
    let stack = stack().await;
    let receiver = Receiver::new().await;
    let (_, key) = keys::key(&stack, "acme", &SCOPES).await;
    let (_, other) = keys::key(&stack, "globex", &SCOPES).await;
    let begun = Instant::now();
    for (key, name) in [(&key, "a"), (&other, "b")] {
        let jobs: Vec<Value> = (0..JOBS / 2)
            .map(|n| {
                json!({
                    "kind": "probe", "input": "none.mp4", "not_before": "2099-01-01T00:00:00Z",
                    "webhook_url": format!("{}/{name}{n}", receiver.url),
                    "webhook_events": ["job.queued"],
                })
            })
            .collect();
        let hook = json!({ "url": format!("{}/{name}", receiver.url), "events": ["job.queued"] });
        assert_eq!(send(&stack, key, "/webhooks", &hook).await.status, StatusCode::CREATED);
        let made = send(&stack, key, "/batch", &json!({ "jobs": jobs })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
    }
    let got = || receiver.got.lock().unwrap().len();
    let all = crate::polling::until(
        async || {
            let (got, seconds) = (got(), begun.elapsed().as_secs());
            let most = RATE * (10 + usize::try_from(seconds).unwrap() + 1);
            assert!(got <= most, "{got} requests in {seconds} s");
            got
        },
        |got| *got >= JOBS * 2,
    );
    assert_eq!(all.await, JOBS * 2, "each once");
    // The events of one job were received in order: none was lost or duplicated.
    let mut ids: Vec<String> =
        receiver.got.lock().unwrap().iter().map(|got| got.path.clone() + got.id()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), JOBS * 2);
}

#[tokio::test]
async fn replays_are_limited() {
    let stack = stack().await;
    let receiver = Receiver::new().await;
    let (_, key) = keys::key(&stack, "acme", &SCOPES).await;
    let body = json!({ "limits": { "webhook_replays_per_hour": 2 } });
    stack.send(stack.request(Method::PATCH, "/accounts/acme").json(&body)).await;
    let hook = json!({ "url": format!("{}/a", receiver.url) });
    let made = send(&stack, &key, "/webhooks", &hook).await;
    let path = format!("/webhooks/{}/replay", made.text("/id"));
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let asked = async || send(&stack, &key, &path, &json!({ "after": "1-0-0" })).await;
        // Only one replay runs at a time.
        let free = |answer: &Answer| answer.status != StatusCode::CONFLICT;
        statuses.push(crate::polling::until(asked, free).await.status);
    }
    assert_eq!(statuses, [StatusCode::ACCEPTED; 2]);
    let asked = async || send(&stack, &key, &path, &json!({ "after": "1-0-0" })).await;
    let free = |answer: &Answer| answer.status != StatusCode::CONFLICT;
    let third = crate::polling::until(asked, free).await;
    assert_eq!(third.status, StatusCode::TOO_MANY_REQUESTS, "{third:#?}");
    assert!(!third.header("retry-after").is_empty());
}
