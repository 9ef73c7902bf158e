//! Jobs whose inputs are outputs of other jobs: they wait, run, and fail when the output never comes.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    crash::equals_its_rebuild,
    keys, polling,
    stack::{Answer, Stack, bunny, quick, steady},
};

/// A stack with `in/a.mp4` in its storage.
async fn with_video() -> Stack {
    let stack = Stack::new().await;
    stack.write_file("in/a.mp4", &std::fs::read(bunny()).unwrap());
    stack
}

fn output_of(job: &str, output: &str) -> Value {
    json!({ "job": job, "output": output })
}

async fn submit(stack: &Stack, path: &str, body: &Value) -> String {
    let answer = stack.post(path, body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:#?}");
    answer.text("/job/id").to_owned()
}

fn convert(input: impl Into<Value>, output: &str, operations: &Value) -> Value {
    json!({ "input": input.into(), "output": output, "operations": operations })
}

async fn completed(stack: &Stack, job: &str) -> Answer {
    let ended = stack.finished(job).await;
    assert_eq!(ended.text("/status"), "completed", "{ended:#?}");
    ended
}

async fn refused(stack: &Stack, body: &Value) -> String {
    let answer = stack.post("/probe", body).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:#?}");
    assert_eq!(answer.text("/errors/0/pointer"), "#/input", "{answer:#?}");
    answer.text("/errors/0/detail").to_owned()
}

/// The reason in the queue for which a job waits.
async fn reason(stack: &Stack, job: &str) -> Option<String> {
    let queue = stack.get("/queue").await;
    let waiting = queue.json["waiting"].as_array()?;
    let this = waiting.iter().find(|waiting| waiting["job_id"] == job)?;
    Some(format!("{}: {}", this["reason"].as_str()?, this["why"].as_str()?))
}

#[tokio::test]
async fn a_job_starts_once_the_job_that_makes_its_input_has_completed() {
    let stack = with_video().await;
    let first = submit(&stack, "/convert", &convert("in/a.mp4", "mid/b.mp4", &steady())).await;
    let second = convert(output_of(&first, "b.mp4"), "out/c.webm", &quick());
    let second = submit(&stack, "/convert", &second).await;
    // As text, like responses show it.
    let input = format!("job://{second}/c.webm");
    let third = submit(&stack, "/probe", &json!({ "input": input })).await;
    let shown = stack.get(&format!("/jobs/{third}")).await;
    assert_eq!(shown.text("/input"), input);

    let waits = format!("it reads an output of {first}, which has not completed");
    assert_eq!(reason(&stack, &second).await.unwrap(), format!("waiting_for: {waits}"));
    let why = stack.get(&format!("/jobs/{second}/why")).await;
    assert_eq!(why.text("/waits"), format!("It is waiting: {waits}."));

    completed(&stack, &first).await;
    let second = completed(&stack, &second).await;
    let third = completed(&stack, &third).await;
    let ended: Vec<&str> = [&second, &third].map(|job| job.text("/completed_at")).into();
    assert!(ended[0] <= ended[1], "{ended:?}");
    assert_eq!(third.text("/result/streams/0/codec"), "vp9", "{third:#?}");

    // An output that exists already is read at once.
    let fourth = submit(&stack, "/probe", &json!({ "input": output_of(&first, "b.mp4") })).await;
    completed(&stack, &fourth).await;
}

#[tokio::test]
async fn a_job_fails_once_its_input_will_never_be_made_and_can_be_retried() {
    let stack = with_video().await;
    let first = convert("in/late.mp4", "mid/b.mp4", &quick());
    let body = json!({ "jobs": [
        { "kind": "probe", "input": "@first/b.mp4" },
        { "kind": "convert", "name": "first", "input": "in/late.mp4", "output": "mid/b.mp4", "operations": first["operations"] },
    ] });
    let batch = stack.post("/batch", &body).await;
    assert_eq!(batch.status, StatusCode::CREATED, "{batch:#?}");
    let [second, first] = [0, 1].map(|n| batch.text(&format!("/jobs/{n}")).to_owned());
    let failed = stack.finished(&first).await;
    assert_eq!(failed.text("/error/code"), "input_not_found", "{failed:#?}");
    let failed = stack.finished(&second).await;
    assert_eq!(failed.text("/error/code"), "input_job_failed", "{failed:#?}");
    assert!(failed.text("/error/message").contains(&first), "{failed:#?}");
    assert_eq!(failed.json["attempt"], 0, "it never started: {failed:#?}");

    // Submitted now, it is refused; retried with the batch, it runs.
    let detail = refused(&stack, &json!({ "input": output_of(&first, "b.mp4") })).await;
    assert!(detail.contains("failed") && detail.contains("retry it first"), "{detail}");
    stack.write_file("in/late.mp4", &std::fs::read(bunny()).unwrap());
    let retried = stack.post(&format!("/batch/{}/retry", batch.text("/id")), &json!({})).await;
    assert_eq!(retried.status, StatusCode::ACCEPTED, "{retried:#?}");
    let again = async |job: &str| -> Answer {
        let is_completed = |job: &Answer| job.text("/status") == "completed";
        stack.poll(&format!("/jobs/{job}"), is_completed).await
    };
    again(&first).await;
    again(&second).await;
}

#[tokio::test]
async fn inputs_that_cannot_come_are_refused_in_words() {
    let stack = with_video().await;
    let waiting = submit(&stack, "/convert", &convert("in/a.mp4", "mid/b.mp4", &steady())).await;
    let probe = submit(&stack, "/probe", &json!({ "input": "in/a.mp4" })).await;
    let (_, other) = keys::key(&stack, "other", &["jobs:write"]).await;
    let body = json!({ "input": output_of(&waiting, "b.mp4") });
    let foreign = stack.request_as(&other, Method::POST, "/probe").json(&body);
    let foreign = stack.send(foreign).await;
    assert_eq!(foreign.status, StatusCode::UNPROCESSABLE_ENTITY, "{foreign:#?}");
    assert!(foreign.text("/errors/0/detail").starts_with("there is no job_"), "{foreign:#?}");
    for (input, says) in [
        (output_of("job_00000000000000000000000000000000", "b.mp4"), "there is no job_"),
        (output_of(&waiting, "c.mp4"), "it has `b.mp4`"),
        (output_of(&probe, "c.mp4"), "which makes no outputs"),
        (output_of("b", "c.mp4"), "job://job_<32 hex digits>/<name>"),
        (output_of(&waiting, "../b.mp4"), "without `..`"),
        (json!({ "job": waiting }), "an input is a location"),
        (json!(7), "an input is a location"),
        (json!("job://b.mp4"), "job://job_<32 hex digits>/<name>"),
    ] {
        let detail = refused(&stack, &json!({ "input": input })).await;
        assert!(detail.contains(says), "{input}: {detail}");
    }
    let output = convert("in/a.mp4", &format!("job://{waiting}/x.mp4"), &quick());
    let answer = stack.post("/convert", &output).await;
    assert_eq!(answer.text("/errors/0/pointer"), "#/output", "{answer:#?}");
}

#[tokio::test]
async fn jobs_of_a_batch_read_each_others_outputs_by_name() {
    let stack = with_video().await;
    let quick = quick();
    let body = json!({ "jobs": [
        { "kind": "analyze", "name": "check", "input": "@small/b.mp4", "reference": "@base/a.mp4", "metrics": ["psnr"] },
        { "kind": "convert", "name": "small", "input": "@base/a.mp4", "output": "out/b.mp4",
          "operations": [{ "type": "transcode", "crf": 40 }] },
        { "kind": "convert", "name": "base", "input": "in/a.mp4", "output": "mid/a.mp4", "operations": quick },
    ] });
    let batch = stack.post("/batch", &body).await;
    assert_eq!(batch.status, StatusCode::CREATED, "{batch:#?}");
    let check = completed(&stack, batch.text("/jobs/0")).await;
    assert!(check.json["result"]["psnr"].is_object(), "{check:#?}");

    let probe = |name: &str, input: &str| json!({ "kind": "probe", "name": name, "input": input });
    for (jobs, pointer, says) in [
        (json!([probe("a", "@b/x.mp4")]), "#/jobs/0/input", "no job of the batch is named `b`"),
        (json!([probe("a", "in/a.mp4"), probe("a", "in/a.mp4")]), "#/jobs/1/name", "`a`"),
        (json!([probe("a b", "in/a.mp4")]), "#/jobs/0/name", "letters"),
        (json!([probe("a", "in/a.mp4"), probe("b", "@a/x.mp4")]), "#/jobs/1/input", "no outputs"),
        (json!([probe("a", "@b/x"), probe("b", "@a/x")]), "#/jobs/0/input", "each other's"),
    ] {
        let answer = stack.post("/batch", &json!({ "jobs": jobs })).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:#?}");
        assert_eq!(answer.text("/errors/0/pointer"), pointer, "{answer:#?}");
        assert!(answer.text("/errors/0/detail").contains(says), "{answer:#?}");
    }
    // Without names, it is a path.
    stack.write_file("@b/x.mp4", &std::fs::read(bunny()).unwrap());
    let plain = json!({ "jobs": [{ "kind": "probe", "input": "@b/x.mp4" }] });
    let batch = stack.post("/batch", &plain).await;
    completed(&stack, batch.text("/jobs/0")).await;
}

#[tokio::test]
async fn crashes_while_jobs_wait_lose_nothing() {
    let mut stack = with_video().await;
    let body = json!({ "jobs": [
        { "kind": "probe", "input": "@b/c.mp4" },
        { "kind": "convert", "name": "b", "input": "@a/b.mp4", "output": "out/c.mp4", "operations": quick() },
        { "kind": "convert", "name": "a", "input": "in/a.mp4", "output": "mid/b.mp4" },
        { "kind": "convert", "name": "never", "input": "in/none.mp4", "output": "mid/n.mp4" },
        { "kind": "probe", "input": "@never/n.mp4" },
    ] });
    stack.arm_failpoint("gateway.in_batch", "");
    stack.arm_failpoint("conductor.before_missing_input", "");
    let id = loop {
        let request = stack.request(Method::POST, "/batch").json(&body);
        match request.header("idempotency-key", "k").send().await {
            Ok(answer) if answer.status().is_success() => {
                break answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
            }
            _ if stack.has_exited() => stack.restart().await,
            _ => {}
        }
    };
    let load = async || {
        if stack.has_exited() {
            stack.restart().await;
        }
        let request = stack.request(Method::GET, &format!("/batch/{id}"));
        request.send().await?.json::<Value>().await
    };
    let has_ended = |batch: &Result<Value, reqwest::Error>| {
        batch.as_ref().is_ok_and(|batch| batch["ended_at"].is_string())
    };
    let ended = polling::until(load, has_ended).await.unwrap();
    for failpoint in ["gateway.in_batch", "conductor.before_missing_input"] {
        stack.failpoint_hit(failpoint).await;
    }
    assert_eq!(ended["status"], "partial_success", "{ended:#}");
    assert_eq!((&ended["counts"]["completed"], &ended["counts"]["failed"]), (&json!(3), &json!(2)));
    equals_its_rebuild(&stack);
}
