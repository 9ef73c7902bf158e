use ffapi_domain::{JobId, job::JobView, location::Location};
use poem_openapi::{
    Object,
    types::{Any, ToJSON},
};
use serde_json::{Map, Value, json};

use super::{in_log::job_in_log, show::shown_operations};
use crate::{auth::Principal, media::SettingsBody, problem::Problem, reply::Reply, state::Gateway};

/// The differences between two jobs.
#[derive(Debug, Object)]
pub(crate) struct Diff {
    job_id: String,
    with: String,
    /// True if there are no differences.
    same: bool,
    differences: Vec<Difference>,
}

/// One difference.
#[derive(Debug, Object)]
struct Difference {
    /// JSON pointer into `request`, `status`, `outputs` by name, `result` and `seconds`.
    pointer: String,
    /// The value of the job; `null` if it has none.
    this: Any<Value>,
    /// The value of the other job; `null` if it has none.
    with: Any<Value>,
}

/// Compares a job with another; with the job that it reruns, if no other one is given.
pub(crate) async fn diff(
    gateway: &Gateway,
    principal: &Principal,
    id: JobId,
    with: Option<&str>,
) -> Result<Reply<200, Diff>, Problem> {
    let find = async |id: JobId| {
        let found = job_in_log(&gateway.commands, &principal.tenant, id).await?;
        found.map(|found| found.view).ok_or_else(|| Problem::not_found("job"))
    };
    let job = find(id).await?;
    let other = match with {
        Some(text) => text.parse().map_err(|_| Problem::not_found("job"))?,
        None => job.summary.rerun_of.ok_or_else(|| {
            let detail = "this job is not a rerun; give `with` to compare it with another job";
            Problem::parameter("with", detail)
        })?,
    };
    let mut differences = Vec::new();
    compare("#", &outcome(&job), &outcome(&find(other).await?), &mut differences);
    Ok(Reply::new(Diff {
        job_id: id.to_string(),
        with: other.to_string(),
        same: differences.is_empty(),
        differences,
    }))
}

/// A job's request and outcome, without what always differs between two jobs.
fn outcome(job: &JobView) -> Value {
    let outputs: Map<String, Value> = job
        .outputs
        .iter()
        .map(|output| {
            let facts = json!({
                "size": output.size, "sha256": output.sha256, "duration": output.duration,
                "streams": output.streams,
            });
            (output.name.as_ref().cloned().unwrap_or_default(), facts)
        })
        .collect();
    json!({
        "request": request(job), "status": job.summary.status, "outputs": outputs,
        "result": job.result, "error": job.summary.error.as_ref().map(|error| error.code),
    })
}

/// The request as the job shows it.
fn request(job: &JobView) -> Value {
    let settings = SettingsBody::of(&job.request).map(SettingsBody::without_signatures);
    let mut request = settings.and_then(|settings| settings.to_json()).unwrap_or_else(|| json!({}));
    if let Some(fields) = request.as_object_mut() {
        let input = job.request.input().as_ref().map(Location::shown);
        fields.insert("input".to_owned(), input.into());
        if let Some(operations) = shown_operations(&job.request) {
            fields.insert("operations".to_owned(), operations.to_json().unwrap_or_default());
        }
    }
    request
}

fn compare(pointer: &str, this: &Value, with: &Value, differences: &mut Vec<Difference>) {
    match (this, with) {
        (this, with) if this == with => {}
        (Value::Object(these), Value::Object(those)) => {
            let more = those.keys().filter(|name| !these.contains_key(*name));
            for name in these.keys().chain(more) {
                let field =
                    |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
                let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                compare(&pointer, &field(these), &field(those), differences);
            }
        }
        (Value::Array(these), Value::Array(those)) if these.len() == those.len() => {
            for (index, (this, with)) in these.iter().zip(those).enumerate() {
                compare(&format!("{pointer}/{index}"), this, with, differences);
            }
        }
        (this, with) => differences.push(Difference {
            pointer: pointer.to_owned(),
            this: Any(this.clone()),
            with: Any(with.clone()),
        }),
    }
}
