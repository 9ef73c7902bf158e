//! Webhooks as received: signed, in order, at least once and always with the same id. An outage
//! only delays deliveries, and a dead endpoint does not affect others.

use std::{collections::BTreeMap, time::Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    polling,
    receiver::{Got, Receiver, is_signed_by},
    stack::{Answer, Stack, bunny, http, quick, steady},
};

const SHORT_SCHEDULE: (&str, &str) = ("FFAPI_WEBHOOKS__SCHEDULE", "[1,1,1,1,1,1,1,1]");

async fn stack() -> Stack {
    Stack::with(&[("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"), SHORT_SCHEDULE]).await
}

async fn hook(stack: &Stack, url: &str, more: Value) -> Answer {
    let mut body = json!({ "url": url });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = stack.post("/webhooks", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
    made
}

async fn probe(stack: &Stack) -> String {
    stack.write_file("video.mp4", &std::fs::read(bunny()).unwrap());
    let body = json!({ "input": "video.mp4", "metadata": { "order": "7" } });
    stack.post("/probe", &body).await.text("/job/id").to_owned()
}

async fn deliveries(stack: &Stack, id: &str) -> Vec<Value> {
    let page = stack.get(&format!("/webhooks/{id}/deliveries?limit=200")).await;
    assert_eq!(page.status, StatusCode::OK, "{page:#?}");
    page.json["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_webhook_of_a_completed_job_has_what_its_handler_needs() {
    let stack = stack().await;
    let receiver = Receiver::new().await;
    hook(&stack, &format!("{}/a", receiver.url), json!({ "events": ["job.completed"] })).await;
    let input = stack.upload_bunny().await;
    stack.convert(&input, "a.mp4", quick()).await;
    let body = json!({
        "input": input, "output": "s", "type": "hls", "encoder_preset": "ultrafast",
        "variants": [{ "name": "low", "height": 90 }]
    });
    stack.post("/stream", &body).await;
    let got = receiver.until("/a", |got| got.len() == 2).await;
    for got in got {
        assert!(got.body.len() < 64 * 1024, "{got:#?}");
        let (json, is_stream) = (got.json(), got.json()["data"]["kind"] == "stream");
        let data = &json["data"];
        let files = data["outputs"].as_array().unwrap();
        let names: Vec<&str> = files.iter().map(|file| file["name"].as_str().unwrap()).collect();
        let expected = if is_stream { "master.m3u8" } else { "a.mp4" };
        assert_eq!(names, [expected], "{data:#}");
        let served = http().get(format!("{}{}", stack.url, files[0]["url"].as_str().unwrap()));
        let served = stack.send(served.header("x-api-key", &stack.key)).await;
        assert_eq!(served.status, StatusCode::OK, "{served:#?}");
        assert_eq!(served.header("content-length"), files[0]["size"].to_string());
        let total = data["outputs_total"].as_u64().unwrap();
        assert!(if is_stream { total > 4 } else { total == 1 }, "{data:#}");
        assert!(data["bytes"].as_u64() >= files[0]["size"].as_u64(), "{data:#}");
        assert!(data["links"]["outputs"].as_str().unwrap().ends_with("/outputs"), "{data:#}");
    }
}

#[tokio::test]
async fn events_of_a_job_are_sent_in_order_and_signed() {
    let stack = stack().await;
    let receiver = Receiver::new().await;
    let made = hook(&stack, &format!("{}/a", receiver.url), json!({ "events": ["job.*"] })).await;
    let (id, secret) = (made.text("/id").to_owned(), made.text("/secret").to_owned());
    assert!(secret.starts_with("whsec_"));
    let job = probe(&stack).await;
    let got = receiver.until("/a", |got| got.iter().any(|got| got.kind() == "job.completed")).await;
    let kinds: Vec<String> = got.iter().map(Got::kind).collect();
    assert_eq!(kinds, ["job.queued", "job.started", "job.outputs_sealed", "job.completed"]);
    let public_key = made.text("/public_key");
    for got in &got {
        assert!(got.is_signed_with(&secret) && is_signed_by(got, public_key), "{got:#?}");
        assert_eq!(got.json()["data"]["job_id"], job.as_str());
        assert!(!got.id().contains('.'));
    }
    let last = got.last().unwrap().json();
    assert_eq!(
        (&last["data"]["metadata"]["order"], &last["data"]["kind"]),
        (&json!("7"), &json!("probe"))
    );
    // A read from this position on contains what was sent.
    let at = last["position"].as_str().unwrap();
    let read = stack.get(&format!("/jobs/{job}?min_position={at}")).await;
    assert_eq!(read.text("/status"), "completed", "{read:#?}");
    // Every attempt is recorded.
    let delivered = |all: &Vec<Value>| all.iter().all(|one| one["status"] == "delivered");
    let delivered = polling::until(async || deliveries(&stack, &id).await, delivered).await;
    assert_eq!(delivered.len(), 4);
    let newest = &delivered[0];
    assert_eq!((&newest["type"], &newest["subject"]), (&json!("job.completed"), &json!(job)));
    let attempt = &newest["attempts"][0];
    assert_eq!((&attempt["status"], &attempt["body"]), (&json!(200), &json!("there")));
    // The secret is shown once.
    let shown = stack.get(&format!("/webhooks/{id}")).await;
    assert_eq!((shown.text("/secret"), shown.text("/status")), ("", "enabled"));
    // Another tenant's key finds nothing here.
    let key = json!({ "name": "x", "tenant": "other", "scopes": ["jobs:write", "jobs:read"] });
    let other = stack.post("/api-keys", &key).await.text("/secret").to_owned();
    for path in [format!("/webhooks/{id}"), format!("/webhooks/{id}/deliveries")] {
        let request = stack.request_as(&other, Method::GET, &path);
        assert_eq!(stack.send(request).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn deliveries_after_an_outage_keep_their_order_and_ids() {
    let stack = stack().await;
    let receiver = Receiver::new().await;
    receiver.answer("/a", 500, "");
    let made = hook(&stack, &format!("{}/a", receiver.url), json!({})).await;
    let job = probe(&stack).await;
    stack.finished(&job).await;
    receiver.until("/a", |got| got.len() >= 2).await;
    let first = receiver.at("/a");
    assert!(
        first.iter().all(|got| got.id() == first[0].id()),
        "only the first event is retried: {first:#?}"
    );
    // Each later one says which it waits for, and the first one when it is sent again.
    let due = async || deliveries(&stack, made.text("/id")).await;
    let retried = |all: &Vec<Value>| {
        all.len() >= 3 && all.last().unwrap()["waiting_for"]["reason"] == "next_attempt"
    };
    let due = polling::until(due, retried).await;
    let waiting = &due[0]["waiting_for"];
    assert_eq!(waiting["reason"], "earlier_delivery", "{due:#?}");
    assert_eq!(waiting["delivery"], due.last().unwrap()["id"]);
    assert!(due.last().unwrap()["waiting_for"]["until"].is_string());
    receiver.answer("/a", 200, "");
    let got = receiver.until("/a", |got| got.iter().any(|got| got.kind() == "job.completed")).await;
    let mut kinds: Vec<String> = got.iter().map(Got::kind).collect();
    kinds.dedup();
    // Steps within the attempt were not asked for.
    assert_eq!(kinds, ["job.queued", "job.started", "job.completed"]);
    let timestamps: Vec<&reqwest::header::HeaderValue> =
        got.iter().map(|got| &got.headers["webhook-timestamp"]).collect();
    assert_ne!(timestamps[0], timestamps.last().unwrap(), "each attempt has its own timestamp");
    let tries = deliveries(&stack, made.text("/id")).await;
    let failed = tries.last().unwrap();
    assert_eq!(failed["attempts"][0]["status"], 500, "{failed:#?}");
}

#[tokio::test]
async fn retry_after_is_respected_and_a_gone_endpoint_is_disabled() {
    let stack = stack().await;
    let receiver = Receiver::new().await;
    receiver.answer("/busy", 503, "retry-after: 3\r\n");
    receiver.answer("/gone", 410, "");
    receiver.answer("/moved", 302, "location: /a\r\n");
    // Created first, so that it is notified of disabled endpoints.
    let notified =
        hook(&stack, &format!("{}/told", receiver.url), json!({ "events": ["webhook.disabled"] }))
            .await;
    assert_eq!(notified.text("/events/0"), "webhook.disabled");
    let busy = format!("{}/busy", receiver.url);
    let busy = hook(&stack, &busy, json!({ "concurrency": 1 })).await;
    let gone = hook(&stack, &format!("{}/gone", receiver.url), json!({})).await;
    let moved = hook(&stack, &format!("{}/moved", receiver.url), json!({})).await;
    let got = receiver.until("/told", |got| !got.is_empty()).await;
    assert_eq!(got[0].json()["data"]["webhook_id"], gone.text("/id"));
    assert_eq!(got[0].json()["data"]["disabled_by"], "gone");
    let shown = stack.get(&format!("/webhooks/{}", gone.text("/id"))).await;
    assert_eq!((shown.text("/status"), shown.text("/disabled_by")), ("disabled", "gone"));
    let before = receiver.at("/gone").len();
    let tries = receiver.until("/busy", |got| got.len() >= 2).await;
    let at = |got: &Got| got.headers["webhook-timestamp"].to_str().unwrap().parse::<u64>().unwrap();
    assert!(at(&tries[1]) - at(&tries[0]) >= 3, "{tries:#?}");
    assert_eq!(receiver.at("/gone").len(), before);
    // A redirect is a failure and is not followed.
    receiver.until("/moved", |got| got.len() >= 2).await;
    assert!(receiver.at("/a").is_empty());
    for id in [busy.text("/id"), moved.text("/id")] {
        let gone = stack.send(stack.request(Method::DELETE, &format!("/webhooks/{id}"))).await;
        assert_eq!(gone.status, StatusCode::OK);
        assert_eq!(stack.get(&format!("/webhooks/{id}")).await.status, StatusCode::NOT_FOUND);
    }
    // Once its owner enables it again, deliveries continue.
    receiver.answer("/gone", 200, "");
    let enable = stack.request(Method::PATCH, &format!("/webhooks/{}", gone.text("/id")));
    let enabled = stack.send(enable.json(&json!({ "enabled": true }))).await;
    assert_eq!(enabled.text("/status"), "enabled", "{enabled:#?}");
    let after = receiver.at("/gone").len();
    receiver.until("/gone", |got| got.len() > after).await;
}

#[tokio::test]
async fn an_endpoint_that_fails_for_days_is_disabled_and_its_owner_notified() {
    let stack = Stack::with(&[
        ("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"),
        ("FFAPI_WEBHOOKS__SCHEDULE", "[0,0,0,0,0,0,0,0,0]"),
        ("FFAPI_WEBHOOKS__DISABLE_AFTER", "1"),
    ])
    .await;
    let receiver = Receiver::new().await;
    receiver.answer("/bad", 500, "");
    hook(&stack, &format!("{}/good", receiver.url), json!({ "events": ["webhook.disabled"] }))
        .await;
    hook(&stack, &format!("{}/bad", receiver.url), json!({})).await;
    // It only ever receives `job.queued`.
    let later = json!({ "input": "none.mp4", "not_before": "2099-01-01T00:00:00Z" });
    let fail_again = async || {
        stack.post("/probe", &later).await;
        receiver.at("/good")
    };
    let notified = polling::until(fail_again, |notified| !notified.is_empty()).await;
    assert_eq!(notified[0].json()["data"]["disabled_by"], "failing");
}

#[tokio::test]
async fn after_a_rotation_both_secrets_sign_for_a_while() {
    let stack = stack().await;
    let receiver = Receiver::new().await;
    let made =
        hook(&stack, &format!("{}/a", receiver.url), json!({ "events": ["webhook.test"] })).await;
    let (id, old) = (made.text("/id"), made.text("/secret"));
    let rotated = stack.post(&format!("/webhooks/{id}/rotate"), &json!({})).await;
    let new = rotated.text("/secret");
    assert!(new.starts_with("whsec_") && new != old, "{rotated:#?}");
    assert!(!rotated.text("/old_secret_until").is_empty());
    let tested = stack.post(&format!("/webhooks/{id}/test"), &json!({})).await;
    assert_eq!(tested.status, StatusCode::ACCEPTED, "{tested:#?}");
    let got = receiver.until("/a", |got| !got.is_empty()).await;
    assert_eq!(got[0].kind(), "webhook.test");
    assert!(got[0].is_signed_with(old) && got[0].is_signed_with(new));
    let keys = [made.text("/public_key"), rotated.text("/public_key")];
    assert_ne!(keys[0], keys[1]);
    assert!(keys.iter().all(|key| is_signed_by(&got[0], key)), "{got:#?}");
    // Everyone who may read the webhook learns its public key.
    let listed = stack.get("/webhooks").await;
    assert_eq!(listed.text("/data/0/public_key"), keys[1], "{listed:#?}");
    let signatures = got[0].headers["webhook-signature"].to_str().unwrap();
    assert_eq!(signatures.split(' ').count(), 4);
}

#[tokio::test]
async fn jobs_and_batches_can_have_their_own_endpoints_and_progress_is_sent_by_quarters() {
    let stack = stack().await;
    let receiver = Receiver::new().await;
    let secret = stack.get("/webhooks/signing-secret").await.text("/secret").to_owned();
    let input = stack.upload_bunny().await;
    let body = json!({
        "input": input, "output": "own.mp4", "operations": steady(),
        "webhook_url": format!("{}/own", receiver.url),
        "webhook_events": ["job.progress", "job.completed", "job.cancelled"],
    });
    let job = stack.post("/convert", &body).await.text("/job/id").to_owned();
    let other = stack.convert(&input, "other.mp4", quick()).await;
    stack.finished(&other).await;
    let done = |got: &[Got]| got.iter().any(|got| got.kind() != "job.progress");
    let got = receiver.until("/own", done).await;
    let of_account = stack.get("/webhooks/signing-secret").await.text("/public_key").to_owned();
    let is_signed = |got: &Got| got.is_signed_with(&secret) && is_signed_by(got, &of_account);
    assert!(got.iter().all(is_signed));
    assert!(got.iter().all(|got| got.json()["data"]["job_id"] == job.as_str()), "{got:#?}");
    let notified = got.iter().filter(|got| got.kind() == "job.progress");
    let notified: Vec<f64> =
        notified.map(|got| got.json()["data"]["progress"].as_f64().unwrap()).collect();
    assert!(
        (1..=3).contains(&notified.len()) && notified.is_sorted() && notified[0] >= 25.0,
        "{notified:?}"
    );
    assert_eq!(got.last().unwrap().kind(), "job.completed");
    let batch = json!({
        "jobs": [{ "kind": "probe", "input": input }, { "kind": "probe", "input": input }],
        "webhook_url": format!("{}/batch", receiver.url), "webhook_events": ["batch.completed"],
    });
    let id = stack.post("/batch", &batch).await.text("/id").to_owned();
    let got = receiver.until("/batch", |got| !got.is_empty()).await;
    assert_eq!(got.len(), 1, "one for the whole: {got:#?}");
    assert_eq!(got[0].json()["data"]["batch_id"], id.as_str());
    assert_eq!(got[0].json()["data"]["counts"]["completed"], 2);
}

#[tokio::test]
async fn a_replay_resends_everything_after_a_position_under_the_same_ids() {
    let stack = stack().await;
    let receiver = Receiver::new().await;
    let made = hook(&stack, &format!("{}/a", receiver.url), json!({ "events": ["job.*"] })).await;
    let first = probe(&stack).await;
    let before = stack.finished(&first).await;
    let position = stack.get(&format!("/jobs/{first}")).await.header("x-log-position").to_owned();
    assert!(!position.is_empty(), "{before:#?}");
    // Order is guaranteed within a job only: events of different jobs may interleave.
    receiver.until("/a", |got| got.len() == 4).await;
    probe(&stack).await;
    let got = receiver.until("/a", |got| got.len() == 8).await;
    let ids: Vec<String> = got[4..].iter().map(|got| got.id().to_owned()).collect();
    let id = made.text("/id");
    let replay = stack.post(&format!("/webhooks/{id}/replay"), &json!({ "after": position })).await;
    assert_eq!(replay.status, StatusCode::ACCEPTED, "{replay:#?}");
    let got = receiver.until("/a", |got| got.len() >= 12).await;
    let again: Vec<String> = got[8..].iter().map(|got| got.id().to_owned()).collect();
    assert_eq!(again, ids);
    let bad = stack.post(&format!("/webhooks/{id}/replay"), &json!({ "after": "then" })).await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn an_interrupted_replay_continues_where_it_stopped() {
    const JOBS: usize = 600;
    let mut stack = stack().await;
    let receiver = Receiver::new().await;
    let wanted = json!({ "events": ["job.queued"], "concurrency": 16 });
    let made = hook(&stack, &format!("{}/a", receiver.url), wanted).await;
    let later =
        json!({ "kind": "probe", "input": "none.mp4", "not_before": "2099-01-01T00:00:00Z" });
    let batch = stack.post("/batch", &json!({ "jobs": vec![later; JOBS] })).await;
    assert_eq!(batch.status, StatusCode::CREATED, "{batch:#?}");
    let times = |got: &[Got]| {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for got in got {
            *times.entry(got.id().to_owned()).or_default() += 1;
        }
        times
    };
    receiver.until("/a", |got| times(got).len() == JOBS).await;
    let path = format!("/webhooks/{}/replay", made.text("/id"));
    let settings = [("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"), SHORT_SCHEDULE];
    // Before the first page is recorded, after it, and after the second and last page.
    let failpoints =
        ["webhooks.before_replayed", "webhooks.after_replayed", "webhooks.after_replayed"];
    stack.arm_failpoint(failpoints[0], "");
    let _ = stack.request(Method::POST, &path).json(&json!({ "after": "1-0-0" })).send().await;
    for (failpoint, next) in failpoints.iter().zip(&failpoints[1..]) {
        stack.failpoint_hit(failpoint).await;
        stack.exited().await;
        stack.arm_failpoint(next, "");
        stack.start_with(&settings);
    }
    stack.failpoint_hit(failpoints[2]).await;
    stack.exited().await;
    // The failpoint is not hit again: a completed replay is not repeated.
    stack.arm_failpoint(failpoints[1], "");
    stack.restart_with(&settings).await;
    receiver.until("/a", |got| times(got).values().all(|times| *times >= 2)).await;
    assert!(
        !stack.has_exited() && stack.data.path().join("failpoints").join(failpoints[1]).exists()
    );
    assert_eq!(times(&receiver.at("/a")).len(), JOBS, "under the same ids");
}

#[tokio::test]
async fn invalid_webhooks_are_rejected() {
    let stack = Stack::new().await;
    for (body, pointer) in [
        (json!({ "url": "ftp://example.com" }), "#/url"),
        (json!({ "url": "https://user:word@example.com" }), "#/url"),
        (json!({ "url": "http://127.0.0.1/hook" }), "#/url"),
        (json!({ "url": "http://169.254.169.254/latest" }), "#/url"),
        (json!({ "url": "https://example.com", "events": ["job.exploded"] }), "#/events/0"),
        (json!({ "url": "https://example.com", "concurrency": 0 }), "#/concurrency"),
    ] {
        let refused = stack.post("/webhooks", &body).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:#?}");
        assert_eq!(refused.text("/errors/0/pointer"), pointer, "{refused:#?}");
    }
    let own = json!({ "input": "a.mp4", "webhook_url": "http://10.0.0.1/hook" });
    let refused = stack.post("/probe", &own).await;
    assert_eq!(refused.text("/errors/0/pointer"), "#/webhook_url", "{refused:#?}");
    let events = json!({ "input": "a.mp4", "webhook_events": ["job.completed"] });
    let refused = stack.post("/probe", &events).await;
    assert_eq!(refused.text("/errors/0/pointer"), "#/webhook_events", "{refused:#?}");
    // Repeating the request returns the same webhook without its secret.
    let body = json!({ "url": "https://example.com/hook" });
    let post =
        || stack.request(Method::POST, "/webhooks").header("idempotency-key", "k").json(&body);
    let made = stack.send(post()).await;
    let again = stack.send(post()).await;
    assert_eq!(
        (again.text("/id"), again.header("idempotent-replayed")),
        (made.text("/id"), "true")
    );
    assert!(again.text("/secret").is_empty() && !made.text("/secret").is_empty());
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_delivery_loses_nothing_and_repeats_only_under_the_same_id() {
    let mut stack = stack().await;
    let receiver = Receiver::new().await;
    hook(&stack, &format!("{}/a", receiver.url), json!({ "events": ["job.*"] })).await;
    let mut expected = 0;
    for failpoint in [
        "projector.before_commit.webhooks",
        "projector.after_commit.webhooks",
        "webhooks.before_send",
        "webhooks.after_send",
        "webhooks.before_record",
        "webhooks.after_record",
    ] {
        stack.arm_failpoint(failpoint, "");
        let _ = stack
            .request(Method::POST, "/probe")
            .json(&json!({ "input": "none.mp4" }))
            .send()
            .await;
        expected += 1;
        stack.failpoint_hit(failpoint).await;
        stack
            .died_and_restarted_with(&[("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"), SHORT_SCHEDULE])
            .await;
        let jobs = stack.get("/jobs?limit=200").await;
        let count = jobs.json["data"].as_array().unwrap().len();
        assert!(count <= expected, "{failpoint}");
        expected = count;
        let failed = |got: &[Got]| {
            let ids: std::collections::BTreeSet<&str> =
                got.iter().filter(|got| got.kind() == "job.failed").map(Got::id).collect();
            ids.len() >= expected
        };
        receiver.until("/a", failed).await;
    }
    // Every event was received, duplicates have the same id, and the order within a job is kept.
    let got = receiver.at("/a");
    let mut by_job: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for got in &got {
        let job = got.json()["data"]["job_id"].as_str().unwrap().to_owned();
        let seen = by_job.entry(job).or_default();
        let this = (got.id().to_owned(), got.kind());
        if !seen.contains(&this) {
            seen.push(this);
        }
    }
    assert_eq!(by_job.len(), expected);
    for seen in by_job.values() {
        let kinds: Vec<&str> = seen.iter().map(|(_, kind)| kind.as_str()).collect();
        // A crash may have cost the job an attempt.
        assert_eq!((kinds[0], kinds[1]), ("job.queued", "job.started"), "{kinds:?}");
        assert_eq!(kinds[kinds.len() - 2..], ["job.attempt_failed", "job.failed"], "{kinds:?}");
    }
}

#[tokio::test]
async fn one_dead_endpoint_among_ten_thousand_delays_no_other() {
    const BATCHES: usize = 10;
    // All are at one host, without a rate limit.
    let stack = Stack::with(&[
        ("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"),
        SHORT_SCHEDULE,
        ("FFAPI_WEBHOOKS__HOST_RATE", "100000"),
        ("FFAPI_WEBHOOKS__HOST_CONCURRENCY", "1000"),
    ])
    .await;
    let receiver = Receiver::new().await;
    receiver.answer("/0-0", 0, "");
    let begun = Instant::now();
    for batch in 0..BATCHES {
        let jobs: Vec<Value> = (0..1_000)
            .map(|n| {
                json!({
                    "kind": "probe", "input": "none.mp4", "not_before": "2099-01-01T00:00:00Z",
                    "webhook_url": format!("{}/{batch}-{n}", receiver.url),
                    "webhook_events": ["job.queued"],
                })
            })
            .collect();
        let made = stack.post("/batch", &json!({ "jobs": jobs })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
    }
    // Duplicates of late deliveries are counted once.
    let notified = async || {
        let got = receiver.got.lock().unwrap();
        got.iter().map(|got| &got.path).collect::<std::collections::BTreeSet<_>>().len()
    };
    polling::until(notified, |notified| *notified == BATCHES * 1_000 - 1).await;
    // It never had more than one request at a time.
    let unanswered = *receiver.unanswered.lock().unwrap();
    assert!(unanswered <= 1 + begun.elapsed().as_secs() / 20, "{unanswered}");
}
