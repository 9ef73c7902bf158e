//! A media child that was taken over by what it read: `examples/hostile-child.rs` stands in its place.

use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{
    operator,
    stack::{Answer, Stack, quick},
};

/// A folder with the program and, beside it, the hostile child in the place of its own.
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

/// Waits until the first attempt has an outcome: what fails for our sake is tried again.
async fn tried(stack: &Stack, job: &str) -> Answer {
    stack
        .until(job, |answer| {
            answer.json.pointer("/attempts/0/outcome").is_some_and(|o| !o.is_null())
        })
        .await
}

#[tokio::test]
async fn nothing_that_a_child_says_or_does_is_believed() {
    let (_folder, program) = taken_over();
    let settings = [
        ("FFAPI_WORKER__STALL_TIMEOUT", "3"),
        ("FFAPI_WORKER__CHILD_MEMORY", "700000000"),
        ("FFAPI_WORKER__MAX_OUTPUT_BYTES", "50000000"),
    ];
    let stack = Stack::of(&program, &settings).await;
    let upload = stack.upload_bunny().await;
    // What each says in the end, and what is answered.
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
        ("empties", "media_crashed"),
        ("folders", "media_crashed"),
        ("deaf", "media_crashed"),
    ];
    for (name, code) in attacks {
        let job = attack(&stack, &upload, name).await;
        let over = tried(&stack, &job).await;
        assert_eq!(over.text("/attempts/0/error/code"), code, "{name}: {over:#?}");
        // Nobody waits for what will not work.
        stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
        stack.over(&job).await;
        let served = stack.get(&format!("/jobs/{job}/outputs/attack-{name}.mp4")).await;
        assert_eq!(served.status, StatusCode::CONFLICT, "{name}: {served:?}");
    }
    assert_eq!(stack.files(), Vec::<String>::new(), "nothing of it was taken");
    // A link that a child cannot make is no link; what stands there is what it wrote.
    let job = attack(&stack, &upload, "link").await;
    assert_eq!(tried(&stack, &job).await.text("/attempts/0/error/code"), "media_crashed");
    stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
    // NUL in what it found out is made readable; lines beyond what is kept are not.
    let job = attack(&stack, &upload, "nul").await;
    assert_eq!(stack.over(&job).await.text("/result/title"), "a\u{fffd}b");
    let job = attack(&stack, &upload, "chatter").await;
    stack.over(&job).await;
    let page = stack.get(&format!("/jobs/{job}/logs?limit=1000")).await;
    let lines = page.json["data"].as_array().unwrap();
    assert!(lines.len() <= 1_000 && page.json["has_more"] == false, "{}", lines.len());
    let bytes: usize = lines.iter().map(|line| line.to_string().len()).sum();
    assert!(bytes < 2_000_000, "{bytes}");
    // What it asks for little by little is reserved in steps.
    let job = attack(&stack, &upload, "steps").await;
    assert_eq!(stack.over(&job).await.text("/status"), "completed");
    let (well, said) = operator::run(&stack, &["replay", "--tenant", "default"]);
    assert!(well, "{said}");
    let of_job = |line: &&str| line.contains("ev.quota.") && line.contains(&job);
    let reserved = said.lines().filter(of_job).count();
    assert!((1..=4).contains(&reserved), "{reserved}");
    // All of it was seen, and the worker lives.
    let job = stack.convert(&upload, "honest.mp4", quick()).await;
    assert_eq!(stack.over(&job).await.text("/status"), "completed");
}

#[tokio::test]
async fn what_a_child_writes_once_it_is_done_is_never_served() {
    let (_folder, program) = taken_over();
    let stack = Stack::of(&program, &[]).await;
    let upload = stack.upload_bunny().await;
    for round in 0..5 {
        let output = format!("{round}/attack-late.mp4");
        let job = stack.convert(&upload, &output, quick()).await;
        let over = stack.over(&job).await;
        assert_eq!(over.text("/status"), "completed", "{over:#?}");
        let request = stack.request(Method::GET, &format!("/jobs/{job}/outputs/attack-late.mp4"));
        let bytes = request.send().await.unwrap().bytes().await.unwrap();
        let sealed = over.text("/outputs/0/sha256");
        assert_eq!(hex::encode(Sha256::digest(&bytes)), sealed, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_child_that_never_ends_is_stopped_when_its_time_is_up() {
    let (_folder, program) = taken_over();
    let settings = [("FFAPI_TIERS__ENTERPRISE__MAX_JOB_SECONDS", "4")];
    let stack = Stack::of(&program, &settings).await;
    let upload = stack.upload_bunny().await;
    let job = attack(&stack, &upload, "endless").await;
    let over = tried(&stack, &job).await;
    assert_eq!(over.text("/attempts/0/error/code"), "time_limit_exceeded", "{over:#?}");
    assert_eq!(stack.files(), Vec::<String>::new(), "nothing of it was taken");
}
