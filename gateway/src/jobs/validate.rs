use ffapi_domain::{
    job::{FailureCode, RetryHint},
    media::{Effort, PLAN, PLAN_TIMEOUT, PlanAnswer, PlanQuestion},
};
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::Value;

use super::{create::AnyBody, submit};
use crate::{
    auth::Principal,
    presets,
    problem::{Kind, Problem},
    reply::Reply,
    state::Gateway,
};

/// The body of a job, and its `kind`.
#[derive(Debug, Clone, Deserialize, Object)]
#[oai(rename = "AnyJobRequest")]
pub(crate) struct KindBody {
    /// `convert`, `stream`, `thumbnails`, `analyze` or `probe`.
    pub(crate) kind: String,
    /// The fields of that kind's own POST.
    #[serde(flatten)]
    #[oai(flatten)]
    pub(crate) fields: Fields,
}

impl KindBody {
    /// What that kind makes of it.
    pub(crate) fn read(self) -> Result<AnyBody, Problem> {
        AnyBody::read(&self.kind, Value::Object(self.fields.all))
    }
}

/// The fields of a kind's own POST.
#[derive(Debug, Clone, Deserialize, Object)]
#[serde(transparent)]
pub(crate) struct Fields {
    #[oai(skip)]
    pub(crate) all: serde_json::Map<String, Value>,
}

/// What a job would do.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct Validated {
    valid: bool,
    /// Codecs, filters, sizes and rates as the worker would use them; times in microseconds.
    plan: Any<Value>,
    /// Times the film is gone through.
    passes: Option<u32>,
    /// What it would run on: `cpu`, `vaapi`, `nvenc` or `qsv`.
    pool: String,
    /// What else the job's POST would say.
    warnings: Vec<String>,
}

/// Resolves a job without making one: against its real inputs, by a worker.
pub(crate) async fn validate(
    gateway: &Gateway,
    principal: &Principal,
    body: KindBody,
) -> Result<Reply<200, Validated>, Problem> {
    let Told { plan, passes, pool, warnings, .. } = ask(gateway, principal, body).await?;
    Ok(Reply::new(Validated { valid: true, plan: Any(plan), passes, pool, warnings }))
}

/// What a worker says of a job.
#[derive(Debug, Deserialize)]
pub(super) struct Told {
    pub(super) plan: Value,
    pub(super) passes: Option<u32>,
    pub(super) pool: String,
    pub(super) effort: Effort,
    /// What else the job's POST would say.
    #[serde(skip)]
    pub(super) warnings: Vec<String>,
}

/// Refuses what the job's own POST would refuse, and lets a worker resolve it against its real
/// inputs.
pub(super) async fn ask(
    gateway: &Gateway,
    principal: &Principal,
    mut body: KindBody,
) -> Result<Told, Problem> {
    presets::apply(gateway, &principal.tenant, &body.kind, &mut body.fields.all).await?;
    let spec = body.read()?.spec()?;
    let warnings = submit::may(gateway, principal, &spec).await?;
    let devices = gateway.capabilities().map(|found| found.devices).unwrap_or_default();
    let (tenant, request) = (principal.tenant.clone(), spec.request);
    let question = PlanQuestion { tenant, request, hardware: spec.hardware, devices };
    let question = serde_json::to_vec(&question)
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    let answer = gateway.live.ask_about(PLAN, question, PLAN_TIMEOUT).await;
    let answer = answer.and_then(|answer| serde_json::from_slice::<PlanAnswer>(&answer).ok());
    match answer {
        Some(PlanAnswer::WouldDo(told)) => {
            let told: Told = serde_json::from_value(told).map_err(|_| {
                Problem::new(Kind::Unavailable, "the worker that answered runs another version")
            })?;
            Ok(Told { warnings, ..told })
        }
        Some(PlanAnswer::WouldFail { code, message }) => Err(refusal(code, &message)),
        None => Err(Problem::new(Kind::Unavailable, "no worker answered within 5 s")),
    }
}

/// What would fail a job is the request's fault, or ours for the moment.
fn refusal(code: FailureCode, message: &str) -> Problem {
    if code.retry_hint() == RetryHint::Retry {
        return Problem::new(Kind::Unavailable, message);
    }
    match message.split_once(": ").filter(|(pointer, _)| pointer.starts_with("#/")) {
        Some((pointer, detail)) => Problem::field(Kind::Invalid, pointer, detail),
        None => Problem::field(Kind::Invalid, "#/input", message),
    }
}
