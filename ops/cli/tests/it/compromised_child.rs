//! A compromised media child: `examples/hostile-child.rs` replaces the real one.

use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{
    operator,
    stack::{Answer, Stack, quick},
};

/// A folder with the program and the hostile child as its media child.
fn taken_over() -> (TempDir, PathBuf) {
    let own = Path::new(env!("CARGO_BIN_EXE_ffapi"));
    let hostile = own.with_file_name("examples").join("hostile-child");
    let folder = tempfile::tempdir_in(own.parent().unwrap()).unwrap();
    let program = folder.path().join("ffapi");
    std::fs::hard_link(own, &program).unwrap();
    std::fs::hard_link(hostile, folder.path().join("ffapi-media-child")).unwrap();
    (folder, program)
}

async fn attack(stack: &Stack, upload: &str, name: &str) -> String {
    stack.convert(upload, &format!("attack-{name}.mp4"), quick()).await
}

/// Waits until the first attempt has an outcome; internal failures are retried afterwards.
async fn tried(stack: &Stack, job: &str) -> Answer {
    stack
        .until(job, |answer| {
            answer.json.pointer("/attempts/0/outcome").is_some_and(|o| !o.is_null())
        })
        .await
}

#[tokio::test]
async fn nothing_from_a_compromised_child_is_trusted() {
    let (_folder, program) = taken_over();
    let settings = [
        ("FFAPI_WORKER__STALL_TIMEOUT", "3"),
        ("FFAPI_WORKER__CHILD_MEMORY", "700000000"),
        ("FFAPI_WORKER__MAX_OUTPUT_BYTES", "50000000"),
    ];
    let stack = Stack::with_program(&program, &settings).await;
    let upload = stack.upload_bunny().await;
    // The name of each attack, and the expected error.
    let attacks = [
        ("free", "media_crashed"),
        ("absolute", "media_crashed"),
        ("environment", "media_crashed"),
        ("climb", "media_crashed"),
        ("input", "media_crashed"),
        ("hidden", "media_crashed"),
        ("twice", "media_crashed"),
        ("stranger", "media_crashed"),
        ("folder", "media_crashed"),
        ("deep", "media_crashed"),
        ("nan", "media_crashed"),
        ("long", "media_crashed"),
        ("nonsense", "media_crashed"),
        ("silent", "media_stalled"),
        ("memory", "resource_exhausted"),
        ("disk", "unsupported"),
        ("sparse", "unsupported"),
        ("unlinked", "unsupported"),
        ("renamed", "unsupported"),
        ("code", "media_crashed"),
        ("space", "media_crashed"),
        ("result", "media_crashed"),
        ("empties", "media_crashed"),
        ("folders", "media_crashed"),
        ("deaf", "media_crashed"),
    ];
    for (name, code) in attacks {
        let job = attack(&stack, &upload, name).await;
        let ended = tried(&stack, &job).await;
        assert_eq!(ended.text("/attempts/0/error/code"), code, "{name}: {ended:#?}");
        // Cancelled, because the retries would fail too.
        stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
        stack.finished(&job).await;
        let served = stack.get(&format!("/jobs/{job}/outputs/attack-{name}.mp4")).await;
        assert_eq!(served.status, StatusCode::CONFLICT, "{name}: {served:?}");
    }
    assert_eq!(stack.files(), Vec::<String>::new(), "no output was accepted");
    // The sandbox does not allow links, so the attempt fails.
    let job = attack(&stack, &upload, "link").await;
    assert_eq!(tried(&stack, &job).await.text("/attempts/0/error/code"), "media_crashed");
    stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
    // NUL characters in a result are replaced; excess log lines are dropped.
    let job = attack(&stack, &upload, "nul").await;
    assert_eq!(stack.finished(&job).await.text("/result/title"), "a\u{fffd}b");
    let job = attack(&stack, &upload, "chatter").await;
    stack.finished(&job).await;
    let page = stack.get(&format!("/jobs/{job}/logs?limit=1000")).await;
    let lines = page.json["data"].as_array().unwrap();
    assert!(lines.len() <= 1_000 && page.json["has_more"] == false, "{}", lines.len());
    let bytes: usize = lines.iter().map(|line| line.to_string().len()).sum();
    assert!(bytes < 2_000_000, "{bytes}");
    // Many small requests for minutes are reserved in few steps.
    let job = attack(&stack, &upload, "steps").await;
    assert_eq!(stack.finished(&job).await.text("/status"), "completed");
    let (success, printed) = operator::run(&stack, &["replay", "--tenant", "default"]);
    assert!(success, "{printed}");
    let of_job = |line: &&str| line.contains("ev.quota.") && line.contains(&job);
    let reserved = printed.lines().filter(of_job).count();
    assert!((1..=4).contains(&reserved), "{reserved}");
    // The worker still works.
    let job = stack.convert(&upload, "honest.mp4", quick()).await;
    assert_eq!(stack.finished(&job).await.text("/status"), "completed");
}

#[tokio::test]
async fn writes_after_the_final_report_are_never_served() {
    let (_folder, program) = taken_over();
    let stack = Stack::with_program(&program, &[]).await;
    let upload = stack.upload_bunny().await;
    for round in 0..5 {
        let output = format!("{round}/attack-late.mp4");
        let job = stack.convert(&upload, &output, quick()).await;
        let ended = stack.finished(&job).await;
        assert_eq!(ended.text("/status"), "completed", "{ended:#?}");
        let request = stack.request(Method::GET, &format!("/jobs/{job}/outputs/attack-late.mp4"));
        let bytes = request.send().await.unwrap().bytes().await.unwrap();
        let sealed = ended.text("/outputs/0/sha256");
        assert_eq!(hex::encode(Sha256::digest(&bytes)), sealed, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_child_that_never_ends_is_stopped_at_its_time_limit() {
    let (_folder, program) = taken_over();
    let settings = [("FFAPI_TIERS__ENTERPRISE__MAX_JOB_SECONDS", "4")];
    let stack = Stack::with_program(&program, &settings).await;
    let upload = stack.upload_bunny().await;
    let job = attack(&stack, &upload, "endless").await;
    let ended = tried(&stack, &job).await;
    assert_eq!(ended.text("/attempts/0/error/code"), "time_limit_exceeded", "{ended:#?}");
    assert_eq!(stack.files(), Vec::<String>::new(), "no output was accepted");
}
