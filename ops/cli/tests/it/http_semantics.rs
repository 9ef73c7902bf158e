use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::stack::{Answer, Stack, http, quick, slow};

pub(crate) fn is_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status.as_u16(), status, "{answer:#?}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:#?}");
    assert_eq!(answer.json["status"], status);
    for field in ["type", "title", "detail", "instance", "request_id", "retry_hint"] {
        assert!(answer.json[field].is_string(), "{field}: {answer:#?}");
    }
    assert_eq!(answer.text("/request_id"), answer.header("x-request-id"));
}

#[tokio::test]
async fn every_rejection_is_a_problem_with_a_pointer_to_its_field() {
    let stack = Stack::new().await;
    let good = json!({ "input": "a.mp4", "output": "b.mp4" });
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for (pointer, body) in [
        ("#/colour", with("colour", json!("red"))),
        ("#/input", json!({ "output": "b.mp4" })),
        ("#/input", with("input", json!("../../etc/passwd"))),
        ("#/input", with("input", json!("ftp://example.com/a.mp4"))),
        ("#/input", with("input", json!("upload_00000000000070008000000000000000"))),
        ("#/output", with("output", json!("a.xyz"))),
        ("#/output", with("output", json!("a.mp4"))),
        ("#/priority", with("priority", json!("urgent"))),
        ("#/operations/0/type", with("operations", json!([{ "type": "sparkle" }]))),
        ("#/operations/0/speed", with("operations", json!([{ "type": "trim", "speed": 2 }]))),
        ("#/operations/0/start", with("operations", json!([{ "type": "trim", "start": "x" }]))),
        ("#/operations/0/height", with("operations", json!([{ "type": "scale", "height": 4 }]))),
        ("#/operations/0/crf", with("operations", json!([{ "type": "transcode", "crf": 99 }]))),
        (
            "#/operations/0/video_codec",
            with("operations", json!([{ "type": "transcode", "video_codec": "fast" }])),
        ),
        ("#/not_before", with("not_before", json!("tomorrow"))),
        ("#/metadata/a", with("metadata", json!({ "a": "\u{0}" }))),
    ] {
        let answer = stack.post("/convert", &body).await;
        is_problem(&answer, 422);
        assert_eq!(answer.text("/errors/0/pointer"), pointer, "{answer:#?}");
    }
    for (path, body, pointers) in [
        (
            "/webhooks",
            json!({ "url": "ftp://x", "events": ["job.nope"], "concurrency": 0 }),
            &["#/concurrency", "#/events/0", "#/url"][..],
        ),
        (
            "/api-keys",
            json!({ "name": "", "tenant": "Bad Name", "scopes": ["x"], "expires_at": "z" }),
            &["#/expires_at", "#/name", "#/scopes/0", "#/tenant"],
        ),
    ] {
        let answer = stack.post(path, &body).await;
        is_problem(&answer, 422);
        assert_eq!(answer.pointers(), pointers, "{answer:#?}");
    }
    for body in ["[]", "null", "\"text\""] {
        let list =
            stack.request(Method::POST, "/convert").header("content-type", "application/json");
        let answer = stack.send(list.body(body)).await;
        is_problem(&answer, 422);
        assert_eq!(answer.text("/detail"), "the body must be a JSON object");
    }
    let limit = stack.get("/jobs?limit=abc").await;
    assert_eq!(limit.text("/detail"), "expected a whole number, 0 or more", "{limit:#?}");
    let gzip = stack.request(Method::POST, "/convert").header("content-encoding", "gzip");
    is_problem(&stack.send(gzip.header("content-type", "application/json").body("x")).await, 415);
    let broken = stack.request(Method::POST, "/convert").header("content-type", "application/json");
    is_problem(&stack.send(broken.body("{")).await, 400);
    let text = stack.request(Method::POST, "/convert").header("content-type", "text/plain");
    is_problem(&stack.send(text.body("{}")).await, 415);
    is_problem(&stack.get("/nothing").await, 404);
    is_problem(&stack.get("/jobs/job_nonsense").await, 404);
    is_problem(&stack.get("/jobs/job_00000000000070008000000000000000").await, 404);
    let wrong_method = stack.send(stack.request(Method::PUT, "/jobs")).await;
    is_problem(&wrong_method, 405);
    assert_eq!(wrong_method.header("allow"), "GET, HEAD");
    for query in [
        "limit=0",
        "limit=x",
        "cursor=zzz",
        "status=x",
        "colour=red",
        "min_position=7",
        "kind=%00",
        "kind=zzz",
        "preset=@",
    ] {
        is_problem(&stack.get(&format!("/jobs?{query}")).await, 400);
    }
}

#[tokio::test]
async fn all_paths_except_the_public_ones_require_a_key() {
    let stack = Stack::new().await;
    let client = http();
    for path in ["/health", "/health/ready", "/docs", "/openapi.json", "/api/v1/health"] {
        let answer = client.get(format!("{}{path}", stack.url)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
    for path in ["/jobs", "/capabilities", "/queue", "/admin/workers", "/health/detailed"] {
        for key in [None, Some("ffapi_wrong"), Some(&*format!("{}x", stack.key))] {
            let mut request = client.get(format!("{}/api/v1{path}", stack.url));
            if let Some(key) = key {
                request = request.header("x-api-key", key);
            }
            let answer = stack.send(request).await;
            is_problem(&answer, 401);
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
    }
    let bearer = client.get(format!("{}/api/v1/jobs", stack.url)).bearer_auth(&stack.key);
    assert_eq!(stack.send(bearer).await.status, StatusCode::OK);
    let mode = std::fs::metadata(stack.data.path().join("admin.key")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
}

#[tokio::test]
async fn the_etag_of_a_preset_counts_its_deletions() {
    let stack = Stack::new().await;
    let preset = json!({ "name": "web", "kind": "convert", "body": { "operations": quick() } });
    stack.post("/presets", &preset).await;
    let gone = stack.send(stack.request(Method::DELETE, "/presets/web")).await;
    assert!(!gone.header("x-log-position").is_empty(), "{gone:?}");
    let made = stack.post("/presets", &preset).await;
    let position = made.header("x-log-position");
    let list = stack.get(&format!("/presets?min_position={position}&limit=200")).await;
    let own = list.json["data"].as_array().unwrap().iter().find(|preset| preset["name"] == "web");
    assert_eq!(own.unwrap()["version"], 2, "{list:?}");
    let etag = stack.get("/presets/web").await.header("etag").to_owned();
    let same = stack.request(Method::GET, "/presets/web").header("if-none-match", &etag);
    assert_eq!(stack.send(same).await.status, StatusCode::NOT_MODIFIED);
    let put = |etag: &str| {
        let request = stack.request(Method::PUT, "/presets/web").header("if-match", etag);
        stack.send(request.json(&json!({ "body": { "priority": "low", "operations": [] } })))
    };
    let changed = put(&etag).await;
    assert_eq!((changed.status, &changed.json["version"]), (StatusCode::OK, &json!(3)));
    is_problem(&put(&etag).await, 412);
    let delete = stack.request(Method::DELETE, "/presets/web").header("if-match", &etag);
    is_problem(&stack.send(delete).await, 412);
}

#[tokio::test]
async fn rotation_and_deletion_require_the_current_etag() {
    let stack = Stack::new().await;
    let hook = stack.post("/webhooks", &json!({ "url": "https://example.com/a" })).await;
    let key = stack.post("/api-keys", &json!({ "name": "a", "scopes": ["jobs:read"] })).await;
    let webhook = format!("/webhooks/{}", hook.text("/id"));
    let key_path = format!("/api-keys/{}", key.text("/id"));
    let ask = |method: Method, path: &str, etag: &str| {
        let request = stack.request(method, path).header("if-match", etag).json(&json!({}));
        stack.send(request)
    };
    for (path, made) in [(&webhook, &hook), (&key_path, &key)] {
        let rotate = format!("{path}/rotate");
        let etag = made.header("etag");
        let rotated = ask(Method::POST, &rotate, etag).await;
        assert_eq!(rotated.status, StatusCode::OK, "{rotated:?}");
        is_problem(&ask(Method::POST, &rotate, etag).await, 412);
    }
    is_problem(&ask(Method::DELETE, &webhook, hook.header("etag")).await, 412);
    let now = stack.get(&webhook).await;
    assert_eq!(ask(Method::DELETE, &webhook, now.header("etag")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_reader_sees_its_own_write_and_never_stale_data() {
    let stack = Stack::new().await;
    let body = json!({ "input": "missing.mp4", "output": "a.mp4" });
    let created = stack.post("/convert", &body).await;
    let (job, position) = (created.text("/job/id"), created.header("x-log-position"));
    let read = stack.get(&format!("/jobs/{job}?min_position={position}")).await;
    assert_eq!(read.status, StatusCode::OK, "{read:?}");
    let start = Instant::now();
    let future = stack.get(&format!("/jobs/{job}?min_position=1-999999-0")).await;
    is_problem(&future, 503);
    assert!(start.elapsed().as_secs_f64() > 4.0);
    assert_eq!(future.header("retry-after"), "1");
    assert!(future.header("x-log-position").starts_with("1-"));
}

#[tokio::test]
async fn etags_avoid_resending_and_prevent_lost_updates() {
    let stack = Stack::new().await;
    let not_before = "2100-01-01T00:00:00Z";
    let body = json!({ "input": "a.mp4", "output": "b.mp4", "not_before": not_before });
    let created = stack.post("/convert", &body).await;
    let (job, etag) = (created.text("/job/id"), created.header("etag"));
    assert_eq!(etag, "\"v1\"");
    let position = created.header("x-log-position");
    let path = format!("/jobs/{job}?min_position={position}");
    let same = stack.request(Method::GET, &path).header("if-none-match", etag);
    assert_eq!(stack.send(same).await.status, StatusCode::NOT_MODIFIED);
    let patch = |etag: &str| {
        let request = stack.request(Method::PATCH, &format!("/jobs/{job}"));
        request.header("if-match", etag).json(&json!({ "priority": "low" }))
    };
    is_problem(&stack.send(patch("\"v7\"")).await, 412);
    let changed = stack.send(patch(etag)).await;
    assert_eq!((changed.status, changed.header("etag")), (StatusCode::OK, "\"v2\""));
    is_problem(&stack.send(patch(etag)).await, 412);
}

#[tokio::test]
async fn prefer_wait_returns_the_final_state() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let body = json!({ "input": upload, "output": "a.mp4", "operations": quick() });
    let request = stack.request(Method::POST, "/convert").header("prefer", "wait=30");
    let answer = stack.send(request.json(&body)).await;
    assert_eq!(answer.text("/job/status"), "completed", "{answer:#?}");
    let later = json!({ "input": upload, "output": "b.mp4", "operations": quick() });
    let job = stack.post("/convert", &later).await.text("/job/id").to_owned();
    let request = stack.request(Method::GET, &format!("/jobs/{job}?min_position=1-1-0"));
    let answer = stack.send(request.header("prefer", "wait=30")).await;
    assert!(matches!(answer.text("/status"), "completed"), "{answer:#?}");
}

#[tokio::test]
async fn pagination_returns_each_entry_once() {
    let stack = Stack::new().await;
    let mut made = Vec::new();
    let mut position = String::new();
    for n in 0..7 {
        let body = json!({
            "input": "a.mp4", "output": format!("{n}.mp4"), "metadata": { "n": n.to_string() },
            "not_before": "2100-01-01T00:00:00Z",
        });
        let created = stack.post("/convert", &body).await;
        made.push(created.text("/job/id").to_owned());
        created.header("x-log-position").clone_into(&mut position);
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut path = format!("/jobs?limit=3&min_position={position}");
    loop {
        let page = stack.get(&path).await;
        let ids = page.json["data"].as_array().unwrap().iter();
        seen.extend(ids.map(|job| job["id"].as_str().unwrap().to_owned()));
        assert_eq!(page.json["has_more"], page.json["next_cursor"].is_string());
        let Some(cursor) = page.json["next_cursor"].as_str() else { break };
        assert!(page.header("link").contains(cursor), "{page:?}");
        path = format!("/jobs?limit=3&cursor={cursor}");
    }
    assert_eq!(seen, made);
    let one = stack.get("/jobs?metadata.n=4").await;
    assert_eq!(one.json["data"].as_array().unwrap().len(), 1, "{one:#?}");
    assert_eq!(one.json["data"][0]["metadata"]["n"], "4");
    stack.poll("/queue", |queue| queue.json["queued"]["normal"] == 7).await;
}

#[tokio::test]
async fn a_request_without_a_body_is_one_with_an_empty_object() {
    let stack = Stack::new().await;
    let empty = stack.send(stack.request(Method::POST, "/convert")).await;
    assert_eq!(empty.status, StatusCode::UNPROCESSABLE_ENTITY, "{empty:#?}");
    assert_eq!(empty.text("/errors/0/pointer"), "#/input");
    let probe = stack.post("/probe", &json!({ "input": "a.mp4" })).await;
    let rerun = format!("/jobs/{}/rerun", probe.text("/job/id"));
    let rerun = stack.send(stack.request(Method::POST, &rerun)).await;
    assert_eq!(rerun.status, StatusCode::CREATED, "{rerun:#?}");
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_its_explanation() {
    let stack = Stack::new().await;
    let missing = stack.get("/jobs/job_00000000000070008000000000000000").await;
    assert_eq!(missing.text("/type"), "/errors/not-found");
    let page = http().get(format!("{}{}", stack.url, missing.text("/type"))).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let text = page.text().await.unwrap();
    assert!(text.starts_with("# not-found\n404."), "{text}");
}

#[tokio::test]
async fn an_admin_lists_accounts_by_name() {
    let stack = Stack::new().await;
    for tenant in ["b", "a", "c"] {
        crate::keys::key(&stack, tenant, &["jobs:read"]).await;
    }
    let names = |page: &Answer| {
        let data = page.json["data"].as_array().unwrap().iter();
        data.map(|account| account["tenant"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = stack.get("/accounts?limit=3").await;
    assert_eq!(names(&first), ["a", "b", "c"], "{first:#?}");
    let next = format!("/accounts?limit=3&cursor={}", first.text("/next_cursor"));
    assert_eq!(names(&stack.get(&next).await), ["default"]);
    let (_, other) = crate::keys::key(&stack, "a", &["jobs:read"]).await;
    let refused = stack.send(stack.request_as(&other, Method::GET, "/accounts")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_scheduled_job_waits_until_it_is_due() {
    let stack = Stack::new().await;
    let body = json!({
        "input": "a.mp4", "output": "b.mp4", "not_before": "2100-01-01T00:00:00Z",
    });
    let created = stack.post("/convert", &body).await;
    assert_eq!(created.text("/job/status"), "queued");
    assert_eq!(created.text("/job/next_attempt_at"), "2100-01-01T00:00:00.000Z");
    let job = created.text("/job/id");
    let cancelled = stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
    assert_eq!((cancelled.status, cancelled.text("/status")), (StatusCode::ACCEPTED, "cancelled"));
    is_problem(&stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await, 409);
    let retried = stack.post(&format!("/jobs/{job}/retry"), &json!({})).await;
    assert_eq!((retried.status, retried.text("/status")), (StatusCode::ACCEPTED, "queued"));
    let later = json!({ "overrides": { "not_before": "2101-01-01T00:00:00Z", "output": "c.mp4" } });
    let rerun = stack.post(&format!("/jobs/{job}/rerun"), &later).await;
    assert_eq!(rerun.text("/job/next_attempt_at"), "2101-01-01T00:00:00.000Z", "{rerun:#?}");
}

#[tokio::test]
async fn jobs_over_the_concurrency_limit_wait_and_are_not_rejected() {
    let stack = Stack::with(&[("FFAPI_WORKER__SLOTS", "2")]).await;
    let limit = json!({ "limits": { "concurrent_jobs": 1 } });
    stack.send(stack.request(Method::PATCH, "/accounts/default").json(&limit)).await;
    let upload = stack.upload_bunny().await;
    let first = stack.convert(&upload, "a.mp4", slow()).await;
    let second = stack.convert(&upload, "b.mp4", quick()).await;
    stack.until(&first, |job| job.json["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
    assert_eq!(stack.get(&format!("/jobs/{second}")).await.text("/status"), "queued");
    let queue = stack.get("/queue").await;
    assert_eq!(
        (&queue.json["processing"], &queue.json["queued"]["normal"]),
        (&json!(1), &json!(1))
    );
    stack.post(&format!("/jobs/{first}/cancel"), &json!({})).await;
    assert_eq!(stack.finished(&second).await.text("/status"), "completed");
}

/// The statistics of one cache in a response.
fn cache(statistics: &Value, name: &str) -> Value {
    let all = statistics["data"].as_array().unwrap();
    all.iter().find(|cache| cache["name"] == name).unwrap().clone()
}

#[tokio::test]
async fn keys_presets_and_probe_results_are_cached_and_invalidated_immediately() {
    let stack = Stack::new().await;
    let of = async |name: &str, figure: &str| {
        let statistics = stack.get("/admin/cache").await.json;
        cache(&statistics, name)[figure].as_u64().unwrap()
    };
    let hits = async |name: &str| of(name, "hits").await;
    // The same bytes are probed once.
    let before = hits("probes").await;
    stack.upload_bunny().await;
    assert_eq!(hits("probes").await, before);
    let second = stack.upload_bunny().await;
    assert_eq!(hits("probes").await, before + 1);
    let shown = stack.get(&format!("/uploads/{second}")).await;
    assert_eq!(shown.json["media"]["streams"][0]["codec"], "h264", "{shown:#?}");
    // Not for another tenant, which would learn from the time that somebody has the file.
    let (entries, hits_before) = (of("probes", "entries").await, hits("probes").await);
    let (_, foreign) = crate::keys::key(&stack, "acme", &["jobs:write"]).await;
    let request = stack
        .request_as(&foreign, Method::POST, "/uploads")
        .header("content-type", "application/octet-stream")
        .body(std::fs::read(crate::stack::bunny()).unwrap());
    let theirs = stack.send(request).await;
    assert_eq!(theirs.status, StatusCode::CREATED, "{theirs:?}");
    assert_eq!(hits("probes").await, hits_before);
    assert_eq!(of("probes", "entries").await, entries + 1, "it is inspected again");
    // A preset is read once, and a new version is used by the next request.
    let preset = json!({ "name": "p", "kind": "probe", "body": { "priority": "low" } });
    stack.post("/presets", &preset).await;
    let ask = json!({ "input": second, "preset": "p" });
    let before = hits("presets").await;
    for (priority, version) in [("high", 2), ("low", 3), ("normal", 4)] {
        let put = json!({ "body": { "priority": priority } });
        stack.send(stack.request(Method::PUT, "/presets/p").json(&put)).await;
        let job = stack.post("/probe", &ask).await;
        assert_eq!(job.text("/job/preset"), format!("p@{version}"), "{job:#?}");
        assert_eq!(job.text("/job/priority"), priority, "{job:#?}");
    }
    for _ in 0..3 {
        stack.post("/probe", &ask).await;
    }
    assert!(hits("presets").await >= before + 3);
    // Keys are looked up in memory, also unknown ones.
    let keys = cache(&stack.get("/admin/cache").await.json, "keys");
    assert_eq!((&keys["entries"], &keys["misses"]), (&json!(2), &json!(0)), "{keys:#}");
    stack.send(stack.request_as("nonsense", Method::GET, "/jobs")).await;
    assert_eq!(cache(&stack.get("/admin/cache").await.json, "keys")["misses"], 1);
}

#[tokio::test]
async fn a_cached_job_is_never_older_than_a_published_event() {
    let stack = Stack::new().await;
    let not_before = "2100-01-01T00:00:00Z";
    let body = json!({ "input": "a.mp4", "output": "b.mp4", "not_before": not_before });
    let created = stack.post("/convert", &body).await;
    let (job, first) = (created.text("/job/id"), created.header("x-log-position"));
    stack.get(&format!("/jobs/{job}?min_position={first}")).await;
    let figures = async || cache(&stack.get("/admin/cache").await.json, "jobs");
    let before = figures().await["hits"].as_u64().unwrap();
    for _ in 0..3 {
        assert_eq!(stack.get(&format!("/jobs/{job}")).await.text("/priority"), "normal");
    }
    assert_eq!(figures().await["hits"].as_u64().unwrap(), before + 3);
    for priority in ["low", "high", "low", "normal"].into_iter().cycle().take(20) {
        let patch = stack.request(Method::PATCH, &format!("/jobs/{job}"));
        let changed = stack.send(patch.json(&json!({ "priority": priority }))).await;
        let position = changed.header("x-log-position");
        let read = stack.get(&format!("/jobs/{job}?min_position={position}")).await;
        assert_eq!(read.text("/priority"), priority, "{read:#?}");
    }
    let cleared = stack.post("/admin/cache/clear", &json!({})).await;
    assert_eq!(cache(&cleared.json, "jobs")["entries"], 0);
    assert_eq!(stack.get(&format!("/jobs/{job}")).await.text("/id"), job);
    // A cached job of another tenant is not found.
    let (_, foreign) = crate::keys::key(&stack, "acme", &["jobs:read"]).await;
    let request = stack.request_as(&foreign, Method::GET, &format!("/jobs/{job}"));
    is_problem(&stack.send(request).await, 404);
}
