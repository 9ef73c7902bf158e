//! The client verbs: the same HTTP API that everybody uses.

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

/// Uploads, converts with a live bar, and fetches the result.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn convert(asked: Convert) -> anyhow::Result<()> {
    let client = Client::new(&asked.server)?;
    let upload = client.upload(&asked.input).await?;
    let name = asked.output.file_name().and_then(|name| name.to_str());
    let name = name.context("the output needs a file name")?;
    let operations = operations(&asked);
    let id = text(&upload, "/id").to_owned();
    let output = format!("converted/{id}/{name}");
    let body = json!({ "input": id, "output": output, "operations": operations });
    let created = client.post("/api/v1/convert", &body).await?;
    let job = text(&created, "/job/id").to_owned();
    println!("{job}");
    let last = follow(&client, &job).await?;
    anyhow::ensure!(last == "job.completed", "{}", why(&client, &job).await);
    let from = format!("/api/v1/jobs/{job}/outputs/{name}");
    client.download(&from, &asked.output).await?;
    println!("{}", asked.output.display());
    Ok(())
}

fn operations(asked: &Convert) -> Vec<Value> {
    let given = |fields: Value| {
        let mut fields = fields;
        if let Some(fields) = fields.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        fields
    };
    let mut operations = Vec::new();
    if asked.start.is_some() || asked.duration.is_some() {
        let (start, duration) = (time(asked.start.as_deref()), time(asked.duration.as_deref()));
        operations.push(given(json!({ "type": "trim", "start": start, "duration": duration })));
    }
    if let Some(height) = asked.height {
        operations.push(json!({ "type": "scale", "height": height }));
    }
    operations
        .push(given(json!({ "type": "transcode", "crf": asked.crf, "preset": asked.preset })));
    operations
}

/// A number stays a number; anything else is for the server to read.
fn time(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| text.parse::<f64>().map_or_else(|_| json!(text), |n| json!(n)))
}

async fn why(client: &Client, job: &str) -> String {
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

/// Follows a job to its end.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn watch(server: &Server, id: &str) -> anyhow::Result<()> {
    let client = Client::new(server)?;
    let last = follow(&client, id).await?;
    println!("{last}");
    anyhow::ensure!(last == "job.completed", "{}", why(&client, id).await);
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
        format!("no key: set FFAPI_KEY, or --key-file ({} is not there)", file.display())
    })?;
    Ok(key.trim().to_owned())
}
