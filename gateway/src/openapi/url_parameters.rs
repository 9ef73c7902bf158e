//! Query parameters that are handled before the operations: they stand for headers that some clients
//! cannot send.

use serde_json::{Value, json};

use super::set::set;
use crate::api_paths::LAST_EVENT_ID;

/// Adds them to an operation that has them.
pub(super) fn describe(operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let is_stream = matches!(id, "getJobEvents" | "getBatchEvents" | "getEvents");
    if !is_stream && !matches!(id, "getJobOutput" | "getJobOutputInFolder") {
        return;
    }
    let token = "A token of `POST /tokens`, for clients that cannot send headers.";
    let mut all = vec![parameter("token", token, "ffview_eyJrIjoia2V5X2V4YW1wbGUifQ.c2lnbmF0dXJl")];
    if is_stream {
        let last = "Resumes the stream after this event, as the header `Last-Event-ID` does.";
        all.push(parameter(LAST_EVENT_ID, last, "1-1-0"));
    }
    match operation.get_mut("parameters").and_then(Value::as_array_mut) {
        Some(parameters) => parameters.extend(all),
        None => set(operation, &["parameters"], all.into()),
    }
}

fn parameter(name: &str, text: &str, example: &str) -> Value {
    json!({
        "name": name, "in": "query", "required": false, "description": text,
        "schema": { "type": "string" }, "example": example,
    })
}
