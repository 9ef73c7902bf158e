//! Every string of the API document, sent with unstorable characters, is rejected with a pointer to
//! it before anything else is done.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::stack::{Answer, Stack};

/// A placeholder for the bad string until the body is serialized.
const PLACEHOLDER: &str = "@@@";

/// A string of a request body: the body with this string alone, and the pointer to it.
struct BodyString {
    method: Method,
    path: String,
    body: Value,
    pointer: String,
}

struct Document(Value);

impl Document {
    fn committed() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api/openapi.json");
        Self(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    }

    fn operations(&self) -> impl Iterator<Item = (Method, String, &Value)> {
        self.0["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
            let path = path.trim_start_matches("/api/v1").to_owned();
            methods.as_object().unwrap().iter().map(move |(method, operation)| {
                let method = method.to_uppercase().parse().unwrap();
                (method, path.clone(), operation)
            })
        })
    }

    /// Every string that a body may contain, each once: recursive schemas are entered once.
    fn strings(&self, schema: &Value, open: &[&str]) -> Vec<(Value, String)> {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().unwrap();
            if open.contains(&name) {
                return vec![];
            }
            let open = [open, &[name]].concat();
            return self.strings(&self.0["components"]["schemas"][name], &open);
        }
        let mut found = Vec::new();
        for one in ["allOf", "anyOf", "oneOf"] {
            for part in schema[one].as_array().into_iter().flatten() {
                found.extend(self.strings(part, open));
            }
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let within = self.strings(field, open).into_iter();
            found
                .extend(within.map(|(value, at)| (json!({ name: value }), format!("/{name}{at}"))));
        }
        if schema["items"].is_object() {
            let within = self.strings(&schema["items"], open).into_iter();
            found.extend(within.map(|(value, at)| (json!([value]), format!("/0{at}"))));
        }
        if schema["additionalProperties"].is_object() {
            found.push((json!({ "label": PLACEHOLDER }), "/label".to_owned()));
        }
        if found.is_empty() {
            match schema["type"].as_str() {
                Some("string") => found.push((json!(PLACEHOLDER), String::new())),
                // Any JSON is allowed here, at any depth.
                None => found.extend([
                    (json!(PLACEHOLDER), String::new()),
                    (json!({ "x": [{ "y": PLACEHOLDER }] }), "/x/0/y".to_owned()),
                ]),
                Some(_) => {}
            }
        }
        found
    }

    fn body_strings(&self) -> Vec<BodyString> {
        let mut strings = Vec::new();
        for (method, path, operation) in self.operations() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            if schema.is_object() {
                let path = path.replace(['{', '}'], "");
                for (body, pointer) in self.strings(schema, &[]) {
                    strings.push(BodyString {
                        method: method.clone(),
                        path: path.clone(),
                        body,
                        pointer: format!("#{pointer}"),
                    });
                }
            }
        }
        strings
    }
}

async fn send(stack: &Stack, string: &BodyString, bad: &str) -> Answer {
    let body =
        string.body.to_string().replace(&format!("\"{PLACEHOLDER}\""), &format!("\"{bad}\""));
    let request = stack.request(string.method.clone(), &string.path);
    stack.send(request.header("content-type", "application/json").body(body)).await
}

fn is_refused(answer: &Answer, status: StatusCode, pointer: &str) -> bool {
    is_problem(answer, status) && answer.text("/errors/0/pointer") == pointer
}

fn is_problem(answer: &Answer, status: StatusCode) -> bool {
    answer.status == status
        && answer.header("content-type") == "application/problem+json"
        && !answer.text("/detail").is_empty()
}

#[tokio::test]
async fn unstorable_characters_are_rejected_in_every_body_string() {
    let stack = Stack::new().await;
    let strings = Document::committed().body_strings();
    assert!(strings.len() > 100, "{} strings", strings.len());
    let long = "x".repeat(1 << 20);
    for string in &strings {
        for (bad, status) in [
            ("a\\u0000b", StatusCode::UNPROCESSABLE_ENTITY),
            ("a\\u001bb", StatusCode::UNPROCESSABLE_ENTITY),
            ("\\ud800", StatusCode::BAD_REQUEST),
            (&long, StatusCode::UNPROCESSABLE_ENTITY),
        ] {
            let answer = send(&stack, string, bad).await;
            let (method, path) = (&string.method, &string.path);
            assert!(
                is_refused(&answer, status, &string.pointer),
                "{method} {path} {} {bad:.10}: {answer:#?}",
                string.pointer
            );
        }
    }
    // Names of fields as well.
    for body in ["{\"a\\u0000\":1}", "{\"metadata\":{\"a\\n\":\"b\"}}"] {
        let request = stack.request(Method::POST, "/convert");
        let request = request.header("content-type", "application/json").body(body);
        let answer = stack.send(request).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:#?}");
    }
    assert_eq!(stack.get("/jobs").await.status, StatusCode::OK);
}

#[tokio::test]
async fn line_breaks_and_tabs_are_allowed_in_free_text() {
    let stack = Stack::new().await;
    let text = "first\n\tsecond\r\n";
    let body = json!({ "input": "a.mp4", "metadata": { "note": text } });
    let made = stack.post("/probe", &body).await;
    assert_eq!(made.json["job"]["metadata"]["note"], text, "{made:#?}");
    let hook = json!({ "url": "https://example.com", "description": text });
    let hook = stack.post("/webhooks", &hook).await;
    assert_eq!(hook.text("/description"), text, "{hook:#?}");
    let batch = stack.post("/batch", &json!({ "name": text, "jobs": [] })).await;
    assert!(is_refused(&batch, StatusCode::UNPROCESSABLE_ENTITY, "#/name"), "{batch:#?}");
}

#[tokio::test]
async fn unstorable_characters_are_rejected_in_urls_and_stored_headers() {
    let stack = Stack::new().await;
    for (method, path, operation) in Document::committed().operations() {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        for parameter in parameters {
            let name = parameter["name"].as_str().unwrap();
            for bad in ["a%00b", "a%0ab", "a%ed%a0%80b"] {
                let (path, wrong) = match parameter["in"].as_str().unwrap() {
                    // Such a path is routed to that of a job, and the token is a parameter there.
                    "path" if name == "token" => (path.replace("{token}", bad), "token"),
                    "path" => (path.replace(&format!("{{{name}}}"), bad), ""),
                    "query" => (format!("{path}?{name}={bad}"), name),
                    _ => continue,
                };
                let path = path.replace(['{', '}'], "");
                let answer = stack.send(stack.request(method.clone(), &path)).await;
                assert!(
                    method == Method::HEAD
                        || is_problem(&answer, StatusCode::BAD_REQUEST)
                            && answer.text("/errors/0/parameter") == wrong,
                    "{method} {path}: {answer:#?}"
                );
            }
        }
    }
    for header in ["Idempotency-Key", "Content-Disposition"] {
        let request = stack.request(Method::POST, "/uploads").header(header, "a\tb");
        let request = request.header("content-type", "application/octet-stream");
        let answer = stack.send(request.body("x")).await;
        assert!(is_problem(&answer, StatusCode::BAD_REQUEST), "{header}: {answer:#?}");
        assert_eq!(answer.text("/errors/0/header"), header);
    }
}

#[tokio::test]
async fn duplicate_fields_are_rejected_at_every_depth() {
    let stack = Stack::new().await;
    for (path, body, pointer) in [
        ("/convert", r#"{"input":"a.mp4","input":"b.mp4","output":"c.mp4"}"#, "#/input"),
        ("/probe", r#"{"input":"a.mp4","metadata":{"a":"1","a":"2"}}"#, "#/metadata/a"),
        (
            "/batch",
            r#"{"jobs":[{"kind":"probe","input":"a.mp4","kind":"convert"}]}"#,
            "#/jobs/0/kind",
        ),
        (
            "/convert",
            r#"{"input":"a","output":"b","operations":[{"type":"flip","axis":"x","axis":"y"}]}"#,
            "#/operations/0/axis",
        ),
    ] {
        let request = stack.request(Method::POST, path).header("content-type", "application/json");
        let answer = stack.send(request.body(body)).await;
        assert!(is_refused(&answer, StatusCode::BAD_REQUEST, pointer), "{path}: {answer:#?}");
    }
}
