//! Outputs that are put at URLs which the client signed, in a bucket of its own or at its own server.

use std::time::Duration;

use ffapi_test_stores::S3;
use object_store::{ObjectStoreExt, signer::Signer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    erasure::dump,
    polling::until,
    receiver::Receiver,
    stack::{Answer, Stack, bunny, http, quick},
};

const ALLOW: (&str, &str) = ("FFAPI_EGRESS__ALLOW", "127.0.0.1/32");

/// A bucket of the client, which ffapi has no credentials of.
struct Bucket(S3);

impl Bucket {
    async fn new() -> Self {
        // The client of object storage needs it.
        let _ = http();
        Self(S3::start().await.unwrap())
    }

    /// A URL at which an object can be put.
    async fn signed(&self, key: &str) -> String {
        let bucket = self.0.bucket(S3::BUCKET).unwrap();
        let (key, valid_for) = (key.into(), Duration::from_mins(10));
        bucket.signed_url(Method::PUT, &key, valid_for).await.unwrap().to_string()
    }

    async fn sha256(&self, key: &str) -> String {
        let found = self.0.bucket(S3::BUCKET).unwrap().get(&key.into()).await.unwrap();
        hex::encode(Sha256::digest(found.bytes().await.unwrap()))
    }
}

fn convert(input: &str, output: &Value) -> Value {
    json!({ "input": input, "output": output, "operations": quick() })
}

#[tokio::test]
async fn an_output_is_put_at_a_presigned_url_whose_signature_is_never_shown() {
    let bucket = Bucket::new().await;
    let stack = Stack::with(&[ALLOW]).await;
    let upload = stack.upload_bunny().await;
    let url = bucket.signed("out/a.mp4").await;
    let signature = url.split_once("X-Amz-Signature=").unwrap().1.to_owned();
    let shown = format!("{}?…", url.split_once('?').unwrap().0);
    let answer = stack.post("/convert", &convert(&upload, &json!({ "put": url }))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:#?}");
    let id = answer.text("/job/id");
    let job = stack.finished(id).await;
    assert_eq!(job.text("/status"), "completed", "{job:#?}");
    assert_eq!((job.text("/output"), job.text("/outputs/0/location")), (&*shown, &*shown));
    assert_eq!(job.text("/outputs/0/name"), "a.mp4");
    assert_eq!(job.text("/outputs/0/sha256"), bucket.sha256("out/a.mp4").await);
    for none in ["/outputs/0/url", "/download_url", "/playback_url", "/expires_at"] {
        assert!(job.json.pointer(none).is_none(), "{none}: {job:#?}");
    }

    let output = stack.get(&format!("/jobs/{id}/outputs/a.mp4")).await;
    assert_eq!(output.status, StatusCode::NOT_FOUND, "{output:#?}");
    assert!(output.text("/detail").contains(&shown), "{output:#?}");
    let delete = stack.request(Method::DELETE, &format!("/jobs/{id}/outputs"));
    assert_eq!(stack.send(delete).await.status, StatusCode::CONFLICT);
    let reads = convert("a.mp4", &json!("b.mp4"));
    let input = json!({ "input": { "job": id, "output": "a.mp4" } });
    let reads = Value::Object(
        reads
            .as_object()
            .unwrap()
            .clone()
            .into_iter()
            .chain(input.as_object().unwrap().clone())
            .collect(),
    );
    let refused = stack.post("/convert", &reads).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:#?}");

    // It is in no response, table or log.
    let position = job.header("x-log-position");
    for path in [
        format!("/jobs/{id}"),
        format!("/jobs/{id}?at=v1"),
        format!("/jobs/{id}/outputs"),
        format!("/jobs/{id}/why"),
        format!("/jobs/{id}/logs"),
        format!("/jobs?min_position={position}"),
        "/events".to_owned(),
    ] {
        let read = stack.request(Method::GET, &path).header("accept", "application/json");
        let text = read.send().await.unwrap().text().await.unwrap();
        assert!(!text.contains(&signature), "{path}: {text}");
    }
    stack.history(id).await;
    assert!(!dump(&stack).contains(&signature), "in Postgres");
    let log = std::fs::read_to_string(stack.data.path().join("up.log")).unwrap();
    assert!(!log.contains(&signature), "in the log of the process");
    let staging = stack.data.path().join("storage/default/.staging").join(id);
    assert!(!staging.exists(), "nothing is left in the store");

    // The same URL is put again.
    let again = stack.post(&format!("/jobs/{id}/rerun"), &json!({})).await;
    assert_eq!(again.status, StatusCode::CREATED, "{again:#?}");
    let again = stack.finished(again.text("/job/id")).await;
    assert_eq!(again.text("/status"), "completed", "{again:#?}");
    let elsewhere = bucket.signed("out/b.mp4").await;
    let overrides = json!({ "overrides": { "output": { "put": elsewhere } } });
    let moved = stack.post(&format!("/jobs/{id}/rerun"), &overrides).await;
    assert_eq!(moved.status, StatusCode::CREATED, "{moved:#?}");
    let moved = stack.finished(moved.text("/job/id")).await;
    assert_eq!(moved.text("/outputs/0/sha256"), bucket.sha256("out/b.mp4").await, "{moved:#?}");
}

#[tokio::test]
async fn a_crash_at_any_step_puts_the_whole_output_and_completes_once() {
    let bucket = Bucket::new().await;
    let mut stack = Stack::with(&[ALLOW]).await;
    let upload = stack.upload_bunny().await;
    for step in ["worker.after_stage", "worker.after_seal", "worker.before_complete"] {
        stack.arm_failpoint(step, "");
        let key = format!("{step}.mp4");
        let output = json!({ "put": bucket.signed(&key).await });
        let answer = stack.post("/convert", &convert(&upload, &output)).await;
        stack.died_and_restarted_with(&[ALLOW]).await;
        let job = answer.text("/job/id");
        let ended = stack.finished(job).await;
        assert_eq!(ended.text("/status"), "completed", "{step}: {ended:#?}");
        assert_eq!(ended.text("/outputs/0/sha256"), bucket.sha256(&key).await, "{step}");
        let history = stack.history(job).await;
        let completed = history.iter().filter(|event| *event == "job.completed").count();
        assert_eq!(completed, 1, "{step}: {history:?}");
    }
    assert_eq!(bucket.0.keys(S3::BUCKET).await.unwrap().len(), 3);
}

#[tokio::test]
async fn the_files_of_a_folder_are_put_at_urls_of_their_own_and_playlists_last() {
    let receiver = Receiver::new().await;
    let stack = Stack::with(&[ALLOW]).await;
    let upload = stack.upload_bunny().await;
    let template = format!("{}/{{name}}?token=hush", receiver.url);
    let body = json!({
        "input": upload, "output": { "put_template": template }, "type": "hls",
        "variants": [{ "name": "low", "height": 90 }],
    });
    let answer = stack.post("/stream", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:#?}");
    let job = stack.finished(answer.text("/job/id")).await;
    assert_eq!(job.text("/status"), "completed", "{job:#?}");
    assert_eq!(job.text("/output"), format!("{}/{{name}}?…", receiver.url));
    let outputs = stack.get(&format!("/jobs/{}/outputs?limit=200", answer.text("/job/id"))).await;
    let names: Vec<&str> = outputs.json["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert!(names.iter().any(|name| name.contains('/')), "{names:?}");
    let got: Vec<String> =
        receiver.got.lock().unwrap().iter().map(|got| got.path.clone()).collect();
    let mut expected: Vec<String> =
        names.iter().map(|name| format!("/{name}?token=hush")).collect();
    assert!(got.last().unwrap().contains(".m3u8"), "{got:?}");
    let mut sorted = got.clone();
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected);
}

#[tokio::test]
async fn a_host_that_denies_access_fails_a_job_and_one_that_is_busy_delays_it() {
    let receiver = Receiver::new().await;
    let stack = Stack::with(&[ALLOW]).await;
    let upload = stack.upload_bunny().await;
    let submit = async |path: &str| {
        let output = json!({ "put": format!("{}{path}", receiver.url) });
        let answer = stack.post("/convert", &convert(&upload, &output)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:#?}");
        answer.text("/job/id").to_owned()
    };
    receiver.answer("/denied.mp4?token=hush", 403, "");
    let denied = stack.finished(&submit("/denied.mp4?token=hush").await).await;
    assert_eq!(denied.text("/error/code"), "output_forbidden", "{denied:#?}");
    assert_eq!(denied.json["attempt"], 1, "{denied:#?}");
    assert!(!denied.text("/error/message").contains("hush"), "{denied:#?}");

    receiver.answer("/busy.mp4", 503, "retry-after: 1\r\n");
    let busy = submit("/busy.mp4").await;
    receiver.until("/busy.mp4", |got| got.len() >= 2).await;
    let waiting = stack.get(&format!("/jobs/{busy}")).await;
    assert_eq!(waiting.text("/stage"), "delivering", "{waiting:#?}");
    receiver.answer("/busy.mp4", 201, "");
    let ended = stack.finished(&busy).await;
    assert_eq!((ended.text("/status"), &ended.json["attempt"]), ("completed", &json!(1)));
}

#[tokio::test]
async fn a_host_that_stays_busy_keeps_a_job_for_no_longer_than_the_tier_allows() {
    let receiver = Receiver::new().await;
    let stack = Stack::with(&[ALLOW, ("FFAPI_TIERS__ENTERPRISE__MAX_JOB_SECONDS", "8")]).await;
    let upload = stack.upload_bunny().await;
    receiver.answer("/busy.mp4", 503, "retry-after: 1\r\n");
    let output = json!({ "put": format!("{}/busy.mp4", receiver.url) });
    let answer = stack.post("/convert", &convert(&upload, &output)).await;
    let ended = stack.finished(answer.text("/job/id")).await;
    assert_eq!(ended.text("/error/code"), "time_limit_exceeded", "{ended:#?}");
    assert!(ended.text("/error/message").contains("host of the output's URL"), "{ended:#?}");
    assert_eq!(ended.json["attempt"], 1, "{ended:#?}");
}

#[tokio::test]
async fn a_job_can_be_cancelled_while_its_outputs_are_put_and_they_count_as_stored_until_then() {
    let receiver = Receiver::new().await;
    let stack = Stack::with(&[ALLOW]).await;
    let upload = stack.upload_bunny().await;
    let stored = async |is_so: fn(u64, u64) -> bool| {
        let inputs = std::fs::metadata(bunny()).unwrap().len();
        let is_so = |shown: &Answer| {
            shown.json["storage_taken"].as_u64().is_some_and(|taken| is_so(taken, inputs))
        };
        stack.poll("/accounts/default", is_so).await;
    };
    stored(|taken, inputs| taken == inputs).await;
    receiver.answer("/busy.mp4", 503, "retry-after: 1\r\n");
    let output = json!({ "put": format!("{}/busy.mp4", receiver.url) });
    let answer = stack.post("/convert", &convert(&upload, &output)).await;
    let id = answer.text("/job/id");
    receiver.until("/busy.mp4", |got| !got.is_empty()).await;
    stored(|taken, inputs| taken > inputs).await;
    let staging = stack.data.path().join("storage/default/.staging").join(id);
    assert!(staging.exists());

    let cancel = stack.post(&format!("/jobs/{id}/cancel"), &json!({})).await;
    assert_eq!(cancel.status, StatusCode::ACCEPTED, "{cancel:#?}");
    let ended = stack.finished(id).await;
    assert_eq!(ended.text("/status"), "cancelled", "{ended:#?}");
    until(async || staging.exists(), |exists| !exists).await;
    stored(|taken, inputs| taken == inputs).await;

    // What was staged is gone: the job makes its outputs again.
    receiver.answer("/busy.mp4", 201, "");
    let retried = stack.post(&format!("/jobs/{id}/retry"), &json!({})).await;
    assert!(retried.status.is_success(), "{retried:#?}");
    let ended = stack.finished(id).await;
    assert_eq!((ended.text("/status"), &ended.json["attempt"]), ("completed", &json!(2)));
    let sealed = stack.history(id).await;
    assert_eq!(sealed.iter().filter(|event| *event == "job.outputs_sealed").count(), 2);
    stored(|taken, inputs| taken == inputs).await;
}

#[tokio::test]
async fn outputs_for_urls_need_storage_until_they_are_put() {
    let receiver = Receiver::new().await;
    let bytes = std::fs::metadata(bunny()).unwrap().len() + 1_000;
    let limit = ("FFAPI_TIERS__ENTERPRISE__STORAGE_BYTES", &*bytes.to_string());
    let stack = Stack::with(&[ALLOW, limit]).await;
    let upload = stack.upload_bunny().await;
    let output = json!({ "put": format!("{}/a.mp4", receiver.url) });
    let answer = stack.post("/convert", &convert(&upload, &output)).await;
    let ended = stack.finished(answer.text("/job/id")).await;
    assert_eq!(ended.text("/error/code"), "storage_full", "{ended:#?}");
    assert!(receiver.at("/a.mp4").is_empty());
}

#[tokio::test]
async fn what_cannot_be_put_is_refused_at_once() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let refused = async |path: &str, fields: Value, pointer: &str| {
        let mut body = json!({ "input": upload });
        let all = body.as_object_mut().unwrap();
        all.extend(fields.as_object().unwrap().clone());
        let answer = stack.post(path, &body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{fields}: {answer:#?}");
        assert_eq!(answer.text("/errors/0/pointer"), pointer, "{answer:#?}");
    };
    let put = |url: &str| json!({ "put": url });
    let file = "https://host.example.com/a.mp4";
    let folder = json!({ "put_template": "https://host.example.com/{name}" });
    refused("/convert", json!({ "output": put("a.mp4") }), "#/output/put").await;
    refused(
        "/convert",
        json!({ "output": put("https://host.example.com/{name}") }),
        "#/output/put",
    )
    .await;
    refused("/convert", json!({ "output": folder }), "#/output").await;
    refused("/convert", json!({ "output": { "put": file, "more": 1 } }), "#/output").await;
    refused("/thumbnails", json!({ "mode": "single", "output": put(file) }), "#/output").await;
    let template = json!({ "put_template": file });
    refused(
        "/thumbnails",
        json!({ "mode": "single", "output": template }),
        "#/output/put_template",
    )
    .await;
    refused("/convert", json!({ "output": put("https://host.example.com/%04d.png") }), "#/output")
        .await;
    refused("/convert", json!({ "output": put("http://127.0.0.1/a.mp4") }), "#/output").await;
    let ended = format!("{file}?X-Amz-Date=20240101T000000Z&X-Amz-Expires=60");
    refused("/convert", json!({ "output": put(&ended) }), "#/output/put").await;
    let input = json!({ "input": ended, "output": "a.mp4" });
    refused("/convert", input, "#/input").await;
    let acl = format!("{file}?X-Amz-SignedHeaders=host%3Bx-amz-acl");
    refused("/convert", json!({ "output": put(&acl) }), "#/output/put").await;
    refused("/convert", json!({ "output": put(file), "overwrite": "fail" }), "#/overwrite").await;
    refused("/convert", json!({ "output": put(file), "keep": 60 }), "#/keep").await;
    let sidecar = json!([{ "type": "subtitles", "mode": "sidecar", "input": "a.srt" }]);
    refused("/convert", json!({ "output": put(file), "operations": sidecar }), "#/output").await;
}
