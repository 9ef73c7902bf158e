//! Bodies that are no JSON object: files, event streams, tables.

use serde_json::{Value, json};

use super::set::set;

/// Describes the bodies of an operation, by its id, where they are not generated.
pub(super) fn describe(operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let binary = json!({ "type": "string", "format": "binary" });
    match id.as_str() {
        "createUpload" => {
            let form = json!({
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": { "file": binary },
                },
            });
            set(operation, &["requestBody", "content", "multipart/form-data"], form);
            let mismatch = json!({ "$ref": "#/components/responses/ChecksumMismatch" });
            set(operation, &["responses", "460"], mismatch);
        }
        "getJobOutput" | "getJobOutputInFolder" => {
            let headers = json!({
                "ETag": header("The file's SHA-256."),
                "Last-Modified": header("When its job was completed."),
                "Cache-Control": header("How long it may be cached."),
                "Sunset": header("When it will be deleted, if it will be."),
                "Accept-Ranges": header("`bytes`."),
                "Content-Disposition": header("Its name, and whether a browser saves or shows it."),
            });
            let content = json!({ "*/*": { "schema": binary } });
            let mut respond = |status: &str, response: Value| {
                set(operation, &["responses", status], response);
            };
            respond(
                "200",
                json!({ "description": "The file", "content": content, "headers": headers }),
            );
            let mut part = json!({
                "description": "The requested part of the file",
                "content": content, "headers": headers });
            set(
                &mut part,
                &["headers", "Content-Range"],
                header("Which bytes these are, of how many."),
            );
            respond("206", part);
            respond("304", json!({ "description": "The client has the file already" }));
            let redirect =
                "The file is at the signed URL in `Location`, if its store is configured so";
            respond("302", json!({ "description": redirect }));
            let other = json!({ "$ref": "#/components/responses/PreconditionFailed" });
            respond("412", other);
            respond("416", json!({ "$ref": "#/components/responses/RangeNotSatisfiable" }));
        }
        "getJobEvents" | "getBatchEvents" | "getEvents" => {
            let mut events = json!({
                "description": "The events",
                "content": { "text/event-stream": { "schema": {
                    "type": "string",
                    "description": "Server-sent events: `event` is the type, `id` the position, and \
                                    `data` a JSON object with `type`, `time` and `data`. Progress is \
                                    not stored: it has neither position nor time.",
                } } },
            });
            if id != "getBatchEvents" {
                let page = json!({
                    "type": "object",
                    "required": ["data", "has_more"],
                    "properties": {
                        "data": { "type": "array", "items": { "type": "object" } },
                        "has_more": { "type": "boolean" },
                        "next_cursor": {
                            "type": ["string", "null"],
                            "description": "The position up to which events were read; null if there \
                                            are none. A page may be empty although `has_more` is true.",
                        },
                    },
                });
                set(&mut events, &["content", "application/json"], json!({ "schema": page }));
            }
            set(operation, &["responses", "200"], events);
            if id != "getEvents" {
                let ended =
                    json!({ "description": "There are no further events: do not reconnect" });
                set(operation, &["responses", "204"], ended);
            }
        }
        "getUsage" => {
            let sums = json!({
                "description": "The sums",
                "content": {
                    "application/json": { "schema": {
                        "type": "object",
                        "required": ["data"],
                        "properties": { "data": { "type": "array", "items": { "type": "object" } } },
                    } },
                    "text/csv": { "schema": { "type": "string" } },
                },
            });
            set(operation, &["responses", "200"], sums);
        }
        "getCapabilities" | "listWorkers" | "listProjections" => {
            let object = json!({ "application/json": { "schema": { "type": "object" } } });
            set(operation, &["responses", "200", "content"], object);
        }
        _ => {}
    }
    let is_conditional = operation["parameters"]
        .as_array()
        .is_some_and(|all| all.iter().any(|parameter| parameter["name"] == "If-None-Match"));
    if is_conditional && operation["responses"].get("304").is_none() {
        let known = json!({ "description": "The client has this version already" });
        set(operation, &["responses", "304"], known);
    }
}

fn header(text: &str) -> Value {
    json!({ "description": text, "schema": { "type": "string" } })
}
