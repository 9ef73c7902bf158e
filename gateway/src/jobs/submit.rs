use std::collections::BTreeMap;

use commands::HandleError;
use domain::{
    JobId, Personal, Timestamp,
    job::{Job, JobCommand, JobRejection, JobSpec, JobView, Priority},
    location::Location,
    media::{Capabilities, Convert, MediaRequest, plan},
    upload::{Upload, UploadState},
};
use nats::{Position, Reservation, Reserved, failpoint};
use poem::Request;
use poem_openapi::{Enum, Object, types::Any};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{reserve, show::JobBody, show::show, wait};
use crate::{
    auth::Principal,
    body::StrictJson,
    media::{OverwriteWord, convert},
    problem::{Kind, Problem},
    reply::Reply,
    state::{Gateway, caller},
};

/// A file to convert.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "ConvertRequest")]
pub(crate) struct ConvertBody {
    /// `upload_…`, `local://path` or a bare path.
    input: String,
    /// `local://path` or a bare path; its extension chooses the container.
    output: String,
    /// Applied in order: `trim`, `scale`, `transcode`.
    #[serde(default)]
    #[oai(default)]
    operations: Vec<Any<Value>>,
    priority: Option<PriorityWord>,
    /// Up to 32 labels, echoed everywhere.
    metadata: Option<BTreeMap<String, String>>,
    overwrite: Option<OverwriteWord>,
    /// RFC 3339; the job does not start earlier.
    not_before: Option<String>,
}

/// A job's place among its tenant's.
#[derive(Debug, Clone, Copy, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case", rename = "Priority")]
pub(crate) enum PriorityWord {
    Low,
    Normal,
    High,
}

impl From<PriorityWord> for Priority {
    fn from(word: PriorityWord) -> Self {
        match word {
            PriorityWord::Low => Self::Low,
            PriorityWord::Normal => Self::Normal,
            PriorityWord::High => Self::High,
        }
    }
}

/// A job that was asked for.
#[derive(Debug, Object)]
pub(crate) struct Submitted {
    job: JobBody,
    warnings: Vec<String>,
}

/// Everything a submission brings.
pub(crate) struct Submission<'a> {
    pub(crate) request: &'a Request,
    pub(crate) principal: &'a Principal,
    pub(crate) body: StrictJson<ConvertBody>,
    pub(crate) key: Option<String>,
}

/// Checks what needs no bytes, reserves the key, appends the job.
pub(crate) async fn submit(
    gateway: &Gateway,
    submission: Submission<'_>,
    prefer: Option<&str>,
) -> Result<Reply<201, Submitted>, Problem> {
    let Submission { request, principal, body, key } = submission;
    let StrictJson { value: body, fingerprint } = body;
    let (spec, convert) = spec(&body)?;
    let tenant = &principal.tenant;
    check(gateway, principal, &convert).await?;

    let mut id = JobId::from_uuid(Uuid::now_v7());
    failpoint::hit("gateway.before_key");
    if let Some(key) = key {
        id = reserve_key(gateway, principal, &key, id, fingerprint).await?;
        if let Some((job, position)) = gateway.job_in_log(tenant, id).await? {
            return Ok(answer(gateway, &job, position, true));
        }
    }
    failpoint::hit("gateway.after_key");
    let caller = caller(principal, request);
    if let Some(output) = convert.output.as_ref() {
        reserve::reserve(gateway, tenant, &caller, id, output).await?;
    }
    failpoint::hit("gateway.before_submit");
    let command = JobCommand::Submit { spec: Box::new(spec) };
    let outcome =
        gateway.commands.handle::<Job>(tenant.as_str(), &id.to_string(), &caller, command).await;
    let replayed = match outcome {
        Ok(_) => false,
        // Only a repeated key can meet a job that is there already.
        Err(HandleError::Rejected(JobRejection::AlreadySubmitted)) => true,
        Err(error) => return Err(error.into()),
    };
    failpoint::hit("gateway.after_submit");
    if let Some(patience) = wait::patience(prefer) {
        wait::for_the_end(gateway, tenant, id, patience).await;
    }
    let found = gateway.job_in_log(tenant, id).await?;
    let (job, position) = found.ok_or_else(|| Problem::not_found("job"))?;
    Ok(answer(gateway, &job, position, replayed))
}

fn answer(
    gateway: &Gateway,
    job: &JobView,
    position: Position,
    replayed: bool,
) -> Reply<201, Submitted> {
    let told = gateway.progress.of(&job.summary.id.to_string(), job.summary.attempt);
    let body = Submitted { job: show(job, told.as_ref()), warnings: Vec::new() };
    Reply::new(body)
        .location(format!("/api/v1/jobs/{}", job.summary.id))
        .version(job.summary.version)
        .position(position)
        .replayed(replayed)
}

fn spec(body: &ConvertBody) -> Result<(JobSpec, Convert), Problem> {
    let request = convert(&body.input, &body.output, &body.operations, body.overwrite)?;
    let metadata = body.metadata.clone().unwrap_or_default();
    let fits = |(name, value): (&String, &String)| {
        (1..=64).contains(&name.len())
            && value.len() <= 1024
            && !format!("{name}{value}").contains('\0')
    };
    if metadata.len() > 32 || !metadata.iter().all(fits) {
        let detail = "at most 32 labels, each with a name of 1 to 64 and a value of up to 1024 bytes, without NUL";
        return Err(Problem::field(Kind::Invalid, "#/metadata", detail));
    }
    let not_before = body.not_before.as_deref().map(|text| {
        text.parse::<Timestamp>().map_err(|_| {
            let detail = "a time looks like 2026-11-21T12:00:00Z";
            Problem::field(Kind::Invalid, "#/not_before", detail)
        })
    });
    let spec = JobSpec {
        request: MediaRequest::Convert(request.clone()),
        priority: body.priority.map_or(Priority::Normal, Priority::from),
        metadata: Personal::Clear(metadata),
        not_before: not_before.transpose()?,
    };
    Ok((spec, request))
}

/// Everything that can be known to fail before a byte is read.
async fn check(gateway: &Gateway, principal: &Principal, request: &Convert) -> Result<(), Problem> {
    let capabilities = gateway.capabilities().unwrap_or_else(Capabilities::everything);
    plan(request, None, &capabilities)
        .map_err(|refusal| Problem::field(Kind::Invalid, &refusal.pointer, refusal.detail))?;
    if let Some(Location::Upload(id)) = request.input.as_ref() {
        let tenant = principal.tenant.as_str();
        let state = gateway.commands.state::<Upload>(tenant, &id.to_string()).await?;
        if state == UploadState::Unknown {
            let detail = "there is no such upload; POST /uploads makes one";
            return Err(Problem::field(Kind::Invalid, "#/input", detail));
        }
    }
    Ok(())
}

async fn reserve_key(
    gateway: &Gateway,
    principal: &Principal,
    key: &str,
    id: JobId,
    fingerprint: String,
) -> Result<JobId, Problem> {
    // The draft wants a quoted string; many clients send it bare.
    let key = key.trim().trim_matches('"');
    if key.is_empty() || key.len() > 255 {
        let detail = "an Idempotency-Key is 1 to 255 characters";
        return Err(Problem::field(Kind::Malformed, "#Idempotency-Key", detail));
    }
    let reservation = Reservation { resource: id.to_string(), fingerprint };
    let tenant = principal.tenant.as_str();
    match gateway.idempotency.reserve(tenant, "/convert", key, &reservation).await? {
        Reserved::Now => Ok(id),
        Reserved::Before(before) if before.fingerprint == reservation.fingerprint => before
            .resource
            .parse()
            .map_err(|_| Problem::new(Kind::Internal, "a reservation cannot be read")),
        Reserved::Before(_) => Err(Problem::field(
            Kind::Invalid,
            "#Idempotency-Key",
            "this key was used with another body; use a new key for a new request",
        )),
    }
}
