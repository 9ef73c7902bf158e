//! `kill -9` at every named step of a job: it completes exactly once, its history has no gap, and
//! what is read equals what the log says.

use std::{path::Path, time::Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    operator,
    patience::PATIENCE,
    stack::{Stack, quick, slow},
};

/// Sends a submission until it is answered, as a client with a key does; starts the process again
/// if it dies of it.
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
            Err(_) if stack.has_died() => {
                died = true;
                stack.again().await;
            }
            Err(_) => {}
        }
    }
}

/// One job for each place, with a death at it.
async fn survives_at(places: &[&str], whom: &str) {
    let mut stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    for place in places {
        stack.arm(place, whom);
        let output = format!("{place}.mp4");
        let body = json!({ "input": upload, "output": output, "operations": quick() });
        let (job, died) = submit(&mut stack, place, &body).await;
        stack.fired(place).await;
        if whom.is_empty() && !died {
            stack.died_and_came_again().await;
        }
        let over = stack.over(&job).await;
        assert_eq!(over.text("/status"), "completed", "{place}: {over:#?}");
        let history = stack.history(&job).await;
        let count = |kind: &str| history.iter().filter(|event| *event == kind).count();
        assert_eq!(count("job.completed"), 1, "{place}: {history:?}");
        assert_eq!(count("job.outputs_sealed"), 1, "{place}: {history:?}");
        let ended_early = count("job.attempt_abandoned") + count("job.attempt_failed");
        assert_eq!(count("job.started"), 1 + ended_early, "{place}: {history:?}");
        assert_eq!(over.json["version"].as_u64().unwrap(), history.len() as u64, "{place}");
    }
    stack.lists("/jobs?limit=200", places.len()).await;
    assert_eq!(stack.files().len(), places.len(), "{:?}", stack.files());
    equals_its_rebuild(&stack);
}

/// Every read model built anew is row by row what was served.
pub(crate) fn equals_its_rebuild(stack: &Stack) {
    let start = Instant::now();
    loop {
        let (_, said) = operator::run(stack, &["projections", "status"]);
        let behind = |line: &str| {
            let mut words = line.split([' ', ',']);
            let at = words.by_ref().nth(2).map(str::to_owned);
            !line.starts_with("audit_note") && at.as_deref() != words.nth(1)
        };
        if !said.lines().filter(|line| line.contains(": at ")).any(behind) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{said}");
    }
    // Everything that is built from the log alone.
    for name in
        ["job_detail", "job_list", "batch", "preset", "queue", "pace", "archive", "audit_decision"]
    {
        let (well, said) = operator::run(stack, &["projections", "rebuild", name]);
        assert!(well && said.contains("; 0 rows differed"), "{name}: {said}");
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
const SHARING_OUT: &[&str] = &[
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
    survives_at(&[SHARING_OUT, PROJECTING].concat(), "").await;
}

#[tokio::test]
async fn a_job_survives_the_process_dying_at_every_step_of_its_work() {
    survives_at(WORKING, "").await;
}

#[tokio::test]
async fn a_job_survives_the_event_log_dying_at_every_step() {
    survives_at(&[ACCEPTING, SHARING_OUT, WORKING, PROJECTING].concat(), "nats-server").await;
}

#[tokio::test]
async fn a_job_survives_the_database_dying_at_every_step() {
    survives_at(&[ACCEPTING, SHARING_OUT, WORKING, PROJECTING].concat(), "postgres").await;
}

#[tokio::test]
async fn a_job_survives_every_media_child_dying_at_every_step_that_has_one() {
    let steps = ["worker.before_start", "worker.after_start", "worker.on_progress"];
    survives_at(&steps, "media-child").await;
    survives_at(&["worker.before_stage", "worker.after_seal"], "media-child").await;
}

#[tokio::test]
async fn an_upload_that_was_cut_off_is_sent_again_and_whole() {
    let mut stack = Stack::new().await;
    let film = std::fs::read(crate::stack::bunny()).unwrap();
    for place in
        ["gateway.after_bytes", "commands.before_append.upload", "commands.after_append.upload"]
    {
        stack.arm(place, "");
        let request = stack.request(Method::POST, "/uploads").body(film.clone());
        let sent = request.header("content-type", "application/octet-stream").send().await;
        assert!(sent.is_err(), "{place}");
        stack.died_and_came_again().await;
    }
    let upload = stack.upload(film).await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    assert_eq!(stack.over(&job).await.text("/status"), "completed");
}

#[tokio::test]
async fn a_cancel_holds_whoever_dies_on_its_way() {
    let mut stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    for place in ["gateway.after_cancel", "worker.before_outcome", "worker.after_outcome"] {
        let job = stack.convert(&upload, "a.mp4", slow()).await;
        stack.until(&job, |job| job.json["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
        stack.arm(place, "");
        let _ = stack.request(Method::POST, &format!("/jobs/{job}/cancel")).send().await;
        stack.died_and_came_again().await;
        assert_eq!(stack.over(&job).await.text("/status"), "cancelled", "{place}");
        assert_eq!(stack.files(), Vec::<String>::new(), "{place}");
    }
    equals_its_rebuild(&stack);
}

#[tokio::test]
async fn a_webhook_whose_answer_was_lost_is_made_once_and_has_its_secret() {
    let mut stack = Stack::new().await;
    let ask = |stack: &Stack| {
        let request = stack.request(Method::POST, "/webhooks").header("idempotency-key", "k");
        request.json(&json!({ "url": "https://example.com/a" }))
    };
    stack.arm("gateway.before_webhook", "");
    assert!(ask(&stack).send().await.is_err());
    stack.died_and_came_again().await;
    let made = stack.send(ask(&stack)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
    assert!(made.text("/secret").starts_with("whsec_"), "{made:#?}");
    stack.lists("/webhooks", 1).await;
}

#[tokio::test]
async fn an_erasure_or_a_reopening_that_was_cut_off_is_asked_for_again_and_whole() {
    let mut stack = Stack::new().await;
    for (place, tenant) in [("gateway.before_erase", "acme"), ("gateway.before_erased", "emca")] {
        let body = json!({ "name": "a", "tenant": tenant, "scopes": ["jobs:read", "jobs:write"] });
        let key = stack.post("/api-keys", &body).await.text("/secret").to_owned();
        let film = std::fs::read(crate::stack::bunny()).unwrap();
        let upload = stack.request_as(&key, Method::POST, "/uploads").body(film);
        let upload = upload.header("content-type", "application/octet-stream");
        assert_eq!(stack.send(upload).await.status, StatusCode::CREATED);
        let bytes = |stack: &Stack| {
            std::fs::read_dir(stack.data.path().join("storage").join(tenant)).is_ok()
        };
        assert!(bytes(&stack));
        stack.arm(place, "");
        let erase = |stack: &Stack| stack.request(Method::DELETE, &format!("/accounts/{tenant}"));
        assert!(erase(&stack).send().await.is_err(), "{place}");
        stack.died_and_came_again().await;
        let erased = stack.send(erase(&stack)).await;
        assert_eq!(erased.status, StatusCode::OK, "{place}: {erased:#?}");
        assert!(!bytes(&stack), "{place}");
        let used = stack.send(stack.request_as(&key, Method::GET, "/jobs")).await;
        assert_eq!(used.status, StatusCode::UNAUTHORIZED, "{place}");
    }
    let reopen = |stack: &Stack| stack.request(Method::POST, "/accounts/acme/reopen");
    stack.arm("gateway.before_reopened", "");
    assert!(reopen(&stack).send().await.is_err());
    stack.died_and_came_again().await;
    let body = json!({ "name": "b", "tenant": "acme", "scopes": ["jobs:read"] });
    assert_eq!(stack.post("/api-keys", &body).await.status, StatusCode::GONE);
    let opened = stack.send(reopen(&stack)).await;
    assert_eq!((opened.status, opened.text("/status")), (StatusCode::OK, "open"), "{opened:#?}");
    assert_eq!(stack.post("/api-keys", &body).await.status, StatusCode::CREATED);
}

/// Every place at which a process can be told to die, as the source names it.
fn places_in(folder: &Path, found: &mut Vec<String>) {
    for entry in folder.read_dir().unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            places_in(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let named = text.split("failpoint::hit(\"").skip(1);
        found.extend(named.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
    }
}

#[test]
fn somebody_dies_at_every_place_that_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut places = Vec::new();
    for folder in ["commands", "gateway", "nats", "projections", "workers"] {
        places_in(&root.join(folder).join("src"), &mut places);
    }
    assert!(places.len() > 30, "{places:?}");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let tests: String = tests
        .read_dir()
        .unwrap()
        .flatten()
        .map(|entry| std::fs::read_to_string(entry.path()).unwrap())
        .collect();
    places.retain(|place| !tests.contains(&format!("\"{place}\"")));
    assert_eq!(places, Vec::<String>::new());
}
