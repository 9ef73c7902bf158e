//! The OpenAPI document: what poem-openapi generates of the operations, as OpenAPI 3.1, with what it
//! cannot say: tags, problems by status, bodies that are no JSON, the kinds of jobs, and webhooks.

mod details;
mod jobs;
mod labels;
mod outputs;
mod raw_bodies;
mod schemas;
mod set;
mod texts;
mod tus;
mod url_parameters;
mod values;

use ffapi_domain::catalogue::EVENTS;
use serde_json::{Map, Value, json};

use self::{
    set::{response_name, set},
    texts::{TAGS, parameter_text, tag_of},
};
use crate::{asyncapi, problem::Kind};

/// The whole document, from the generated one.
pub(crate) fn document(generated: &str) -> Value {
    let mut document = routed(generated);
    labels::describe(&mut document);
    outputs::describe(&mut document);
    tus::describe(&mut document);
    document
}

/// The document of the operations that are routed by their methods and paths; requests that are answered
/// or redirected before that are not in it.
pub(crate) fn routed(generated: &str) -> Value {
    let mut document: Value = serde_json::from_str(generated).unwrap_or_default();
    upgrade(&mut document);
    let mut root = |path: &[&str], value: Value| set(&mut document, path, value);
    root(&["openapi"], "3.1.0".into());
    root(&["servers"], json!([{ "url": "/", "description": "This service" }]));
    root(&["tags"], tags());
    root(&["webhooks"], webhooks());
    root(&["info", "license"], json!({ "name": "Apache-2.0", "identifier": "Apache-2.0" }));
    root(&["info", "summary"], "FFmpeg as a service".into());
    root(&["info", "contact"], json!({ "name": "The operator of this service" }));
    root(&["components", "schemas", "Problem"], problem_schema());
    root(&["components", "responses"], problem_responses());
    jobs::describe(&mut document);
    schemas::describe(&mut document);
    details::describe_schemas(&mut document);
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, operations) in paths.into_iter().flatten() {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            describe(path, method, operation);
        }
    }
    document
}

/// What changed from OpenAPI 3.0 to 3.1, as far as the generated document uses it.
fn upgrade(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // In a schema, an example is one of several; elsewhere the word is still the same.
            if fields.contains_key("type")
                && let Some(example) = fields.remove("example")
            {
                fields.insert("examples".to_owned(), json!([example]));
            }
            if fields.get("deprecated") == Some(&Value::Bool(false)) {
                fields.remove("deprecated");
            }
            // It has no meaning here: no parameter is an array or an object.
            if fields.get("explode").is_some_and(Value::is_boolean) {
                fields.remove("explode");
            }
            // A reference may have a description beside it.
            if let Some(reference) = described_reference(fields) {
                fields.remove("allOf");
                fields.insert("$ref".to_owned(), reference);
            }
            fields.values_mut().for_each(upgrade);
        }
        Value::Array(all) => all.iter_mut().for_each(upgrade),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The reference of a schema that only adds its own description to it.
fn described_reference(schema: &Map<String, Value>) -> Option<Value> {
    let [reference, description] = schema.get("allOf")?.as_array()?.as_slice() else { return None };
    let adds = description.as_object()?;
    let same = adds.len() == 1 && adds.get("description") == schema.get("description");
    if same { reference.get("$ref").cloned() } else { None }
}

fn tags() -> Value {
    TAGS.iter().map(|(name, text)| json!({ "name": name, "description": text })).collect()
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "title": "Problem",
        "description": "Why a request was rejected or failed (RFC 9457).",
        "required": ["type", "title", "status", "detail", "instance", "request_id", "retry_hint"],
        "properties": {
            "type": {
                "type": "string", "format": "uri-reference", "examples": ["/errors/invalid"],
                "description": "The kind of problem; it leads to an explanation at the service.",
            },
            "title": { "type": "string", "description": "The kind of problem, for people." },
            "status": { "type": "integer", "description": "The HTTP status." },
            "detail": { "type": "string", "description": "What is wrong, and what would work." },
            "instance": { "type": "string", "description": "The path of the request." },
            "request_id": { "type": "string", "description": "The request in the service's log." },
            "retry_hint": {
                "type": "string", "enum": ["retry", "no_retry"],
                "description": "Whether the same request may succeed later.",
            },
            "errors": {
                "type": "array",
                "description": "The fields, parameters or headers that are wrong.",
                "items": {
                    "type": "object",
                    "description": "One error; it has one of `pointer`, `parameter` and `header`.",
                    "required": ["detail", "code"],
                    "properties": {
                        "pointer": {
                            "type": "string", "examples": ["#/operations/0/crf"],
                            "description": "The field of the body, as a JSON pointer; `#` is the whole \
                                            body.",
                        },
                        "parameter": {
                            "type": "string", "examples": ["limit"],
                            "description": "The name of the query parameter.",
                        },
                        "header": {
                            "type": "string", "examples": ["Idempotency-Key"],
                            "description": "The name of the header.",
                        },
                        "detail": { "type": "string", "description": "What would work." },
                        "code": { "type": "string", "enum": ["malformed", "invalid"] },
                    },
                },
            },
        },
    })
}

fn problem_responses() -> Value {
    let response = |kind: &Kind| {
        let mut response = json!({
            "description": kind.title(),
            "content": { "application/problem+json": {
                "schema": { "$ref": "#/components/schemas/Problem" } } },
        });
        let header = match kind {
            Kind::RateLimited => Some(("Retry-After", "Seconds to wait.", "integer")),
            Kind::Unauthorized => Some(("WWW-Authenticate", "How to authenticate.", "string")),
            Kind::RangeNotSatisfiable => Some(("Content-Range", "The file's size.", "string")),
            _ => None,
        };
        if let Some((name, text, kind)) = header {
            let header = json!({ "description": text, "schema": { "type": kind } });
            set(&mut response, &["headers", name], header);
        }
        (response_name(*kind), response)
    };
    // Operations are not documented for the methods that they do not have.
    let documented = Kind::ALL.iter().filter(|kind| **kind != Kind::MethodNotAllowed);
    Value::Object(documented.map(response).collect())
}

/// The problems that an operation may respond with.
fn problems(path: &str, method: &str, operation: &Value) -> Vec<Kind> {
    let has = |field: &str| operation.get(field).is_some();
    let has_if_match = operation["parameters"]
        .as_array()
        .is_some_and(|all| all.iter().any(|parameter| parameter["name"] == "If-Match"));
    let is_open = !has("security");
    let mut kinds = vec![Kind::Malformed, Kind::Internal, Kind::Unavailable];
    if !is_open {
        kinds.extend([Kind::Unauthorized, Kind::Forbidden, Kind::Gone, Kind::RateLimited]);
    }
    if path.contains('{') {
        kinds.push(Kind::NotFound);
    }
    if method != "get" {
        kinds.push(Kind::Conflict);
    }
    if has_if_match {
        kinds.push(Kind::PreconditionFailed);
    }
    if has("requestBody") {
        let of_bodies = [Kind::RequestTimeout, Kind::TooLarge, Kind::UnsupportedMediaType];
        kinds.extend(of_bodies);
        kinds.push(Kind::Invalid);
    }
    kinds
}

/// Adds to one operation what is not generated.
fn describe(path: &str, method: &str, operation: &mut Value) {
    let kinds = problems(path, method, operation);
    set(operation, &["tags"], json!([tag_of(path)]));
    if operation.get("description").is_none() {
        let summary = operation["summary"].as_str().unwrap_or_default();
        let description = format!("{summary}.");
        set(operation, &["description"], description.into());
    }
    if operation.get("security").is_none() {
        set(operation, &["security"], json!([]));
    }
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        let is_undescribed = parameter.get("description").is_none();
        if let Some(text) = parameter_text(path, &name).filter(|_| is_undescribed) {
            set(parameter, &["description"], text.into());
        }
        if name == "limit" {
            schemas::describe_limit(&id, parameter);
        }
    }
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    for (name, response) in responses.into_iter().flatten() {
        if name.starts_with('2') && response["description"] == "The response" {
            set(response, &["description"], success(name).into());
        }
    }
    raw_bodies::describe(operation);
    url_parameters::describe(operation);
    details::describe_operation(operation);
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    let Some(responses) = responses else { return };
    for kind in kinds {
        let name = response_name(kind);
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        responses.entry(kind.status().to_string()).or_insert(reference);
    }
    responses.insert(
        "default".to_owned(),
        json!({
            "description": "Any other problem",
            "content": { "application/problem+json": {
                "schema": { "$ref": "#/components/schemas/Problem" } } },
        }),
    );
}

fn success(status: &str) -> &'static str {
    match status {
        "201" => "It was created",
        "202" => "It was accepted",
        _ => "The result",
    }
}

/// The bodies of webhooks.
fn webhooks() -> Value {
    let mut all = Map::new();
    for event in EVENTS {
        let operation = json!({
            "operationId": format!("on_{}", event.name.replace('.', "_")),
            "summary": event.says,
            "description": "Sent to the webhooks that subscribe to it, signed as Standard Webhooks 1.0.0 says. \
                            A response 2xx accepts it, 410 disables the webhook; any other is retried.",
            "tags": ["Webhooks"],
            "security": [],
            "parameters": [
                webhook_header("webhook-id", "The event's id, the same at every attempt."),
                webhook_header("webhook-timestamp", "When this attempt was sent, in seconds since 1970."),
                webhook_header("webhook-signature", "`v1,` and the HMAC-SHA256 of `id.timestamp.body`, and \
                                                     `v1a,` and the Ed25519 signature of the same, in \
                                                     base64; several are separated by spaces."),
            ],
            "requestBody": {
                "required": true,
                "content": { "application/json": { "schema": {
                    "type": "object",
                    "required": ["type", "timestamp", "position", "data"],
                    "properties": {
                        "type": { "type": "string", "const": event.name },
                        "timestamp": { "type": "string", "format": "date-time" },
                        "position": { "type": "string", "description": "Its position in the log." },
                        "data": asyncapi::data(event),
                    },
                } } },
            },
            "responses": {
                "2XX": { "description": "It was accepted" },
                "410": { "description": "The webhook is disabled" },
                "default": { "description": "It is sent again later" },
            },
        });
        all.insert(event.name.to_owned(), json!({ "post": operation }));
    }
    Value::Object(all)
}

fn webhook_header(name: &str, text: &str) -> Value {
    json!({
        "name": name, "in": "header", "required": true, "description": text,
        "schema": { "type": "string" },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn generated() -> (Value, Value) {
        let generated = crate::server::generated();
        (serde_json::from_str(&generated).unwrap(), document(&generated))
    }

    fn operations(document: &Value) -> BTreeSet<String> {
        let paths = document["paths"].as_object().unwrap().iter();
        let of_path = |(path, methods): (&String, &Value)| {
            let methods: Vec<String> = methods.as_object().unwrap().keys().cloned().collect();
            methods.into_iter().map(|method| format!("{method} {path}")).collect::<Vec<_>>()
        };
        paths.flat_map(of_path).collect()
    }

    #[test]
    fn the_document_says_what_the_generated_one_says() {
        let (generated, document) = generated();
        let missing: Vec<_> =
            operations(&generated).difference(&operations(&document)).cloned().collect();
        assert!(missing.is_empty(), "{missing:?}");
        for (name, schema) in generated["components"]["schemas"].as_object().unwrap() {
            let fields = |schema: &Value| {
                let fields = schema["properties"].as_object();
                fields.map(|fields| fields.keys().cloned().collect::<Vec<_>>())
            };
            if !["AnyJobRequest", "BatchJobRequest"].contains(&name.as_str()) {
                assert_eq!(
                    fields(schema),
                    fields(&document["components"]["schemas"][name]),
                    "{name}"
                );
            }
        }
        for (path, methods) in generated["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let described = &document["paths"][path][method];
                for status in operation["responses"].as_object().unwrap().keys() {
                    assert!(
                        described["responses"].get(status).is_some(),
                        "{method} {path} {status}"
                    );
                }
            }
        }
    }

    /// Requests that are answered before routing are operations for clients all the same.
    #[test]
    fn operations_that_are_not_routed_are_in_the_document() {
        let (generated, document) = generated();
        let more: BTreeSet<String> =
            operations(&document).difference(&operations(&generated)).cloned().collect();
        let file = ["/outputs/{name}", "/outputs/{folder}/{name}"];
        let of_files = file.iter().flat_map(|file| {
            [
                format!("head /api/v1/jobs/{{id}}{file}"),
                format!("head /api/v1/t/{{token}}{file}"),
                format!("get /api/v1/t/{{token}}{file}"),
            ]
        });
        let others = [
            "get /api/v1/t/{token}/outputs",
            "post /api/v1/t/{token}/upload",
            "options /api/v1/uploads",
            "head /api/v1/uploads/{id}",
            "patch /api/v1/uploads/{id}",
        ];
        let expected: BTreeSet<String> = of_files.chain(others.map(str::to_owned)).collect();
        assert_eq!(more, expected);
        let parameters = |path: &str, method: &str, place: &str| {
            let all = document["paths"][path][method]["parameters"].as_array().unwrap().iter();
            let there = all.filter(|parameter| parameter["in"] == place);
            there.map(|parameter| parameter["name"].as_str().unwrap()).collect::<BTreeSet<_>>()
        };
        for path in document["paths"].as_object().unwrap().keys() {
            let templates =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            let templates: BTreeSet<&str> = templates.collect();
            for method in document["paths"][path].as_object().unwrap().keys() {
                if !templates.is_empty() {
                    assert_eq!(parameters(path, method, "path"), templates, "{method} {path}");
                }
            }
        }
        for path in ["/api/v1/jobs", "/api/v1/batch/{id}/jobs"] {
            assert!(parameters(path, "get", "query").contains("metadata"), "{path}");
        }
        let sent = parameters("/api/v1/uploads", "post", "header");
        assert!(sent.is_superset(&BTreeSet::from(["Tus-Resumable", "Upload-Length"])), "{sent:?}");
        // They have no body, and a token in a path needs no key.
        let head = &document["paths"]["/api/v1/t/{token}/outputs/{name}"]["head"];
        assert!(head["responses"]["200"].get("content").is_none(), "{head}");
        assert_eq!(head["security"], json!([]));
        assert!(head["responses"].get("401").is_some(), "{head}");
    }

    #[test]
    fn every_operation_has_an_id_of_its_own() {
        let (_, document) = generated();
        let mut seen = BTreeSet::new();
        for methods in document["paths"].as_object().unwrap().values() {
            for operation in methods.as_object().unwrap().values() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(seen.insert(id), "{id}");
            }
        }
    }

    #[test]
    fn every_operation_parameter_and_problem_is_described() {
        let (_, document) = generated();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let at = format!("{method} {path}");
                assert!(operation["description"].is_string() && operation["tags"][0] != "", "{at}");
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    assert!(parameter["description"].is_string(), "{at}: {}", parameter["name"]);
                }
                assert!(operation["responses"].get("400").is_some(), "{at}");
            }
        }
        let known: BTreeSet<&str> = TAGS.iter().map(|(name, _)| *name).collect();
        for path in document["paths"].as_object().unwrap().keys() {
            assert!(known.contains(tag_of(path)), "{path}");
        }
    }

    /// Every `$ref` of the document leads to something.
    #[test]
    fn all_references_resolve() {
        fn check(value: &Value, root: &Value) {
            if let Some(Value::String(reference)) = value.get("$ref") {
                let pointer = reference.trim_start_matches('#');
                assert!(root.pointer(pointer).is_some(), "{reference}");
            }
            match value {
                Value::Object(fields) => fields.values().for_each(|value| check(value, root)),
                Value::Array(all) => all.iter().for_each(|value| check(value, root)),
                _ => {}
            }
        }
        let (_, document) = generated();
        check(&document, &document);
    }
}
