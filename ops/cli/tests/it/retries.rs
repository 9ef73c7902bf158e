//! Transient failures are retried up to a limit; then the job is a dead letter with all its
//! attempts, which can be requeued by hand.

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    operator,
    stack::{Stack, bunny},
};

#[tokio::test]
async fn dead_letters_keep_their_attempts_and_can_be_requeued() {
    let stack = Stack::with(&[("FFAPI_EGRESS__ALLOW", "127.0.0.1/32")]).await;
    // Connection refused is transient, and is retried as often as requested.
    let refused = "http://127.0.0.1:9/video.mp4";
    let body = json!({ "max_retries": 1, "jobs": [
        { "kind": "probe", "input": refused }, { "kind": "probe", "input": "none.mp4" } ] });
    let batch = stack.post("/batch", &body).await;
    let jobs: Vec<String> = serde_json::from_value(batch.json["jobs"].clone()).unwrap();
    let passing = stack.finished(&jobs[0]).await;
    assert_eq!((passing.text("/status"), &passing.json["attempt"]), ("failed", &json!(2)));
    assert_eq!(passing.json["dead_lettered"], true);
    let lasting = stack.finished(&jobs[1]).await;
    assert_eq!(
        (&lasting.json["attempt"], &lasting.json["dead_lettered"]),
        (&json!(1), &json!(false))
    );

    let version = passing.header("x-log-position").to_owned();
    let dead = stack.get(&format!("/admin/dead-letters?min_position={version}")).await;
    assert_eq!(dead.status, StatusCode::OK, "{dead:#?}");
    assert_eq!(dead.json["data"].as_array().unwrap().len(), 1, "{dead:#?}");
    let letter = &dead.json["data"][0];
    assert_eq!((&letter["tenant"], &letter["job"]["id"]), (&json!("default"), &json!(jobs[0])));
    let attempts = letter["job"]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert!(attempts.iter().all(|one| one["error"]["code"] == "input_unreachable"), "{letter:#}");
    let none = stack.get("/admin/dead-letters?code=media_crashed").await;
    assert_eq!(none.json["data"], json!([]));

    // Requeued by error; then no dead letter is left.
    let sent =
        stack.post("/admin/dead-letters/redrive", &json!({ "code": "input_unreachable" })).await;
    assert_eq!((sent.status, &sent.json["jobs"]), (StatusCode::ACCEPTED, &json!([jobs[0]])));
    let again = stack.until(&jobs[0], |job| job.json["attempt"] == 4).await;
    assert_eq!(again.json["attempts"].as_array().unwrap().len(), 4);
    stack.finished(&jobs[0]).await;
    // Requeued by id.
    let sent =
        stack.post("/admin/dead-letters/redrive", &json!({ "jobs": [jobs[0], jobs[1]] })).await;
    assert_eq!(sent.json["jobs"], json!([jobs[0]]), "only the dead letter: {sent:#?}");
    for bad in [json!({}), json!({ "code": "bad_luck" }), json!({ "jobs": ["x"] })] {
        let refused = stack.post("/admin/dead-letters/redrive", &bad).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:#?}");
    }
}

#[tokio::test]
async fn past_jobs_can_be_simulated_on_another_fleet() {
    let stack = Stack::with(&[("FFAPI_WORKER__SLOTS", "1")]).await;
    stack.write_file("video.mp4", &std::fs::read(bunny()).unwrap());
    let jobs = json!({ "jobs": vec![json!({ "kind": "probe", "input": "video.mp4" }); 6] });
    let batch = stack.post("/batch", &jobs).await;
    for job in batch.json["jobs"].as_array().unwrap() {
        stack.finished(job.as_str().unwrap()).await;
    }
    let (success, printed) =
        operator::run(&stack, &["simulate", "--slots", "6", "--cap", "default=6"]);
    assert!(
        success && printed.contains("default") && printed.contains("all done after"),
        "{printed}"
    );
    // Six slots, but at most five of a batch at once: five do not wait.
    let line = printed.lines().find(|line| line.starts_with("default")).unwrap();
    let would = line.rsplit("  ").next().unwrap().trim();
    assert!(would.starts_with("0.0 / "), "{printed}");
    let (success, printed) = operator::run(&stack, &["simulate", "--slots", "nvenc=2"]);
    assert!(success && printed.contains("6 jobs would never run"), "{printed}");
    let (success, printed) = operator::run(&stack, &["simulate", "--from", "2099-01-01T00:00:00Z"]);
    assert!(!success && printed.contains("no job was submitted"), "{printed}");
    let (success, printed) = operator::run(&stack, &["simulate", "--weight", "acme"]);
    assert!(!success && printed.contains("tenant=number"), "{printed}");
}
