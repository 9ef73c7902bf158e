//! The client commands, which use the public HTTP API.

mod http;
mod progress;

use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use self::{http::Client, progress::follow};
use crate::arguments::{Convert, Server};

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
    println!("{job}");
    let last = follow(&client, &job).await?;
    anyhow::ensure!(last == "job.completed", "{}", failure_message(&client, &job).await);
    let from = format!("/api/v1/jobs/{job}/outputs/{name}");
    client.download(&from, &arguments.output).await?;
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

/// Lists jobs, newest first.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn jobs(server: &Server) -> anyhow::Result<()> {
    let page = Client::new(server)?.get("/api/v1/jobs?limit=50").await?;
    for job in page.pointer("/data").and_then(Value::as_array).into_iter().flatten() {
        println!(
            "{}  {:<10}  {}  {} -> {}",
            text(job, "/id"),
            text(job, "/status"),
            text(job, "/created_at"),
            text(job, "/input"),
            text(job, "/output"),
        );
    }
    Ok(())
}

/// Follows a job until it ends.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn watch(server: &Server, id: &str) -> anyhow::Result<()> {
    let client = Client::new(server)?;
    let last = follow(&client, id).await?;
    println!("{last}");
    anyhow::ensure!(last == "job.completed", "{}", failure_message(&client, id).await);
    Ok(())
}

/// Cancels a job.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn cancel(server: &Server, id: &str) -> anyhow::Result<()> {
    let client = Client::new(server)?;
    let job = client.post(&format!("/api/v1/jobs/{id}/cancel"), &Value::Null).await?;
    println!("{} {}", text(&job, "/id"), text(&job, "/status"));
    Ok(())
}

/// The key to use: as given, or from its file.
fn key(given: Option<&str>, file: &Path) -> anyhow::Result<String> {
    if let Some(key) = given {
        return Ok(key.to_owned());
    }
    let key = std::fs::read_to_string(file).with_context(|| {
        format!("no key: set FFAPI_KEY, or --key-file ({} does not exist)", file.display())
    })?;
    Ok(key.trim().to_owned())
}
