//! Presets: named defaults of jobs, with immutable versions.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::stack::{Stack, bunny, probe};

fn web(height: u32) -> serde_json::Value {
    json!({ "operations": [
        { "type": "trim", "start": 0, "duration": 1 }, { "type": "scale", "height": height },
        { "type": "transcode", "preset": "ultrafast" } ] })
}

#[tokio::test]
async fn a_job_uses_a_preset_by_name_and_keeps_its_version() {
    let stack = Stack::new().await;
    let input = stack.upload_bunny().await;
    let preset = json!({ "name": "web", "kind": "convert", "body": web(90) });
    let made = stack.post("/presets", &preset).await;
    assert_eq!((made.status, &made.json["version"]), (StatusCode::CREATED, &json!(1)), "{made:#?}");
    let job = stack
        .post("/convert", &json!({ "input": input, "output": "a.mp4", "preset": "web" }))
        .await;
    assert_eq!(job.text("/job/preset"), "web@1", "{job:#?}");
    let first = job.text("/job/id").to_owned();
    stack.finished(&first).await;
    let path = stack.data.path().join("storage/default/a.mp4");
    assert_eq!(probe(&path, "v:0", "stream=height"), "90");
    // A new version does not change existing jobs.
    let put = stack.request(Method::PUT, "/presets/web").json(&json!({ "body": web(72) }));
    let put = stack.send(put).await;
    assert_eq!(put.json["version"], 2, "{put:#?}");
    assert_eq!(stack.get(&format!("/jobs/{first}")).await.text("/preset"), "web@1");
    assert_eq!(stack.get("/presets/web").await.json["version"], 2);
    assert_eq!(stack.get("/presets/web/1").await.json["body"], web(90));
    // By version, or with overrides; also in a batch.
    let old = json!({ "input": input, "output": "b.mp4", "preset": "web@1" });
    let old = stack.post("/convert", &old).await;
    assert_eq!(old.text("/job/preset"), "web@1", "{old:#?}");
    stack.finished(old.text("/job/id")).await;
    let body = json!({ "files": [input], "max_parallel": 1,
        "template": { "kind": "convert", "output": "c-{index}.mp4", "preset": "web" } });
    let batch = stack.post("/batch", &body).await;
    let of_batch = batch.text("/jobs/0").to_owned();
    assert_eq!(stack.finished(&of_batch).await.text("/preset"), "web@2");
    // The jobs that used version 1 are listed and rerun with the newest.
    stack.list_has("/jobs?preset=web@1&status=completed&kind=convert,probe", 2).await;
    stack.list_has("/jobs?preset=web&status=completed", 3).await;
    let again = stack.post("/presets/web/1/rerun", &json!({})).await;
    assert_eq!(again.status, StatusCode::CREATED, "{again:#?}");
    assert_eq!(again.json["jobs"].as_array().unwrap().len(), 2);
    for job in again.json["jobs"].as_array().unwrap() {
        let job = stack.finished(job.as_str().unwrap()).await;
        assert_eq!((job.text("/status"), job.text("/preset")), ("completed", "web@2"), "{job:#?}");
    }
    assert_eq!(probe(&path, "v:0", "stream=height"), "72");
}

#[tokio::test]
async fn invalid_presets_are_rejected_and_other_tenants_see_none() {
    let stack = Stack::new().await;
    for (body, pointer) in [
        (json!({ "name": "Web!", "kind": "convert", "body": {} }), "#/name"),
        (json!({ "name": "a", "kind": "dance", "body": {} }), "#/kind"),
        (json!({ "name": "a", "kind": "convert", "body": { "colour": 1 } }), "#/body/colour"),
        (json!({ "name": "a", "kind": "convert", "body": { "input": "x" } }), "#/body/input"),
        // Presets are stored unencrypted.
        (
            json!({ "name": "a", "kind": "convert", "body": { "webhook_url": "https://a.example/x" } }),
            "#/body/webhook_url",
        ),
        (
            json!({ "name": "a", "kind": "convert", "body": { "operations": [
                { "type": "watermark", "image": "https://a.example/logo.png?signature=hush" } ] } }),
            "#/body/operations/0/image",
        ),
        (
            json!({ "name": "a", "kind": "convert", "body": { "operations": [{ "type": "scale", "height": -1 }] } }),
            "#/body/operations/0/height",
        ),
    ] {
        let refused = stack.post("/presets", &body).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:#?}");
        assert!(refused.text("/errors/0/pointer").starts_with(pointer), "{pointer}: {refused:#?}");
    }
    let several =
        json!({ "name": "A b", "kind": "convert", "body": { "keep": "x", "priority": 1 } });
    let refused = stack.post("/presets", &several).await;
    assert_eq!(refused.pointers(), ["#/body/keep", "#/body/priority", "#/name"], "{refused:#?}");
    let own = json!({ "name": "own", "kind": "probe", "body": { "priority": "high" } });
    assert_eq!(stack.post("/presets", &own).await.status, StatusCode::CREATED);
    let all =
        json!({ "name": "all", "kind": "probe", "body": { "priority": "low" }, "global": true });
    assert_eq!(stack.post("/presets", &all).await.status, StatusCode::CREATED);
    let key = json!({ "name": "x", "tenant": "other", "scopes": ["jobs:write", "jobs:read"] });
    let other = stack.post("/api-keys", &key).await.text("/secret").to_owned();
    let get = |path: &str| stack.send(stack.request_as(&other, Method::GET, path));
    assert_eq!(get("/presets/own").await.status, StatusCode::NOT_FOUND);
    assert_eq!(get("/presets/all").await.json["global"], true);
    let post = |path: &str, body: serde_json::Value| {
        stack.send(stack.request_as(&other, Method::POST, path).json(&body))
    };
    let job = post("/probe", json!({ "input": "a.mp4", "preset": "all" })).await;
    assert_eq!((job.text("/job/priority"), job.text("/job/preset")), ("low", "_/all@1"));
    let refused = post("/probe", json!({ "input": "a.mp4", "preset": "own" })).await;
    assert_eq!(refused.text("/errors/0/pointer"), "#/preset", "{refused:#?}");
    let refused = post("/presets", all).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let put = json!({ "global": true, "body": { "input": "b.mp4", "priority": 1 } });
    let refused =
        stack.send(stack.request_as(&other, Method::PUT, "/presets/all").json(&put)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:#?}");
    assert_eq!(refused.pointers(), ["#/body/input", "#/body/priority", "#/global"], "{refused:#?}");
    let wrong =
        post("/convert", json!({ "input": "a.mp4", "output": "b.mp4", "preset": "all" })).await;
    assert_eq!(wrong.text("/errors/0/pointer"), "#/preset", "{wrong:#?}");
    // A tenant's own preset has precedence over a global one of the same name, unless qualified.
    let same = json!({ "name": "all", "kind": "probe", "body": { "priority": "high" } });
    assert_eq!(stack.post("/presets", &same).await.status, StatusCode::CREATED);
    for (preset, pinned, priority) in [("all", "all@1", "high"), ("_/all", "_/all@1", "low")] {
        let job = stack.post("/probe", &json!({ "input": "a.mp4", "preset": preset })).await;
        assert_eq!((job.text("/job/preset"), job.text("/job/priority")), (pinned, priority));
        let position = job.header("x-log-position");
        let used = stack.get(&format!("/jobs?preset={pinned}&min_position={position}")).await;
        assert_eq!(used.json["data"].as_array().unwrap().len(), 1, "{used:#?}");
        assert_eq!(used.json["data"][0]["id"], job.json["job"]["id"]);
    }
    let gone = stack.send(stack.request(Method::DELETE, "/presets/own")).await;
    assert_eq!(gone.status, StatusCode::OK, "{gone:#?}");
    let refused = stack.post("/probe", &json!({ "input": "a.mp4", "preset": "own" })).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn shipped_presets_are_shared_and_an_admin_may_change_or_delete_them() {
    let mut stack = Stack::new().await;
    let listed = stack.poll("/presets?limit=200", |listed| {
        listed.json["data"].as_array().is_some_and(|all| all.len() >= 30)
    });
    let listed = listed.await;
    assert!(listed.json["data"].as_array().unwrap().iter().all(|preset| preset["global"] == true));
    let put = json!({ "body": { "operations": [] }, "global": true });
    let put = stack.request(Method::PUT, "/presets/web-720p").json(&put);
    assert_eq!(stack.send(put).await.status, StatusCode::OK);
    let deleted = stack.send(stack.request(Method::DELETE, "/presets/gif-480")).await;
    assert_eq!(deleted.status, StatusCode::OK, "{deleted:#?}");
    stack.restart().await;
    let input = stack.write_file("video.mp4", &std::fs::read(bunny()).unwrap());
    let body = json!({ "input": input, "output": "a.mp4", "preset": "web-480p" });
    let job = stack.post("/convert", &body).await;
    assert_eq!(job.text("/job/preset"), "_/web-480p@1", "{job:#?}");
    let done = stack.finished(job.text("/job/id")).await;
    assert_eq!(done.json["outputs"][0]["streams"][0]["height"], 480, "{done:#?}");
    // By then the presets are checked again.
    assert_eq!(stack.get("/presets/web-720p").await.json["version"], 2);
    assert_eq!(stack.get("/presets/gif-480").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn presets_are_limited_in_size_and_number() {
    let stack = Stack::new().await;
    let named = |name: &str, body: serde_json::Value| json!({ "name": name, "kind": "probe", "body": body });
    let long =
        json!({ "callback": { "url": format!("https://example.com/{}", "x".repeat(16_384)) } });
    let refused = stack.post("/presets", &named("long", long)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:#?}");
    assert_eq!(refused.text("/errors/0/pointer"), "#/body", "{refused:#?}");
    let priority = |priority| json!({ "priority": priority });
    let mut newest = String::new();
    for n in 0..200 {
        let made = stack.post("/presets", &named(&format!("p{n}"), priority("low"))).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
        made.header("x-log-position").clone_into(&mut newest);
    }
    stack.get(&format!("/presets?min_position={newest}")).await;
    let another = named("another", priority("low"));
    let refused = stack.post("/presets", &another).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:#?}");
    assert!(refused.text("/detail").contains("delete one first"), "{refused:#?}");
    // A new version is not a new preset, and global ones do not count for the account.
    let version = stack.post("/presets", &named("p0", priority("high"))).await;
    assert_eq!(version.status, StatusCode::CREATED, "{version:#?}");
    let mut shared = another.clone();
    shared["global"] = true.into();
    assert_eq!(stack.post("/presets", &shared).await.status, StatusCode::CREATED);
    let gone = stack.send(stack.request(Method::DELETE, "/presets/p1")).await;
    stack.get(&format!("/presets?min_position={}", gone.header("x-log-position"))).await;
    assert_eq!(stack.post("/presets", &another).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_batch_expanded_by_a_preset_stays_within_the_size_limit() {
    let stack = Stack::new().await;
    let text = json!({ "type": "text", "text": "x".repeat(2_000) });
    let body = json!({ "operations": vec![text; 7] });
    let preset = json!({ "name": "wordy", "kind": "convert", "body": body });
    assert_eq!(stack.post("/presets", &preset).await.status, StatusCode::CREATED);
    let job = |n: u32| json!({ "kind": "convert", "preset": "wordy", "input": "a.mp4", "output": format!("{n}.mp4") });
    let jobs: Vec<_> = (0..1_000).map(job).collect();
    let refused = stack.post("/batch", &json!({ "jobs": jobs })).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE, "{refused:#?}");
    // The body was not read to its end.
    assert!(refused.text("/detail").contains("of this one job 7"), "{refused:#?}");
}
