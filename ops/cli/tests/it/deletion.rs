//! Deletion of outputs on request, how long they are kept, and the list of uploads.

use ffapi_domain::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    polling::until,
    stack::{Answer, Stack, bunny, http, quick},
};

async fn stream(stack: &Stack, output: &str) -> String {
    let upload = stack.upload_bunny().await;
    let body = json!({
        "input": upload, "output": output, "type": "cmaf", "segment_duration": 1,
        "variants": [{ "name": "v90", "height": 90 }], "encoder_preset": "ultrafast",
        "poster": {}, "sprite": { "interval": 1 },
    });
    let made = stack.post("/stream", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
    let job = made.text("/job/id").to_owned();
    assert_eq!(stack.finished(&job).await.text("/status"), "completed");
    job
}

async fn delete(stack: &Stack, path: &str) -> Answer {
    stack.send(stack.request(Method::DELETE, path)).await
}

/// Bytes that count against the account.
async fn stored_bytes(stack: &Stack) -> u64 {
    stack.get("/accounts/default").await.json["storage_taken"].as_u64().unwrap()
}

#[tokio::test]
async fn a_jobs_outputs_are_deleted_on_request_and_no_longer_counted() {
    let stack = Stack::new().await;
    let job = stream(&stack, "clips").await;
    let counted = until(async || stored_bytes(&stack).await, |bytes| *bytes > 0).await;
    assert!(stack.files().iter().any(|path| path.contains("/clips/")));
    let deleted = delete(&stack, &format!("/jobs/{job}/outputs")).await;
    assert_eq!(deleted.status, StatusCode::OK, "{deleted:#?}");
    assert!(!deleted.text("/outputs_expired_at").is_empty());
    assert_eq!(deleted.json["playback_url"], Value::Null);
    assert!(!stack.files().iter().any(|path| path.contains("/clips/")), "{:?}", stack.files());
    assert!(!stack.data.path().join("storage/default/clips").exists(), "empty folders are removed");
    let master = format!("/jobs/{job}/outputs/master.m3u8");
    assert_eq!(stack.get(&master).await.status, StatusCode::GONE);
    until(async || stored_bytes(&stack).await, |bytes| *bytes < counted).await;
    // Repeated, it changes nothing.
    let again = delete(&stack, &format!("/jobs/{job}/outputs")).await;
    assert_eq!((again.status, again.header("etag")), (StatusCode::OK, deleted.header("etag")));
    let history = stack.history(&job).await;
    assert_eq!(history.iter().filter(|event| *event == "job.outputs_deleted").count(), 1);
    let why = stack.get(&format!("/jobs/{job}/why")).await;
    assert!(why.json.to_string().contains("deleted its outputs."), "{why:#?}");
    crate::crash::equals_its_rebuild(&stack);
}

#[tokio::test]
async fn one_output_is_deleted_by_itself_and_one_that_a_later_job_replaced_is_kept() {
    let stack = Stack::new().await;
    let job = stream(&stack, "clips").await;
    let poster = format!("/jobs/{job}/outputs/poster.jpg");
    let deleted = delete(&stack, &poster).await;
    assert_eq!(deleted.status, StatusCode::OK, "{deleted:#?}");
    let names = |answer: &Answer| answer.json["outputs"].to_string();
    assert!(!names(&deleted).contains("poster.jpg") && names(&deleted).contains("master.m3u8"));
    for method in [Method::DELETE, Method::GET] {
        let gone = stack.send(stack.request(method, &poster)).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND, "{gone:#?}");
    }
    let outputs = stack.get(&format!("/jobs/{job}/outputs")).await;
    let in_folder = outputs.json["data"].as_array().unwrap().iter();
    let mut in_folder = in_folder.filter_map(|file| file["name"].as_str());
    let in_folder = in_folder.rfind(|name| name.contains('/')).unwrap().to_owned();
    let deleted = delete(&stack, &format!("/jobs/{job}/outputs/{in_folder}")).await;
    assert_eq!(deleted.status, StatusCode::OK, "{in_folder} {deleted:#?}");
    assert!(!stack.files().iter().any(|path| path.ends_with(&in_folder)));

    let video = stack.write_file("video.mp4", &std::fs::read(bunny()).unwrap());
    let first = stack.convert(&video, "a.mp4", quick()).await;
    stack.finished(&first).await;
    let body =
        json!({ "input": video, "output": "a.mp4", "operations": quick(), "overwrite": "replace" });
    let second = stack.post("/convert", &body).await.text("/job/id").to_owned();
    stack.finished(&second).await;
    let deleted = delete(&stack, &format!("/jobs/{first}/outputs")).await;
    assert_eq!(deleted.status, StatusCode::OK, "{deleted:#?}");
    assert_eq!(stack.get(&format!("/jobs/{second}/outputs/a.mp4")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_unfinished_job_has_no_outputs_to_delete_and_an_old_version_is_refused() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let body = json!({ "input": upload, "output": "a.mp4", "not_before": "2100-01-01T00:00:00Z" });
    let job = stack.post("/convert", &body).await.text("/job/id").to_owned();
    let refused = delete(&stack, &format!("/jobs/{job}/outputs")).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:#?}");
    let done = stack.convert(&upload, "b.mp4", quick()).await;
    stack.finished(&done).await;
    let request = stack.request(Method::DELETE, &format!("/jobs/{done}/outputs"));
    let refused = stack.send(request.header("if-match", "\"v1\"")).await;
    assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED, "{refused:#?}");
    assert!(stack.files().iter().any(|path| path.ends_with("b.mp4")));
    let unknown = delete(&stack, &format!("/jobs/{done}/outputs/c.mp4")).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_interrupted_deletion_is_completed_by_repeating_it() {
    let mut stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", quick()).await;
    stack.finished(&job).await;
    stack.arm_failpoint("gateway.after_files", "");
    let path = format!("/jobs/{job}/outputs");
    let interrupted = async || {
        let _ = stack.request(Method::DELETE, &path).send().await;
        stack.has_exited()
    };
    until(interrupted, |exited| *exited).await;
    stack.restart().await;
    assert_eq!(stack.get(&format!("/jobs/{job}")).await.text("/outputs_expired_at"), "");
    assert_eq!(delete(&stack, &path).await.status, StatusCode::OK);
    assert!(!stack.get(&format!("/jobs/{job}")).await.text("/outputs_expired_at").is_empty());
}

#[tokio::test]
async fn a_job_says_how_long_its_outputs_are_kept() {
    let stack = Stack::with(&[("FFAPI_RETENTION__EVERY", "1")]).await;
    let video = stack.write_file("video.mp4", &std::fs::read(bunny()).unwrap());
    let usual = stack.convert(&video, "usual.mp4", quick()).await;
    let usual = stack.finished(&usual).await;
    let body =
        json!({ "input": video, "output": "kept.mp4", "operations": quick(), "keep": 86_400 });
    let kept = stack.post("/convert", &body).await.text("/job/id").to_owned();
    let kept = stack.finished(&kept).await;
    let days = |job: &Answer| {
        let at = |field: &str| job.text(field).parse::<Timestamp>().unwrap();
        at("/expires_at").since(at("/completed_at")).as_secs() / 86_400
    };
    assert_eq!((days(&usual), days(&kept)), (7, 1), "{usual:#?} {kept:#?}");
    let refused = json!({ "input": video, "output": "c.mp4", "keep": 59 });
    let refused = stack.post("/convert", &refused).await;
    assert_eq!(refused.text("/errors/0/pointer"), "#/keep", "{refused:#?}");
    let rerun = stack
        .post(
            &format!("/jobs/{}/rerun", kept.text("/id")),
            &json!({
        "overrides": { "output": "again.mp4" } }),
        )
        .await;
    let rerun = stack.finished(rerun.text("/job/id")).await;
    assert_eq!(days(&rerun), 1);
}

#[tokio::test]
async fn urls_in_a_job_need_no_further_credentials() {
    let stack = Stack::new().await;
    let job = stream(&stack, "clips").await;
    let shown = stack.get(&format!("/jobs/{job}")).await;
    for (field, kind) in [
        ("/playback_url", "application/vnd.apple.mpegurl"),
        ("/dash_url", "application/dash+xml"),
        ("/poster_url", "image/jpeg"),
        ("/sprite_url", "text/vtt; charset=utf-8"),
    ] {
        let url = format!("{}{}", stack.url, shown.text(field));
        let answer = stack.send(http().get(url)).await;
        assert_eq!(answer.status, StatusCode::OK, "{field} {shown:#?}");
        assert_eq!(answer.header("content-type"), kind);
    }
    let upload = stack.upload_bunny().await;
    let file = stack.convert(&upload, "Fée 1.mp4", quick()).await;
    let file = stack.finished(&file).await;
    for field in ["/playback_url", "/download_url"] {
        let url = format!("{}{}", stack.url, file.text(field));
        let answer = stack.send(http().get(url)).await;
        assert_eq!(answer.status, StatusCode::OK, "{field} {file:#?}");
        let saved = answer.header("content-disposition").starts_with("attachment");
        assert_eq!(saved, field == "/download_url");
    }
    let with_key = stack.get(file.text("/outputs/0/url").trim_start_matches("/api/v1")).await;
    assert_eq!(with_key.status, StatusCode::OK, "{file:#?}");
}

#[tokio::test]
async fn uploads_are_listed_newest_first_until_they_are_deleted() {
    let stack = Stack::new().await;
    assert_eq!(stack.get("/uploads").await.json["data"], json!([]));
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.insert(0, stack.upload_bunny().await);
    }
    let first = stack.get("/uploads?limit=2").await;
    let listed = |page: &Answer| {
        let data = page.json["data"].as_array().unwrap().iter();
        data.map(|upload| upload["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((listed(&first), &first.json["has_more"]), (ids[..2].to_vec(), &json!(true)));
    assert_eq!(first.text("/data/0/file_name"), "video");
    assert!(first.text("/data/0/expires_at") > first.text("/data/0/created_at"), "{first:#?}");
    let next = format!("/uploads?limit=2&cursor={}", first.text("/next_cursor"));
    assert_eq!(listed(&stack.get(&next).await), ids[2..]);
    assert_eq!(delete(&stack, &format!("/uploads/{}", ids[1])).await.status, StatusCode::OK);
    ids.remove(1);
    assert_eq!(listed(&stack.get("/uploads").await), ids);
}
