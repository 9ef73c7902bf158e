//! Data of an erased tenant cannot be read anywhere: not in the log, the archive, read models,
//! storage or caches. The log remains complete.

use std::{path::Path, process::Command};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    operator,
    polling::until,
    stack::{Answer, Stack, bunny},
};

/// Part of all personal data of the tenant, and of nothing else.
const SECRET: &str = "Zaphod-Beeblebrox";

/// The files below a folder that contain the secret, in clear or in hex.
fn files_with_secret(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.display().to_string();
            let bytes = std::fs::read(&path).unwrap_or_default();
            let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
            if name.contains(SECRET) || has(SECRET.as_bytes()) {
                found.push(name);
            }
        }
    }
    found
}

/// Every row of the database, as text.
pub(crate) fn dump(stack: &Stack) -> String {
    let settings = operator::settings(stack);
    let (_, url) = settings.iter().find(|(name, _)| name == "FFAPI_POSTGRES__URL").unwrap();
    let mut versions: Vec<_> =
        Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten().collect();
    versions.sort_by_key(std::fs::DirEntry::path);
    let program = versions.pop().map(|at| at.path().join("bin/pg_dump"));
    let program = program.unwrap_or_else(|| "pg_dump".into());
    let output = Command::new(program).args(["--inserts", url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn no_personal_data_of_an_erased_tenant_is_left() {
    let stack = Stack::with(&[("FFAPI_LOG__FILTER", "info")]).await;
    let limits = json!({ "tier": "enterprise" });
    stack.send(stack.request(Method::PATCH, "/accounts/acme").json(&limits)).await;
    let key = json!({ "name": SECRET, "tenant": "acme", "scopes": ["jobs:write", "jobs:read"] });
    let key = stack.post("/api-keys", &key).await;
    let secret = key.text("/secret").to_owned();
    let post = |path: &str, body: Value| {
        stack.send(stack.request_as(&secret, Method::POST, path).json(&body))
    };
    let upload = stack
        .request_as(&secret, Method::POST, "/uploads")
        .header("content-type", "application/octet-stream")
        .header("content-disposition", format!("attachment; filename=\"{SECRET}.mp4\""))
        .body(std::fs::read(bunny()).unwrap());
    let upload = stack.send(upload).await.text("/id").to_owned();
    let hook = json!({ "url": format!("https://{SECRET}.example"), "description": SECRET });
    assert_eq!(post("/webhooks", hook).await.status, StatusCode::CREATED);
    let body = json!({ "input": upload, "metadata": { "of": SECRET } });
    let job = post("/probe", body).await.text("/job/id").to_owned();
    let batch = json!({ "name": SECRET, "jobs": [
        { "kind": "probe", "input": format!("in/{SECRET}.mp4") },
        { "kind": "probe", "input": upload, "not_before": "2099-01-01T00:00:00Z" } ] });
    let batch = post("/batch", batch).await;
    let failed = batch.text("/jobs/0").to_owned();
    let operations = json!([{ "type": "trim", "start": 0, "duration": 1 },
        { "type": "transcode", "preset": "ultrafast" }]);
    let body =
        json!({ "input": upload, "output": format!("{SECRET}.mp4"), "operations": operations });
    let made = post("/convert", body).await.text("/job/id").to_owned();
    let get = |path: String| stack.send(stack.request_as(&secret, Method::GET, &path));
    let over = |job: &Answer| matches!(job.text("/status"), "completed" | "failed");
    for job in [&job, &failed, &made] {
        until(async || get(format!("/jobs/{job}")).await, over).await;
    }
    // It exists before, or the rest would prove nothing. In the log it is encrypted from the start.
    assert!(dump(&stack).contains(SECRET));
    let data = stack.data.path();
    assert_eq!(files_with_secret(&data.join("nats")), Vec::<String>::new());

    let own = stack.send(stack.request_as(&secret, Method::DELETE, "/accounts/acme")).await;
    assert_eq!(own.status, StatusCode::FORBIDDEN, "only an admin's to ask for");
    let erased = stack.send(stack.request(Method::DELETE, "/accounts/acme")).await;
    assert_eq!(erased.status, StatusCode::OK, "{erased:#?}");
    let position = erased.header("x-log-position").to_owned();
    // Every read model is up to date.
    for path in ["/jobs", "/batch", "/webhooks", "/queue"] {
        let asked = stack.get(&format!("{path}?min_position={position}")).await;
        assert_eq!(asked.status, StatusCode::OK, "{asked:#?}");
    }
    // The audit notes are a separate stream.
    let there = |one: &Value| one["lag"] == 0 || one["name"] == "audit_note";
    let all_there = |shown: &Answer| shown.json["data"].as_array().unwrap().iter().all(there);
    stack.poll("/admin/projections", all_there).await;
    let rows = dump(&stack);
    // Binary columns are dumped in hex.
    let hex = hex::encode(SECRET);
    let has_it = |line: &&str| line.contains(SECRET) || line.contains(&hex);
    let lines: Vec<&str> = rows.lines().filter(has_it).collect();
    assert!(lines.is_empty(), "{lines:#?}");
    for folder in ["nats", "storage"] {
        assert_eq!(files_with_secret(&data.join(folder)), Vec::<String>::new(), "{folder}");
    }
    let hooks = rows.lines().filter(|line| line.starts_with("INSERT INTO public.webhook "));
    let hooks: Vec<&str> = hooks.collect();
    assert!(
        hooks.len() == 1 && hooks[0].contains("'deleted'"),
        "nothing is sent to it: {hooks:#?}"
    );
    let printed = std::fs::read_to_string(data.join("up.log")).unwrap();
    assert!(!printed.contains(SECRET));
    // Caches do not show it either: the key is rejected, and its name is gone.
    assert_eq!(get("/jobs".to_owned()).await.status, StatusCode::UNAUTHORIZED);
    let shown = stack.get(&format!("/api-keys/{}", key.text("/id"))).await;
    assert!(!shown.json.to_string().contains(SECRET) && shown.text("/status") == "revoked");
    // The events still exist, and the rebuilt read models are the same.
    let (success, printed) = operator::run(&stack, &["replay", "--tenant", "acme"]);
    assert!(
        success && printed.contains("job.completed") && printed.contains("account.erased"),
        "{printed}"
    );
    let with_it: Vec<&str> = printed.lines().filter(|line| line.contains(SECRET)).collect();
    assert!(with_it.is_empty(), "{with_it:#?}");
    let (success, printed) = operator::run(&stack, &["audit", "verify"]);
    assert!(success, "{printed}");
    crate::crash::equals_its_rebuild(&stack);
    let again = stack.send(stack.request(Method::DELETE, "/accounts/acme")).await;
    assert_eq!(again.status, StatusCode::OK, "a repeated request has no effect: {again:#?}");
    let unknown = stack.send(stack.request(Method::DELETE, "/accounts/nobody")).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}
