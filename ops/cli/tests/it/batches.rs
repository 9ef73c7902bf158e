//! Batches: accepted, counted, cancelled and retried as a whole, also across crashes.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    crash::equals_its_rebuild,
    feed::{self, Stream},
    polling,
    stack::{Answer, Stack, bunny, quick, slow},
};

/// Polls a batch until `wanted` holds.
async fn until(stack: &Stack, id: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let adds_up = |batch: &Answer| {
        let counts = &batch.json["counts"];
        if counts.is_object() {
            let sum: u64 = ["queued", "processing", "completed", "failed", "cancelled"]
                .iter()
                .map(|name| counts[name].as_u64().unwrap())
                .sum();
            assert_eq!(counts["total"].as_u64().unwrap(), sum, "at every moment: {batch:#?}");
        }
        wanted(batch)
    };
    stack.poll(&format!("/batch/{id}"), adds_up).await
}

async fn finished(stack: &Stack, id: &str) -> Answer {
    until(stack, id, |batch| {
        batch.text("/status") != "processing" && !batch.text("/ended_at").is_empty()
    })
    .await
}

async fn submit(stack: &Stack, body: &Value) -> String {
    let answer = stack.post("/batch", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:#?}");
    answer.text("/id").to_owned()
}

/// Writes `count` small files into the tenant's storage, and returns a batch that probes each.
fn probes(stack: &Stack, count: usize) -> Value {
    let video = std::fs::read(bunny()).unwrap();
    let name = stack.write_file("in/video.mp4", &video);
    json!({ "jobs": vec![json!({ "kind": "probe", "input": name }); count] })
}

#[tokio::test]
async fn a_batch_is_accepted_in_one_decision_and_ends_as_its_jobs_do() {
    let stack = Stack::new().await;
    let video = std::fs::read(bunny()).unwrap();
    for name in ["a", "b", "c"] {
        stack.write_file(&format!("in/{name}.mp4"), &video);
    }
    let body = json!({
        "name": "evening", "max_parallel": 2, "max_retries": 0,
        "files": ["in/a.mp4", "in/b.mp4", "in/missing.mp4", "in/c.mp4"],
        "template": { "kind": "convert", "output": "out/{name}-{index}.webm", "metadata": {"of": "{file}"},
            "operations": [{ "type": "trim", "start": 1, "duration": 1 }, { "type": "scale", "height": 90 }] },
    });
    let post = || stack.request(Method::POST, "/batch").header("idempotency-key", "k").json(&body);
    let made = stack.send(post()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
    let id = made.text("/id").to_owned();
    assert_eq!(made.header("location"), format!("/api/v1/batch/{id}"));
    let jobs: Vec<String> = serde_json::from_value(made.json["jobs"].clone()).unwrap();
    assert_eq!(jobs.len(), 4);
    // Every job exists as soon as the batch is accepted.
    for job in &jobs {
        let events = stack.history(job).await;
        assert_eq!(events[0], "job.queued");
    }
    let again = stack.send(post()).await;
    assert_eq!((again.text("/id"), again.header("idempotent-replayed")), (id.as_str(), "true"));

    let ended = finished(&stack, &id).await;
    assert_eq!(ended.text("/status"), "partial_success", "{ended:#?}");
    assert_eq!(ended.json["counts"]["completed"], 3);
    assert_eq!(ended.json["counts"]["failed"], 1);
    assert_eq!(ended.json["progress"], 100.0);
    let third = stack.finished(&jobs[2]).await;
    assert_eq!(third.text("/error/code"), "input_not_found");
    assert_eq!((third.text("/batch_id"), third.text("/metadata/of")), (id.as_str(), "missing.mp4"));
    assert!(stack.data.path().join("storage/default/out/c-4.webm").is_file());

    // Pagination returns each job once.
    let mut seen = Vec::new();
    let mut path = format!("/batch/{id}/jobs?limit=3&sort=created_at:asc");
    loop {
        let page = stack.get(&path).await;
        for job in page.json["data"].as_array().unwrap() {
            seen.push(job["id"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page.json["next_cursor"].as_str() else { break };
        path = format!("/batch/{id}/jobs?limit=3&sort=created_at:asc&cursor={cursor}");
    }
    assert_eq!(seen, jobs);
    let failed = stack.get(&format!("/jobs?batch_id={id}&status=failed")).await;
    assert_eq!(failed.json["data"].as_array().unwrap().len(), 1);

    // Only failed jobs are retried.
    stack.write_file("in/missing.mp4", &video);
    let retried = stack.post(&format!("/batch/{id}/retry"), &json!({})).await;
    assert_eq!(retried.status, StatusCode::ACCEPTED, "{retried:#?}");
    assert_eq!(retried.text("/status"), "processing", "{retried:#?}");
    let ended = finished(&stack, &id).await;
    assert_eq!(ended.text("/status"), "completed", "{ended:#?}");
    let history = stack.history(&jobs[0]).await;
    assert!(!history.contains(&"job.retried".to_owned()), "{history:?}");
    let nothing = stack.post(&format!("/batch/{id}/retry"), &json!({})).await;
    assert_eq!(nothing.status, StatusCode::CONFLICT, "{nothing:#?}");

    let listed = stack.get("/batch").await;
    assert_eq!(listed.text("/data/0/id"), id);
    let stats = stack.get("/batch/stats").await;
    assert_eq!((&stats.json["batches"], &stats.json["jobs"]["completed"]), (&json!(1), &json!(4)));
}

#[tokio::test]
async fn all_errors_of_a_batch_are_reported_at_once_and_no_job_is_created() {
    let stack = Stack::new().await;
    let body = json!({ "jobs": [
        { "kind": "probe", "input": "in/a.mp4" },
        { "kind": "convert", "input": "in/a.mp4", "output": "x.mp4", "operations": [{ "type": "scale", "height": -1 }] },
        { "kind": "dance", "input": "in/a.mp4" },
        { "kind": "probe", "input": "in/a.mp4", "colour": "red" },
        { "kind": "convert", "input": "in/a.mp4", "output": "same.mp4" },
        { "kind": "convert", "input": "in/b.mp4", "output": "same.mp4" },
    ]});
    let refused = stack.post("/batch", &body).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:#?}");
    let errors = refused.json["errors"].as_array().unwrap();
    let pointers: Vec<&str> = errors.iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    assert!(pointers[0].starts_with("#/jobs/1/operations/0"), "{pointers:?}");
    assert_eq!(pointers[1..3], ["#/jobs/2/kind", "#/jobs/3/colour"]);
    assert_eq!(pointers[3], "#/jobs/5/output");
    for (body, pointer) in [
        (json!({}), "#/jobs"),
        (json!({ "jobs": [] }), "#/jobs"),
        (json!({ "jobs": vec![json!({ "kind": "probe", "input": "a.mp4" }); 1001] }), "#/jobs"),
        (json!({ "files": ["a.mp4"] }), "#/jobs"),
        (
            json!({ "files": ["a.mp4"], "template": { "kind": "probe", "input": "b.mp4" } }),
            "#/template/input",
        ),
        (json!({ "files": ["../a.mp4"], "template": { "kind": "probe" } }), "#/files/0"),
        (
            json!({ "jobs": [{ "kind": "probe", "input": "a.mp4" }], "max_parallel": 21 }),
            "#/max_parallel",
        ),
        (
            json!({ "jobs": [{ "kind": "probe", "input": "a.mp4" }], "max_retries": 11 }),
            "#/max_retries",
        ),
    ] {
        let refused = stack.post("/batch", &body).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:#?}");
        assert_eq!(refused.text("/errors/0/pointer"), pointer, "{refused:#?}");
    }
    let jobs = stack.get("/jobs").await;
    assert_eq!(jobs.json["data"], json!([]));
    let unknown = stack.get("/batch/batch_00000000000070008000000000000000").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn cancelling_a_batch_cancels_its_running_jobs() {
    let stack = Stack::new().await;
    let input = stack.upload_bunny().await;
    let jobs: Vec<Value> = (0..5)
        .map(|n| {
            json!({ "kind": "convert", "input": input, "output": format!("{n}.mp4"), "operations": slow() })
        })
        .collect();
    let id = submit(&stack, &json!({ "jobs": jobs, "max_parallel": 2 })).await;
    until(&stack, &id, |batch| batch.json["counts"]["processing"] == 2).await;
    // Waiting jobs show the reason: two running jobs are the limit.
    let queue = stack.get("/queue").await;
    let waiting = queue.json["waiting"].as_array().unwrap();
    assert!(waiting.iter().any(|job| job["reason"] == "batch_cap"), "{queue:#?}");
    let cancelled = stack.post(&format!("/batch/{id}/cancel"), &json!({})).await;
    assert_eq!(cancelled.status, StatusCode::ACCEPTED, "{cancelled:#?}");
    assert_eq!(cancelled.json["cancel_requested"], true);
    let ended = finished(&stack, &id).await;
    assert_eq!(ended.text("/status"), "cancelled", "{ended:#?}");
    assert_eq!(ended.json["counts"]["cancelled"], 5);
    assert_eq!(stack.files(), Vec::<String>::new());
    let again = stack.post(&format!("/batch/{id}/cancel"), &json!({})).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_batch_concurrency_limit_holds_and_does_not_delay_other_jobs() {
    let stack = Stack::with(&[("FFAPI_WORKER__SLOTS", "2")]).await;
    let mut body = probes(&stack, 30);
    body["max_parallel"] = json!(1);
    let id = submit(&stack, &body).await;
    let single = json!({ "input": "in/video.mp4" });
    let single = stack.post("/probe", &single).await.text("/job/id").to_owned();
    stack.finished(&single).await;
    let batch = stack.get(&format!("/batch/{id}")).await;
    assert_eq!(batch.text("/status"), "processing", "the single job was not last: {batch:#?}");
    finished(&stack, &id).await;
    let (mut running, mut most) = (0, 0);
    for event in feed::all(&stack, "/events").await {
        if event["job_id"] == single.as_str() {
            continue;
        }
        match event["type"].as_str().unwrap() {
            "job.started" => running += 1,
            "job.completed" | "job.failed" => running -= 1,
            _ => {}
        }
        most = most.max(running);
    }
    assert_eq!(most, 1);
}

#[tokio::test]
async fn a_batch_stream_can_be_resumed() {
    let stack = Stack::new().await;
    let id = submit(&stack, &probes(&stack, 6)).await;
    let mut stream = Stream::open(&stack, &format!("/batch/{id}/events"), None).await;
    let first = stream.next().await.unwrap();
    assert_eq!(first.kind, "batch.progress");
    assert_eq!(first.data["data"]["counts"]["total"], 6);
    let second = stream.next().await.unwrap();
    drop(stream);
    let mut stream = Stream::open(&stack, &format!("/batch/{id}/events"), Some(&second.id)).await;
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event);
    }
    assert_eq!(events.last().unwrap().kind, "batch.completed", "{events:#?}");
    let completed = events.iter().filter(|event| event.kind == "job.completed").count();
    let before = usize::from(second.kind == "job.completed");
    assert_eq!(completed + before, 6, "each once: {events:#?}");
    let counts = events.iter().rev().find(|event| event.kind == "batch.progress").unwrap();
    assert_eq!(counts.data["data"]["counts"]["completed"], 6);
    // A client that connects after the end receives only the final state.
    let mut late = Stream::open(&stack, &format!("/batch/{id}/events"), None).await;
    assert_eq!(late.next().await.unwrap().data["data"]["progress"], 100.0);
    assert!(late.next().await.is_none());
    // A browser can follow it with a token for this batch only.
    let token = stack.post("/tokens", &json!({ "batch": id })).await.text("/token").to_owned();
    let url = format!("{}/api/v1/batch/{id}/events?token={token}", stack.url);
    assert_eq!(crate::stack::http().get(url).send().await.unwrap().status(), StatusCode::OK);
    let url = format!("{}/api/v1/events?token={token}", stack.url);
    assert_eq!(
        crate::stack::http().get(url).send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_batch_loses_and_duplicates_nothing() {
    let mut stack = Stack::new().await;
    for failpoint in [
        "gateway.before_batch",
        "gateway.after_batch",
        "gateway.in_batch",
        "commands.after_append.batch",
        "conductor.before_batch_step",
        "conductor.before_batch_end",
        "conductor.after_batch_end",
    ] {
        let body = probes(&stack, 8);
        stack.arm_failpoint(failpoint, "");
        if failpoint == "conductor.before_batch_step" {
            // The conductor completes what a gateway left undone.
            stack.arm_failpoint("gateway.in_batch", "");
        }
        let id = loop {
            let request = stack.request(Method::POST, "/batch").json(&body);
            match request.header("idempotency-key", failpoint).send().await {
                Ok(answer) if answer.status().is_success() => {
                    break answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
                }
                _ if stack.has_exited() => stack.restart().await,
                _ => {}
            }
        };
        stack.failpoint_hit(failpoint).await;
        let load = async || {
            if stack.has_exited() {
                stack.restart().await;
            }
            let request = stack.request(Method::GET, &format!("/batch/{id}"));
            request.send().await?.json::<Value>().await
        };
        let ended = |batch: &Result<Value, reqwest::Error>| {
            batch.as_ref().is_ok_and(|batch| batch["ended_at"].is_string())
        };
        let batch = polling::until(load, ended).await.unwrap();
        assert_eq!(batch["status"], "completed", "{failpoint}: {batch:#}");
        assert_eq!(batch["counts"]["completed"], 8, "{failpoint}: {batch:#}");
        let events = feed::all(&stack, "/events").await;
        let of = |kind: &str| {
            events.iter().filter(|e| e["type"] == kind && e["batch_id"] == id.as_str()).count()
        };
        assert_eq!((of("batch.queued"), of("batch.completed")), (1, 1), "{failpoint}");
    }
    let completed = feed::all(&stack, "/events").await;
    let completed = completed.iter().filter(|event| event["type"] == "job.completed").count();
    assert_eq!(completed, 7 * 8);
    equals_its_rebuild(&stack);
}

#[tokio::test]
async fn an_interrupted_batch_cancellation_is_completed() {
    let mut stack = Stack::new().await;
    let input = stack.upload_bunny().await;
    let jobs: Vec<Value> = (0..4)
        .map(|n| {
            json!({ "kind": "convert", "input": input, "output": format!("{n}.mp4"), "operations": slow() })
        })
        .collect();
    let id = submit(&stack, &json!({ "jobs": jobs })).await;
    stack.arm_failpoint("gateway.after_batch_cancel", "");
    let _ = stack.request(Method::POST, &format!("/batch/{id}/cancel")).send().await;
    stack.died_and_restarted().await;
    let ended = finished(&stack, &id).await;
    assert_eq!(ended.json["counts"]["cancelled"], 4, "{ended:#?}");
    let quick = stack.convert(&input, "after.mp4", quick()).await;
    assert_eq!(stack.finished(&quick).await.text("/status"), "completed");
}

#[tokio::test]
async fn jobs_of_batches_count_towards_the_hourly_limit() {
    let stack = Stack::with(&[("FFAPI_TIERS__ENTERPRISE__REQUESTS_PER_HOUR", "50")]).await;
    let batch = async |jobs: usize| {
        let job =
            json!({ "kind": "probe", "input": "a.mp4", "not_before": "2099-01-01T00:00:00Z" });
        stack.post("/batch", &json!({ "jobs": vec![job; jobs] })).await
    };
    let made = batch(400).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
    let refused = batch(200).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused:#?}");
    assert!(refused.text("/detail").contains("batch-jobs"), "{refused:#?}");
    assert!(!refused.header("retry-after").is_empty(), "{refused:#?}");
    // The jobs of a rejected batch are not counted.
    let made = batch(100).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
}
