//! Webhooks as their receivers meet them: signed to the letter, in order, at least once and always
//! under the same id; an outage is lag, a dead endpoint nobody else's business.

use std::{collections::BTreeMap, time::Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    patience,
    receiver::{Got, Receiver},
    stack::{Answer, Stack, bunny, quick, steady},
};

const SOON: (&str, &str) = ("FFAPI_WEBHOOKS__SCHEDULE", "[1,1,1,1,1,1,1,1]");

async fn stack() -> Stack {
    Stack::with(&[("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"), SOON]).await
}

async fn hook(stack: &Stack, url: &str, more: Value) -> Answer {
    let mut body = json!({ "url": url });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = stack.post("/webhooks", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
    made
}

async fn probe(stack: &Stack) -> String {
    stack.place("film.mp4", &std::fs::read(bunny()).unwrap());
    let body = json!({ "input": "film.mp4", "metadata": { "order": "7" } });
    stack.post("/probe", &body).await.text("/job/id").to_owned()
}

async fn deliveries(stack: &Stack, id: &str) -> Vec<Value> {
    let page = stack.get(&format!("/webhooks/{id}/deliveries?limit=200")).await;
    assert_eq!(page.status, StatusCode::OK, "{page:#?}");
    page.json["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_happens_to_a_job_is_sent_in_order_and_signed_to_the_letter() {
    let stack = stack().await;
    let receiver = Receiver::new().await;
    let made = hook(&stack, &format!("{}/a", receiver.url), json!({ "events": ["job.*"] })).await;
    let (id, secret) = (made.text("/id").to_owned(), made.text("/secret").to_owned());
    assert!(secret.starts_with("whsec_"));
    let job = probe(&stack).await;
    let got = receiver.until("/a", |got| got.iter().any(|got| got.kind() == "job.completed")).await;
    let kinds: Vec<String> = got.iter().map(Got::kind).collect();
    assert_eq!(kinds, ["job.queued", "job.started", "job.outputs_sealed", "job.completed"]);
    for got in &got {
        assert!(got.is_signed_with(&secret), "{got:#?}");
        assert_eq!(got.json()["data"]["job_id"], job.as_str());
        assert!(!got.id().contains('.'));
    }
    assert_eq!(got.last().unwrap().json()["data"]["metadata"]["order"], "7");
    // Every try is written down.
    let delivered = |all: &Vec<Value>| all.iter().all(|one| one["status"] == "delivered");
    let delivered = patience::until(async || deliveries(&stack, &id).await, delivered).await;
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
async fn an_outage_is_lag_and_keeps_the_order_and_the_id() {
    let stack = stack().await;
    let receiver = Receiver::new().await;
    receiver.answer("/a", 500, "");
    let made = hook(&stack, &format!("{}/a", receiver.url), json!({})).await;
    let job = probe(&stack).await;
    stack.over(&job).await;
    receiver.until("/a", |got| got.len() >= 2).await;
    let first = receiver.at("/a");
    assert!(first.iter().all(|got| got.id() == first[0].id()), "the first is first: {first:#?}");
    receiver.answer("/a", 200, "");
    let got = receiver.until("/a", |got| got.iter().any(|got| got.kind() == "job.completed")).await;
    let mut kinds: Vec<String> = got.iter().map(Got::kind).collect();
    kinds.dedup();
    assert_eq!(kinds, ["job.queued", "job.started", "job.outputs_sealed", "job.completed"]);
    let timestamps: Vec<&reqwest::header::HeaderValue> =
        got.iter().map(|got| &got.headers["webhook-timestamp"]).collect();
    assert_ne!(timestamps[0], timestamps.last().unwrap(), "each try has a time of its own");
    let tries = deliveries(&stack, made.text("/id")).await;
    let failed = tries.last().unwrap();
    assert_eq!(failed["attempts"][0]["status"], 500, "{failed:#?}");
}

#[tokio::test]
async fn one_that_asks_for_time_gets_it_and_one_that_is_gone_is_left_alone() {
    let stack = stack().await;
    let receiver = Receiver::new().await;
    receiver.answer("/busy", 503, "retry-after: 3\r\n");
    receiver.answer("/gone", 410, "");
    receiver.answer("/moved", 302, "location: /a\r\n");
    // There before anything is disabled, or it would not be told of it.
    let told =
        hook(&stack, &format!("{}/told", receiver.url), json!({ "events": ["webhook.disabled"] }))
            .await;
    assert_eq!(told.text("/events/0"), "webhook.disabled");
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
    // A redirect is no success, and is not followed.
    receiver.until("/moved", |got| got.len() >= 2).await;
    assert!(receiver.at("/a").is_empty());
    for id in [busy.text("/id"), moved.text("/id")] {
        let gone = stack.send(stack.request(Method::DELETE, &format!("/webhooks/{id}"))).await;
        assert_eq!(gone.status, StatusCode::OK);
        assert_eq!(stack.get(&format!("/webhooks/{id}")).await.status, StatusCode::NOT_FOUND);
    }
    // Its owner repairs it and says so: it is sent to again.
    receiver.answer("/gone", 200, "");
    let enable = stack.request(Method::PATCH, &format!("/webhooks/{}", gone.text("/id")));
    let enabled = stack.send(enable.json(&json!({ "enabled": true }))).await;
    assert_eq!(enabled.text("/status"), "enabled", "{enabled:#?}");
    let after = receiver.at("/gone").len();
    receiver.until("/gone", |got| got.len() > after).await;
}

#[tokio::test]
async fn days_of_failure_disable_an_endpoint_and_its_owner_is_told() {
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
    // Queued is all that it ever is.
    let later = json!({ "input": "none.mp4", "not_before": "2099-01-01T00:00:00Z" });
    let fail_again = async || {
        stack.post("/probe", &later).await;
        receiver.at("/good")
    };
    let told = patience::until(fail_again, |told| !told.is_empty()).await;
    assert_eq!(told[0].json()["data"]["disabled_by"], "failing");
}

#[tokio::test]
async fn a_secret_is_rotated_and_both_sign_for_a_while() {
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
    let signatures = got[0].headers["webhook-signature"].to_str().unwrap();
    assert_eq!(signatures.split(' ').count(), 2);
}

#[tokio::test]
async fn a_job_and_a_batch_have_endpoints_of_their_own_and_progress_is_told_by_quarters() {
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
    stack.over(&other).await;
    let done = |got: &[Got]| got.iter().any(|got| got.kind() != "job.progress");
    let got = receiver.until("/own", done).await;
    assert!(got.iter().all(|got| got.is_signed_with(&secret)));
    assert!(got.iter().all(|got| got.json()["data"]["job_id"] == job.as_str()), "{got:#?}");
    let told = got.iter().filter(|got| got.kind() == "job.progress");
    let told: Vec<f64> = told.map(|got| got.json()["data"]["progress"].as_f64().unwrap()).collect();
    assert!((1..=3).contains(&told.len()) && told.is_sorted() && told[0] >= 25.0, "{told:?}");
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
async fn everything_after_a_position_is_sent_once_more_under_the_same_ids() {
    let stack = stack().await;
    let receiver = Receiver::new().await;
    let made = hook(&stack, &format!("{}/a", receiver.url), json!({ "events": ["job.*"] })).await;
    let first = probe(&stack).await;
    let before = stack.over(&first).await;
    let position = stack.get(&format!("/jobs/{first}")).await.header("x-log-position").to_owned();
    assert!(!position.is_empty(), "{before:#?}");
    // Order is kept within a job: what is left of one may come after another has begun.
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
async fn a_long_replay_goes_on_where_it_was_cut_off() {
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
    let settings = [("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"), SOON];
    // Before its first page is kept, after that, and after the second one, which is the last.
    let places = ["webhooks.before_replayed", "webhooks.after_replayed", "webhooks.after_replayed"];
    stack.arm(places[0], "");
    let _ = stack.request(Method::POST, &path).json(&json!({ "after": "1-0-0" })).send().await;
    for (place, next) in places.iter().zip(&places[1..]) {
        stack.fired(place).await;
        stack.died().await;
        stack.arm(next, "");
        stack.start_with(&settings);
    }
    stack.fired(places[2]).await;
    stack.died().await;
    // Nobody comes by again: what was seen to is not seen to once more.
    stack.arm(places[1], "");
    stack.again_with(&settings).await;
    receiver.until("/a", |got| times(got).values().all(|times| *times >= 2)).await;
    assert!(!stack.has_died() && stack.data.path().join("failpoints").join(places[1]).exists());
    assert_eq!(times(&receiver.at("/a")).len(), JOBS, "under the same ids");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
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
    // Sending it again answers the same webhook, without its secret.
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
async fn a_death_at_any_step_of_a_delivery_loses_nothing_and_doubles_only_under_the_same_id() {
    let mut stack = stack().await;
    let receiver = Receiver::new().await;
    hook(&stack, &format!("{}/a", receiver.url), json!({ "events": ["job.*"] })).await;
    let mut expected = 0;
    for place in [
        "projector.before_commit.webhooks",
        "projector.after_commit.webhooks",
        "webhooks.before_send",
        "webhooks.after_send",
        "webhooks.before_record",
        "webhooks.after_record",
    ] {
        stack.arm(place, "");
        let _ = stack
            .request(Method::POST, "/probe")
            .json(&json!({ "input": "none.mp4" }))
            .send()
            .await;
        expected += 1;
        stack.fired(place).await;
        stack.died_and_came_again_with(&[("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"), SOON]).await;
        let jobs = stack.get("/jobs?limit=200").await;
        let count = jobs.json["data"].as_array().unwrap().len();
        assert!(count <= expected, "{place}");
        expected = count;
        let failed = |got: &[Got]| {
            let ids: std::collections::BTreeSet<&str> =
                got.iter().filter(|got| got.kind() == "job.failed").map(Got::id).collect();
            ids.len() >= expected
        };
        receiver.until("/a", failed).await;
    }
    // Each event came; what came twice came under its own id, and each job's in its order.
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
        // A death may have cost the job an attempt.
        assert_eq!((kinds[0], kinds[1]), ("job.queued", "job.started"), "{kinds:?}");
        assert_eq!(kinds[kinds.len() - 2..], ["job.attempt_failed", "job.failed"], "{kinds:?}");
    }
}

#[tokio::test]
async fn among_ten_thousand_endpoints_a_dead_one_slows_nobody() {
    const BATCHES: usize = 10;
    // They are of one host here, which is sent to as fast as it takes it.
    let stack = Stack::with(&[
        ("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"),
        SOON,
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
    // What was told twice, for it came late, was told once.
    let told = async || {
        let got = receiver.got.lock().unwrap();
        got.iter().map(|got| &got.path).collect::<std::collections::BTreeSet<_>>().len()
    };
    patience::until(told, |told| *told == BATCHES * 1_000 - 1).await;
    // Nobody else asked it while one waited for its answer.
    let unanswered = *receiver.unanswered.lock().unwrap();
    assert!(unanswered <= 1 + begun.elapsed().as_secs() / 20, "{unanswered}");
}
