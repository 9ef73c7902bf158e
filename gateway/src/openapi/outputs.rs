//! Operations on outputs that are not routed by themselves: `HEAD`, and the paths with a token in them,
//! which `playback` leads to the same files.

use serde_json::{Value, json};

use super::set::{operation_at, parameters_of, set};

/// The operation `GET` at a path below that of all outputs, and the operations that are derived from it.
struct OnOutputs {
    below: &'static str,
    head: Option<Derived>,
    playback: Derived,
    playback_head: Option<Derived>,
}

/// An operation that is derived from another one.
struct Derived {
    id: &'static str,
    summary: &'static str,
}

const OPERATIONS: [OnOutputs; 3] = [
    OnOutputs {
        below: "",
        head: None,
        playback: Derived { id: "listPlaybackOutputs", summary: "List a job's outputs by a token" },
        playback_head: None,
    },
    OnOutputs {
        below: "/{name}",
        head: Some(Derived { id: "headJobOutput", summary: "Show the headers of an output" }),
        playback: Derived {
            id: "getPlaybackOutput",
            summary: "Play or download an output by a token",
        },
        playback_head: Some(Derived {
            id: "headPlaybackOutput",
            summary: "Show the headers of an output by a token",
        }),
    },
    OnOutputs {
        below: "/{folder}/{name}",
        head: Some(Derived {
            id: "headJobOutputInFolder",
            summary: "Show the headers of an output in a folder",
        }),
        playback: Derived {
            id: "getPlaybackOutputInFolder",
            summary: "Play or download an output in a folder by a token",
        },
        playback_head: Some(Derived {
            id: "headPlaybackOutputInFolder",
            summary: "Show the headers of an output in a folder by a token",
        }),
    },
];

const OF_JOB: &str = "/api/v1/jobs/{id}/outputs";
const OF_TOKEN: &str = "/api/v1/t/{token}/outputs";

const PLAYBACK: &str = "For players and pages, which need no other credentials: playlists and manifests name their \
                        files relative to this path, so that these inherit the token.";

/// Adds the operations to the document.
pub(super) fn describe(document: &mut Value) {
    for operation in OPERATIONS {
        let path = format!("{OF_JOB}{}", operation.below);
        let Some(get) = operation_at(document, &path, "get").cloned() else { continue };
        let by_token = by_token(get.clone(), &operation.playback);
        let playback_path = format!("{OF_TOKEN}{}", operation.below);
        if let Some(head) = operation.head {
            set(document, &["paths", &path, "head"], head_of(get, &head));
        }
        if let Some(head) = operation.playback_head {
            set(document, &["paths", &playback_path, "head"], head_of(by_token.clone(), &head));
        }
        set(document, &["paths", &playback_path, "get"], by_token);
    }
}

/// The operation with another method: the same headers, and no body.
fn head_of(mut operation: Value, Derived { id, summary }: &Derived) -> Value {
    let description = format!("{summary}: its size, type and `ETag`, without the file.");
    set(&mut operation, &["operationId"], (*id).into());
    set(&mut operation, &["summary"], (*summary).into());
    set(&mut operation, &["description"], description.into());
    // A part and a redirect are answers to GET only.
    retain_parameters(&mut operation, |name| !["Range", "If-Range"].contains(&name));
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    if let Some(responses) = responses {
        responses.retain(|status, _| !["206", "302", "416"].contains(&status.as_str()));
    }
    let found = operation.pointer_mut("/responses/200").and_then(Value::as_object_mut);
    found.and_then(|found| found.remove("content"));
    for (name, text) in [("Content-Length", "Its size in bytes."), ("Content-Type", "Its type.")] {
        let kind = if name == "Content-Length" { "integer" } else { "string" };
        let header = json!({ "description": text, "schema": { "type": kind } });
        set(&mut operation, &["responses", "200", "headers", name], header);
    }
    set(&mut operation, &["responses", "200", "description"], "The file's headers".into());
    operation
}

/// The operation at the path that has a token in it.
fn by_token(mut operation: Value, Derived { id, summary }: &Derived) -> Value {
    set(&mut operation, &["operationId"], (*id).into());
    set(&mut operation, &["summary"], (*summary).into());
    set(&mut operation, &["description"], format!("{summary}. {PLAYBACK}").into());
    set(&mut operation, &["security"], json!([]));
    retain_parameters(&mut operation, |name| !["id", "token"].contains(&name));
    let token =
        path_token("A token of `POST /tokens` with `outputs`, as in `playback_url` of a job.");
    if let Some(parameters) = parameters_of(&mut operation) {
        parameters.insert(0, token);
    }
    operation
}

/// The token that a path has.
pub(super) fn path_token(text: &str) -> Value {
    json!({
        "name": "token", "in": "path", "required": true, "description": text,
        "schema": { "type": "string" },
        "example": "ffview_eyJrIjoia2V5X2V4YW1wbGUifQ.c2lnbmF0dXJl",
    })
}

/// Removes the parameters whose names are not kept.
fn retain_parameters(operation: &mut Value, keep: impl Fn(&str) -> bool) {
    if let Some(parameters) = parameters_of(operation) {
        parameters.retain(|parameter| parameter["name"].as_str().is_some_and(&keep));
    }
}
