use ffapi_domain::{
    JobId, Personal, Tenant,
    job::{Job, JobEvent, JobSpec, PresetRef},
    location::Location,
    media::{MediaRequest, Overwrite},
    preset::PresetSelector,
};
use ffapi_nats::Decision;
use poem_openapi::{
    Object,
    types::{Any, ToJSON},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::create;
use crate::{
    media::{OperationBody, SettingsBody},
    presets,
    problem::{Kind, Problem},
    state::Gateway,
};

/// What changes when a job is rerun.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "JobRerun")]
pub(crate) struct RerunBody {
    /// Fields of the POST of its kind; they replace the recorded ones.
    pub(super) overrides: Option<Any<Value>>,
}

impl RerunBody {
    pub(super) fn fields(self) -> Result<Map<String, Value>, Problem> {
        match self.overrides {
            None => Ok(Map::new()),
            Some(Any(Value::Object(fields))) => Ok(fields),
            Some(_) => {
                Err(Problem::field(Kind::Invalid, "#/overrides", "`overrides` must be an object"))
            }
        }
    }
}

/// The spec of a job that runs a recorded one again, with overrides.
pub(crate) async fn rerun_spec(
    gateway: &Gateway,
    tenant: &Tenant,
    id: JobId,
    overrides: Map<String, Value>,
) -> Result<JobSpec, Problem> {
    let recorded = recorded(gateway, tenant, id).await?;
    let mut spec = if overrides.is_empty() {
        JobSpec { not_before: None, ..recorded }
    } else {
        let mut body = body(&recorded)?;
        if let (true, Some(old)) = (overrides.contains_key("preset"), &recorded.preset) {
            let PresetRef { name, version, global } = old.clone();
            let wanted = PresetSelector { name, version: Some(version), global };
            if let Some(old) = presets::find(gateway, tenant, &wanted).await? {
                remove_preset_fields(&mut body, old.version.body, recorded.request.kind());
            }
        }
        body.extend(overrides);
        presets::apply(gateway, tenant, recorded.request.kind(), &mut body).await?;
        let capabilities = gateway.workers.media_capabilities();
        let spec =
            create::checked_spec(recorded.request.kind(), Value::Object(body), &capabilities);
        let spec = spec.map_err(|problem| problem.within("/overrides"))?;
        JobSpec {
            max_attempts: recorded.max_attempts,
            callback: spec.callback.or(recorded.callback),
            preset: spec.preset.or(recorded.preset),
            ..spec
        }
    };
    spec.batch = None;
    spec.lease = None;
    spec.rerun_of = Some(id);
    Ok(spec)
}

/// Removes from a recorded body the fields that a preset supplied, so that another preset can
/// supply them.
fn remove_preset_fields(recorded: &mut Map<String, Value>, preset: Map<String, Value>, kind: &str) {
    let mut whole = preset;
    for own in ["input", "output"] {
        if let Some(value) = recorded.get(own) {
            whole.insert(own.to_owned(), value.clone());
        }
    }
    // Parsed and shown, so that the values have the same form as the recorded ones.
    let read = create::spec(kind, Value::Object(whole));
    let Ok(shown) = read.and_then(|spec| body(&spec)) else { return };
    recorded.retain(|field, value| {
        matches!(field.as_str(), "input" | "output") || shown.get(field) != Some(value)
    });
}

async fn recorded(gateway: &Gateway, tenant: &Tenant, id: JobId) -> Result<JobSpec, Problem> {
    let mut found = None;
    let find = |_, decision: Decision<JobEvent>| {
        for event in decision.events {
            if let JobEvent::Submitted { spec } = event {
                found = Some(*spec);
            }
        }
    };
    gateway.commands.visit::<Job>(tenant.as_str(), &id.to_string(), find).await?;
    found.ok_or_else(|| Problem::not_found("job"))
}

/// A recorded request as the body of a POST.
fn body(spec: &JobSpec) -> Result<Map<String, Value>, Problem> {
    let erased = || Problem::new(Kind::Conflict, "its request was erased");
    let text = |location: &Personal<Location>| {
        location.as_ref().map(ToString::to_string).ok_or_else(erased)
    };
    let request = &spec.request;
    let settings = SettingsBody::of(request).and_then(|settings| settings.to_json());
    let mut body = match settings {
        Some(Value::Object(fields)) => fields,
        Some(_) | None => Map::new(),
    };
    body.insert("input".to_owned(), text(request.input())?.into());
    if let Some(output) = request.output() {
        let location = text(output)?;
        let output = match output.as_ref() {
            Some(template) if template.is_put_template() => json!({ "put_template": location }),
            Some(url) if url.is_put() => json!({ "put": location }),
            Some(_) | None => location.into(),
        };
        body.insert("output".to_owned(), output);
        let overwrite = match request.overwrite() {
            Overwrite::Fail => "fail",
            Overwrite::Replace => "replace",
        };
        body.insert("overwrite".to_owned(), overwrite.into());
    }
    if let MediaRequest::Convert(convert) = request {
        let operations: Vec<_> = convert.operations.iter().map(OperationBody::from).collect();
        body.insert("operations".to_owned(), operations.to_json().unwrap_or_default());
    }
    body.insert("priority".to_owned(), json!(spec.priority));
    body.insert("metadata".to_owned(), json!(spec.metadata.as_ref()));
    if let Some(keep) = spec.keep {
        body.insert("keep".to_owned(), keep.into());
    }
    if let Some(hardware) = spec.hardware {
        body.insert("hardware".to_owned(), json!(hardware));
    }
    Ok(body)
}
