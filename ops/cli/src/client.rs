//! The client commands, which use the public HTTP API.

mod batch;
mod health;
mod http;
mod progress;
mod smoke;

use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value, json};

pub(crate) use self::{batch::batch, health::health, smoke::smoke};
use self::{http::Client, progress::follow};
use crate::arguments::{Analyze, Convert, Jobs, Server, Submit};

fn text<'a>(json: &'a Value, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Uploads a file, converts it with a progress bar, and downloads the result.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn convert(arguments: Convert) -> anyhow::Result<()> {
    let client = Client::new(&arguments.server)?;
    let upload = client.upload(&arguments.input).await?;
    let name = arguments.output.file_name().and_then(|name| name.to_str());
    let name = name.context("the output needs a file name")?;
    let operations = operations(&arguments);
    let id = text(&upload, "/id").to_owned();
    let output = format!("converted/{id}/{name}");
    let body = json!({ "input": id, "output": output, "operations": operations });
    let created = client.post("/api/v1/convert", &body).await?;
    let job = text(&created, "/job/id").to_owned();
    if !arguments.server.json {
        println!("{job}");
    }
    let last = follow(&client, &job).await?;
    anyhow::ensure!(last == "job.completed", "{}", failure_message(&client, &job).await);
    let from = format!("/api/v1/jobs/{job}/outputs/{name}");
    client.download(&from, &arguments.output).await?;
    if arguments.server.json {
        return print(&client.get(&format!("/api/v1/jobs/{job}")).await?);
    }
    println!("{}", arguments.output.display());
    Ok(())
}

fn operations(arguments: &Convert) -> Vec<Value> {
    let without_nulls = |fields: Value| {
        let mut fields = fields;
        if let Some(fields) = fields.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        fields
    };
    let mut operations = Vec::new();
    if arguments.start.is_some() || arguments.duration.is_some() {
        let (start, duration) =
            (time(arguments.start.as_deref()), time(arguments.duration.as_deref()));
        operations
            .push(without_nulls(json!({ "type": "trim", "start": start, "duration": duration })));
    }
    if let Some(height) = arguments.height {
        operations.push(json!({ "type": "scale", "height": height }));
    }
    operations.push(without_nulls(
        json!({ "type": "transcode", "crf": arguments.crf, "preset": arguments.preset }),
    ));
    operations
}

/// Numbers are sent as numbers; any other text is parsed by the server.
fn time(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| text.parse::<f64>().map_or_else(|_| json!(text), |n| json!(n)))
}

async fn failure_message(client: &Client, job: &str) -> String {
    let job = client.get(&format!("/api/v1/jobs/{job}")).await.unwrap_or_default();
    let (status, message) = (text(&job, "/status"), text(&job, "/error/message"));
    format!("the job is {status}: {message}")
}

/// Prints an answer as JSON.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
fn print(answer: &Value) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(answer)?);
    Ok(())
}

/// Lists jobs.
pub(crate) async fn jobs(asked: &Jobs) -> anyhow::Result<()> {
    let path = format!("/api/v1/jobs?{}", query(asked)?);
    let page = Client::new(&asked.server)?.get(&path).await?;
    if asked.server.json {
        return print(&page);
    }
    print_jobs(&page);
    Ok(())
}

/// The query of a list of jobs.
fn query(asked: &Jobs) -> anyhow::Result<String> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &asked.limit.to_string());
    let given = [
        ("status", &asked.status),
        ("kind", &asked.kind),
        ("preset", &asked.preset),
        ("batch_id", &asked.batch),
        ("created_after", &asked.since),
        ("sort", &asked.sort),
    ];
    query.extend_pairs(
        given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))),
    );
    for label in &asked.metadata {
        let (name, value) = label.split_once('=').context("a label looks like order=42")?;
        query.append_pair(&format!("metadata.{name}"), value);
    }
    Ok(query.finish())
}

/// Prints a line for each job of a page.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
fn print_jobs(page: &Value) {
    for job in page.pointer("/data").and_then(Value::as_array).into_iter().flatten() {
        println!(
            "{}  {:<10}  {}  {} -> {}  {}",
            text(job, "/id"),
            text(job, "/status"),
            text(job, "/created_at"),
            text(job, "/input"),
            text(job, "/output"),
            text(job, "/error/message"),
        );
    }
}

/// Shows a job.
pub(crate) async fn get(server: &Server, id: &str) -> anyhow::Result<()> {
    print(&Client::new(server)?.get(&format!("/api/v1/jobs/{id}")).await?)
}

/// Retries a failed or cancelled job.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn retry(server: &Server, id: &str) -> anyhow::Result<()> {
    let job = Client::new(server)?.post(&format!("/api/v1/jobs/{id}/retry"), &Value::Null).await?;
    if server.json {
        return print(&job);
    }
    println!("{} {}", text(&job, "/id"), text(&job, "/status"));
    Ok(())
}

/// Uploads a file.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn upload(server: &Server, file: &Path) -> anyhow::Result<()> {
    let upload = Client::new(server)?.upload(file).await?;
    if server.json {
        return print(&upload);
    }
    println!("{}", text(&upload, "/id"));
    Ok(())
}

/// The fields that `--body` states.
fn fields(body: Option<&str>) -> anyhow::Result<Map<String, Value>> {
    match body.map(serde_json::from_str).transpose() {
        Ok(Some(Value::Object(fields))) => Ok(fields),
        Ok(None) => Ok(Map::new()),
        Ok(Some(_)) | Err(_) => anyhow::bail!("--body must be a JSON object"),
    }
}

/// The location of an input; a local file is uploaded.
async fn uploaded(client: &Client, input: &str) -> anyhow::Result<String> {
    let file = Path::new(input);
    if file.is_file() {
        return Ok(text(&client.upload(file).await?, "/id").to_owned());
    }
    Ok(input.to_owned())
}

/// Measures a file, and prints the result.
pub(crate) async fn analyze(asked: Analyze) -> anyhow::Result<()> {
    let Analyze { submit: asked, metrics, reference } = asked;
    let given = fields(asked.body.as_deref())?;
    let mut options = Map::new();
    if metrics.is_empty() {
        let has_some = asked.preset.is_some() || given.contains_key("metrics");
        anyhow::ensure!(has_some, "say what to measure: --metrics scenes,loudness; see --help");
    } else {
        options.insert("metrics".to_owned(), metrics.into());
    }
    if let Some(reference) = reference {
        let client = Client::new(&asked.server)?;
        options.insert("reference".to_owned(), uploaded(&client, &reference).await?.into());
    }
    submit(asked, "analyze", options).await
}

/// The preset of a job whose request says nothing about what to make.
fn default_preset(kind: &str, fields: &Map<String, Value>) -> Option<&'static str> {
    if fields.keys().any(|field| field != "output") {
        return None;
    }
    match kind {
        "stream" => Some("cmaf-auto"),
        "thumbnails" => Some("thumbnail-poster"),
        _ => None,
    }
}

/// Submits a job with the fields that `options` are, follows it to its end, and prints its outputs or
/// result.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn submit(
    asked: Submit,
    kind: &str,
    options: Map<String, Value>,
) -> anyhow::Result<()> {
    let client = Client::new(&asked.server)?;
    let mut body = fields(asked.body.as_deref())?;
    body.extend(options);
    let file = Path::new(&asked.input);
    let input = uploaded(&client, &asked.input).await?;
    let has_outputs = matches!(kind, "stream" | "thumbnails");
    anyhow::ensure!(
        has_outputs || asked.output.is_none(),
        "`{kind}` has no outputs: omit --output"
    );
    if has_outputs && (asked.output.is_some() || !body.contains_key("output")) {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("output");
        let output = asked.output.unwrap_or_else(|| format!("{kind}/{stem}"));
        body.insert("output".to_owned(), output.into());
    }
    if let Some(preset) = asked.preset.as_deref().or_else(|| default_preset(kind, &body)) {
        body.insert("preset".to_owned(), preset.into());
    }
    body.insert("input".to_owned(), input.into());
    let created = client.post(&format!("/api/v1/{kind}"), &Value::Object(body)).await?;
    let job = text(&created, "/job/id").to_owned();
    let last = follow(&client, &job).await?;
    anyhow::ensure!(last == "job.completed", "{}", failure_message(&client, &job).await);
    let done = client.get(&format!("/api/v1/jobs/{job}")).await?;
    if asked.server.json {
        return print(&done);
    }
    println!("{job}");
    if let Some(result) = done.get("result").filter(|_| matches!(kind, "analyze" | "probe")) {
        return print(result);
    }
    for output in done.pointer("/outputs").and_then(Value::as_array).into_iter().flatten() {
        println!("{}", text(output, "/location"));
    }
    Ok(())
}

/// Follows a job until it ends.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn watch(server: &Server, id: &str) -> anyhow::Result<()> {
    let client = Client::new(server)?;
    let last = follow(&client, id).await?;
    if server.json {
        print(&client.get(&format!("/api/v1/jobs/{id}")).await?)?;
    } else {
        println!("{last}");
    }
    anyhow::ensure!(last == "job.completed", "{}", failure_message(&client, id).await);
    Ok(())
}

/// Cancels a job.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn cancel(server: &Server, id: &str) -> anyhow::Result<()> {
    let client = Client::new(server)?;
    let job = client.post(&format!("/api/v1/jobs/{id}/cancel"), &Value::Null).await?;
    if server.json {
        return print(&job);
    }
    println!("{} {}", text(&job, "/id"), text(&job, "/status"));
    Ok(())
}

/// The key to use: as given, or from its file.
fn key(given: Option<&str>, file: Option<&Path>) -> anyhow::Result<String> {
    if let Some(key) = given {
        return Ok(key.to_owned());
    }
    let file = file.context("no key: set FFAPI_KEY, or --key-file")?;
    let key = std::fs::read_to_string(file).with_context(|| {
        format!("no key: set FFAPI_KEY, or --key-file ({} does not exist)", file.display())
    })?;
    Ok(key.trim().to_owned())
}
