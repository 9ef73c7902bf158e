//! Crashes at every failpoint of a job: it completes exactly once, its history has no gap, and the
//! read models match the log.

use std::{path::Path, time::Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    operator,
    polling::POLL_TIMEOUT,
    stack::{Stack, quick, slow},
};

/// Repeats a submission with an idempotency key until it succeeds, and restarts the process if it
/// crashes. Returns the job's id, and whether it crashed.
async fn submit(stack: &mut Stack, key: &str, body: &serde_json::Value) -> (String, bool) {
    let mut died = false;
    loop {
        let request = stack.request(Method::POST, "/convert").json(body);
        let sent = request.header("idempotency-key", key).send().await;
        match sent {
            Ok(answer) if answer.status().is_success() => {
                let job = answer.json::<serde_json::Value>().await.unwrap();
                return (job["job"]["id"].as_str().unwrap().to_owned(), died);
            }
            Ok(answer) => assert!(answer.status().is_server_error(), "{answer:?}"),
            Err(_) if stack.has_exited() => {
                died = true;
                stack.restart().await;
            }
            Err(_) => {}
        }
    }
}

/// Runs one job for each failpoint with a crash at it.
async fn survives_at(failpoints: &[&str], target: &str) {
    let mut stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    for failpoint in failpoints {
        stack.arm_failpoint(failpoint, target);
        let output = format!("{failpoint}.mp4");
        let body = json!({ "input": upload, "output": output, "operations": quick() });
        let (job, died) = submit(&mut stack, failpoint, &body).await;
        stack.failpoint_hit(failpoint).await;
        if target.is_empty() && !died {
            stack.died_and_restarted().await;
        }
        let ended = stack.finished(&job).await;
        assert_eq!(ended.text("/status"), "completed", "{failpoint}: {ended:#?}");
        let history = stack.history(&job).await;
        let count = |kind: &str| history.iter().filter(|event| *event == kind).count();
        assert_eq!(count("job.completed"), 1, "{failpoint}: {history:?}");
        assert_eq!(count("job.outputs_sealed"), 1, "{failpoint}: {history:?}");
        let ended_early = count("job.attempt_abandoned") + count("job.attempt_failed");
        assert_eq!(count("job.started"), 1 + ended_early, "{failpoint}: {history:?}");
        assert_eq!(ended.json["version"].as_u64().unwrap(), history.len() as u64, "{failpoint}");
    }
    stack.list_has("/jobs?limit=200", failpoints.len()).await;
    assert_eq!(stack.files().len(), failpoints.len(), "{:?}", stack.files());
    equals_its_rebuild(&stack);
}

/// Checks that every rebuilt read model equals the served one row by row.
pub(crate) fn equals_its_rebuild(stack: &Stack) {
    let start = Instant::now();
    loop {
        let (_, printed) = operator::run(stack, &["projections", "status"]);
        let behind = |line: &str| {
            let mut words = line.split([' ', ',']);
            let at = words.by_ref().nth(2).map(str::to_owned);
            !line.starts_with("audit_note") && at.as_deref() != words.nth(1)
        };
        if !printed.lines().filter(|line| line.contains(": at ")).any(behind) {
            break;
        }
        assert!(start.elapsed() < POLL_TIMEOUT, "{printed}");
    }
    // All read models that are built from the log alone.
    for name in [
        "job_detail",
        "job_list",
        "batch",
        "preset",
        "upload",
        "queue",
        "pace",
        "usage",
        "archive",
        "audit_decision",
    ] {
        let (success, printed) = operator::run(stack, &["projections", "rebuild", name]);
        assert!(success && printed.contains("; 0 rows differed"), "{name}: {printed}");
    }
}

const ACCEPTING: &[&str] = &[
    "gateway.before_key",
    "gateway.after_key",
    "commands.before_append.output",
    "commands.after_append.output",
    "gateway.before_submit",
    "commands.before_append.job",
    "commands.after_append.job",
    "gateway.after_submit",
];
const DISPATCHING: &[&str] = &[
    "conductor.before_announce",
    "conductor.before_release",
    "conductor.after_release",
    "conductor.after_offer",
];
const WORKING: &[&str] = &[
    "worker.before_start",
    "worker.after_start",
    "worker.before_stage",
    "worker.after_stage",
    "worker.before_seal",
    "worker.after_seal",
    "worker.before_complete",
    "worker.after_complete",
    "worker.before_ack",
    "worker.after_ack",
];
const PROJECTING: &[&str] = &[
    "projector.before_commit.job_detail",
    "projector.after_commit.job_detail",
    "projector.before_commit.job_list",
    "projector.after_commit.job_list",
    "projector.before_commit.queue",
    "projector.after_commit.queue",
    "projector.before_commit.archive",
    "projector.after_commit.archive",
];

#[tokio::test]
async fn a_job_survives_the_process_dying_at_every_step_of_its_acceptance() {
    survives_at(ACCEPTING, "").await;
}

#[tokio::test]
async fn a_job_survives_the_process_dying_at_every_step_of_dispatch_and_projection() {
    survives_at(&[DISPATCHING, PROJECTING].concat(), "").await;
}

#[tokio::test]
async fn a_job_survives_the_process_dying_at_every_step_of_its_work() {
    survives_at(WORKING, "").await;
}

#[tokio::test]
async fn a_job_survives_the_event_log_dying_at_every_step() {
    survives_at(&[ACCEPTING, DISPATCHING, WORKING, PROJECTING].concat(), "nats-server").await;
}

#[tokio::test]
async fn a_job_survives_the_database_dying_at_every_step() {
    survives_at(&[ACCEPTING, DISPATCHING, WORKING, PROJECTING].concat(), "postgres").await;
}

#[tokio::test]
async fn a_job_survives_every_media_child_dying_at_every_step_that_has_one() {
    let steps = ["worker.before_start", "worker.after_start", "worker.on_progress"];
    survives_at(&steps, "media-child").await;
    survives_at(&["worker.before_stage", "worker.after_seal"], "media-child").await;
}

#[tokio::test]
async fn an_interrupted_upload_can_be_sent_again() {
    let mut stack = Stack::new().await;
    let video = std::fs::read(crate::stack::bunny()).unwrap();
    for failpoint in
        ["gateway.after_bytes", "commands.before_append.upload", "commands.after_append.upload"]
    {
        stack.arm_failpoint(failpoint, "");
        let request = stack.request(Method::POST, "/uploads").body(video.clone());
        let sent = request.header("content-type", "application/octet-stream").send().await;
        assert!(sent.is_err(), "{failpoint}");
        stack.died_and_restarted().await;
    }
    let upload = stack.upload(video).await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    assert_eq!(stack.finished(&job).await.text("/status"), "completed");
}

#[tokio::test]
async fn a_cancellation_survives_every_crash() {
    let mut stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    for failpoint in ["gateway.after_cancel", "worker.before_outcome", "worker.after_outcome"] {
        let job = stack.convert(&upload, "a.mp4", slow()).await;
        stack.until(&job, |job| job.json["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
        stack.arm_failpoint(failpoint, "");
        let _ = stack.request(Method::POST, &format!("/jobs/{job}/cancel")).send().await;
        stack.died_and_restarted().await;
        assert_eq!(stack.finished(&job).await.text("/status"), "cancelled", "{failpoint}");
        assert_eq!(stack.files(), Vec::<String>::new(), "{failpoint}");
    }
    equals_its_rebuild(&stack);
}

#[tokio::test]
async fn a_webhook_whose_response_was_lost_is_created_once_and_has_its_secret() {
    let mut stack = Stack::new().await;
    let ask = |stack: &Stack| {
        let request = stack.request(Method::POST, "/webhooks").header("idempotency-key", "k");
        request.json(&json!({ "url": "https://example.com/a" }))
    };
    stack.arm_failpoint("gateway.before_webhook", "");
    assert!(ask(&stack).send().await.is_err());
    stack.died_and_restarted().await;
    let made = stack.send(ask(&stack)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
    assert!(made.text("/secret").starts_with("whsec_"), "{made:#?}");
    stack.list_has("/webhooks", 1).await;
}

#[tokio::test]
async fn an_interrupted_erasure_or_reopening_can_be_repeated() {
    let mut stack = Stack::new().await;
    for (failpoint, tenant) in [("gateway.before_erase", "acme"), ("gateway.before_erased", "emca")]
    {
        let body = json!({ "name": "a", "tenant": tenant, "scopes": ["jobs:read", "jobs:write"] });
        let key = stack.post("/api-keys", &body).await.text("/secret").to_owned();
        let video = std::fs::read(crate::stack::bunny()).unwrap();
        let upload = stack.request_as(&key, Method::POST, "/uploads").body(video);
        let upload = upload.header("content-type", "application/octet-stream");
        assert_eq!(stack.send(upload).await.status, StatusCode::CREATED);
        let bytes = |stack: &Stack| {
            std::fs::read_dir(stack.data.path().join("storage").join(tenant)).is_ok()
        };
        assert!(bytes(&stack));
        stack.arm_failpoint(failpoint, "");
        let erase = |stack: &Stack| stack.request(Method::DELETE, &format!("/accounts/{tenant}"));
        assert!(erase(&stack).send().await.is_err(), "{failpoint}");
        stack.died_and_restarted().await;
        let erased = stack.send(erase(&stack)).await;
        assert_eq!(erased.status, StatusCode::OK, "{failpoint}: {erased:#?}");
        assert!(!bytes(&stack), "{failpoint}");
        let used = stack.send(stack.request_as(&key, Method::GET, "/jobs")).await;
        assert_eq!(used.status, StatusCode::UNAUTHORIZED, "{failpoint}");
    }
    let reopen = |stack: &Stack| stack.request(Method::POST, "/accounts/acme/reopen");
    stack.arm_failpoint("gateway.before_reopened", "");
    assert!(reopen(&stack).send().await.is_err());
    stack.died_and_restarted().await;
    let body = json!({ "name": "b", "tenant": "acme", "scopes": ["jobs:read"] });
    assert_eq!(stack.post("/api-keys", &body).await.status, StatusCode::GONE);
    let opened = stack.send(reopen(&stack)).await;
    assert_eq!((opened.status, opened.text("/status")), (StatusCode::OK, "open"), "{opened:#?}");
    assert_eq!(stack.post("/api-keys", &body).await.status, StatusCode::CREATED);
}

/// Collects the names of all failpoints in the source.
fn failpoints_in(folder: &Path, found: &mut Vec<String>) {
    for entry in folder.read_dir().unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            failpoints_in(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let named = text.split("failpoint::hit(\"").skip(1);
        found.extend(named.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
    }
}

#[test]
fn every_failpoint_is_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut failpoints = Vec::new();
    for folder in ["commands", "gateway", "nats", "projections", "workers"] {
        failpoints_in(&root.join(folder).join("src"), &mut failpoints);
    }
    assert!(failpoints.len() > 30, "{failpoints:?}");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let tests: String = tests
        .read_dir()
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| std::fs::read_to_string(entry.path()).unwrap())
        .collect();
    failpoints.retain(|failpoint| !tests.contains(&format!("\"{failpoint}\"")));
    assert_eq!(failpoints, Vec::<String>::new());
}
