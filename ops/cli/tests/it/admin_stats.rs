//! What an operator sees of the whole service.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    fleet::Fleet,
    keys,
    stack::{Answer, Stack, quick},
};

#[tokio::test]
async fn jobs_workers_and_media_time_of_all_accounts_are_summed() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let (_, other) = keys::key(&stack, "other", &["jobs:read", "jobs:write"]).await;
    let done = stack.convert(&upload, "a.mp4", quick()).await;
    stack.finished(&done).await;
    let failing = json!({ "input": "none.mp4", "output": "b.mp4", "operations": quick() });
    let request = stack.request_as(&other, Method::POST, "/convert").json(&failing);
    let failed = stack.send(request).await;
    assert_eq!(failed.status, StatusCode::CREATED, "{failed:#?}");
    let is_counted = |stats: &Answer| {
        stats.json["jobs"] == json!({ "completed": 1, "failed": 1 })
            && stats.json["workers"]["count"] == 1
    };
    let stats = stack.poll("/admin/stats", is_counted).await;
    for period in ["today", "last_7_days", "last_30_days"] {
        let period = &stats.json[period];
        assert_eq!((&period["completed"], &period["failed"]), (&json!(1), &json!(1)), "{period}");
        let minutes = period["media_minutes"].as_f64().unwrap();
        assert!((minutes * 60.0 - 1.0).abs() < 0.1, "a second was charged: {period}");
        assert!(period["output_bytes"].as_u64().unwrap() > 0, "{period}");
    }
    assert!(stats.json["workers"]["slots"].as_u64().unwrap() > 0, "{stats:#?}");
    // An autoscaler reads the number also if it is 0.
    for pool in ["cpu", "vaapi", "nvenc", "qsv"] {
        assert_eq!(stats.json["queue"][pool]["waiting"], 0, "{stats:#?}");
    }

    let storage = stack.get("/admin/storage").await;
    let local = json!({ "name": "local", "is_default": true, "status": "ok" });
    assert_eq!(storage.json["stores"], json!([local]), "{storage:#?}");
    let size = std::fs::metadata(crate::stack::bunny()).unwrap().len();
    assert_eq!(storage.json["uploads"], json!({ "count": 1, "bytes": size }), "{storage:#?}");

    for path in ["/admin/stats", "/admin/storage"] {
        let refused = stack.send(stack.request_as(&other, Method::GET, path)).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn jobs_that_wait_for_a_pool_without_workers_are_counted() {
    let fleet = Fleet::without_workers().await;
    let body =
        json!({ "input": "a.mp4", "output": "b.mp4", "operations": quick(), "priority": "high" });
    let job = fleet.post("/convert", body.to_string().into(), "").await;
    assert_eq!(job.status, StatusCode::CREATED, "{job:#?}");
    let waiting = |_, stats: &serde_json::Value| {
        let cpu = &stats["queue"]["cpu"];
        cpu["waiting"] == 1
            && cpu["reasons"] == json!({ "no_worker": 1 })
            && cpu["priorities"] == json!({ "high": 1 })
            && cpu["oldest_age_seconds"].as_u64() >= Some(1)
    };
    let stats = fleet.until(&fleet.urls[0], "/api/v1/admin/stats", waiting).await;
    assert_eq!(stats["workers"], json!({ "count": 0, "slots": 0, "running": 0 }), "{stats:#}");
}
