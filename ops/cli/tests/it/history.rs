//! A job's past states, explanations, and reruns, all from the log.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    fleet::Fleet,
    stack::{Answer, Stack, bunny, quick, slow},
};

async fn why(stack: &Stack, job: &str) -> Vec<String> {
    let why = stack.get(&format!("/jobs/{job}/why")).await;
    assert_eq!(why.status, StatusCode::OK, "{why:#?}");
    let because = why.json["because"].as_array().unwrap();
    assert!(because.iter().all(|one| one["position"].as_str().unwrap().starts_with("1-")));
    let mut sentences: Vec<String> =
        because.iter().map(|one| one["says"].as_str().unwrap().to_owned()).collect();
    sentences.extend(why.json["waits"].as_str().map(str::to_owned));
    sentences
}

/// Waits longer than the shortest delay that is explained. Only time can pass here.
async fn wait_long_enough_to_be_explained() {
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
}

/// Checks that one of the sentences contains all of these words.
#[track_caller]
fn assert_contains(sentences: &[String], words: &[&str]) {
    let found = sentences.iter().any(|one| words.iter().all(|word| one.contains(word)));
    assert!(found, "{words:?} in {sentences:#?}");
}

#[tokio::test]
async fn a_job_is_shown_as_of_every_version() {
    let stack = Stack::new().await;
    let input = stack.upload_bunny().await;
    // The responses of GET at each version.
    let mut seen: Vec<Answer> = Vec::new();
    let job = stack.convert(&input, "a.mp4", quick()).await;
    loop {
        let now = stack.get(&format!("/jobs/{job}")).await;
        if seen.last().is_none_or(|last| last.json["version"] != now.json["version"])
            && now.status == StatusCode::OK
        {
            seen.push(now);
        }
        if seen.last().is_some_and(|last| last.text("/status") == "completed") {
            break;
        }
    }
    for then in &seen {
        let version = then.json["version"].as_u64().unwrap();
        let again = stack.get(&format!("/jobs/{job}?at=v{version}")).await;
        let mut was = then.json.clone();
        // Live progress is not stored in events.
        for field in ["progress", "fps", "speed", "eta_seconds", "stage"] {
            was.as_object_mut().unwrap().remove(field);
        }
        let mut is = again.json.clone();
        for field in ["progress", "stage"] {
            is.as_object_mut().unwrap().remove(field);
        }
        assert_eq!(is, was);
    }
    let first = stack.get(&format!("/jobs/{job}?at=v1")).await;
    assert_eq!(first.text("/status"), "queued");
    let at = seen.last().unwrap().text("/created_at").to_owned();
    let then = stack.get(&format!("/jobs/{job}?at={at}")).await;
    assert_eq!(then.text("/status"), "queued", "{then:#?}");
    // A position, as in the header of a response or in an event.
    let position = first.header("x-log-position");
    let then = stack.get(&format!("/jobs/{job}?at={position}")).await;
    assert_eq!((then.text("/status"), then.header("x-log-position")), ("queued", position));
    let before = stack.get(&format!("/jobs/{job}?at=2020-01-01T00:00:00Z")).await;
    assert_eq!(before.status, StatusCode::NOT_FOUND);
    for bad in ["v99", "yesterday"] {
        let refused = stack.get(&format!("/jobs/{job}?at={bad}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{bad}: {refused:#?}");
    }
}

#[tokio::test]
async fn why_explains_what_delayed_a_job_and_how_it_ended() {
    let stack = Stack::with(&[("FFAPI_WORKER__SLOTS", "4")]).await;
    let patch = json!({ "limits": { "concurrent_jobs": 1 } });
    let limited = stack.send(stack.request(Method::PATCH, "/accounts/default").json(&patch)).await;
    assert_eq!(limited.status, StatusCode::OK, "{limited:#?}");
    let input = stack.upload_bunny().await;
    let video = std::fs::read(bunny()).unwrap();
    stack.write_file("video.mp4", &video);
    let long = stack.convert(&input, "long.mp4", slow()).await;
    stack.until(&long, |job| job.text("/status") == "processing").await;
    let low = json!({ "input": "video.mp4", "priority": "low" });
    let low = stack.post("/probe", &low).await.text("/job/id").to_owned();
    let high = json!({ "input": "video.mp4", "priority": "high" });
    let high = stack.post("/probe", &high).await.text("/job/id").to_owned();
    let later = json!({ "input": "video.mp4", "not_before": "2099-01-01T00:00:00Z" });
    let later = stack.post("/probe", &later).await.text("/job/id").to_owned();
    // While the jobs wait.
    assert_contains(
        &why(&stack, &low).await,
        &["It is number 2", "its account has 1 jobs running"],
    );
    assert_contains(
        &why(&stack, &high).await,
        &["It is number 1", "its account has 1 jobs running"],
    );
    assert_contains(&why(&stack, &later).await, &["not to start before 2099-01-01"]);
    let queue = stack.get("/queue").await;
    let order: Vec<&str> = queue.json["waiting"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["job_id"].as_str().unwrap())
        .collect();
    assert_eq!(order, [high.as_str(), low.as_str(), later.as_str()]);
    // After they have waited.
    wait_long_enough_to_be_explained().await;
    let stopped = stack.post(&format!("/jobs/{long}/cancel"), &json!({})).await;
    assert_eq!(stopped.status, StatusCode::ACCEPTED);
    stack.finished(&low).await;
    let sentences = why(&stack, &high).await;
    assert_contains(&sentences, &["The holder of key_", "submitted it (probe)"]);
    assert_contains(
        &sentences,
        &["It waited", "its account has 1 jobs running, which is its limit"],
    );
    assert_contains(&sentences, &["began attempt 1 on the CPU"]);
    assert_contains(&sentences, &["delivered the outputs"]);
    assert_contains(&why(&stack, &low).await, &["It waited", "its account has 1 jobs running"]);
    assert_contains(&why(&stack, &long).await, &["requested cancellation while attempt 1 ran"]);
    // A hardware preference that no worker could meet, with an allowed fallback.
    let wish = json!({ "input": "video.mp4", "hardware": { "prefer": "nvenc" } });
    let wish = stack.post("/probe", &wish).await.text("/job/id").to_owned();
    stack.finished(&wish).await;
    assert_contains(
        &why(&stack, &wish).await,
        &["No worker offered `nvenc`", "allows `cpu` instead"],
    );
    // A retryable failure, and one that is not.
    let bad =
        stack.post("/probe", &json!({ "input": "none.mp4" })).await.text("/job/id").to_owned();
    stack.finished(&bad).await;
    let sentences = why(&stack, &bad).await;
    assert_contains(&sentences, &["Attempt 1 failed with `input_not_found`"]);
    assert_contains(&sentences, &["is not retryable"]);
    let retried = stack.post(&format!("/jobs/{bad}/retry"), &json!({})).await;
    assert_eq!(retried.status, StatusCode::ACCEPTED);
    assert_contains(&why(&stack, &bad).await, &["requested a retry: attempt 2"]);
    let unknown = stack.get("/jobs/job_00000000000070008000000000000000/why").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn why_explains_priority_and_reassignment() {
    let mut stack = Stack::with(&[("FFAPI_WORKER__SLOTS", "1")]).await;
    stack.write_file("video.mp4", &std::fs::read(bunny()).unwrap());
    let input = stack.upload_bunny().await;
    let long = stack.convert(&input, "long.mp4", slow()).await;
    stack.until(&long, |job| job.text("/status") == "processing").await;
    let mut normal = Vec::new();
    for _ in 0..3 {
        let job = stack.post("/probe", &json!({ "input": "video.mp4" })).await;
        normal.push(job.text("/job/id").to_owned());
    }
    let high = json!({ "input": "video.mp4", "priority": "high" });
    let high = stack.post("/probe", &high).await.text("/job/id").to_owned();
    wait_long_enough_to_be_explained().await;
    stack.post(&format!("/jobs/{long}/cancel"), &json!({})).await;
    stack.finished(&high).await;
    for job in &normal {
        stack.finished(job).await;
    }
    assert_contains(
        &why(&stack, &normal[2]).await,
        &["It waited", "more urgent jobs of its account go first"],
    );
    // A worker that crashes during a job.
    let job = stack.convert(&input, "taken.mp4", slow()).await;
    stack.until(&job, |job| job.text("/status") == "processing").await;
    stack.kill();
    stack.restart().await;
    stack.until(&job, |job| job.json["attempt"] == 2).await;
    assert_contains(
        &why(&stack, &job).await,
        &["Attempt 1 was abandoned", "another worker takes it over"],
    );
}

#[tokio::test]
async fn why_explains_a_missing_worker() {
    let mut fleet = Fleet::without_workers().await;
    let url = fleet.urls[0].clone();
    let body = json!({ "input": "none.mp4" });
    let job = fleet.post("/probe", body.to_string().into(), "k").await.text("/job/id").to_owned();
    let waits = fleet
        .until(&url, &format!("/api/v1/jobs/{job}/why"), |_, why| why["waits"].is_string())
        .await;
    assert!(waits["waits"].as_str().unwrap().contains("no worker offers `cpu`"), "{waits:#}");
    wait_long_enough_to_be_explained().await;
    fleet.start("worker");
    let over = |_, job: &Value| job["status"] == "failed";
    fleet.until(&url, &format!("/api/v1/jobs/{job}"), over).await;
    let why = fleet.until(&url, &format!("/api/v1/jobs/{job}/why"), |_, _| true).await;
    assert!(why.to_string().contains("no worker offers `cpu`"), "{why:#}");
}

#[tokio::test]
async fn a_job_is_rerun_as_recorded_or_with_changes_and_compared() {
    let stack = Stack::new().await;
    let input = stack.upload_bunny().await;
    let job = stack.convert(&input, "a.mp4", quick()).await;
    stack.finished(&job).await;
    // The recorded plan produces identical bytes under another name.
    let again = json!({ "overrides": { "output": "b.mp4" } });
    let made = stack.post(&format!("/jobs/{job}/rerun"), &again).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
    assert_eq!(made.text("/job/rerun_of"), job);
    let second = made.text("/job/id").to_owned();
    stack.finished(&second).await;
    let diff = stack.get(&format!("/jobs/{second}/diff")).await;
    assert_eq!(diff.text("/with"), job);
    let pointers = |diff: &Answer| -> Vec<String> {
        let all = diff.json["differences"].as_array().unwrap();
        all.iter().map(|one| one["pointer"].as_str().unwrap().to_owned()).collect()
    };
    // Only the name and its fields differ.
    assert!(pointers(&diff).iter().all(|at| at.starts_with("#/outputs/")), "{diff:#?}");
    let sum = |answer: &Answer| answer.text("/outputs/0/sha256").to_owned();
    let (one, two) = (stack.finished(&job).await, stack.finished(&second).await);
    assert_eq!(sum(&one), sum(&two));
    assert_eq!(one.json["operations"], two.json["operations"]);
    // With a change: another size.
    let smaller = json!({ "overrides": { "output": "c.mp4", "operations": [
        { "type": "trim", "start": 1, "duration": 1 }, { "type": "scale", "height": 72 },
        { "type": "transcode", "preset": "ultrafast" } ] } });
    let third = stack.post(&format!("/jobs/{job}/rerun"), &smaller).await;
    let third = third.text("/job/id").to_owned();
    stack.finished(&third).await;
    let diff = stack.get(&format!("/jobs/{third}/diff?with={second}")).await;
    assert!(pointers(&diff).iter().any(|at| at.starts_with("#/request/")), "{diff:#?}");
    let wrong = json!({ "overrides": { "colour": "red" } });
    let refused = stack.post(&format!("/jobs/{job}/rerun"), &wrong).await;
    assert_eq!(refused.text("/errors/0/pointer"), "#/overrides/colour", "{refused:#?}");
}

#[tokio::test]
async fn every_kind_of_job_can_be_rerun_from_its_record() {
    let stack = Stack::new().await;
    let input = stack.upload_bunny().await;
    for (n, (path, body)) in [
        (
            "/stream",
            json!({ "type": "hls", "segment_duration": 2, "encoder_preset": "ultrafast",
            "variants": [{ "name": "low", "height": 90, "crf": 40 }] }),
        ),
        ("/thumbnails", json!({ "mode": "count", "count": 2, "height": 90, "format": "png" })),
        ("/thumbnails", json!({ "mode": "single", "timestamp": 1.5, "height": 90 })),
        ("/analyze", json!({ "metrics": ["loudness", "scenes"] })),
        ("/probe", json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = body;
        body["input"] = json!(input);
        body["not_before"] = json!("2099-01-01T00:00:00Z");
        if matches!(path, "/stream" | "/thumbnails") {
            body["output"] = json!(format!("folder-{n}"));
        }
        let job = stack.post(path, &body).await;
        assert_eq!(job.status, StatusCode::CREATED, "{path}: {job:#?}");
        let id = job.text("/job/id").to_owned();
        stack.post(&format!("/jobs/{id}/cancel"), &json!({})).await;
        let again = json!({ "overrides": { "priority": "high" } });
        let made = stack.post(&format!("/jobs/{id}/rerun"), &again).await;
        assert_eq!(made.status, StatusCode::CREATED, "{path}: {made:#?}");
        assert_eq!(made.text("/job/priority"), "high");
        let other = made.text("/job/id").to_owned();
        assert_eq!(made.json["job"]["request"], job.json["job"]["request"], "{path}");
        let diff = stack.get(&format!("/jobs/{other}/diff")).await;
        let all = diff.json["differences"].as_array().unwrap();
        assert!(all.iter().all(|one| one["pointer"] == "#/status"), "{path}: {diff:#?}");
        stack.post(&format!("/jobs/{other}/cancel"), &json!({})).await;
    }
}
