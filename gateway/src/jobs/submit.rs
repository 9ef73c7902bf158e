use ffapi_commands::{CommandOutcome, HandleError};
use ffapi_domain::{
    JobId, Month, Personal,
    job::{Job, JobCommand, JobRejection, JobSpec},
    location::{Location, ended_signature},
    media::{Fallback, Hardware, MediaRequest, check_segments},
    quota::MINUTE,
    upload::UploadState,
};
use ffapi_nats::failpoint;
use ffapi_storage::StorageError;
use poem::Request;
use poem_openapi::Object;
use serde::de::DeserializeOwned;
use url::Url;
use uuid::Uuid;

use super::{
    check_media::check_media,
    create::{Create, checked_spec},
    in_log::{job_after, job_in_log},
    input_jobs::{self, BatchRequests},
    show::JobBody,
    spec_size, wait,
};
use crate::{
    auth::Principal,
    body::Unread,
    clock,
    egress_checks::{check_callback, check_host},
    idempotency::Key,
    intake::{Admission, Load, OutputClaim, SUBMIT_TIME, reserve_all, undo_if_closed},
    log_view::{Address, InLog},
    metrics::{self, Limit},
    presets,
    problem::{Kind, Problem},
    reply::Reply,
    request_context::caller,
    state::Gateway,
    stores, uploads,
    webhooks::account_secret,
};

/// A submitted job.
#[derive(Debug, Object)]
pub(crate) struct Submitted {
    job: JobBody,
    warnings: Vec<String>,
}

/// A request that submits a job.
pub(crate) struct Submission<'a, B> {
    pub(crate) request: &'a Request,
    pub(crate) principal: &'a Principal,
    pub(crate) body: Unread<B>,
    pub(crate) key: Option<String>,
}

/// Validates a request as far as that is possible without reading the input, reserves its
/// idempotency key and output, and submits the job.
pub(crate) async fn submit<B: Create + DeserializeOwned>(
    gateway: &Gateway,
    submission: Submission<'_, B>,
    prefer: Option<&str>,
) -> Result<Reply<201, Submitted>, Problem> {
    let Submission { request, principal, body: Unread { value: mut json, fingerprint, .. }, key } =
        submission;
    let context = SubmitContext { request, principal, key: Key::of(B::ROUTE, key, fingerprint)? };
    if let Some(response) = replay(gateway, &context, prefer).await? {
        return Ok(response);
    }
    let kind = B::ROUTE.trim_start_matches('/');
    if let Some(fields) = json.as_object_mut() {
        presets::apply(gateway, &principal.tenant, kind, fields).await?;
    }
    let spec = checked_spec(kind, json, &gateway.workers.media_capabilities())?;
    submit_spec(gateway, context, spec, prefer).await
}

/// The caller of a submission, and its idempotency key.
pub(crate) struct SubmitContext<'a> {
    pub(crate) request: &'a Request,
    pub(crate) principal: &'a Principal,
    pub(crate) key: Option<Key>,
}

/// The response of an earlier request with the same idempotency key, if it submitted its job.
pub(crate) async fn replay(
    gateway: &Gateway,
    context: &SubmitContext<'_>,
    prefer: Option<&str>,
) -> Result<Option<Reply<201, Submitted>>, Problem> {
    let Some(key) = &context.key else { return Ok(None) };
    let Some(id) = key.earlier(&gateway.idempotency, &context.principal.tenant).await? else {
        return Ok(None);
    };
    if job_in_log(&gateway.commands, &context.principal.tenant, id).await?.is_none() {
        // The earlier request did not get beyond the reservation; this one continues it.
        return Ok(None);
    }
    let outcome = SubmitOutcome { id, warnings: vec![], submitted: None };
    submitted(gateway, context.principal, outcome, prefer).await.map(Some)
}

/// Submits a job whose spec is already parsed.
pub(crate) async fn submit_spec(
    gateway: &Gateway,
    context: SubmitContext<'_>,
    mut spec: JobSpec,
    prefer: Option<&str>,
) -> Result<Reply<201, Submitted>, Problem> {
    let SubmitContext { request, principal, key } = context;
    let tenant = &principal.tenant;
    stores::resolve(gateway, tenant, &mut spec.request)?;
    let size = spec_size::check(&spec)?;
    let warnings = precheck(gateway, principal, &spec, &BatchRequests::new()).await?;
    if spec.callback.is_some() {
        account_secret(gateway, principal).await?;
    }

    let mut id = JobId::from_uuid(Uuid::now_v7());
    failpoint::hit("gateway.before_key");
    if let Some(key) = key {
        id = key.reserve(&gateway.idempotency, &principal.tenant, &id).await?;
        if job_in_log(&gateway.commands, tenant, id).await?.is_some() {
            let outcome = SubmitOutcome { id, warnings, submitted: None };
            return submitted(gateway, principal, outcome, prefer).await;
        }
    }
    failpoint::hit("gateway.after_key");
    let caller = caller(principal, request);
    let admission = Admission::of(gateway, tenant, Load::job(size)).await?;
    spec.lease = admission.lease();
    let claim = OutputClaim::of_new(id, &spec, SUBMIT_TIME);
    reserve_all(gateway, tenant, &caller, claim.as_slice()).await?;
    failpoint::hit("gateway.before_submit");
    let command = JobCommand::Submit { spec: Box::new(spec) };
    let name = id.to_string();
    let submit = gateway.commands.handle::<Job>(tenant.as_str(), &name, &caller, command);
    let handled = match admission.spend(submit).await {
        Ok(handled) => Some(handled),
        // The job can only exist already if the idempotency key was used before.
        Err(HandleError::Rejected(JobRejection::AlreadySubmitted)) => None,
        Err(error) => return Err(error.into()),
    };
    failpoint::hit("gateway.after_submit");
    undo_if_closed::<Job>(gateway, tenant, &name, &caller, JobCommand::Cancel).await?;
    let outcome = SubmitOutcome { id, warnings, submitted: handled };
    submitted(gateway, principal, outcome, prefer).await
}

/// Like [`replay`], for the job within another response.
pub(crate) async fn replay_body(
    gateway: &Gateway,
    context: &SubmitContext<'_>,
) -> Result<Option<JobBody>, Problem> {
    Ok(replay(gateway, context, None).await?.and_then(Reply::into_body).map(|it| it.job))
}

/// Like [`submit_spec`], for the job within another response.
pub(crate) async fn submit_body(
    gateway: &Gateway,
    context: SubmitContext<'_>,
    spec: JobSpec,
) -> Result<JobBody, Problem> {
    let submitted = submit_spec(gateway, context, spec, None).await?.into_body();
    let missing = || Problem::new(Kind::Internal, "the submitted job has no body");
    Ok(submitted.ok_or_else(missing)?.job)
}

/// A job that is in the log.
struct SubmitOutcome {
    id: JobId,
    warnings: Vec<String>,
    /// How this request submitted it; none if an earlier one with the same idempotency key did.
    submitted: Option<CommandOutcome<Job>>,
}

/// Responds with a submitted job, after waiting for its end as long as `Prefer` asks.
async fn submitted(
    gateway: &Gateway,
    principal: &Principal,
    outcome: SubmitOutcome,
    prefer: Option<&str>,
) -> Result<Reply<201, Submitted>, Problem> {
    let SubmitOutcome { id, warnings, submitted } = outcome;
    let replayed = submitted.is_none();
    let tenant = &principal.tenant;
    let wait = wait::requested(prefer);
    if let Some(timeout) = wait {
        wait::until_over(gateway, tenant, id, timeout).await;
    }
    let InLog { view, position } = match submitted {
        Some(submitted) if wait.is_none() => {
            job_after(&gateway.commands, Address { tenant, id }, &submitted, None).await?
        }
        _ => {
            let found = job_in_log(&gateway.commands, tenant, id).await?;
            found.ok_or_else(|| Problem::not_found("job"))?
        }
    };
    let body = Submitted { job: gateway.present(principal).job(&view), warnings };
    let reply = Reply::new(body)
        .location(format!("/api/v1/jobs/{id}"))
        .version(view.summary.version)
        .position(position)
        .replayed(replayed);
    Ok(reply.waited(wait))
}

/// Rejects a job that is known to fail before its input is read; returns warnings. `batch` are the
/// jobs that are submitted together with it.
pub(crate) async fn precheck(
    gateway: &Gateway,
    principal: &Principal,
    spec: &JobSpec,
    batch: &BatchRequests<'_>,
) -> Result<Vec<String>, Problem> {
    check_request(gateway, principal, &spec.request, batch).await?;
    check_minutes(gateway, principal, &spec.request)?;
    check_callback(&gateway.egress, spec.callback.as_ref())?;
    check_hardware(gateway, spec.hardware)
}

/// Rejects required hardware that no worker has; warns if the CPU would be used instead.
fn check_hardware(gateway: &Gateway, wanted: Option<Hardware>) -> Result<Vec<String>, Problem> {
    let Some(wanted) = wanted else { return Ok(vec![]) };
    // Without a live worker nothing is known about hardware, and the job waits for one.
    let Some(capabilities) = gateway.workers.capabilities() else { return Ok(vec![]) };
    wanted
        .check(&capabilities.devices)
        .map_err(|refusal| Problem::field(Kind::Invalid, &refusal.pointer, refusal.detail))?;
    let required = Hardware { fallback: Fallback::Fail, ..wanted };
    let missing = required.check(&capabilities.devices).err();
    let name = wanted.prefer.as_str();
    let warning = |_| format!("no worker has `{name}` now; the CPU is used if none comes");
    Ok(missing.map(warning).into_iter().collect())
}

/// Checks the media request itself, its hosts and its uploads.
async fn check_request(
    gateway: &Gateway,
    principal: &Principal,
    request: &MediaRequest,
    batch: &BatchRequests<'_>,
) -> Result<(), Problem> {
    check_media(request, &gateway.workers.media_capabilities())?;
    input_jobs::check(gateway, &principal.tenant, request, batch).await?;
    for (input, _) in request.inputs() {
        if let Some(Location::Web(url)) = input.as_ref() {
            check_host(&gateway.egress, url, "#/input")?;
            check_signature(url)?;
        }
        let Some(Location::Upload(id)) = input.as_ref() else { continue };
        let state = uploads::state(gateway, &principal.tenant, *id).await?;
        if matches!(state, UploadState::Unknown | UploadState::Expired) {
            let detail =
                format!("upload {id} does not exist or has expired; POST /uploads creates one");
            return Err(Problem::field(Kind::Invalid, "#/input", detail));
        }
    }
    if let Some(Location::Web(url)) = request.output().and_then(Personal::as_ref) {
        check_host(&gateway.egress, url, "#/output")?;
    }
    let storage = gateway.storage.of(&principal.tenant);
    for output in request.certain_outputs() {
        let free = storage.check_free(&output, request.overwrite()).await;
        free.map_err(|error| match error {
            StorageError::Exists(_) => {
                let detail = format!(
                    "{output} exists; choose another name, or set `overwrite` to `replace`"
                );
                Problem::field(Kind::Conflict, "#/output", detail)
            }
            error => error.into(),
        })?;
    }
    if let MediaRequest::Stream(stream) = request
        && let Some(Location::Upload(id)) = stream.input.as_ref()
    {
        let duration = uploads::duration(gateway, &principal.tenant, *id).await?;
        // Of a ladder that is chosen later, one rendition at least.
        let refused = check_segments(stream, duration, stream.variants.len().max(1));
        refused
            .map_err(|refusal| Problem::field(Kind::Invalid, &refusal.pointer, refusal.detail))?;
    }
    Ok(())
}

/// Rejects an input whose URL says that its signature has ended.
fn check_signature(url: &Url) -> Result<(), Problem> {
    match ended_signature(url, clock::now()) {
        Some(end) => {
            let detail = format!("the signature of the URL has ended at {end}; sign it again");
            Err(Problem::field(Kind::Invalid, "#/input", detail))
        }
        None => Ok(()),
    }
}

/// Rejects a charged job if no media minutes are left. The rest may still be too little: the worker
/// finds that out when it knows the duration of the input, before it encodes anything.
fn check_minutes(
    gateway: &Gateway,
    principal: &Principal,
    request: &MediaRequest,
) -> Result<(), Problem> {
    if !request.is_charged() {
        return Ok(());
    }
    let (now, tenant) = (clock::now(), &principal.tenant);
    let months = gateway.credentials.months(tenant);
    let Some(month) = months.get(&Month::of(now).to_string()) else { return Ok(()) };
    let limits = [
        ("account", month.taken(), Some(gateway.credentials.limits(tenant).monthly_minutes)),
        ("key", month.taken_by(principal.key), principal.terms.monthly_limit_minutes),
    ];
    let creators = principal.makers.iter().filter_map(|creator| {
        let known = gateway.credentials.key(*creator)?;
        let limit = known.state.key()?.terms.monthly_limit_minutes;
        Some(("creating key", month.taken_by(*creator), limit))
    });
    for (owner, taken, limit) in limits.into_iter().chain(creators) {
        let Some(limit) = limit.filter(|limit| taken >= limit.saturating_mul(MINUTE)) else {
            continue;
        };
        metrics::limit_reached(Limit::MediaMinutes);
        let detail = format!("the {owner}'s {limit} media minutes of this month are used up");
        return Err(Problem::rate_limited(detail, Month::of(now).end().since(now).as_secs()));
    }
    Ok(())
}
