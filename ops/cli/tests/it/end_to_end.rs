use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::stack::{Stack, bunny, ffapi, probe};

#[tokio::test]
async fn a_real_video_is_converted_as_requested() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let shown = stack.get(&format!("/uploads/{upload}")).await;
    assert_eq!(shown.text("/file_name"), "video");
    assert_eq!(shown.json["size"], std::fs::metadata(bunny()).unwrap().len());

    let operations = json!([
        { "type": "trim", "start": "00:01.000", "duration": 2 },
        { "type": "scale", "height": 360 },
        { "type": "transcode", "video_codec": "h264", "audio_codec": "aac", "crf": 28,
          "preset": "ultrafast", "keyframe_interval": 25 },
    ]);
    let body = json!({
        "input": upload, "output": "videos/bunny.mp4", "operations": operations,
        "metadata": { "album": "holiday" }, "priority": "high",
    });
    let created = stack.post("/convert", &body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let job = created.text("/job/id").to_owned();
    assert_eq!(created.header("location"), format!("/api/v1/jobs/{job}"));
    assert_eq!(created.text("/job/priority"), "high");

    let done = stack.finished(&job).await;
    assert_eq!(done.text("/status"), "completed", "{done:#?}");
    assert_eq!(done.json["progress"], 100.0);
    assert_eq!(done.json["outputs"][0]["streams"][0]["width"], 640);
    assert_eq!(done.text("/metadata/album"), "holiday");
    assert_eq!(
        stack.history(&job).await,
        ["job.queued", "job.started", "job.outputs_sealed", "job.completed"]
    );

    // The output is checked with an independent tool.
    let request = stack.request(Method::GET, &format!("/jobs/{job}/outputs/bunny.mp4"));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "video/mp4");
    let bytes = answer.bytes().await.unwrap();
    let file = stack.data.path().join("fetched.mp4");
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(
        probe(&file, "v:0", "stream=codec_name,width,height,nb_frames"),
        "h264\n640\n360\n50"
    );
    assert_eq!(probe(&file, "a:0", "stream=codec_name,channels"), "aac\n2");
    assert!((probe(&file, "", "format=duration").parse::<f64>().unwrap() - 2.0).abs() < 0.05);
    assert_eq!(done.json["outputs"][0]["size"], bytes.len());

    let part = stack.request(Method::GET, &format!("/jobs/{job}/outputs/bunny.mp4"));
    let part = part.header("range", "bytes=4-7").send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], format!("bytes 4-7/{}", bytes.len()));
    assert_eq!(part.bytes().await.unwrap(), bytes.slice(4..8));
    let beyond = stack.request(Method::GET, &format!("/jobs/{job}/outputs/bunny.mp4"));
    let beyond = stack.send(beyond.header("range", "bytes=99999999-")).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);

    // Nothing is left in staging, and the output has the requested path.
    let files = stack.files();
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].ends_with("/videos/bunny.mp4"));
}

/// In a second.
fn soon() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let millis = u64::try_from(now.as_millis()).unwrap() + 1_000;
    ffapi_domain::Timestamp::from_millis(millis).to_string()
}

#[tokio::test]
async fn an_existing_output_is_kept_unless_overwrite_is_requested() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let quick = crate::stack::quick();
    let first = stack.convert(&upload, "a.mp4", quick.clone()).await;
    assert_eq!(stack.finished(&first).await.text("/status"), "completed");
    let second = json!({ "input": upload, "output": "a.mp4", "operations": quick });
    let refused = stack.post("/convert", &second).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:#?}");
    assert_eq!(refused.text("/errors/0/pointer"), "#/output");
    // A file that appears after the submission is found by the worker.
    let later = json!({
        "input": upload, "output": "b.mp4", "operations": quick,
        "not_before": soon(),
    });
    let later = stack.post("/convert", &later).await.text("/job/id").to_owned();
    stack.write_file("b.mp4", b"another's");
    assert_eq!(stack.finished(&later).await.text("/error/code"), "output_exists");
    let body = json!({
        "input": upload, "output": "a.mp4", "operations": quick, "overwrite": "replace",
    });
    let third = stack.post("/convert", &body).await;
    assert_eq!(stack.finished(third.text("/job/id")).await.text("/status"), "completed");
}

#[tokio::test]
async fn a_job_event_stream_can_be_resumed() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", json!([{ "type": "scale", "height": 480 }])).await;
    let path = format!("/jobs/{job}/events");
    let whole = stack.request(Method::GET, &path).send().await.unwrap().text().await.unwrap();
    let ids: Vec<&str> = whole.lines().filter_map(|line| line.strip_prefix("id:")).collect();
    let kinds: Vec<&str> = whole.lines().filter_map(|line| line.strip_prefix("event:")).collect();
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.trim()).collect();
    assert!(kinds.contains(&"job.progress"), "{kinds:?}");
    assert_eq!((kinds.first(), kinds.last()), (Some(&"job.queued"), Some(&"job.completed")));
    let after = ids[1].trim();
    let rest = stack.request(Method::GET, &path).header("last-event-id", after);
    let rest = rest.send().await.unwrap().text().await.unwrap();
    assert!(!rest.contains("job.started") && rest.contains("job.outputs_sealed"), "{rest}");
}

#[tokio::test]
async fn live_subjects_can_be_subscribed_to() {
    let stack = Stack::new().await;
    let nats = ffapi_nats::NatsConfig { url: stack.nats_url("operator") };
    let live = ffapi_nats::PubSub::new(ffapi_nats::Nats::connect(&nats).await.unwrap());
    let mut subscription = live.subscribe("live.>").await.unwrap();
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", json!([{ "type": "scale", "height": 480 }])).await;
    let mut words = Vec::new();
    while words.last().is_none_or(|word| word != "completed") {
        let message = subscription.next().await.unwrap();
        let word = message.subject.strip_prefix(&format!("live.default.job.{job}.")).unwrap();
        let event: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["type"], format!("job.{word}"));
        if words.last().is_none_or(|last| last != word) {
            words.push(word.to_owned());
        }
    }
    assert_eq!(words, ["queued", "started", "progress", "outputs_sealed", "completed"]);
}

#[tokio::test]
async fn the_client_commands_work_from_a_shell() {
    let stack = Stack::new().await;
    let output = stack.data.path().join("shell.mp4");
    let key_file = stack.data.path().join("admin.key");
    let run = |arguments: &[&str], paths: &[&Path]| {
        let done = ffapi()
            .args(arguments)
            .args(paths)
            .args(["--url", &stack.url, "--key-file"])
            .arg(&key_file)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned(), error)
    };
    let arguments = ["convert", "--start", "1", "--duration", "1", "--height", "90"];
    let (success, printed, error) = run(&arguments, &[&bunny(), &output]);
    assert!(success, "{error}");
    let job = printed.lines().next().unwrap().to_owned();
    assert_eq!(probe(&output, "v:0", "stream=height"), "90");
    let (_, listed, _) = run(&["jobs"], &[]);
    assert!(listed.contains(&job) && listed.contains("completed"), "{listed}");
    let (success, watched, _) = run(&["watch", &job], &[]);
    assert!(success && watched.contains("job.completed"), "{watched}");
    let (success, _, error) = run(&["cancel", &job], &[]);
    assert!(!success && error.contains("409"), "{error}");
}
