//! Resumable uploads (tus 1.0.0), and the upload of one file by a token: requests that are answered
//! before the operations, or routed to them by `playback`.

use serde_json::{Value, json};

use super::{
    outputs::path_token,
    set::{operation_at, parameters_of, response_name, set},
};
use crate::problem::Kind;

const UPLOADS: &str = "/api/v1/uploads";
const UPLOAD: &str = "/api/v1/uploads/{id}";
const BY_TOKEN: &str = "/api/v1/t/{token}/upload";
const BYTES: &str = "application/offset+octet-stream";

/// Problems of every operation with a key.
const COMMON: [Kind; 8] = [
    Kind::Malformed,
    Kind::Unauthorized,
    Kind::Forbidden,
    Kind::Gone,
    Kind::PreconditionFailed,
    Kind::RateLimited,
    Kind::Internal,
    Kind::Unavailable,
];

/// Adds the operations to the document, and to `POST` and `DELETE` what tus has there.
pub(super) fn describe(document: &mut Value) {
    let Some(create) = operation_at(document, UPLOADS, "post") else { return };
    let upload_by_token = by_token(create.clone());
    describe_creation(create);
    set(document, &["paths", BY_TOKEN, "post"], upload_by_token);
    let Some(delete) = operation_at(document, UPLOAD, "delete") else { return };
    describe_termination(delete);
    let security = delete["security"].clone();
    for (path, method, mut operation) in [
        (UPLOADS, "options", capabilities()),
        (UPLOAD, "head", progress()),
        (UPLOAD, "patch", appending()),
    ] {
        set(&mut operation, &["tags"], json!(["Uploads"]));
        set(&mut operation, &["security"], security.clone());
        let problem = json!({
            "description": "Any other problem",
            "content": { "application/problem+json": {
                "schema": { "$ref": "#/components/schemas/Problem" } } },
        });
        set(&mut operation, &["responses", "default"], problem);
        for kind in COMMON {
            respond(&mut operation, kind);
        }
        set(document, &["paths", path, method], operation);
    }
}

/// `POST /uploads` at the URL of an upload token.
fn by_token(mut operation: Value) -> Value {
    let summary = "Upload a file by a token";
    let description = "The body is one file, as for `POST /uploads`. The token of `POST /tokens` with `upload` says \
                       how large it may be, and which job starts with it, which is then in `job`. Pages of any \
                       origin may send it. The same file may be sent again, and gets the same upload and job.";
    set(&mut operation, &["operationId"], "createUploadByToken".into());
    set(&mut operation, &["summary"], summary.into());
    set(&mut operation, &["description"], description.into());
    set(&mut operation, &["security"], json!([]));
    if let Some(parameters) = parameters_of(&mut operation) {
        // The token stands for it.
        parameters.retain(|parameter| parameter["name"] != "Idempotency-Key");
        parameters.insert(0, path_token("A token of `POST /tokens` with `upload`."));
    }
    respond(&mut operation, Kind::NotFound);
    operation
}

/// What tus has at the same method and path as an ordinary upload.
fn describe_creation(operation: &mut Value) {
    let headers = [
        request_header("Tus-Resumable", "`1.0.0`: begins a resumable upload.", "1.0.0"),
        request_header("Upload-Length", "tus: the file's size in bytes.", "73400320"),
        request_header("Upload-Defer-Length", "tus: `1` if the size is not known yet.", "1"),
        request_header(
            "Upload-Metadata",
            "tus: pairs of a key and a value in base64, separated by commas, 4096 bytes at most; `filename` is the \
             file's name.",
            "filename dGFsay5tb3Y=",
        ),
        request_header(
            "Upload-Concat",
            "tus: `partial` for a part of a file, or `final;` and the URLs of up to 1000 parts.",
            "partial",
        ),
        checksum(),
    ];
    add_parameters(operation, headers);
    // The first bytes may be sent with the creation, or none.
    set(operation, &["requestBody", "required"], false.into());
    let text = "The file; with `Tus-Resumable` its first bytes, or nothing.";
    set(operation, &["requestBody", "description"], text.into());
    set(operation, &["requestBody", "content", BYTES], bytes());
    for (name, text) in [
        ("Location", "tus: the path of the upload, at which it is continued."),
        ("Upload-Offset", "tus: how many bytes were received, if some were sent."),
        ("Upload-Expires", "tus: when it expires unless it is continued."),
        ("Tus-Resumable", "tus: `1.0.0`."),
    ] {
        set(operation, &["responses", "201", "headers", name], header(text));
    }
    let text = "It was created; the response to a request of tus has no body";
    set(operation, &["responses", "201", "description"], text.into());
    respond(operation, Kind::PreconditionFailed);
}

fn describe_termination(operation: &mut Value) {
    let text = "`1.0.0`: deletes also an upload that is not complete.";
    add_parameters(operation, [request_header("Tus-Resumable", text, "1.0.0")]);
    let deleted = json!({
        "description": "It was deleted, by a request of tus",
        "headers": { "Tus-Resumable": header("`1.0.0`.") },
    });
    set(operation, &["responses", "204"], deleted);
    respond(operation, Kind::PreconditionFailed);
}

/// `OPTIONS /uploads`.
fn capabilities() -> Value {
    json!({
        "operationId": "getTusCapabilities",
        "summary": "Show what resumable uploads support",
        "description": "The version, extensions and largest file of tus.",
        "responses": { "204": {
            "description": "The capabilities, as headers",
            "headers": {
                "Tus-Resumable": header("`1.0.0`."),
                "Tus-Version": header("`1.0.0`."),
                "Tus-Extension": header("The extensions, separated by commas."),
                "Tus-Checksum-Algorithm": header("`sha1,sha256`."),
                "Tus-Max-Size": header("The largest file, in bytes."),
            },
        } },
    })
}

/// `HEAD /uploads/{id}`.
fn progress() -> Value {
    let mut operation = json!({
        "operationId": "getUploadOffset",
        "summary": "Show how much of a resumable upload was received",
        "description": "The client continues at `Upload-Offset` (tus). Without `Tus-Resumable` these are the headers \
                        of `GET`.",
        "parameters": [upload_id(), resumable()],
        "responses": { "200": {
            "description": "The progress, as headers",
            "headers": {
                "Tus-Resumable": header("`1.0.0`."),
                "Upload-Offset": header("How many bytes were received."),
                "Upload-Length": header("The file's size in bytes, if it is known."),
                "Upload-Defer-Length": header("`1` if the size is not known yet."),
                "Upload-Metadata": header("As it was sent."),
                "Upload-Concat": header("`partial` if it is a part of a file."),
                "Upload-Expires": header("When it expires unless it is continued."),
                "Cache-Control": header("`no-store`."),
            },
        } },
    });
    respond(&mut operation, Kind::NotFound);
    operation
}

/// `PATCH /uploads/{id}`.
fn appending() -> Value {
    let offset = "The number of bytes that were received before, as `HEAD` says.";
    let length = "The file's size in bytes, if it was deferred.";
    let mut operation = json!({
        "operationId": "appendToUpload",
        "summary": "Continue a resumable upload",
        "description": "The body is the next bytes (tus). What arrives is kept, also of a request that is interrupted. \
                        The last bytes complete the upload, which is then inspected and recorded before the \
                        response. A client that cannot send PATCH sends POST with `X-HTTP-Method-Override: PATCH`.",
        "parameters": [
            upload_id(),
            resumable(),
            with(request_header("Upload-Offset", offset, "52428800"), "required", true.into()),
            request_header("Upload-Length", length, "73400320"),
            checksum(),
        ],
        "requestBody": { "required": true, "content": { BYTES: bytes() } },
        "responses": { "204": {
            "description": "The bytes were received",
            "headers": {
                "Tus-Resumable": header("`1.0.0`."),
                "Upload-Offset": header("How many bytes were received by now."),
            },
        } },
    });
    let kinds = [
        Kind::NotFound,
        Kind::RequestTimeout,
        Kind::Conflict,
        Kind::TooLarge,
        Kind::UnsupportedMediaType,
        Kind::Invalid,
        Kind::ChecksumMismatch,
    ];
    for kind in kinds {
        respond(&mut operation, kind);
    }
    operation
}

/// Adds the response of a kind of problem.
fn respond(operation: &mut Value, kind: Kind) {
    let reference = json!({ "$ref": format!("#/components/responses/{}", response_name(kind)) });
    set(operation, &["responses", &kind.status().to_string()], reference);
}

fn add_parameters(operation: &mut Value, more: impl IntoIterator<Item = Value>) {
    if let Some(parameters) = parameters_of(operation) {
        parameters.extend(more);
    }
}

fn upload_id() -> Value {
    json!({
        "name": "id", "in": "path", "required": true, "description": "The upload's id, `upload_…`.",
        "schema": { "type": "string" }, "example": "upload_01a22c3a0a747680a45c3dd1adc2d1df",
    })
}

fn resumable() -> Value {
    let version = request_header("Tus-Resumable", "The version of tus: `1.0.0`.", "1.0.0");
    with(version, "required", true.into())
}

fn checksum() -> Value {
    let text =
        "tus: `sha1` or `sha256`, a space, and the checksum of the request's bytes in base64.";
    request_header("Upload-Checksum", text, "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=")
}

fn request_header(name: &str, text: &str, example: &str) -> Value {
    json!({
        "name": name, "in": "header", "required": false, "description": text,
        "schema": { "type": "string" }, "example": example,
    })
}

fn with(mut value: Value, field: &str, new: Value) -> Value {
    set(&mut value, &[field], new);
    value
}

fn header(text: &str) -> Value {
    json!({ "description": text, "schema": { "type": "string" } })
}

fn bytes() -> Value {
    json!({ "schema": { "type": "string", "format": "binary" } })
}
