use std::collections::BTreeSet;

use ffapi_domain::{Tenant, job::JobSpec, location::Location, webhook::Callback};
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::specs::Specs;
use crate::{
    jobs::validate::KindBody,
    media::value,
    presets,
    problem::{Kind, Problem},
    state::Gateway,
    webhooks::callback,
};

/// Many jobs at once: `jobs`, or `files` and a `template`.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "BatchRequest")]
pub(crate) struct BatchBody {
    /// For a person; up to 200 bytes.
    pub(super) name: Option<String>,
    /// 1 to 1000, each with its `kind`.
    jobs: Option<Vec<KindBody>>,
    /// 1 to 1000 inputs, for each of which the template makes a job.
    files: Option<Vec<String>>,
    /// A job with its `kind` and without `input`. In its texts `{name}` stands for the file's name
    /// without its extension, `{file}` for its name, `{index}` for its place from 1 on.
    template: Option<Any<Value>>,
    /// 1 to 20: so many run at once; 5 if absent.
    pub(super) max_parallel: Option<u32>,
    /// 0 to 10: so often a job that failed for a passing reason is tried again.
    max_retries: Option<u32>,
    /// Where the batch's own events are sent, signed with the account's own secret.
    webhook_url: Option<String>,
    /// Which of them; all if absent.
    webhook_events: Option<Vec<String>>,
    /// `low`, `normal` or `high`, of the jobs that say nothing else.
    priority: Option<String>,
}

const MOST: usize = 1_000;
/// Bytes of a template, of which there may be as many copies as files.
const MAX_TEMPLATE: usize = 16 * 1024;
/// Bytes of one of its texts once it is filled in.
const MAX_TEXT: usize = 8 * 1024;
pub(crate) const USUAL_PARALLEL: u32 = 5;

fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::field(Kind::Invalid, pointer, detail)
}

impl BatchBody {
    /// The jobs that are asked for, each with where it stands in the request; or everything that is
    /// wrong with them.
    pub(super) async fn specs(
        &mut self,
        gateway: &Gateway,
        tenant: &Tenant,
    ) -> Result<Specs, Problem> {
        if self.name.as_ref().is_some_and(|name| name.len() > 200) {
            return Err(invalid("#/name", "a name has up to 200 bytes"));
        }
        if self.max_parallel.is_some_and(|most| !(1..=20).contains(&most)) {
            return Err(invalid("#/max_parallel", "1 to 20 jobs of a batch run at once"));
        }
        if self.max_retries.is_some_and(|retries| retries > 10) {
            return Err(invalid("#/max_retries", "a job is tried again 0 to 10 times"));
        }
        let bodies = self.bodies()?;
        let (mut specs, mut problems) = (Specs::default(), Vec::new());
        for (part, body) in bodies {
            match self.spec(gateway, tenant, body).await {
                Ok(spec) => specs.add(part, spec)?,
                Err(problem) => problems.push(problem.within(&part)),
            }
        }
        problems.extend(twice(specs.jobs()));
        match Problem::all(problems) {
            Some(problem) => Err(problem),
            None => Ok(specs),
        }
    }

    /// Who is told of the batch.
    pub(super) fn callback(&self) -> Result<Option<Callback>, Problem> {
        callback(self.webhook_url.as_deref(), self.webhook_events.as_deref())
    }

    async fn spec(
        &self,
        gateway: &Gateway,
        tenant: &Tenant,
        mut body: KindBody,
    ) -> Result<JobSpec, Problem> {
        if let (Some(priority), false) = (&self.priority, body.fields.all.contains_key("priority"))
        {
            body.fields.all.insert("priority".to_owned(), priority.clone().into());
        }
        presets::apply(gateway, tenant, &body.kind, &mut body.fields.all).await?;
        let spec = body.read()?.spec()?;
        let max_attempts = self.max_retries.map(|retries| retries.saturating_add(1));
        Ok(JobSpec { max_attempts, ..spec })
    }

    /// What each job was asked for with, and where that stands in the request.
    fn bodies(&mut self) -> Result<Vec<(String, KindBody)>, Problem> {
        match (self.jobs.take(), self.files.take(), self.template.take()) {
            (Some(jobs), None, None) => {
                how_many(jobs.len(), "#/jobs")?;
                let numbered = jobs.into_iter().enumerate();
                Ok(numbered.map(|(n, body)| (format!("/jobs/{n}"), body)).collect())
            }
            (None, Some(files), Some(Any(template))) => {
                how_many(files.len(), "#/files")?;
                let template = template.as_object();
                let template = template.ok_or_else(|| invalid("#/template", "it is an object"))?;
                let size = serde_json::to_string(template).map_or(usize::MAX, |text| text.len());
                if size > MAX_TEMPLATE {
                    let detail = format!("a template has up to {MAX_TEMPLATE} bytes");
                    return Err(invalid("#/template", detail));
                }
                if template.contains_key("input") {
                    return Err(invalid("#/template/input", "the inputs are the `files`"));
                }
                files.iter().enumerate().map(|(n, file)| filled(template, file, n)).collect()
            }
            _ => Err(invalid("#/jobs", "give either `jobs`, or `files` and `template`")),
        }
    }
}

fn how_many(jobs: usize, pointer: &str) -> Result<(), Problem> {
    if (1..=MOST).contains(&jobs) {
        return Ok(());
    }
    Err(invalid(pointer, format!("a batch has 1 to {MOST} jobs, this one has {jobs}")))
}

/// A template's job for one file.
fn filled(
    template: &Map<String, Value>,
    file: &str,
    n: usize,
) -> Result<(String, KindBody), Problem> {
    let pointer = format!("#/files/{n}");
    let location = value::input(file, &pointer)?;
    let path = location.as_ref().map(Location::shown).unwrap_or_default();
    let whole = path.rsplit('/').next().unwrap_or_default();
    let name = whole.rsplit_once('.').map_or(whole, |(name, _)| name);
    let index = n.saturating_add(1).to_string();
    // What would grow beyond all bounds is not made in the first place.
    let most = whole.len().max(index.len());
    let grown =
        |text: &str| text.len().saturating_add(text.matches('{').count().saturating_mul(most));
    if template.values().any(|value| longest(value, &grown) > MAX_TEXT) {
        let detail = format!("with this name a text of the template has over {MAX_TEXT} bytes");
        return Err(invalid(&pointer, detail));
    }
    let fill = |text: &str| {
        text.replace("{name}", name).replace("{file}", whole).replace("{index}", &index)
    };
    let mut fields = template.clone();
    fields.values_mut().for_each(|value| in_texts(value, &fill));
    fields.insert("input".to_owned(), file.into());
    let body = serde_json::from_value(Value::Object(fields));
    let missing = |_| invalid("#/template/kind", "a template needs a `kind`");
    Ok((format!("/files/{n}"), body.map_err(missing)?))
}

/// The longest of a value's texts, as they are measured.
fn longest(value: &Value, measured: &impl Fn(&str) -> usize) -> usize {
    match value {
        Value::String(text) => measured(text),
        Value::Array(all) => all.iter().map(|value| longest(value, measured)).max().unwrap_or(0),
        Value::Object(all) => all.values().map(|value| longest(value, measured)).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn in_texts(value: &mut Value, fill: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = fill(text),
        Value::Array(all) => all.iter_mut().for_each(|value| in_texts(value, fill)),
        Value::Object(all) => all.values_mut().for_each(|value| in_texts(value, fill)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Outputs that two jobs would make.
fn twice(specs: &[(String, JobSpec)]) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let outputs = specs.iter().filter_map(|(part, spec)| {
        let output = spec.request.output()?.as_ref()?.to_string();
        (!seen.insert(output.clone())).then(|| {
            let detail = format!("another job of the batch makes {output}; choose another name");
            invalid("#/output", detail).within(part)
        })
    });
    outputs.collect()
}
