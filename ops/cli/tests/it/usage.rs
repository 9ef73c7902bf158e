//! What an account's jobs were charged and made.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    keys,
    stack::{Stack, quick},
};

#[tokio::test]
async fn usage_is_summed_by_day_kind_codec_and_label() {
    let prices = [
        ("FFAPI_GATEWAY__PRICES__CURRENCY", "EUR"),
        ("FFAPI_GATEWAY__PRICES__JOB", "0.5"),
        ("FFAPI_GATEWAY__PRICES__MEDIA_MINUTE", "0.01"),
        ("FFAPI_GATEWAY__PRICES__CPU_HOUR", "1.0"),
    ];
    let stack = Stack::with(&prices).await;
    let upload = stack.upload_bunny().await;
    for (output, team) in [("a.mp4", "red"), ("b.mp4", "red"), ("c.webm", "blue")] {
        let body = json!({
            "input": upload, "output": output, "operations": quick(), "metadata": { "team": team },
        });
        let job = stack.post("/convert", &body).await.text("/job/id").to_owned();
        let job = stack.finished(&job).await;
        let usage = &job.json["usage"];
        assert!(usage["cpu_seconds"].as_f64().unwrap() > 0.0, "{job:#?}");
        assert_eq!(usage["output_bytes"], job.json["outputs"][0]["size"], "{job:#?}");
        // A job, a second of media, and some CPU time.
        let cost = usage["cost"]["amount"].as_f64().unwrap();
        assert!(cost > 0.5001 && cost < 0.6, "{job:#?}");
    }
    let labels = json!({ "team": "green" });
    let stream = json!({ "input": upload, "output": "s", "type": "hls", "metadata": labels, "poster": {},
        "variants": [{ "name": "a", "height": 90 }] });
    let stream = stack.post("/stream", &stream).await.text("/job/id").to_owned();
    assert_eq!(stack.finished(&stream).await.text("/status"), "completed");
    let body = json!({ "kind": "convert", "input": upload, "output": "d.mp4" });
    let estimate = stack.post("/estimate", &body).await;
    assert_eq!(estimate.text("/cost/currency"), "EUR", "{estimate:#?}");
    assert!(estimate.json["cost"]["amount"].as_f64().unwrap() > 0.5, "{estimate:#?}");
    let failed = stack.post("/probe", &json!({ "input": "none.mp4" })).await;
    let failed = failed.text("/job/id");
    assert_eq!(stack.finished(failed).await.text("/status"), "failed");
    // Its log says so, although no media process was started.
    let logs = stack.get(&format!("/jobs/{failed}/logs")).await;
    assert!(logs.text("/data/0/message").starts_with("the attempt failed: "), "{logs:#?}");

    // The minutes are settled a moment after the end.
    let path = "/usage?group_by=kind,codec,status,label.team";
    let sums = stack.poll(path, |sums| {
        let rows = sums.json["data"].as_array().unwrap();
        let charged = |row: &&serde_json::Value| row["media_minutes"] != 0.0;
        rows.iter().filter(charged).map(|row| row["jobs"].as_u64().unwrap()).sum::<u64>() == 4
    });
    let sums = sums.await;
    let rows = sums.json["data"].as_array().unwrap();
    let of = |codec: &str, team: &str| {
        rows.iter().find(|row| row["codec"] == codec && row["label.team"] == team).unwrap().clone()
    };
    let (h264, vp9) = (of("h264", "red"), of("vp9", "blue"));
    assert_eq!(
        (&h264["jobs"], &vp9["jobs"], &h264["status"]),
        (&json!(2), &json!(1), &json!("completed"))
    );
    assert!(h264["output_bytes"].as_u64().unwrap() > 1_000, "{h264}");
    assert!(h264["processing_seconds"].as_f64().unwrap() > 0.0, "{h264}");
    assert!(h264["cpu_seconds"].as_f64().unwrap() > 0.0, "{h264}");
    assert!(h264["cost"]["amount"].as_f64().unwrap() > 1.0, "{h264}");
    assert_eq!(of("none", "")["status"], "failed");
    // The codec of its video, although only the file of its poster is described.
    assert_eq!(of("h264", "green")["kind"], "stream");

    let today = stack.get("/usage?group_by=day").await;
    assert_eq!(today.json["data"][0]["jobs"], 5, "{today:#?}");
    let csv = stack.request(Method::GET, "/usage?group_by=month,kind").header("accept", "text/csv");
    let csv = csv.send().await.unwrap();
    assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8");
    let csv = csv.text().await.unwrap();
    assert!(csv.starts_with("month,kind,jobs,media_minutes,"), "{csv}");
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert_eq!(stack.get("/usage?from=2100-01-01").await.json["data"], json!([]));
    for (query, parameter) in [("group_by=year", "group_by"), ("from=today", "from")] {
        let refused = stack.get(&format!("/usage?{query}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:#?}");
        assert_eq!(refused.text("/errors/0/parameter"), parameter);
    }
    let (_, other) = keys::key(&stack, "other", &["jobs:read"]).await;
    let other = stack.send(stack.request_as(&other, Method::GET, "/usage")).await;
    assert_eq!(other.json["data"], json!([]));
    crate::crash::equals_its_rebuild(&stack);
}
