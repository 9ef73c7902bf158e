//! The slots of an account's queue: all of them can be used, and never one more.

use ffapi_commands::{Caller, Commands};
use ffapi_domain::{
    JobId, LeaseId, Personal,
    job::{Job, JobCommand, JobSpec},
    media::{MediaRequest, Probe},
};
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    fleet::Fleet,
    operator::settings,
    polling::until,
    stack::{Answer, Stack},
};

/// A job that is scheduled far in the future; a retried one waits for its account's concurrency
/// limit.
fn scheduled_job() -> Value {
    json!({ "input": "in/video.mp4", "not_before": "2100-01-01T00:00:00Z" })
}

async fn set_queue_limit(stack: &Stack, slots: u32) {
    let limits = json!({ "limits": { "queue_places": slots, "concurrent_jobs": 0 } });
    let answer = stack.send(stack.request(Method::PATCH, "/accounts/default").json(&limits)).await;
    assert_eq!(answer.json["limits"]["queue_places"], slots, "{answer:#?}");
}

/// Submits `jobs` jobs concurrently; returns the ids of the accepted ones, and checks the
/// rejections.
async fn submit_concurrently(stack: &Stack, jobs: usize) -> Vec<String> {
    let body = scheduled_job();
    let requests = (0..jobs).map(|_| stack.post("/probe", &body));
    join_all(requests).await.iter().filter_map(accepted).collect()
}

fn accepted(answer: &Answer) -> Option<String> {
    if answer.status == StatusCode::CREATED {
        return Some(answer.text("/job/id").to_owned());
    }
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{answer:#?}");
    assert!(answer.text("/detail").contains("slots"), "{answer:#?}");
    assert_eq!(answer.header("retry-after"), "1");
    None
}

/// Waits until the read model shows this number of active jobs.
async fn expect_active_jobs(stack: &Stack, wanted: usize) {
    stack.list_has("/jobs?status=queued&limit=200", wanted).await;
}

#[tokio::test]
async fn the_queue_limit_holds_and_finished_jobs_free_their_slots() {
    let stack = Stack::new().await;
    set_queue_limit(&stack, 10).await;
    let start = std::time::Instant::now();
    let jobs = submit_concurrently(&stack, 40).await;
    assert_eq!(jobs.len(), 10);
    // Thirty were rejected without waiting for each other.
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    expect_active_jobs(&stack, 10).await;
    let body = json!({ "jobs": [{ "kind": "probe", "input": "a.mp4" }, { "kind": "probe", "input": "b.mp4" }] });
    let batch = stack.post("/batch", &body).await;
    assert_eq!(accepted(&batch), None);

    let cancelled = jobs.first().unwrap();
    stack.post(&format!("/jobs/{cancelled}/cancel"), &json!({})).await;
    let ask = async || accepted(&stack.post("/probe", &scheduled_job()).await);
    let instead = until(ask, Option::is_some).await.unwrap();
    expect_active_jobs(&stack, 10).await;
    // A retry needs a slot as well.
    let retry = format!("/jobs/{cancelled}/retry");
    assert_eq!(accepted(&stack.post(&retry, &json!({})).await), None);
    stack.post(&format!("/jobs/{instead}/cancel"), &json!({})).await;
    let ask = async || stack.post(&retry, &json!({})).await;
    until(ask, |answer| answer.status == StatusCode::ACCEPTED).await;
    expect_active_jobs(&stack, 10).await;
    assert_eq!(submit_concurrently(&stack, 5).await, Vec::<String>::new());
    // A raised limit admits more jobs; a batch needs slots for all of its jobs.
    set_queue_limit(&stack, 12).await;
    let batch = stack.post("/batch", &body).await;
    assert_eq!(batch.status, StatusCode::CREATED, "{batch:#?}");
    assert_eq!(submit_concurrently(&stack, 1).await.len(), 0);
}

/// Appends what a gateway would that was suspended between leasing a slot and sending the job.
async fn send_late(stack: &Stack) -> String {
    let settings: std::collections::BTreeMap<_, _> = settings(stack).into_iter().collect();
    let config = json!({ "url": settings["FFAPI_NATS__URL"] });
    let config: ffapi_nats::NatsConfig = serde_json::from_value(config).unwrap();
    let nats = ffapi_nats::Nats::connect(&config).await.unwrap();
    let master = hex::decode(&settings["FFAPI_SECRETS__MASTER_KEY"]).unwrap();
    let vault = ffapi_nats::Vault::open(&nats, &master.try_into().unwrap()).await.unwrap();
    let log = ffapi_nats::Log::open(nats).await.unwrap();
    let commands = Commands::new(log, ffapi_nats::Codec::new(vault));
    let input = Personal::Clear("in/video.mp4".parse().unwrap());
    let mut spec = JobSpec::of(MediaRequest::Probe(Probe { input }));
    spec.lease = Some(LeaseId::from_uuid(Uuid::now_v7()));
    let command = JobCommand::Submit { spec: Box::new(spec) };
    let job = JobId::from_uuid(Uuid::now_v7()).to_string();
    let caller = Caller::process("late");
    commands.handle::<Job>("default", &job, &caller, command).await.unwrap();
    job
}

#[tokio::test]
async fn a_job_sent_after_its_lease_gets_another_slot_or_fails() {
    let stack = Stack::new().await;
    set_queue_limit(&stack, 10).await;
    let late = send_late(&stack).await;
    // It used one of the ten slots.
    stack.until(&late, |job| job.text("/status") == "queued").await;
    let mut jobs = 0;
    let ask = async || {
        jobs += submit_concurrently(&stack, 3).await.len();
        jobs
    };
    until(ask, |jobs| *jobs >= 9).await;
    assert_eq!(submit_concurrently(&stack, 3).await.len(), 0);
    expect_active_jobs(&stack, 10).await;
    let ended = send_late(&stack).await;
    let ended = stack.finished(&ended).await;
    assert_eq!((ended.text("/status"), ended.text("/error/code")), ("failed", "quota_exceeded"));
    assert!(ended.text("/error/message").contains("10 slots"), "{ended:#?}");
    // It was queued until it failed, and the list is a read model of its own.
    let has_ten = |listed: &Answer| listed.json["data"].as_array().map_or(0, Vec::len) == 10;
    stack.poll("/jobs?status=queued&limit=200", has_ten).await;
}

#[tokio::test]
async fn two_gateways_together_use_the_whole_quota_and_no_more() {
    let fleet = Fleet::without_workers().await;
    let ask = async |gateway: usize, body: &Value, path: &str, method: Method| {
        let url = format!("{}/api/v1{path}", fleet.urls[gateway]);
        let request = crate::stack::http().request(method, url).header("x-api-key", &fleet.key);
        request.json(body).send().await.unwrap().status()
    };
    let limits = json!({ "limits": { "queue_places": 100 } });
    assert_eq!(ask(0, &limits, "/accounts/default", Method::PATCH).await, StatusCode::OK);
    let seen = |_, account: &Value| account["limits"]["queue_places"] == 100;
    fleet.until(&fleet.urls[1], "/api/v1/accounts/default", seen).await;
    let body = scheduled_job();
    let mut given = 0;
    for _ in 0..6 {
        let round = (0..20).map(|n| ask(n % 2, &body, "/probe", Method::POST));
        given += join_all(round).await.iter().filter(|status| status.is_success()).count();
    }
    assert_eq!(given, 100);

    // The limit of keys holds across gateways.
    let limits = json!({ "limits": { "keys": 5 } });
    assert_eq!(ask(0, &limits, "/accounts/acme", Method::PATCH).await, StatusCode::OK);
    let seen = |_, account: &Value| account["limits"]["keys"] == 5;
    fleet.until(&fleet.urls[1], "/api/v1/accounts/acme", seen).await;
    let body = json!({ "name": "k", "tenant": "acme", "scopes": ["jobs:read"] });
    let round = (0..20).map(|n| ask(n % 2, &body, "/api-keys", Method::POST));
    let made = join_all(round).await;
    assert_eq!(made.iter().filter(|status| status.is_success()).count(), 5, "{made:?}");
    assert!(
        made.iter().all(|status| status.is_success() || *status == StatusCode::CONFLICT),
        "{made:?}"
    );
}

#[tokio::test]
async fn the_leases_of_a_killed_gateway_are_returned() {
    let mut stack = Stack::new().await;
    set_queue_limit(&stack, 100).await;
    let first = submit_concurrently(&stack, 1).await.len();
    stack.kill();
    stack.restart().await;
    let mut jobs = first;
    let ask = async || {
        jobs += submit_concurrently(&stack, 10).await.len();
        jobs
    };
    until(ask, |jobs| *jobs >= 100).await;
    assert_eq!(jobs, 100);
    assert_eq!(submit_concurrently(&stack, 5).await.len(), 0);
    expect_active_jobs(&stack, 100).await;
}

#[tokio::test]
async fn concurrently_created_and_extended_keys_stay_within_the_limit() {
    const KEYS: usize = 10;
    let stack = Stack::new().await;
    let limits = json!({ "limits": { "keys": KEYS, "requests_per_hour": 1_000_000 } });
    stack.send(stack.request(Method::PATCH, "/accounts/acme").json(&limits)).await;
    let status = async |id: &str| {
        let shown = stack.get(&format!("/api-keys/{id}")).await;
        shown.text("/status").to_owned()
    };
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis().try_into().unwrap();
    let soon = ffapi_domain::Timestamp::from_millis(now).plus(std::time::Duration::from_secs(3));
    let body = json!({ "name": "k", "tenant": "acme", "scopes": ["jobs:read"] });
    let mut short = body.clone();
    short["expires_at"] = json!(soon.to_string());
    let made = join_all((0..KEYS).map(|_| stack.post("/api-keys", &short))).await;
    let old: Vec<String> = made.iter().map(|key| key.text("/id").to_owned()).collect();
    for id in &old {
        until(async || status(id).await, |status| status == "expired").await;
    }
    // A rejected extension uses none of them.
    for id in &old {
        let request = stack.request(Method::POST, &format!("/api-keys/{id}/extend"));
        let request = request.header("if-match", "\"v99\"").json(&json!({ "expires_at": null }));
        assert_eq!(stack.send(request).await.status, StatusCode::PRECONDITION_FAILED);
    }
    let first = stack.post("/api-keys", &body).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:#?}");
    let extend = async |id: &String| {
        let path = format!("/api-keys/{id}/extend");
        stack.post(&path, &json!({ "expires_at": null })).await
    };
    let (made, _) = futures::future::join(
        join_all((0..KEYS).map(|_| stack.post("/api-keys", &body))),
        join_all(old.iter().map(extend)),
    )
    .await;
    let made = made.iter().chain([&first]).filter(|made| made.status == StatusCode::CREATED);
    let all = old.into_iter().chain(made.map(|made| made.text("/id").to_owned()));
    let mut open = 0;
    for id in all {
        open += usize::from(status(&id).await == "active");
    }
    assert!((1..=KEYS).contains(&open), "{open} keys open");
}

#[tokio::test]
async fn a_submission_that_is_rejected_gives_back_what_it_counted() {
    // 320 KiB of specs an hour, ten of these.
    let stack = Stack::with(&[("FFAPI_TIERS__ENTERPRISE__REQUESTS_PER_HOUR", "20")]).await;
    let labels = (0..32).map(|n| (n.to_string(), json!("x".repeat(1_000))));
    let metadata: serde_json::Map<_, _> = labels.collect();
    let body = json!({ "input": "a.mp4", "output": "b.mp4", "metadata": metadata,
        "not_before": "2099-01-01T00:00:00Z" });
    assert_eq!(stack.post("/convert", &body).await.status, StatusCode::CREATED);
    for _ in 0..12 {
        // The first job has reserved the output.
        let refused = stack.post("/convert", &body).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:#?}");
    }
}
