//! Every path of the API, requested with the key of another tenant, is a 404.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    keys::key,
    stack::{Stack, quick},
};

/// The path parameters of existing resources of one tenant.
struct Owned {
    job: String,
    upload: String,
    key: String,
    batch: String,
    hook: String,
}

impl Owned {
    fn fill(&self, path: &str) -> String {
        let id = if path.starts_with("/api/v1/uploads") {
            &self.upload
        } else if path.starts_with("/api/v1/api-keys") {
            &self.key
        } else if path.starts_with("/api/v1/batch") {
            &self.batch
        } else if path.starts_with("/api/v1/webhooks") {
            &self.hook
        } else {
            &self.job
        };
        path.replace("{id}", id)
            .replace("{tenant}", "default")
            .replace("{folder}", "x")
            .replace("{version}", "1")
            .replace("presets/{name}", "presets/own")
            .replace("{name}", "own.mp4")
            .replacen("/api/v1", "", 1)
    }
}

/// A body that would be valid for an existing resource.
fn body(operation: &str) -> Value {
    match operation {
        "updateJob" => json!({ "priority": "low" }),
        "updateKey" => json!({ "name": "stolen" }),
        "extendKey" => json!({ "expires_at": null }),
        "updateAccount" => json!({ "tier": "enterprise" }),
        "updatePreset" => json!({ "body": { "priority": "high" } }),
        "replayWebhook" => json!({ "after": "1-1-0" }),
        _ => json!({}),
    }
}

#[tokio::test]
async fn resources_of_another_tenant_are_not_found_at_any_path() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "own.mp4", quick()).await;
    stack.finished(&job).await;
    let (own_key, _) = key(&stack, "default", &["jobs:read"]).await;
    let preset = json!({ "name": "own", "kind": "probe", "body": { "priority": "low" } });
    assert_eq!(stack.post("/presets", &preset).await.status, StatusCode::CREATED);
    let hook = json!({ "url": "https://example.com/own" });
    let hook = stack.post("/webhooks", &hook).await.text("/id").to_owned();
    let batch = json!({ "jobs": [{ "kind": "probe", "input": upload }] });
    let batch = stack.post("/batch", &batch).await.text("/id").to_owned();
    let owned = Owned { job, upload: upload.clone(), key: own_key, batch, hook };
    let all = ["jobs:read", "jobs:write", "keys:manage", "audit:read"];
    let (_, foreign) = key(&stack, "acme", &all).await;
    let document: Value = stack.get("/openapi.json").await.json;
    let mut walked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        if !path.contains('{') {
            continue;
        }
        for (method, operation) in methods.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            let method: Method = method.to_uppercase().parse().unwrap();
            let request = stack.request_as(&foreign, method.clone(), &owned.fill(path));
            let request = match name {
                "appendToUpload" => {
                    let request =
                        request.header("tus-resumable", "1.0.0").header("upload-offset", "0");
                    request.header("content-type", "application/offset+octet-stream").body("x")
                }
                _ if matches!(method, Method::GET | Method::HEAD) => request,
                _ => request.json(&body(name)),
            };
            let answer = stack.send(request).await;
            // The scope for changing accounts is checked before the tenant.
            let expected = if matches!(name, "updateAccount" | "eraseAccount" | "reopenAccount") {
                403
            } else {
                404
            };
            assert_eq!(answer.status.as_u16(), expected, "{name} {path}: {answer:#?}");
            assert!(!answer.json.to_string().contains("local://"), "{answer:#?}");
            walked += 1;
        }
    }
    assert!(walked >= 18, "only {walked} operations have an id in their path");
    // The owner still has all of them, so existing resources were requested.
    for (path, status) in [
        (format!("/jobs/{}", owned.job), "completed"),
        (format!("/api-keys/{}", owned.key), "active"),
        (format!("/batch/{}", owned.batch), "completed"),
        (format!("/webhooks/{}", owned.hook), "enabled"),
    ] {
        assert_eq!(stack.get(&path).await.text("/status"), status);
    }
    assert_eq!(stack.get(&format!("/uploads/{upload}")).await.status, StatusCode::OK);
    let output = stack.get(&format!("/jobs/{}/outputs/own.mp4", owned.job)).await;
    assert_eq!(output.status, StatusCode::OK);

    // Lists show only own resources, here a single key.
    for (path, count) in [
        ("/jobs", 0),
        ("/api-keys", 1),
        ("/api-keys?tenant=default", 0),
        ("/admin/audit?tenant=default", 0),
    ] {
        let list = stack.send(stack.request_as(&foreign, Method::GET, path)).await;
        let data = list.json["data"].as_array().unwrap_or_else(|| panic!("{path}: {list:#?}"));
        assert_eq!(data.len(), count, "{path}: {list:#?}");
    }
    let queue = stack.send(stack.request_as(&foreign, Method::GET, "/queue")).await;
    assert_eq!(queue.json["processing"], 0);
    // A job cannot use uploads or outputs of another tenant.
    for (input, pointer) in [(upload.as_str(), "#/input"), ("own.mp4", "")] {
        let body = json!({ "input": input, "output": "mine.mp4", "operations": quick() });
        let request = stack.request_as(&foreign, Method::POST, "/convert");
        let answer = stack.send(request.header("prefer", "wait=30").json(&body)).await;
        if pointer.is_empty() {
            assert_eq!(answer.text("/job/error/code"), "input_not_found", "{answer:#?}");
        } else {
            assert_eq!(answer.text("/errors/0/pointer"), pointer, "{answer:#?}");
        }
    }
    // Operator paths are forbidden.
    for path in ["/health/detailed", "/admin/workers", "/admin/projections"] {
        let answer = stack.send(stack.request_as(&foreign, Method::GET, path)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}: {answer:#?}");
    }
}
