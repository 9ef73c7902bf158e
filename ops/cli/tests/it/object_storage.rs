//! Bytes in a bucket: machines without a shared disk, other buckets, crashes and outages.

use std::time::{Duration, Instant};

use ffapi_test_stores::{Fault, FaultProxy, S3};
use object_store::ObjectStoreExt;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    fleet::Fleet,
    keys,
    stack::{Answer, Stack, bunny, http, quick, slow, steady},
};

/// A server with the media of this test.
async fn s3() -> S3 {
    // The client of object storage needs it.
    let _ = http();
    S3::start().await.unwrap()
}

/// Settings as a stack takes them.
fn borrowed<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// The bytes of an output, as the API serves them.
async fn output(url: &str, key: &str, job: &str, name: &str) -> Vec<u8> {
    let url = format!("{url}/api/v1/jobs/{job}/outputs/{name}");
    let answer = http().get(url).header("x-api-key", key).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{name}");
    answer.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn machines_without_a_shared_disk_share_a_bucket() {
    let server = s3().await;
    let settings = S3::settings(&server.endpoint(), S3::BUCKET);
    let fleet = Fleet::on_separate_disks(&borrowed(&settings)).await;
    let upload = fleet.upload().await;
    let converted = fleet.convert(&upload, "videos/a.mp4", quick()).await;
    let body = json!({
        "input": upload, "output": "streams/a", "type": "hls", "variants": [{ "name": "low", "height": 90 }],
    });
    let streamed = fleet.post("/stream", body.to_string().into(), "").await;
    assert_eq!(streamed.status, StatusCode::CREATED, "{streamed:#?}");
    let streamed = streamed.text("/job/id").to_owned();

    let job = fleet.completed(&converted).await;
    assert_eq!(job["outputs"][0]["location"], "media://videos/a.mp4");
    let stored = server.bucket(S3::BUCKET).unwrap();
    let stored = stored.get(&"default/videos/a.mp4".into()).await.unwrap();
    assert_eq!(
        stored.attributes.get(&object_store::Attribute::ContentType).unwrap().as_ref(),
        "video/mp4"
    );
    let stored = stored.bytes().await.unwrap();
    for url in &fleet.urls {
        let served = output(url, &fleet.key, &converted, "a.mp4").await;
        assert!(served == stored, "from {url}");
    }
    fleet.completed(&streamed).await;
    let path = format!("/api/v1/jobs/{streamed}/outputs?limit=200");
    let (_, outputs) = fleet.get(&fleet.urls[0], &path).await.unwrap();
    let names = outputs["data"].as_array().unwrap();
    for name in names.iter().map(|output| output["name"].as_str().unwrap()) {
        let served = output(&fleet.urls[1], &fleet.key, &streamed, name).await;
        assert!(!served.is_empty(), "{name}");
    }
    let keys = server.keys(S3::BUCKET).await.unwrap();
    assert!(keys.iter().all(|key| !key.contains(".staging")), "{keys:?}");
    assert_eq!(keys.len(), 2 + names.len(), "an upload, a video and a stream: {keys:?}");
}

#[tokio::test]
async fn an_account_reads_and_writes_the_buckets_that_it_may_use() {
    let server = s3().await;
    server.create_bucket("acme-videos").await.unwrap();
    let acme = server.bucket("acme-videos").unwrap();
    let key = object_store::path::Path::parse("in/Caf\u{e9} 1.mp4").unwrap();
    acme.put(&key, std::fs::read(bunny()).unwrap().into()).await.unwrap();
    let endpoint = server.endpoint();
    let stack = Stack::with(&[
        ("FFAPI_STORES__ACME__URL", "s3://acme-videos"),
        ("FFAPI_STORES__ACME__ENDPOINT", &endpoint),
        ("FFAPI_STORES__ACME__ACCESS_KEY_ID", S3::ACCESS_KEY),
        ("FFAPI_STORES__ACME__SECRET_ACCESS_KEY", S3::SECRET_KEY),
        ("FFAPI_STORES__ACME__TENANTS", "default"),
    ])
    .await;
    let body = |input: &str, output: &str| json!({ "input": input, "output": output, "operations": quick(), "overwrite": "fail" });
    // By the name of the store and by the provider's URL.
    let request = body("s3://acme-videos/in/Caf\u{e9} 1.mp4", "acme://out/a.mp4");
    let answer = stack.post("/convert", &request).await;
    let job = stack.finished(answer.text("/job/id")).await;
    assert_eq!(job.text("/status"), "completed", "{job:#?}");
    assert_eq!(job.text("/input"), "acme://in/Caf\u{e9} 1.mp4");
    let head = acme.head(&"out/a.mp4".into()).await.unwrap();
    assert_eq!(Some(head.size), job.json["outputs"][0]["size"].as_u64());
    let served = output(&stack.url, &stack.key, answer.text("/job/id"), "a.mp4").await;
    assert_eq!(served.len() as u64, head.size);

    let taken = stack.post("/convert", &request).await;
    assert_eq!(taken.status, StatusCode::CONFLICT, "{taken:#?}");
    let unknown = stack.post("/convert", &body("nowhere://a.mp4", "b.mp4")).await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY, "{unknown:#?}");
    let detail = unknown.text("/detail");
    assert!(detail.contains("`acme://`") && detail.contains("`local://`"), "{detail}");

    for input in ["acme://.staging/a", "s3://acme-videos/.staging/a"] {
        let refused = stack.post("/convert", &body(input, "b.mp4")).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{input}: {refused:#?}");
    }

    // Another account may not use it, and does not learn of it.
    let (_, other) = keys::key(&stack, "other", &["jobs:write", "jobs:read"]).await;
    for input in ["acme://out/a.mp4", "s3://acme-videos/out/a.mp4"] {
        let request = stack.request_as(&other, reqwest::Method::POST, "/convert");
        let refused = stack.send(request.json(&body(input, "b.mp4"))).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:#?}");
        assert!(!refused.text("/detail").contains("`acme://`,"), "{refused:#?}");
    }
    let keys = server.keys("acme-videos").await.unwrap();
    assert_eq!(keys.len(), 2, "{keys:?}");
}

#[tokio::test]
async fn a_crash_at_any_step_leaves_one_whole_output_and_nothing_else() {
    let server = s3().await;
    let settings = S3::settings(&server.endpoint(), S3::BUCKET);
    let settings = borrowed(&settings);
    let mut stack = Stack::with(&settings).await;
    let upload = stack.upload_bunny().await;
    let steps = ["worker.after_stage", "worker.after_seal", "worker.before_complete"];
    for step in steps {
        stack.arm_failpoint(step, "");
        let job = stack.convert(&upload, &format!("{step}.mp4"), quick()).await;
        stack.died_and_restarted_with(&settings).await;
        let ended = stack.finished(&job).await;
        assert_eq!(ended.text("/status"), "completed", "{step}: {ended:#?}");
        let served = output(&stack.url, &stack.key, &job, &format!("{step}.mp4")).await;
        assert_eq!(served.len() as u64, ended.json["outputs"][0]["size"].as_u64().unwrap());
        let history = stack.history(&job).await;
        let completed = history.iter().filter(|event| *event == "job.completed").count();
        assert_eq!(completed, 1, "{step}: {history:?}");
    }
    let keys = server.keys(S3::BUCKET).await.unwrap();
    assert_eq!(keys.len(), 1 + steps.len(), "{keys:?}");
}

fn progress(job: &Answer) -> f64 {
    job.json["progress"].as_f64().unwrap_or(0.0)
}

/// Converts while every request fails in a way for some seconds: the job is late and has one
/// attempt.
async fn survives(fault: Fault) {
    let server = s3().await;
    let proxy = FaultProxy::before(&server.endpoint()).await.unwrap();
    let settings = S3::settings(&proxy.url(), S3::BUCKET);
    let stack = Stack::with(&borrowed(&settings)).await;
    let upload = stack.upload_bunny().await;
    // From the start: the input cannot be read yet.
    let operations: Value = steady();
    proxy.set(fault);
    let body = json!({ "input": upload, "output": "a.mp4", "operations": operations, "overwrite": "replace" });
    let answer = stack.post("/convert", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let job = answer.text("/job/id").to_owned();
    stack.until(&job, |job| job.text("/status") == "processing").await;
    let away = Instant::now();
    // The duration of the outage is what is tested.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let waiting = stack.get(&format!("/jobs/{job}")).await;
    assert_eq!((waiting.text("/status"), progress(&waiting)), ("processing", 0.0), "{waiting:#?}");
    proxy.set(Fault::None);
    let ended = stack.finished(&job).await;
    assert_eq!(ended.text("/status"), "completed", "after {:?}: {ended:#?}", away.elapsed());
    assert_eq!(ended.json["attempts"].as_array().unwrap().len(), 1, "{ended:#?}");
    output(&stack.url, &stack.key, &job, "a.mp4").await;
}

#[tokio::test]
async fn a_store_that_resets_connections_delays_a_job_and_fails_none() {
    survives(Fault::Reset).await;
}

#[tokio::test]
async fn a_store_that_is_busy_delays_a_job_and_fails_none() {
    survives(Fault::Busy).await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_delays_a_job_and_fails_none() {
    survives(Fault::Silent).await;
}

#[tokio::test]
async fn an_answer_that_ends_early_is_continued_where_it_ended() {
    let server = s3().await;
    let proxy = FaultProxy::before(&server.endpoint()).await.unwrap();
    let settings = S3::settings(&proxy.url(), S3::BUCKET);
    let stack = Stack::with(&borrowed(&settings)).await;
    let upload = stack.upload_bunny().await;
    // The input has a megabyte.
    proxy.set(Fault::Truncate(200_000));
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    let ended = stack.finished(&job).await;
    assert_eq!(ended.text("/status"), "completed", "{ended:#?}");
    assert_eq!(ended.json["attempts"].as_array().unwrap().len(), 1, "{ended:#?}");
}

#[tokio::test]
async fn a_request_to_a_store_that_is_away_is_answered_in_seconds() {
    let server = s3().await;
    let proxy = FaultProxy::before(&server.endpoint()).await.unwrap();
    let settings = S3::settings(&proxy.url(), S3::BUCKET);
    let stack = Stack::with(&borrowed(&settings)).await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    stack.finished(&job).await;
    proxy.set(Fault::Reset);
    let asked = Instant::now();
    let answer = stack.get(&format!("/jobs/{job}/outputs/a.mp4")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert!(answer.header("retry-after").parse::<u64>().is_ok(), "{answer:?}");
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    let health = stack.get("/health/detailed").await;
    assert_eq!(health.text("/components/storage/stores/media"), "down", "{health:#?}");
    proxy.set(Fault::None);
    stack.poll("/health/detailed", |health| health.status == StatusCode::OK).await;
}

#[tokio::test]
async fn a_download_can_be_redirected_to_a_signed_url_of_the_store() {
    let server = s3().await;
    let mut settings = S3::settings(&server.endpoint(), S3::BUCKET);
    settings.push(("FFAPI_STORES__MEDIA__DOWNLOADS", "redirect".to_owned()));
    let stack = Stack::with(&borrowed(&settings)).await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    let job = stack.finished(&job).await;
    let size = job.json["outputs"][0]["size"].as_u64().unwrap();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let client = client.build().unwrap();
    // The URL with a token needs no key.
    let url = format!("{}{}", stack.url, job.text("/download_url"));
    let redirect = client.get(&url).send().await.unwrap();
    assert_eq!(redirect.status(), StatusCode::FOUND, "{redirect:?}");
    assert_eq!(redirect.headers()["cache-control"], "private, max-age=1800");
    let signed = redirect.headers()["location"].to_str().unwrap();
    assert!(signed.starts_with(&server.endpoint()), "{signed}");
    let file = client.get(signed).header("range", "bytes=0-9").send().await.unwrap();
    assert_eq!(file.status(), StatusCode::PARTIAL_CONTENT, "{file:?}");
    assert_eq!(file.headers()["content-range"], format!("bytes 0-9/{size}"));
    assert_eq!(file.headers()["content-type"], "video/mp4");
    assert!(file.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    assert_eq!(file.bytes().await.unwrap().len(), 10);

    // What needs nothing of the file is answered by the gateway.
    let head = client.head(&url).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK, "{head:?}");
    assert_eq!(head.headers()["content-length"], size.to_string());
    let tag = head.headers()["etag"].clone();
    let same = client.get(&url).header("if-none-match", tag).send().await.unwrap();
    assert_eq!(same.status(), StatusCode::NOT_MODIFIED, "{same:?}");
}

/// A worker with one slot, and an account's bucket that can be made silent.
struct Archive {
    proxy: FaultProxy,
    stack: Stack,
    _server: S3,
}

impl Archive {
    fn settings(proxy: &FaultProxy) -> Vec<(&'static str, String)> {
        vec![
            ("FFAPI_WORKER__SLOTS", "1".to_owned()),
            ("FFAPI_STORES__ARCHIVE__URL", format!("s3://{}", S3::BUCKET)),
            ("FFAPI_STORES__ARCHIVE__ENDPOINT", proxy.url()),
            ("FFAPI_STORES__ARCHIVE__TENANTS", "default".to_owned()),
            ("FFAPI_STORES__ARCHIVE__ACCESS_KEY_ID", S3::ACCESS_KEY.to_owned()),
            ("FFAPI_STORES__ARCHIVE__SECRET_ACCESS_KEY", S3::SECRET_KEY.to_owned()),
        ]
    }

    async fn new() -> Self {
        let server = s3().await;
        let proxy = FaultProxy::before(&server.endpoint()).await.unwrap();
        let stack = Stack::with(&borrowed(&Self::settings(&proxy))).await;
        Self { proxy, stack, _server: server }
    }

    /// Submits a job while the store answers, whose attempt starts once it does not.
    async fn job_before_silence(&self, max_job_seconds: u64) -> String {
        let upload = self.stack.upload_bunny().await;
        let blocker = self.stack.convert(&upload, "blocker.mp4", slow()).await;
        self.stack.until(&blocker, |job| job.text("/status") == "processing").await;
        let job = self.stack.convert(&upload, "archive://a.mp4", quick()).await;
        self.proxy.set(Fault::Silent);
        self.limit_jobs_to(max_job_seconds).await;
        self.stack.post(&format!("/jobs/{blocker}/cancel"), &json!({})).await;
        self.stack.until(&job, |job| job.text("/status") == "processing").await;
        job
    }

    async fn limit_jobs_to(&self, seconds: u64) {
        let limit = json!({ "limits": { "max_job_seconds": seconds } });
        let request = self.stack.request(reqwest::Method::PATCH, "/accounts/default");
        let answer = self.stack.send(request.json(&limit)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:#?}");
    }

    /// The failure of a job's first attempt, which the time limit ended.
    async fn failed_in_time(&self, job: &str) -> Answer {
        let begin = Instant::now();
        let code = |job: &Answer| job.text("/attempts/0/error/code").to_owned();
        let job = self.stack.until(job, |job| !code(job).is_empty()).await;
        assert_eq!(code(&job), "storage_unavailable", "{job:#?}");
        assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
        job
    }
}

#[tokio::test]
async fn a_job_whose_store_does_not_answer_is_cancelled_in_seconds() {
    let archive = Archive::new().await;
    let job = archive.job_before_silence(3_600).await;
    let asked = Instant::now();
    let answer = archive.stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:#?}");
    let ended = archive.stack.finished(&job).await;
    assert_eq!(ended.text("/status"), "cancelled", "{ended:#?}");
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn an_attempt_whose_store_does_not_answer_ends_at_the_jobs_time_limit() {
    let archive = Archive::new().await;
    let job = archive.job_before_silence(3).await;
    let failed = archive.failed_in_time(&job).await;
    let message = failed.text("/attempts/0/error/message");
    assert!(message.contains("store") && message.contains("3 s"), "{message}");
    // It is the store's failure, and another attempt completes the job.
    archive.proxy.set(Fault::None);
    let ended = archive.stack.finished(&job).await;
    assert_eq!(ended.text("/status"), "completed", "{ended:#?}");
}
