use ffapi_domain::{
    job::{FailureCode, JobSpec, RetryHint},
    media::{Capabilities, DryRun, PLAN, PLAN_TIMEOUT, PlanRequest, PlanResponse},
};
use poem_openapi::Object;
use serde::Deserialize;
use serde_json::Value;

use super::{create, input_jobs::BatchRequests, submit};
use crate::{
    auth::Principal,
    media::PlanBody,
    presets,
    problem::{Kind, Problem},
    reply::Reply,
    state::Gateway,
    stores,
};

/// The body of a job of any kind.
#[derive(Debug, Clone, Deserialize, Object)]
#[oai(rename = "AnyJobRequest")]
pub(crate) struct KindBody {
    /// `convert`, `stream`, `thumbnails`, `analyze` or `probe`.
    pub(crate) kind: String,
    /// The fields of the POST of that kind.
    #[serde(flatten)]
    #[oai(flatten)]
    pub(crate) fields: Fields,
}

impl KindBody {
    /// The job that it describes.
    ///
    /// # Errors
    /// Every wrong field, and what workers with these capabilities cannot do.
    pub(crate) fn spec(self, capabilities: &Capabilities) -> Result<JobSpec, Problem> {
        create::checked_spec(&self.kind, Value::Object(self.fields.all), capabilities)
    }
}

/// The fields of the POST of a kind.
#[derive(Debug, Clone, Deserialize, Object)]
#[serde(transparent)]
pub(crate) struct Fields {
    #[oai(skip)]
    pub(crate) all: serde_json::Map<String, Value>,
}

/// The plan of a job.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct Validated {
    valid: bool,
    /// Codecs, filters, sizes and rates that the worker would use; times are in seconds.
    plan: PlanBody,
    /// Number of encoding passes over the input.
    passes: Option<u32>,
    /// The worker pool: `cpu`, `vaapi`, `nvenc` or `qsv`.
    pool: String,
    /// The warnings that the response to the job's POST would contain.
    warnings: Vec<String>,
}

/// Resolves a job's plan against its actual inputs without creating the job.
pub(crate) async fn validate(
    gateway: &Gateway,
    principal: &Principal,
    body: KindBody,
) -> Result<Reply<200, Validated>, Problem> {
    let Resolved { dry_run, warnings } = resolve(gateway, principal, body).await?;
    let DryRun { plan, passes, pool, .. } = dry_run;
    let (plan, pool) = (PlanBody::from(&plan), pool.as_str().to_owned());
    Ok(Reply::new(Validated { valid: true, plan, passes, pool, warnings }))
}

/// A job as a worker would carry it out.
pub(super) struct Resolved {
    pub(super) dry_run: DryRun,
    /// The warnings that the response to the job's POST would contain.
    pub(super) warnings: Vec<String>,
}

/// Applies the checks of the job's POST, and has a worker resolve the plan against the actual
/// inputs.
///
/// # Errors
/// Those of the job's POST, the reason why the job would fail, or that no worker responded.
pub(super) async fn resolve(
    gateway: &Gateway,
    principal: &Principal,
    mut body: KindBody,
) -> Result<Resolved, Problem> {
    presets::apply(gateway, &principal.tenant, &body.kind, &mut body.fields.all).await?;
    let mut spec = body.spec(&gateway.workers.media_capabilities())?;
    stores::resolve(gateway, &principal.tenant, &mut spec.request)?;
    let warnings = submit::precheck(gateway, principal, &spec, &BatchRequests::new()).await?;
    let devices = gateway.workers.capabilities().map(|found| found.devices).unwrap_or_default();
    let (tenant, request) = (principal.tenant.clone(), spec.request);
    let question = PlanRequest { tenant, request, hardware: spec.hardware, devices };
    let question = serde_json::to_vec(&question)
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    let answer = gateway.pubsub.request_with(PLAN, question, PLAN_TIMEOUT).await;
    let unavailable = |detail| Problem::new(Kind::Unavailable, detail);
    let answer = answer.ok_or_else(|| unavailable("no worker answered within 5 s"))?;
    let answer = serde_json::from_slice(&answer)
        .map_err(|_| unavailable("the worker that answered runs another version"))?;
    match answer {
        PlanResponse::WouldDo(dry_run) => Ok(Resolved { dry_run: *dry_run, warnings }),
        PlanResponse::WouldFail { code, message } => Err(rejection(code, &message)),
    }
}

/// The problem for a job that would fail: an error of the request, or a temporary one of the
/// service.
fn rejection(code: FailureCode, message: &str) -> Problem {
    if code.retry_hint() == RetryHint::Retry {
        return Problem::new(Kind::Unavailable, message);
    }
    match message.split_once(": ").filter(|(pointer, _)| pointer.starts_with("#/")) {
        Some((pointer, detail)) => Problem::field(Kind::Invalid, pointer, detail),
        None => Problem::field(Kind::Invalid, "#/input", message),
    }
}
