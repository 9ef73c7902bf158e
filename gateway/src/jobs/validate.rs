use std::time::Duration;

use domain::{
    job::{FailureCode, RetryHint},
    media::{PLAN, PlanAnswer, PlanQuestion},
};
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::Value;

use super::{create::AnyBody, submit};
use crate::{
    auth::Principal,
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
}

/// As long as a caller is kept waiting for a worker.
const PATIENCE: Duration = Duration::from_secs(5);

/// Resolves a job without making one: against its real inputs, by a worker.
pub(crate) async fn validate(
    gateway: &Gateway,
    principal: &Principal,
    body: KindBody,
) -> Result<Reply<200, Validated>, Problem> {
    let mut told = ask(gateway, principal, body).await?;
    Ok(Reply::new(Validated { valid: true, plan: plan_of(&mut told), passes: passes_of(&told) }))
}

/// The plan in a worker's answer.
pub(super) fn plan_of(told: &mut Value) -> Any<Value> {
    Any(told.get_mut("plan").map(Value::take).unwrap_or_default())
}

/// The passes in a worker's answer.
pub(super) fn passes_of(told: &Value) -> Option<u32> {
    told.get("passes").and_then(|passes| u32::try_from(passes.as_u64()?).ok())
}

/// Lets a worker resolve a job against its real inputs.
pub(super) async fn ask(
    gateway: &Gateway,
    principal: &Principal,
    body: KindBody,
) -> Result<Value, Problem> {
    let request = body.read()?.media()?;
    submit::check(gateway, principal, &request).await?;
    let question = PlanQuestion { tenant: principal.tenant.clone(), request };
    let question = serde_json::to_vec(&question)
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    let answer = gateway.live.ask_about(PLAN, question, PATIENCE).await;
    let answer = answer.and_then(|answer| serde_json::from_slice::<PlanAnswer>(&answer).ok());
    match answer {
        Some(PlanAnswer::WouldDo(told)) => Ok(told),
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
