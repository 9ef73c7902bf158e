//! Every kind of job by HTTP: several inputs, several outputs, findings, passes.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    polling::until,
    stack::{Answer, Stack, bunny, probe},
};

/// Creates a job and waits until it ends.
async fn done(stack: &Stack, path: &str, body: Value) -> Answer {
    let created = stack.post(path, &body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let done = stack.finished(created.text("/job/id")).await;
    assert_eq!(done.text("/status"), "completed", "{done:#?}");
    done
}

#[tokio::test]
async fn a_conversion_of_several_files_in_several_passes() {
    let stack = Stack::new().await;
    let video = stack.upload_bunny().await;
    let logo = stack.data.path().join("logo.png");
    let source = ["-v", "error", "-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1"];
    let made = std::process::Command::new("ffmpeg").args(source).arg(&logo).status().unwrap();
    assert!(made.success());
    let logo = stack.upload(std::fs::read(logo).unwrap()).await;
    let words = "1\n00:00:00,200 --> 00:00:01,000\nHello\n";
    let words = stack.upload(words.as_bytes().to_vec()).await;
    let body = json!({ "input": video, "output": "a/video.mp4", "operations": [
        { "type": "trim", "start": 1, "duration": 1 },
        { "type": "scale", "height": 180 },
        { "type": "watermark", "image": logo, "position": "top_right", "scale": 0.1, "opacity": 0.5 },
        { "type": "subtitles", "input": words, "mode": "sidecar", "language": "en" },
        { "type": "concat", "inputs": [video] },
        { "type": "trim", "end": "3.0" },
        { "type": "audio", "normalize": true, "target_lufs": -16 },
        { "type": "transcode", "preset": "ultrafast", "video_bitrate": "300k", "two_pass": true },
    ]});
    let done = done(&stack, "/convert", body).await;
    let names: Vec<&str> = done.json["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["video.mp4", "video.en.vtt"]);
    assert_eq!(done.json["operations"][0]["start"], 1.0);
    assert_eq!(done.json["operations"][2]["type"], "watermark");
    let path = stack.files().into_iter().find(|path| path.ends_with("a/video.mp4")).unwrap();
    let path = std::path::Path::new(&path);
    assert_eq!(probe(path, "v:0", "stream=width,height,nb_frames"), "320\n180\n75");
    let vtt =
        stack.request(Method::GET, &format!("/jobs/{}/outputs/video.en.vtt", done.text("/id")));
    let vtt = vtt.send().await.unwrap();
    assert_eq!(vtt.headers()["content-type"], "text/vtt; charset=utf-8");
    assert!(vtt.text().await.unwrap().starts_with("WEBVTT\n"));
}

#[tokio::test]
async fn probe_and_analysis_results_are_in_the_job() {
    let stack = Stack::new().await;
    let video = stack.upload_bunny().await;
    let found = done(&stack, "/probe", json!({ "input": video })).await;
    let result = &found.json["result"];
    assert_eq!(result["size"], std::fs::metadata(bunny()).unwrap().len());
    assert_eq!(result["streams"][0]["codec"], probe(&bunny(), "v:0", "stream=codec_name"));
    assert!(found.json.get("output").is_none() && found.json["outputs"] == json!([]));

    let body = json!({ "input": video, "reference": video, "metrics": ["ssim", "loudness"] });
    let found = done(&stack, "/analyze", body).await;
    assert_eq!(found.json["result"]["ssim"]["mean"], 1.0);
    assert!(found.json["result"]["loudness"]["integrated_lufs"].as_f64().unwrap() < 0.0);
    assert_eq!(found.json["request"]["metrics"], json!(["ssim", "loudness"]));
}

#[tokio::test]
async fn thumbnails_are_written_to_a_folder() {
    let stack = Stack::new().await;
    let video = stack.upload_bunny().await;
    let body = json!({ "input": video, "output": "thumbs/bunny", "mode": "sprite", "interval": 0.5, "width": 96 });
    let found = done(&stack, "/thumbnails", body.clone()).await;
    let outputs = found.json["outputs"].as_array().unwrap();
    assert_eq!(outputs[0]["location"], "local://thumbs/bunny/sprite-1.jpg");
    assert_eq!(outputs[0]["streams"][0]["width"], 960);
    assert_eq!(outputs[1]["name"], "sprite.vtt");
    assert_eq!(found.json["request"]["interval"], 0.5);
    // The names are in use now; a second job does not replace the files.
    let mut other = body;
    other["width"] = json!(128);
    let again = stack.post("/thumbnails", &other).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{again:#?}");
}

#[tokio::test]
async fn every_mode_of_thumbnails_completes_and_shows_its_plan() {
    let stack = Stack::new().await;
    let video = stack.upload_bunny().await;
    let modes = [
        json!({ "mode": "single" }),
        json!({ "mode": "count", "count": 2 }),
        json!({ "mode": "interval", "interval": 2 }),
        json!({ "mode": "grid", "columns": 2 }),
        json!({ "mode": "sprite" }),
        json!({ "mode": "animated" }),
    ];
    for mut body in modes {
        let mode = body["mode"].as_str().unwrap().to_owned();
        body["input"] = json!(video);
        body["output"] = json!(format!("thumbs/{mode}"));
        let found = done(&stack, "/thumbnails", body).await;
        assert!(!found.json["outputs"].as_array().unwrap().is_empty(), "{mode}: {found:#?}");
        assert!(found.json["plan"]["times"].is_array(), "{mode}: {found:#?}");
        assert_eq!(found.json["usage"]["media_minutes"], 0.0, "{mode}: {found:#?}");
    }
}

#[tokio::test]
async fn invalid_requests_are_rejected_by_field_before_a_job_is_created() {
    let stack = Stack::new().await;
    for (path, body, pointer) in [
        (
            "/convert",
            json!({ "input": "a.mp4", "output": "b.mp4", "operations": [{ "type": "rotate", "degrees": 36_000 }] }),
            "#/operations/0/degrees",
        ),
        (
            "/convert",
            json!({ "input": "a.mp4", "output": "b.mp4", "operations": [{ "type": "text", "text": "x", "color": "reddish" }] }),
            "#/operations/0/color",
        ),
        (
            "/convert",
            json!({ "input": "a.mp4", "output": "b.mp4", "operations": [{ "type": "audio", "volume": 1, "loud": true }] }),
            "#/operations/0/loud",
        ),
        (
            "/convert",
            json!({ "input": "a.mp4", "output": "b.mp4", "operations": [{ "type": "watermark", "image": "../x" }] }),
            "#/operations/0/image",
        ),
        (
            "/convert",
            json!({ "input": "a.mp4", "output": "b.webm", "operations": [{ "type": "transcode", "video_codec": "h264" }] }),
            "#/operations/0/video_codec",
        ),
        ("/thumbnails", json!({ "input": "a.mp4", "output": "b", "mode": "many" }), "#/mode"),
        ("/thumbnails", json!({ "input": "a.mp4", "output": "b", "mode": "count" }), "#/count"),
        ("/analyze", json!({ "input": "a.mp4", "metrics": ["psnr"] }), "#/metrics/0"),
        ("/analyze", json!({ "input": "a.mp4", "metrics": ["beauty"] }), "#/metrics/0"),
        ("/probe", json!({ "output": "a" }), "#/input"),
    ] {
        let answer = stack.post(path, &body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body} {answer:?}");
        let found = answer.text("/errors/0/pointer");
        assert!(
            found == pointer || found == "#/output" && pointer == "#/input",
            "{body}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_packaged_stream_can_be_played_from_the_api() {
    let stack = Stack::new().await;
    let video = stack.upload_bunny().await;
    let words = stack.upload(b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n".to_vec()).await;
    let body = json!({
        "input": video, "output": "streams/bunny", "type": "cmaf", "segment_duration": 2,
        "encoder_preset": "ultrafast", "captions": [{ "input": words, "language": "en" }],
        "variants": [
            { "name": "mid", "height": 360 },
            { "name": "low", "height": 180, "video_bitrate": "200k" },
        ],
    });
    let found = done(&stack, "/stream", body).await;
    let outputs = found.json["outputs"].as_array().unwrap();
    assert_eq!(outputs.last().unwrap()["name"], "master.m3u8");
    let base = format!("/jobs/{}/outputs", found.text("/id"));
    let master = stack.request(Method::GET, &format!("{base}/master.m3u8")).send().await.unwrap();
    assert_eq!(master.headers()["content-type"], "application/vnd.apple.mpegurl");
    let master = master.text().await.unwrap();
    assert!(master.contains("RESOLUTION=640x360") && master.contains("captions-0"), "{master}");
    let segment =
        stack.request(Method::GET, &format!("{base}/low/00001.m4s")).send().await.unwrap();
    assert_eq!(segment.status(), StatusCode::OK);
    // A standard player can play it directly from the storage.
    let path = stack.files().into_iter().find(|path| path.ends_with("bunny/manifest.mpd")).unwrap();
    let frames = |path: &str, option: &[&str]| {
        let count = ["-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries"];
        let printed = std::process::Command::new("ffprobe")
            .args(option)
            .args(count)
            .args(["stream=nb_read_frames", "-of", "default=nw=1:nk=1", path])
            .output()
            .unwrap();
        String::from_utf8_lossy(&printed.stdout).lines().next().map(str::to_owned)
    };
    let source = frames(&bunny().display().to_string(), &[]);
    assert!(source.is_some());
    assert_eq!(frames(&path, &["-allowed_extensions", "ALL"]), source);
    let refused = stack
        .post(
            "/stream",
            &json!({ "input": video, "output": "x", "type": "dash", "encryption": "aes-128" }),
        )
        .await;
    assert_eq!(refused.text("/errors/0/pointer"), "#/encryption");
}

#[tokio::test]
async fn validation_probes_the_input_and_creates_no_job() {
    let stack = Stack::new().await;
    let video = stack.upload_bunny().await;
    let body = json!({
        "kind": "convert", "input": video, "output": "o.webm",
        "operations": [{ "type": "scale", "height": 360 }, { "type": "audio", "normalize": true }],
    });
    let plan = stack.post("/validate", &body).await;
    assert_eq!(plan.status, StatusCode::OK, "{plan:?}");
    assert_eq!(plan.json["plan"]["video"]["codec"], "vp9");
    assert_eq!(plan.json["plan"]["video"]["width"], 640);
    assert_eq!(plan.json["passes"], 2);
    assert_eq!((plan.text("/pool"), &plan.json["warnings"]), ("cpu", &json!([])));
    stack.poll("/capabilities", |answer| answer.status == StatusCode::OK).await;
    let mut wish = body.clone();
    wish["hardware"] = json!({ "prefer": "vaapi" });
    let wish = stack.post("/validate", &wish).await;
    assert!(wish.text("/warnings/0").contains("no worker has `vaapi`"), "{wish:?}");
    let notes = wish.json["plan"]["notes"].to_string();
    assert!(notes.contains("the CPU encodes it"), "{wish:?}");
    let ladder = json!({ "kind": "stream", "input": video, "output": "s", "type": "hls" });
    let ladder = stack.post("/validate", &ladder).await;
    assert_eq!(ladder.json["plan"]["renditions"][0]["name"], "720p", "{ladder:?}");
    for (pointer, body) in [
        (
            "#/operations/0/start",
            json!({ "kind": "convert", "input": video, "output": "o.mp4",
                    "operations": [{ "type": "trim", "start": 3600 }] }),
        ),
        ("#/input", json!({ "kind": "probe", "input": "nowhere.mp4" })),
        ("#/kind", json!({ "kind": "wish", "input": video })),
        ("#/colour", json!({ "kind": "probe", "input": video, "colour": "red" })),
        ("#/not_before", json!({ "kind": "probe", "input": video, "not_before": "tomorrow" })),
        ("#/preset", json!({ "kind": "probe", "input": video, "preset": "nothing" })),
        (
            "#/webhook_url",
            json!({ "kind": "probe", "input": video,
                                  "webhook_url": "http://10.0.0.1/" }),
        ),
        (
            "#/hardware/prefer",
            json!({ "kind": "convert", "input": video, "output": "o.mp4",
                    "hardware": { "prefer": "nvenc", "fallback": "fail" } }),
        ),
    ] {
        let refused = stack.post("/validate", &body).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
        assert_eq!(refused.text("/errors/0/pointer"), pointer, "{refused:?}");
    }
    let jobs = stack.get("/jobs").await;
    assert_eq!(jobs.json["data"], json!([]), "no job was created");
}

#[tokio::test]
async fn an_estimate_is_learned_from_past_jobs() {
    let stack = Stack::new().await;
    let video = stack.upload_bunny().await;
    let body = json!({
        "input": video, "output": "e.mp4",
        "operations": [{ "type": "transcode", "height": 180, "preset": "ultrafast" }],
    });
    let mut question = body.clone();
    question["kind"] = json!("convert");
    question["output"] = json!("f.mp4");
    let guess = stack.post("/estimate", &question).await;
    assert_eq!(guess.status, StatusCode::OK, "{guess:?}");
    assert_eq!(guess.json["learned_from"], 0);
    assert_eq!(guess.json["minutes_charged"], 0.09, "5.3 s of video");
    assert_eq!(guess.json["plan"]["video"]["height"], 180);
    let made = done(&stack, "/convert", body).await.json;
    // The job shows the plan that it followed.
    assert_eq!(made["plan"]["video"], guess.json["plan"]["video"]);
    let size = made["outputs"][0]["size"].as_f64().unwrap();
    // The estimate for the same job is good once its duration is recorded.
    let estimate = async || stack.post("/estimate", &question).await.json;
    let learned = until(estimate, |learned| learned["learned_from"] == 1).await;
    let found = learned["size"].as_f64().unwrap();
    assert!((found / size - 1.0).abs() < 0.01, "{learned} {size}");
    assert!(learned["seconds"].as_f64().unwrap() > 0.0, "{learned}");
}

#[tokio::test]
async fn a_target_quality_is_reached_measured_and_reported() {
    let stack = Stack::new().await;
    let video = stack.upload_bunny().await;
    let wish = json!({ "type": "transcode", "target_vmaf": 85, "preset": "ultrafast",
                       "height": 180, "audio_codec": "none" });
    let wish = json!({ "input": video, "output": "t.mp4", "operations": [wish] });
    let made = done(&stack, "/convert", wish).await.json;
    let quality = &made["result"]["quality"];
    assert_eq!(quality["reached"], true, "{made}");
    // The reference is the video at that size in nearly lossless quality.
    let whole = json!({ "type": "transcode", "crf": 1, "preset": "ultrafast", "height": 180,
                        "audio_codec": "none" });
    let whole = json!({ "input": video, "output": "w.mp4", "operations": [whole] });
    done(&stack, "/convert", whole).await;
    let compare = json!({ "input": "t.mp4", "reference": "w.mp4", "metrics": ["vmaf"] });
    let found = done(&stack, "/analyze", compare).await.json;
    let mean = found["result"]["vmaf"]["mean"].as_f64().unwrap();
    assert!((mean - quality["vmaf"].as_f64().unwrap()).abs() < 1.0, "{quality} {found}");
}

#[tokio::test]
async fn hardware_preferences_fall_back_as_declared() {
    let stack = Stack::new().await;
    let video = stack.upload_bunny().await;
    let wish = |fallback: &str| {
        json!({ "input": video, "output": format!("{fallback}.mp4"),
                "operations": [{ "type": "transcode", "height": 90, "preset": "ultrafast" }],
                "hardware": { "prefer": "nvenc", "fallback": fallback } })
    };
    let has = stack.poll("/capabilities", |has| has.status == StatusCode::OK).await.json;
    assert_eq!(has["advisories"], "https://ffmpeg.org/security.html");
    assert_eq!(has["devices"], json!([]), "no test machine has a GPU");
    assert_eq!(has["kinds"].as_array().unwrap().len(), 5);
    assert_eq!(has["engines"].as_array().unwrap().len(), 1, "all workers have the same FFmpeg");
    let version = has["engines"][0]["version"].as_str().unwrap();
    assert!(has["ffmpeg"].as_str().unwrap().contains(version), "{has}");
    assert!(has["engines"][0]["built"].as_str().unwrap().starts_with("20"), "{has}");
    assert!(has["engines"][0]["configuration"].as_str().unwrap().starts_with("--"), "{has}");
    let refused = stack.post("/convert", &wish("fail")).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
    assert_eq!(refused.text("/errors/0/pointer"), "#/hardware/prefer");
    assert!(refused.text("/errors/0/detail").contains("available are cpu"), "{refused:?}");
    let accepted = stack.post("/convert", &wish("cpu")).await;
    assert!(accepted.text("/warnings/0").contains("no worker has `nvenc`"), "{accepted:?}");
    let done = stack.finished(accepted.text("/job/id")).await;
    assert_eq!((done.text("/status"), done.text("/attempts/0/pool")), ("completed", "cpu"));
    let notes = done.json["result"]["notes"].to_string();
    assert!(notes.contains("nvenc was preferred"), "{notes}");
}

#[tokio::test]
async fn concurrent_jobs_share_the_threads_of_the_machine() {
    let stack = Stack::new().await;
    let video = stack.upload_bunny().await;
    let cores = std::thread::available_parallelism().unwrap().get();
    let mut jobs = Vec::new();
    for number in 0..cores * 2 {
        let operations = json!([{ "type": "transcode", "preset": "ultrafast" }]);
        jobs.push(stack.convert(&video, &format!("{number}.mp4"), operations).await);
    }
    for job in &jobs {
        assert_eq!(stack.finished(job).await.text("/status"), "completed");
    }
    // x264 writes its settings into the stream.
    let share = if cores > 4 { " threads=2 " } else { " threads=1 " };
    let says = |path: &String| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(share.len()).any(|at| at == share.as_bytes())
    };
    let files = stack.files();
    assert!(files.iter().any(says), "none of {files:?}");
}
