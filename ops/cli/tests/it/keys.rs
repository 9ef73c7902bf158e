//! Authorization: keys, accounts and their limits.

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    polling::until,
    stack::{Answer, Stack, bunny},
};

async fn make(stack: &Stack, body: &Value) -> Answer {
    let answer = stack.post("/api-keys", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:#?}");
    answer
}

/// A key of a tenant with these scopes: its id and its secret.
pub(crate) async fn key(stack: &Stack, tenant: &str, scopes: &[&str]) -> (String, String) {
    let body = json!({ "name": "k", "tenant": tenant, "scopes": scopes });
    let answer = make(stack, &body).await;
    (answer.text("/id").to_owned(), answer.text("/secret").to_owned())
}

#[tokio::test]
async fn a_key_can_be_created_updated_and_revoked_and_its_secret_is_shown_once() {
    let stack = Stack::new().await;
    let body = json!({
        "name": "ci", "scopes": ["jobs:read", "keys:manage"], "expires_at": "2100-01-01T00:00:00Z",
        "allowed_ips": ["127.0.0.0/8"], "max_concurrent_jobs": 2, "rotate_every": "90d",
    });
    let made = make(&stack, &body).await;
    let (id, secret) = (made.text("/id"), made.text("/secret"));
    assert!(secret.starts_with("ffapi_") && secret.len() == 76, "{secret}");
    assert_eq!(made.header("location"), format!("/api/v1/api-keys/{id}"));
    let path = format!("/api-keys/{id}");
    let shown = stack.get(&path).await;
    assert_eq!((shown.text("/name"), shown.text("/status")), ("ci", "active"));
    assert_eq!(shown.json["rotate_every"], 90 * 86_400);
    assert!(shown.json.get("secret").is_none(), "{shown:#?}");

    let as_key = |method, path: &str| stack.request_as(secret, method, path);
    assert_eq!(stack.send(as_key(Method::GET, "/jobs")).await.status, StatusCode::OK);
    let convert = json!({ "input": "a.mp4", "output": "b.mp4" });
    let refused = stack.send(as_key(Method::POST, "/convert").json(&convert)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:#?}");

    let patch =
        json!({ "name": "ci-2", "max_concurrent_jobs": null, "allowed_ips": ["10.0.0.0/8"] });
    let request = stack.request(Method::PATCH, &path).header("if-match", shown.header("etag"));
    let patched = stack.send(request.json(&patch)).await;
    assert_eq!((patched.status, patched.text("/name")), (StatusCode::OK, "ci-2"), "{patched:#?}");
    assert!(patched.json.get("max_concurrent_jobs").is_none());
    let elsewhere = stack.send(as_key(Method::GET, "/jobs")).await;
    assert_eq!(elsewhere.status, StatusCode::FORBIDDEN, "{elsewhere:#?}");
    let request = stack.request(Method::PATCH, &path).header("if-match", shown.header("etag"));
    assert_eq!(stack.send(request.json(&patch)).await.status, StatusCode::PRECONDITION_FAILED);

    let open = json!({ "allowed_ips": [] });
    stack.send(stack.request(Method::PATCH, &path).json(&open)).await;
    let rotated = stack.post(&format!("{path}/rotate?grace=3600"), &json!({})).await;
    let newer = rotated.text("/secret");
    assert_ne!(newer, secret);
    for secret in [secret, newer] {
        let request = stack.request_as(secret, Method::GET, "/jobs");
        assert_eq!(stack.send(request).await.status, StatusCode::OK);
    }
    stack.post(&format!("{path}/rotate?grace=0"), &json!({})).await;
    for secret in [secret, newer] {
        let request = stack.request_as(secret, Method::GET, "/jobs");
        assert_eq!(stack.send(request).await.status, StatusCode::UNAUTHORIZED);
    }
    let extended = stack.post(&format!("{path}/extend"), &json!({ "expires_at": null })).await;
    assert!(extended.json.get("expires_at").is_none(), "{extended:#?}");
    let unsaid = stack.post(&format!("{path}/extend"), &json!({})).await;
    assert_eq!(unsaid.text("/errors/0/pointer"), "#/expires_at", "{unsaid:#?}");
    let past = json!({ "expires_at": "2020-01-01T00:00:00Z" });
    let past = stack.post(&format!("{path}/extend"), &past).await;
    assert_eq!(past.text("/errors/0/pointer"), "#/expires_at");

    let revoked = stack.post(&format!("{path}/revoke"), &json!({})).await;
    assert_eq!(revoked.text("/status"), "revoked", "{revoked:#?}");
    let again = stack.post(&format!("{path}/rotate"), &json!({})).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let keys = stack.get("/api-keys?limit=1").await;
    assert_eq!(
        (keys.json["data"].as_array().unwrap().len(), &keys.json["has_more"]),
        (1, &json!(true))
    );
    let next = keys.text("/next_cursor");
    let rest = stack.get(&format!("/api-keys?limit=1&cursor={next}")).await;
    assert_eq!((rest.text("/data/0/id"), &rest.json["has_more"]), (id, &json!(false)));
}

#[tokio::test]
async fn a_secret_appears_only_in_the_response_that_creates_it() {
    let stack = Stack::with(&[("FFAPI_LOG__FILTER", "trace")]).await;
    let body = json!({ "name": "k", "scopes": ["jobs:read"] });
    let send = async || {
        let request = stack.request(Method::POST, "/api-keys").header("idempotency-key", "one");
        stack.send(request.json(&body)).await
    };
    let first = send().await;
    let secret = first.text("/secret").to_owned();
    let second = send().await;
    assert_eq!(second.text("/id"), first.text("/id"));
    assert_eq!((second.header("idempotent-replayed"), second.json.get("secret")), ("true", None));
    let wrong = format!("{}x", &secret[..secret.len() - 1]);
    for secret in [&secret, &wrong] {
        stack.send(stack.request_as(secret, Method::GET, "/jobs")).await;
    }
    // All files on disk, including logs at the most verbose level.
    let entropy = &secret[30..];
    let found = std::process::Command::new("grep")
        .args(["-rlaF", entropy])
        .arg(stack.data.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    // The search works: the id is found in the logs and the archive.
    let found = std::process::Command::new("grep")
        .args(["-rlaF", first.text("/id")])
        .arg(stack.data.path())
        .output()
        .unwrap();
    assert!(!found.stdout.is_empty());
}

#[tokio::test]
async fn a_key_cannot_grant_more_than_it_has() {
    let stack = Stack::new().await;
    let (_, manager) = key(&stack, "acme", &["jobs:read", "keys:manage"]).await;
    let ask = async |body: Value| {
        stack.send(stack.request_as(&manager, Method::POST, "/api-keys").json(&body)).await
    };
    for (body, pointer) in [
        (json!({ "name": "k", "scopes": ["admin"] }), "#/scopes"),
        (json!({ "name": "k", "scopes": ["jobs:write"] }), "#/scopes"),
        (json!({ "name": "k", "tenant": "default", "scopes": ["jobs:read"] }), "#/tenant"),
    ] {
        let answer = ask(body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:#?}");
        assert_eq!(answer.text("/errors/0/pointer"), pointer);
    }
    for (body, pointer) in [
        (json!({ "name": "k", "scopes": ["fly"] }), "#/scopes/0"),
        (json!({ "name": "k", "scopes": [] }), "#/scopes"),
        (json!({ "name": "", "scopes": ["jobs:read"] }), "#/name"),
        (json!({ "name": "k", "scopes": ["jobs:read"], "allowed_ips": ["x"] }), "#/allowed_ips/0"),
        (json!({ "name": "k", "scopes": ["jobs:read"], "rotate_every": "1y" }), "#/rotate_every"),
        (json!({ "name": "k", "scopes": ["jobs:read"], "expires_at": "soon" }), "#/expires_at"),
        (json!({ "name": "k", "scopes": ["jobs:read"], "colour": "red" }), "#/colour"),
    ] {
        let answer = ask(body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:#?}");
        assert_eq!(answer.text("/errors/0/pointer"), pointer);
    }
    let own = ask(json!({ "name": "k", "scopes": ["jobs:read"] })).await;
    assert_eq!((own.status, own.text("/tenant")), (StatusCode::CREATED, "acme"), "{own:#?}");
    let account = stack.request_as(&manager, Method::PATCH, "/accounts/acme");
    let account = stack.send(account.json(&json!({ "tier": "enterprise" }))).await;
    assert_eq!(account.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn limits_on_keys_requests_and_file_sizes_are_enforced() {
    let stack = Stack::new().await;
    let limits = json!({ "limits": {
        "keys": 2, "requests_per_hour": 5, "max_file_bytes": 1000,
    } });
    let path = "/accounts/acme";
    let set = stack.send(stack.request(Method::PATCH, path).json(&limits)).await;
    assert_eq!((set.status, set.text("/tier")), (StatusCode::OK, "free"), "{set:#?}");
    assert_eq!(set.json["limits"]["concurrent_jobs"], 2);
    let scopes = ["jobs:read", "jobs:write"];
    let (_, secret) = key(&stack, "acme", &scopes).await;
    key(&stack, "acme", &scopes).await;
    let third = json!({ "name": "k", "tenant": "acme", "scopes": scopes });
    let third = stack.post("/api-keys", &third).await;
    assert_eq!(third.status, StatusCode::CONFLICT, "{third:#?}");

    let upload = stack.request_as(&secret, Method::POST, "/uploads");
    let upload = upload.header("content-type", "application/octet-stream");
    let upload = stack.send(upload.body(vec![0; 2_000])).await;
    assert_eq!(upload.status, StatusCode::PAYLOAD_TOO_LARGE, "{upload:#?}");
    let mut left = Vec::new();
    for _ in 0..4 {
        let answer = stack.send(stack.request_as(&secret, Method::GET, "/jobs")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:#?}");
        assert_eq!(answer.header("ratelimit-policy"), "\"requests\";q=5;w=3600");
        let remaining = answer.header("ratelimit").split(['=', ';']).nth(2).unwrap().to_owned();
        left.push(remaining.parse::<u64>().unwrap());
    }
    assert_eq!(left, [3, 2, 1, 0]);
    let over = stack.send(stack.request_as(&secret, Method::GET, "/jobs")).await;
    assert_eq!(over.status, StatusCode::TOO_MANY_REQUESTS, "{over:#?}");
    assert!(over.header("retry-after").parse::<u64>().unwrap() <= 3_600);
    // Another tenant has its own limit, and a raised limit applies at once.
    assert_eq!(stack.get("/jobs").await.status, StatusCode::OK);
    let more = json!({ "tier": "basic", "limits": { "requests_per_hour": 500 } });
    stack.send(stack.request(Method::PATCH, path).json(&more)).await;
    let again = stack.send(stack.request_as(&secret, Method::GET, "/jobs")).await;
    assert_eq!(again.status, StatusCode::OK, "{again:#?}");
}

#[tokio::test]
async fn an_expired_key_is_extended_only_within_the_accounts_key_limit() {
    let stack = Stack::new().await;
    let limits = json!({ "limits": { "keys": 1, "requests_per_hour": 1_000_000 } });
    stack.send(stack.request(Method::PATCH, "/accounts/acme").json(&limits)).await;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis().try_into().unwrap();
    let soon = ffapi_domain::Timestamp::from_millis(now).plus(std::time::Duration::from_secs(2));
    let soon = soon.to_string();
    let first =
        json!({ "name": "k", "tenant": "acme", "scopes": ["jobs:read"], "expires_at": soon });
    let first = stack.post("/api-keys", &first).await;
    let opens = async |key: &Answer| {
        let request = stack.request_as(key.text("/secret"), Method::GET, "/jobs");
        let status = stack.send(request).await.status;
        assert!([StatusCode::OK, StatusCode::UNAUTHORIZED].contains(&status), "{status}");
        status == StatusCode::OK
    };
    until(async || opens(&first).await, |opens| !opens).await;
    let second = json!({ "name": "k", "tenant": "acme", "scopes": ["jobs:read"] });
    let second = stack.post("/api-keys", &second).await;
    assert!(opens(&second).await);
    let extend = format!("/api-keys/{}/extend", first.text("/id"));
    let refused = stack.post(&extend, &json!({ "expires_at": null })).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:#?}");
    assert!(!opens(&first).await);
    stack.post(&format!("/api-keys/{}/revoke", second.text("/id")), &json!({})).await;
    let extended = stack.post(&extend, &json!({ "expires_at": null })).await;
    assert_eq!(extended.status, StatusCode::OK, "{extended:#?}");
    assert!(opens(&first).await);
}

#[tokio::test]
async fn the_request_quota_survives_a_restart() {
    let mut stack = Stack::new().await;
    let limits = json!({ "limits": { "requests_per_hour": 3 } });
    stack.send(stack.request(Method::PATCH, "/accounts/acme").json(&limits)).await;
    let (_, secret) = key(&stack, "acme", &["jobs:read"]).await;
    let ask = async |stack: &Stack| {
        stack.send(stack.request_as(&secret, Method::GET, "/jobs")).await.status.as_u16()
    };
    assert_eq!([ask(&stack).await, ask(&stack).await], [200, 200]);
    stack.kill();
    stack.restart().await;
    assert_eq!([ask(&stack).await, ask(&stack).await], [200, 429]);
}

#[tokio::test]
async fn an_anonymous_client_over_its_limit_waits_and_others_do_not() {
    let stack = Stack::with(&[("FFAPI_GATEWAY__STRANGERS_PER_MINUTE", "5")]).await;
    let mut seen = Vec::new();
    for _ in 0..7 {
        let answer = stack.send(stack.request_as("ffapi_wrong", Method::GET, "/jobs")).await;
        seen.push(answer.status.as_u16());
    }
    assert_eq!(seen, [401, 401, 401, 401, 401, 429, 429]);
    // Valid keys from the same address, and health checks, are not limited.
    assert_eq!(stack.get("/jobs").await.status, StatusCode::OK);
    let health = crate::stack::http().get(format!("{}/health", stack.url)).send().await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
}

#[tokio::test]
async fn only_a_trusted_proxy_sets_the_client_address() {
    let stack = Stack::with(&[("FFAPI_GATEWAY__TRUSTED_PROXIES", "[\"127.0.0.1/32\"]")]).await;
    let body = json!({ "name": "k", "scopes": ["jobs:read"], "allowed_ips": ["192.0.2.0/24"] });
    let secret = make(&stack, &body).await.text("/secret").to_owned();
    for (header, value, status) in [
        // A header of the client that the proxy forwarded unchanged.
        ("forwarded", "for=192.0.2.9", 403),
        ("x-forwarded-for", "192.0.2.9", 200),
        ("x-forwarded-for", "192.0.2.9, 198.51.100.1", 403),
        ("x-forwarded-for", "::ffff:192.0.2.9", 200),
        ("x-real-ip", "192.0.2.9", 403),
    ] {
        let request = stack.request_as(&secret, Method::GET, "/jobs").header(header, value);
        let answer = stack.send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{header}: {value} {answer:#?}");
    }
    let plain = Stack::new().await;
    let body = json!({ "name": "k", "scopes": ["jobs:read"], "allowed_ips": ["192.0.2.0/24"] });
    let secret = make(&plain, &body).await.text("/secret").to_owned();
    let request =
        plain.request_as(&secret, Method::GET, "/jobs").header("x-forwarded-for", "192.0.2.9");
    assert_eq!(plain.send(request).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn media_minutes_are_reserved_before_they_are_used_and_never_exceeded() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let limit = json!({ "limits": { "monthly_minutes": 1 } });
    stack.send(stack.request(Method::PATCH, "/accounts/default").json(&limit)).await;
    let cut = |seconds: f64| {
        json!([{ "type": "trim", "start": 0, "duration": seconds }, { "type": "scale", "height": 90 },
               { "type": "transcode", "preset": "ultrafast" }, { "type": "speed", "factor": 1.0 }])
    };
    let mut made = Vec::new();
    for n in 0..14 {
        made.push(stack.convert(&upload, &format!("{n}.mp4"), cut(5.0)).await);
    }
    let mut codes = Vec::new();
    for job in &made {
        let ended = stack.finished(job).await;
        codes.push(if ended.text("/status") == "completed" { "" } else { "no" });
        if ended.text("/status") == "failed" {
            assert_eq!(ended.text("/error/code"), "quota_exceeded", "{ended:#?}");
            assert!(ended.text("/error/message").contains("media minutes left"), "{ended:#?}");
        }
    }
    // In any order, exactly twelve jobs of five seconds fit into a minute.
    assert_eq!(codes.iter().filter(|code| code.is_empty()).count(), 12, "{codes:?}");
    let taken =
        async || stack.get("/accounts/default").await.json["minutes_taken"].as_f64().unwrap();
    assert!((taken().await - 1.0).abs() < 0.02, "{}", taken().await);

    // A cancelled job is charged only for what was processed.
    let more = json!({ "limits": { "monthly_minutes": 10 } });
    stack.send(stack.request(Method::PATCH, "/accounts/default").json(&more)).await;
    let video = stack.data.path().join("long.mp4");
    let mut looped = std::process::Command::new("ffmpeg");
    looped.args(["-v", "error", "-stream_loop", "39", "-i"]).arg(bunny()).args(["-c", "copy"]);
    assert!(looped.arg(&video).status().unwrap().success());
    let long = stack.upload(std::fs::read(video).unwrap()).await;
    let cancelled = stack.convert(&long, "slow.mp4", crate::stack::slow()).await;
    stack.until(&cancelled, |job| job.json["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
    assert!(taken().await > 4.4, "{}", taken().await);
    stack.post(&format!("/jobs/{cancelled}/cancel"), &json!({})).await;
    stack.finished(&cancelled).await;
    until(taken, |taken| (1.001..3.0).contains(taken)).await;

    // A key can lower the limit; without minutes left, no job is accepted.
    let body = json!({ "name": "k", "scopes": ["jobs:read", "jobs:write", "keys:manage"], "monthly_limit_minutes": 0 });
    let narrow = make(&stack, &body).await;
    let body = json!({ "input": upload, "output": "n.mp4", "operations": cut(1.0) });
    let request = stack.request_as(narrow.text("/secret"), Method::POST, "/convert");
    let answer = stack.send(request.json(&body)).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{answer:#?}");
    assert!(answer.text("/detail").contains("the key's 0 media minutes"), "{answer:#?}");
    let none = json!({ "limits": { "monthly_minutes": 0 } });
    stack.send(stack.request(Method::PATCH, "/accounts/default").json(&none)).await;
    let refused = stack.post("/convert", &body).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused:#?}");
    let probe = stack.post("/probe", &json!({ "input": upload })).await;
    assert_eq!(
        probe.status,
        StatusCode::CREATED,
        "jobs that cost nothing are accepted: {probe:#?}"
    );

    let admin = stack.get("/api-keys").await.text("/data/0/id").to_owned();
    let usage = stack.get(&format!("/api-keys/{admin}/usage")).await;
    let minutes = usage.json["months"][0]["minutes"].as_f64().unwrap();
    let of_account = taken().await;
    assert!((minutes - of_account).abs() < 0.02, "{of_account}: {usage:#?}");
}

#[tokio::test]
async fn concurrent_changes_of_different_fields_are_all_applied() {
    let stack = Stack::new().await;
    let hook = stack.post("/webhooks", &json!({ "url": "https://example.com/a" })).await;
    let key = make(&stack, &json!({ "name": "k", "scopes": ["jobs:read"] })).await;
    let hook = format!("/webhooks/{}", hook.text("/id"));
    let key = format!("/api-keys/{}", key.text("/id"));
    for round in 1..=4_u32 {
        let words = format!("round {round}");
        let changes = [
            (&hook, "concurrency", json!(round)),
            (&hook, "description", json!(words)),
            (&hook, "url", json!(format!("https://example.com/{round}"))),
            (&key, "name", json!(words)),
            (&key, "max_concurrent_jobs", json!(round)),
            (&key, "monthly_limit_minutes", json!(round)),
        ];
        let made = changes.iter().map(async |(path, name, value)| {
            let request = stack.request(Method::PATCH, path);
            stack.send(request.json(&json!({ (*name): value }))).await
        });
        for answer in join_all(made).await {
            assert_eq!(answer.status, StatusCode::OK, "{answer:#?}");
        }
        for (path, name, value) in &changes {
            assert_eq!(stack.get(path).await.json[name], *value, "{path} {name}");
        }
    }
    for path in [&hook, &key] {
        let bare = stack.request(Method::PATCH, path).json(&json!({ "description": "words" }));
        assert_eq!(stack.send(bare).await.text("/description"), "words");
        let bare = stack.request(Method::PATCH, path).json(&json!({ "description": null }));
        let bare = stack.send(bare).await;
        assert_eq!((bare.status, &bare.json["description"]), (StatusCode::OK, &Value::Null));
    }
    // Both are not found, whatever version the client expects.
    let gone = stack.request(Method::DELETE, &hook);
    assert_eq!(stack.send(gone).await.status, StatusCode::OK);
    for path in [&hook, "/webhooks/hook_00000000000070008000000000000000"] {
        let late = stack.request(Method::PATCH, path).header("if-match", "\"v1\"");
        let late = stack.send(late.json(&json!({ "concurrency": 1 }))).await;
        assert_eq!(late.status, StatusCode::NOT_FOUND, "{late:#?}");
    }
}

#[tokio::test]
async fn automatic_rotation_is_announced_and_the_new_secret_is_shown_once() {
    let stack = Stack::new().await;
    let body = json!({ "name": "k", "scopes": ["jobs:read"], "rotate_every": "1m" });
    let made = make(&stack, &body).await;
    let (id, secret) = (made.text("/id"), made.text("/secret"));
    let path = format!("/api-keys/{id}");
    stack.poll(&path, |key| key.text("/rotated_at") != made.text("/rotated_at")).await;
    let recorded = async |action: &str| {
        let trail = stack.get(&format!("/admin/audit?action={action}")).await;
        trail.json["data"].as_array().unwrap().iter().filter(|entry| entry["target"] == id).count()
    };
    until(async || recorded("key.rotated").await, |count| *count > 0).await;
    assert_eq!(recorded("key.rotation_due").await, 1);
    // The old secret is still valid, and the new one is returned once.
    let rotated = stack.post(&format!("{path}/rotate"), &json!({})).await;
    let newer = rotated.text("/secret");
    assert_ne!(newer, secret);
    for secret in [secret, newer] {
        let request = stack.request_as(secret, Method::GET, "/jobs");
        assert_eq!(stack.send(request).await.status, StatusCode::OK);
    }
    assert_eq!(recorded("key.rotated").await, 1, "the pending rotation was returned");
    let again = stack.post(&format!("{path}/rotate"), &json!({})).await;
    assert_ne!(again.text("/secret"), newer);
}

#[tokio::test]
async fn an_operator_can_limit_one_endpoint() {
    let stack = Stack::with(&[("FFAPI_GATEWAY__ENDPOINT_LIMITS", "{\"POST probe\" = 2}")]).await;
    let ask = async || stack.post("/probe", &json!({ "input": "a.mp4" })).await.status.as_u16();
    assert_eq!([ask().await, ask().await, ask().await], [201, 201, 429]);
    assert_eq!(stack.get("/jobs").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_file_without_a_stated_duration_is_charged() {
    let stack = Stack::new().await;
    // Written to a pipe, so the muxer cannot seek back to write the duration.
    let piped = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(bunny())
        .args(["-c", "copy", "-f", "matroska", "pipe:1"])
        .output()
        .unwrap();
    let upload = stack.upload(piped.stdout).await;
    let probed = stack.request(Method::POST, "/probe").header("prefer", "wait=30");
    let probed = stack.send(probed.json(&json!({ "input": upload }))).await;
    assert!(probed.json["job"]["result"]["format"]["duration"].is_null(), "{probed:#?}");
    let small =
        json!([{ "type": "scale", "height": 90 }, { "type": "transcode", "preset": "ultrafast" }]);
    let job = stack.convert(&upload, "a.mp4", small).await;
    assert_eq!(stack.finished(&job).await.text("/status"), "completed");
    let taken =
        async || stack.get("/accounts/default").await.json["minutes_taken"].as_f64().unwrap();
    until(taken, |taken| *taken >= 0.08).await;
}

#[tokio::test]
async fn usage_counts_for_parent_keys_and_a_rejected_key_takes_no_quota() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let scopes = ["jobs:read", "jobs:write", "keys:manage"];
    let body = json!({ "name": "maker", "scopes": scopes, "monthly_limit_minutes": 2 });
    let maker = make(&stack, &body).await;
    let as_maker = |body: Value| {
        stack.send(stack.request_as(maker.text("/secret"), Method::POST, "/api-keys").json(&body))
    };
    // Rejected twenty times, with a limit of ten keys.
    for _ in 0..20 {
        let more = json!({ "name": "k", "scopes": scopes, "monthly_limit_minutes": 3 });
        assert_eq!(as_maker(more).await.status, StatusCode::FORBIDDEN);
    }
    let child = as_maker(body).await;
    assert_eq!(child.status, StatusCode::CREATED, "{child:#?}");
    let operations = crate::stack::quick();
    let job = json!({ "input": upload, "output": "a.mp4", "operations": operations });
    let request = stack.request_as(child.text("/secret"), Method::POST, "/convert");
    let done = stack.send(request.header("prefer", "wait=60").json(&job)).await;
    assert_eq!(done.text("/job/status"), "completed", "{done:#?}");
    for key in [&maker, &child] {
        let path = format!("/api-keys/{}/usage", key.text("/id"));
        let used = |usage: &Answer| usage.json["months"][0]["minutes"].as_f64() > Some(0.0);
        stack.poll(&path, used).await;
    }
}
