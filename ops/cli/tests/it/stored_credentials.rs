//! No table contains credentials of URLs: read models have redacted input URLs, and encrypted URLs
//! of webhooks.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    erasure::dump,
    receiver::Receiver,
    stack::{Answer, Stack},
};

const SIGNATURE: &str = "hush-5f1c";

#[tokio::test]
async fn no_table_holds_url_credentials() {
    let stack = Stack::with(&[("FFAPI_EGRESS__ALLOW", "127.0.0.1/32")]).await;
    let receiver = Receiver::new().await;
    let secret = |name: &str| format!("{}/{SIGNATURE}-{name}?token={SIGNATURE}", receiver.url);
    let hook = stack.post("/webhooks", &json!({ "url": secret("hook") })).await;
    assert_eq!(hook.status, StatusCode::CREATED, "{hook:#?}");
    let input = format!("https://files.example.com/video.mp4?X-Amz-Signature={SIGNATURE}");
    let job = json!({
        "kind": "convert", "input": input, "output": "a.mp4", "not_before": "2099-01-01T00:00:00Z",
        "webhook_url": secret("job"),
        "operations": [{ "type": "watermark", "image": format!("{input}&second=1") }],
    });
    let batch =
        stack.post("/batch", &json!({ "jobs": [job], "webhook_url": secret("batch") })).await;
    assert_eq!(batch.status, StatusCode::CREATED, "{batch:#?}");
    // Deliveries are sent to the full URLs.
    for name in ["hook", "job", "batch"] {
        let path = format!("/{SIGNATURE}-{name}?token={SIGNATURE}");
        receiver.until(&path, |got| !got.is_empty()).await;
    }
    let position = batch.header("x-log-position").to_owned();
    for path in ["/jobs", "/batch", "/webhooks", "/queue"] {
        let asked = stack.get(&format!("{path}?min_position={position}")).await;
        assert_eq!(asked.status, StatusCode::OK, "{asked:#?}");
    }
    let rows = dump(&stack);
    let hex = hex::encode(SIGNATURE);
    let with_it: Vec<&str> =
        rows.lines().filter(|line| line.contains(SIGNATURE) || line.contains(&hex)).collect();
    assert!(with_it.is_empty(), "{with_it:#?}");

    // Its owner still sees the URL, and can change other fields.
    let shown = |answer: &Answer| answer.json["data"][0]["url"].as_str().unwrap().to_owned();
    assert_eq!(shown(&stack.get("/webhooks").await), secret("hook"));
    let path = format!("/webhooks/{}", hook.text("/id"));
    let patch = |body: Value| stack.send(stack.request(Method::PATCH, &path).json(&body));
    for enabled in [false, true] {
        let patched = patch(json!({ "enabled": enabled })).await;
        assert_eq!(patched.text("/url"), secret("hook"), "{patched:#?}");
    }
    let tested = stack.post(&format!("{path}/test"), &json!({})).await;
    assert_eq!(tested.status, StatusCode::ACCEPTED, "{tested:#?}");
    let hook_path = format!("/{SIGNATURE}-hook?token={SIGNATURE}");
    receiver.until(&hook_path, |got| got.iter().any(|got| got.kind() == "webhook.test")).await;
}
