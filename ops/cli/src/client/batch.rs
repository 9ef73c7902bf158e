use std::{ffi::OsStr, path::Path};

use serde_json::{Value, json};

use super::{fields, follow, http::Client, print, print_jobs, text, uploaded};
use crate::arguments::Batch;

/// Submits a job for each input, and follows them to their ends.
pub(crate) async fn batch(asked: Batch) -> anyhow::Result<()> {
    let template = template(&asked)?;
    let client = Client::new(&asked.server)?;
    let mut jobs = Vec::new();
    for (index, input) in asked.inputs.iter().enumerate() {
        let mut job = fields(asked.body.as_deref())?;
        job.insert("kind".to_owned(), asked.kind.as_str().into());
        job.insert("input".to_owned(), uploaded(&client, input).await?.into());
        if let Some(preset) = &asked.preset {
            job.insert("preset".to_owned(), preset.as_str().into());
        }
        if let Some(template) = &template
            && (asked.output.is_some() || !job.contains_key("output"))
        {
            job.insert("output".to_owned(), output(template, input, index).into());
        }
        jobs.push(Value::Object(job));
    }
    let mut body = json!({ "jobs": jobs });
    if let (Some(fields), Some(max)) = (body.as_object_mut(), asked.max_parallel) {
        fields.insert("max_parallel".to_owned(), max.into());
    }
    let created = client.post("/api/v1/batch", &body).await?;
    let batch = format!("/api/v1/batch/{}", text(&created, "/id"));
    let mut next = Some(format!("{batch}/jobs?limit=200"));
    while let Some(path) = next {
        let page = client.get(&path).await?;
        for job in page.pointer("/data").and_then(Value::as_array).into_iter().flatten() {
            follow(&client, text(job, "/id")).await?;
        }
        if !asked.server.json {
            print_jobs(&client.get(&path).await?);
        }
        let cursor = page.get("next_cursor").and_then(Value::as_str);
        next = cursor.map(|cursor| format!("{batch}/jobs?limit=200&cursor={cursor}"));
    }
    let ended = client.get(&batch).await?;
    if asked.server.json {
        print(&ended)?;
    }
    let status = text(&ended, "/status");
    anyhow::ensure!(status == "completed", "the batch is {status}");
    Ok(())
}

/// The output of each job, with placeholders; none for kinds without outputs.
fn template(asked: &Batch) -> anyhow::Result<Option<String>> {
    match (asked.kind.as_str(), &asked.output) {
        (_, Some(output)) => Ok(Some(output.clone())),
        (kind @ ("stream" | "thumbnails"), None) => Ok(Some(format!("{kind}/{{name}}"))),
        ("convert", None) => anyhow::bail!("--output is required, like out/{{name}}.mp4"),
        (_, None) => Ok(None),
    }
}

fn output(template: &str, input: &str, index: usize) -> String {
    let path = Path::new(input);
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or("file");
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or("file");
    template
        .replace("{name}", stem)
        .replace("{file}", name)
        .replace("{index}", &index.saturating_add(1).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_named_after_its_input() {
        assert_eq!(output("{index}/{name}.mp4", "in/a.b.mov", 0), "1/a.b.mp4");
        assert_eq!(output("{file}", "https://example.com/x/c.mkv", 1), "c.mkv");
    }
}
