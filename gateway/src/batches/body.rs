use std::collections::BTreeSet;

use ffapi_domain::{
    Tenant, batch::BatchJob, job::JobSpec, location::Location, media::Capabilities,
    webhook::Callback,
};
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{names::JobNames, specs::Specs};
use crate::{
    body::SearchBudget,
    jobs::validate::{Fields, KindBody},
    media::value,
    presets,
    problem::{Kind, Problem},
    state::Gateway,
    webhooks::callback,
};

/// A batch of jobs: `jobs`, or `files` and a `template`.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "BatchRequest")]
pub(crate) struct BatchBody {
    /// A display name, up to 200 bytes.
    pub(super) name: Option<String>,
    /// 1 to 1000 jobs, each with its `kind`. An input like `@name/a.mp4` is an output of the job of
    /// that name.
    jobs: Option<Vec<BatchJobBody>>,
    /// 1 to 1000 inputs; the template creates a job for each.
    files: Option<Vec<String>>,
    /// A job with its `kind` and without `input`. In its strings, `{name}` is replaced by the
    /// file's name without extension, `{file}` by its name, and `{index}` by its index from 1.
    template: Option<Any<Value>>,
    /// Maximum number of its jobs that run at once, 1 to 20; 5 if absent.
    pub(super) max_parallel: Option<u32>,
    /// Maximum number of retries of a job after a temporary failure, 0 to 10.
    max_retries: Option<u32>,
    /// Where the batch's own events are sent, signed with the account's own secret.
    webhook_url: Option<String>,
    /// Event types to send to `webhook_url`; if absent, all but steps within an attempt.
    webhook_events: Option<Vec<String>>,
    /// `low`, `normal` or `high`; the default for its jobs.
    priority: Option<String>,
}

/// A job of a batch.
#[derive(Debug, Deserialize, Object)]
#[oai(rename = "BatchJobRequest")]
struct BatchJobBody {
    /// `convert`, `stream`, `thumbnails`, `analyze` or `probe`.
    kind: String,
    /// The name by which other jobs of the batch read its outputs, as `@name/a.mp4`: 1 to 64
    /// letters, digits, `-`, `_` and `.`. It is not stored.
    name: Option<String>,
    /// The fields of the POST of that kind.
    #[serde(flatten)]
    #[oai(flatten)]
    fields: Fields,
}

/// Maximum number of jobs of one batch.
const MAX_JOBS: usize = 1_000;
/// Number of jobs with errors, after which the others are not checked.
const MAX_PROBLEMS: usize = 100;
/// Maximum size of a template in bytes; it is copied for each file.
const MAX_TEMPLATE_BYTES: usize = 16 * 1024;
/// Maximum size in bytes of one of its strings after substitution.
const MAX_STRING_BYTES: usize = 8 * 1024;
/// `max_parallel` if absent.
pub(crate) const DEFAULT_PARALLEL: u32 = 5;

fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::field(Kind::Invalid, pointer, detail)
}

impl BatchBody {
    /// The specs of the jobs, each with its pointer into the request.
    ///
    /// # Errors
    /// The errors of all jobs together.
    pub(super) async fn specs(
        &mut self,
        gateway: &Gateway,
        tenant: &Tenant,
    ) -> Result<Specs, Problem> {
        let mut problems = self.wrong_options();
        let bodies = match self.bodies() {
            Ok(bodies) => bodies,
            Err(problem) => {
                problems.push(problem);
                Box::new(std::iter::empty())
            }
        };
        let capabilities = gateway.workers.media_capabilities();
        let (mut specs, mut names) = (Specs::default(), JobNames::default());
        let mut budget = SearchBudget::of_request();
        for (part, body) in bodies {
            let named = match body {
                Ok(BatchJobBody { kind, name, fields }) => {
                    let body =
                        self.apply_defaults(gateway, tenant, KindBody { kind, fields }).await;
                    // Many jobs take a while to read, and other requests wait for this thread.
                    tokio::task::yield_now().await;
                    let spec =
                        body.and_then(|body| budget.within(|| self.spec(body, &capabilities)));
                    spec.map(|spec| (name, spec)).map_err(|problem| problem.within(&part))
                }
                Err(problem) => Err(problem),
            };
            match named {
                Ok((name, spec)) => {
                    let id = specs.add(part.clone(), spec)?;
                    let named = name.map_or(Ok(()), |name| names.add(name, id));
                    problems.extend(named.err().map(|problem| problem.within(&part)));
                }
                Err(problem) => problems.push(problem),
            }
            if problems.len() >= MAX_PROBLEMS {
                break;
            }
        }
        problems.extend(duplicate_outputs(specs.jobs()));
        if problems.is_empty() {
            for (part, job) in specs.jobs_mut() {
                let resolved = names.resolve(&mut job.spec.request);
                problems.extend(resolved.err().map(|problem| problem.within(part)));
            }
        }
        match Problem::all(problems) {
            Some(problem) => Err(problem),
            None => Ok(specs),
        }
    }

    /// A problem for each of the batch's own fields that is wrong.
    fn wrong_options(&self) -> Vec<Problem> {
        let mut wrong = Vec::new();
        if self.name.as_ref().is_some_and(|name| name.len() > 200) {
            wrong.push(invalid("#/name", "a name has up to 200 bytes"));
        }
        if self.max_parallel.is_some_and(|most| !(1..=20).contains(&most)) {
            wrong.push(invalid("#/max_parallel", "1 to 20 jobs of a batch run at once"));
        }
        if self.max_retries.is_some_and(|retries| retries > 10) {
            wrong.push(invalid("#/max_retries", "a job is retried 0 to 10 times"));
        }
        wrong
    }

    /// The endpoint that the batch's events are sent to.
    pub(super) fn callback(&self) -> Result<Option<Callback>, Problem> {
        callback(self.webhook_url.as_deref(), self.webhook_events.as_deref())
    }

    /// Adds the batch's priority and the fields of its preset to a job.
    async fn apply_defaults(
        &self,
        gateway: &Gateway,
        tenant: &Tenant,
        mut body: KindBody,
    ) -> Result<KindBody, Problem> {
        if let (Some(priority), false) = (&self.priority, body.fields.all.contains_key("priority"))
        {
            body.fields.all.insert("priority".to_owned(), priority.clone().into());
        }
        presets::apply(gateway, tenant, &body.kind, &mut body.fields.all).await?;
        Ok(body)
    }

    fn spec(&self, body: KindBody, capabilities: &Capabilities) -> Result<JobSpec, Problem> {
        let spec = body.spec(capabilities)?;
        let max_attempts = self.max_retries.map(|retries| retries.saturating_add(1));
        Ok(JobSpec { max_attempts, ..spec })
    }

    /// The body of each job, with its pointer into the request. Those of a template are filled in one
    /// by one, as each is a copy of it.
    fn bodies(&mut self) -> Result<Bodies, Problem> {
        match (self.jobs.take(), self.files.take(), self.template.take()) {
            (Some(jobs), None, None) => {
                check_count(jobs.len(), "#/jobs")?;
                let numbered = jobs.into_iter().enumerate();
                Ok(Box::new(numbered.map(|(n, body)| (format!("/jobs/{n}"), Ok(body)))))
            }
            (None, Some(files), Some(Any(template))) => {
                check_count(files.len(), "#/files")?;
                let Value::Object(template) = template else {
                    return Err(invalid("#/template", "a template must be an object"));
                };
                let size = serde_json::to_string(&template).map_or(usize::MAX, |text| text.len());
                if size > MAX_TEMPLATE_BYTES {
                    let detail = format!("a template has up to {MAX_TEMPLATE_BYTES} bytes");
                    return Err(invalid("#/template", detail));
                }
                if template.contains_key("name") {
                    let detail = "only `jobs` have names";
                    return Err(invalid("#/template/name", detail));
                }
                if template.contains_key("input") {
                    return Err(invalid("#/template/input", "the inputs are the `files`"));
                }
                let numbered = files.into_iter().enumerate();
                Ok(Box::new(
                    numbered
                        .map(move |(n, file)| (format!("/files/{n}"), fill(&template, &file, n))),
                ))
            }
            _ => Err(invalid("#/jobs", "either `jobs`, or `files` and `template`, must be given")),
        }
    }
}

/// The bodies of a batch's jobs, each with its pointer into the request.
type Bodies = Box<dyn Iterator<Item = (String, Result<BatchJobBody, Problem>)> + Send>;

fn check_count(jobs: usize, pointer: &str) -> Result<(), Problem> {
    if (1..=MAX_JOBS).contains(&jobs) {
        return Ok(());
    }
    Err(invalid(pointer, format!("a batch has 1 to {MAX_JOBS} jobs, this one has {jobs}")))
}

/// Fills in the template for one file.
fn fill(template: &Map<String, Value>, file: &str, n: usize) -> Result<BatchJobBody, Problem> {
    let pointer = format!("#/files/{n}");
    let location = value::input(file, &pointer)?;
    let path = location.as_ref().map(Location::shown).unwrap_or_default();
    let whole = path.rsplit('/').next().unwrap_or_default();
    let name = whole.rsplit_once('.').map_or(whole, |(name, _)| name);
    let index = n.saturating_add(1).to_string();
    // Measured before the strings are built, as they could become very large.
    let max_value = whole.len().max(index.len());
    let grown =
        |text: &str| text.len().saturating_add(text.matches('{').count().saturating_mul(max_value));
    if template.values().any(|value| longest(value, &grown) > MAX_STRING_BYTES) {
        let detail =
            format!("with this name, a string of the template has over {MAX_STRING_BYTES} bytes");
        return Err(invalid(&pointer, detail));
    }
    let substitute = |text: &str| {
        text.replace("{name}", name).replace("{file}", whole).replace("{index}", &index)
    };
    let mut fields = template.clone();
    fields.values_mut().for_each(|value| map_strings(value, &substitute));
    fields.insert("input".to_owned(), file.into());
    let body = serde_json::from_value(Value::Object(fields));
    body.map_err(|_| invalid("#/template/kind", "a template needs a `kind`"))
}

/// The largest measure of a value's strings.
fn longest(value: &Value, measure: &impl Fn(&str) -> usize) -> usize {
    match value {
        Value::String(text) => measure(text),
        Value::Array(all) => all.iter().map(|value| longest(value, measure)).max().unwrap_or(0),
        Value::Object(all) => all.values().map(|value| longest(value, measure)).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// Replaces each string in a value.
fn map_strings(value: &mut Value, replace: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = replace(text),
        Value::Array(all) => all.iter_mut().for_each(|value| map_strings(value, replace)),
        Value::Object(all) => all.values_mut().for_each(|value| map_strings(value, replace)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A problem for each job whose output another job before it has as well.
fn duplicate_outputs(jobs: &[(String, BatchJob)]) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let outputs = jobs.iter().filter_map(|(part, job)| {
        let output = job.spec.request.output()?.as_ref()?;
        (!seen.insert(output.to_string())).then(|| {
            let output = output.shown();
            let detail = format!("another job of the batch writes {output}; choose another name");
            invalid("#/output", detail).within(part)
        })
    });
    outputs.collect()
}
