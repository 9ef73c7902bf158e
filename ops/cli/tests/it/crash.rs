//! `kill -9` at every named step of a job: it completes exactly once, and its history has no gap.

use crate::stack::{Stack, quick};

async fn survives(failpoint: &str) {
    let mut stack = Stack::failing_at(Some(failpoint)).await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    stack.died().await;
    stack.again().await;
    let over = stack.over(&job).await;
    assert_eq!(over.text("/status"), "completed", "{over:#?}");
    let history = stack.history(&job).await;
    let count = |kind: &str| history.iter().filter(|event| *event == kind).count();
    assert_eq!(count("job.completed"), 1, "{history:?}");
    assert_eq!(count("job.outputs_sealed"), 1, "{history:?}");
    assert_eq!(count("job.started"), 1 + count("job.attempt_abandoned"), "{history:?}");
    assert_eq!(over.json["version"].as_u64().unwrap(), history.len() as u64);
    let files = stack.files();
    assert_eq!(files.len(), 1, "{files:?}");
}

macro_rules! survives {
    ($($name:ident: $failpoint:literal,)+) => {
        $(#[tokio::test]
        async fn $name() {
            survives($failpoint).await;
        })+
    };
}

survives! {
    dying_before_a_release: "conductor.before_release",
    dying_between_release_and_offer: "conductor.after_release",
    dying_after_the_offer: "conductor.after_offer",
    dying_before_the_start_is_recorded: "worker.before_start",
    dying_after_the_start_is_recorded: "worker.after_start",
    dying_before_staging: "worker.before_stage",
    dying_between_staging_and_seal: "worker.before_seal",
    dying_after_the_seal: "worker.after_seal",
    dying_between_delivery_and_completion: "worker.after_publish",
    dying_after_completion: "worker.after_complete",
}
