use std::net::IpAddr;

use ffapi_commands::HandleError;
use ffapi_domain::{
    JobId, Personal, Tenant,
    egress::may_go,
    job::{Job, JobCommand, JobRejection, JobSpec, JobView},
    location::Location,
    media::{Capabilities, Fallback, Hardware, MediaRequest},
    quota::{MINUTE, Month},
    upload::UploadState,
    webhook::Callback,
};
use ffapi_nats::{Position, failpoint};
use poem::Request;
use poem_openapi::Object;
use serde::de::DeserializeOwned;
use url::{Host, Url};
use uuid::Uuid;

use super::{create::Create, reserve, show::JobBody, show::show, wait};
use crate::{
    auth::Principal,
    body::{Unread, parse},
    clock,
    idempotency::Key,
    presets,
    problem::{Kind, Problem},
    queue_slots,
    reply::Reply,
    state::{Gateway, caller},
    uploads,
    webhooks::account_secret,
};

/// A job that was asked for.
#[derive(Debug, Object)]
pub(crate) struct Submitted {
    job: JobBody,
    warnings: Vec<String>,
}

/// Everything a submission brings.
pub(crate) struct Submission<'a, B> {
    pub(crate) request: &'a Request,
    pub(crate) principal: &'a Principal,
    pub(crate) body: Unread<B>,
    pub(crate) key: Option<String>,
}

/// Checks what needs no bytes, reserves the key, appends the job.
pub(crate) async fn submit<B: Create + DeserializeOwned>(
    gateway: &Gateway,
    submission: Submission<'_, B>,
    prefer: Option<&str>,
) -> Result<Reply<201, Submitted>, Problem> {
    let Submission { request, principal, body: Unread { value: mut json, fingerprint, .. }, key } =
        submission;
    let asked = SubmitContext { request, principal, key: Key::of(B::ROUTE, key, fingerprint)? };
    if let Some(answer) = before(gateway, &asked, prefer).await? {
        return Ok(answer);
    }
    if let Some(fields) = json.as_object_mut() {
        let kind = B::ROUTE.trim_start_matches('/');
        presets::apply(gateway, &principal.tenant, kind, fields).await?;
    }
    let body: B = parse(json, "")?;
    submit_spec(gateway, asked, body.spec()?, prefer).await
}

/// Who asks for a job, and how.
pub(crate) struct SubmitContext<'a> {
    pub(crate) request: &'a Request,
    pub(crate) principal: &'a Principal,
    pub(crate) key: Option<Key>,
}

/// The job that the same request made before.
pub(crate) async fn before(
    gateway: &Gateway,
    asked: &SubmitContext<'_>,
    prefer: Option<&str>,
) -> Result<Option<Reply<201, Submitted>>, Problem> {
    let Some(key) = &asked.key else { return Ok(None) };
    let Some(id) = key.before(gateway, asked.principal).await? else { return Ok(None) };
    let tenant = &asked.principal.tenant;
    if gateway.job_in_log(tenant, id).await?.is_none() {
        // Whoever reserved it went no further; it is finished now.
        return Ok(None);
    }
    submitted(gateway, tenant, id, prefer, vec![], true).await.map(Some)
}

/// The same of a job that is read already.
pub(crate) async fn submit_spec(
    gateway: &Gateway,
    asked: SubmitContext<'_>,
    mut spec: JobSpec,
    prefer: Option<&str>,
) -> Result<Reply<201, Submitted>, Problem> {
    let SubmitContext { request, principal, key } = asked;
    let tenant = &principal.tenant;
    let warnings = may(gateway, principal, &spec).await?;
    if spec.callback.is_some() {
        account_secret(gateway, principal).await?;
    }

    let mut id = JobId::from_uuid(Uuid::now_v7());
    failpoint::hit("gateway.before_key");
    if let Some(key) = key {
        id = key.reserve(gateway, principal, &id).await?;
        if gateway.job_in_log(tenant, id).await?.is_some() {
            return submitted(gateway, tenant, id, prefer, warnings, true).await;
        }
    }
    failpoint::hit("gateway.after_key");
    let caller = caller(principal, request);
    let mut place = queue_slots::take(gateway, tenant, 1).await?;
    spec.lease = Some(place.lease());
    if let Some(output) = spec.request.output().and_then(Personal::as_ref) {
        reserve::reserve(gateway, tenant, &caller, id, output).await?;
    }
    failpoint::hit("gateway.before_submit");
    let command = JobCommand::Submit { spec: Box::new(spec) };
    place.spend(1);
    let outcome =
        gateway.commands.handle::<Job>(tenant.as_str(), &id.to_string(), &caller, command).await;
    // A refusal spent nothing; what became of anything else is for the log to say.
    place.keep(u32::from(matches!(outcome, Err(HandleError::Rejected(_)))));
    let replayed = match outcome {
        Ok(_) => false,
        // Only a repeated key can meet a job that is there already.
        Err(HandleError::Rejected(JobRejection::AlreadySubmitted)) => true,
        Err(error) => return Err(error.into()),
    };
    failpoint::hit("gateway.after_submit");
    if let Err(problem) = gateway.must_be_open(tenant) {
        // Its erasure began in between. Where this gateway has not heard of it yet, the conductor calls
        // the job off: in the log it stands behind what closed the account.
        let (tenant, id) = (tenant.as_str(), id.to_string());
        let _ = gateway.commands.handle::<Job>(tenant, &id, &caller, JobCommand::Cancel).await;
        return Err(problem);
    }
    submitted(gateway, tenant, id, prefer, warnings, replayed).await
}

/// A job that is in the log, at its end if that comes while its sender wants to wait.
async fn submitted(
    gateway: &Gateway,
    tenant: &Tenant,
    id: JobId,
    prefer: Option<&str>,
    warnings: Vec<String>,
    replayed: bool,
) -> Result<Reply<201, Submitted>, Problem> {
    if let Some(patience) = wait::patience(prefer) {
        wait::for_the_end(gateway, tenant, id, patience).await;
    }
    let found = gateway.job_in_log(tenant, id).await?;
    let (job, position) = found.ok_or_else(|| Problem::not_found("job"))?;
    Ok(answer(gateway, &job, position, warnings, replayed))
}

fn answer(
    gateway: &Gateway,
    job: &JobView,
    position: Position,
    warnings: Vec<String>,
    replayed: bool,
) -> Reply<201, Submitted> {
    let told = gateway.progress.of(&job.summary.id.to_string(), job.summary.attempt);
    let body = Submitted { job: show(job, told.as_ref()), warnings };
    Reply::new(body)
        .location(format!("/api/v1/jobs/{}", job.summary.id))
        .version(job.summary.version)
        .position(position)
        .replayed(replayed)
}

/// Refuses what can be known to fail before a byte is read; says what else is to be known.
pub(crate) async fn may(
    gateway: &Gateway,
    principal: &Principal,
    spec: &JobSpec,
) -> Result<Vec<String>, Problem> {
    check(gateway, principal, &spec.request).await?;
    has_minutes(gateway, principal, &spec.request)?;
    may_call_back(gateway, spec.callback.as_ref())?;
    warned(gateway, spec.hardware)
}

/// Refuses a wish for hardware that no worker has and that must be met; says what else becomes of
/// one.
fn warned(gateway: &Gateway, wish: Option<Hardware>) -> Result<Vec<String>, Problem> {
    let Some(wish) = wish else { return Ok(vec![]) };
    // Before any worker was heard nothing is known, and the job waits for one.
    let Some(capabilities) = gateway.capabilities() else { return Ok(vec![]) };
    wish.check(&capabilities.devices)
        .map_err(|refusal| Problem::field(Kind::Invalid, &refusal.pointer, refusal.detail))?;
    let must = Hardware { fallback: Fallback::Fail, ..wish };
    let lacking = must.check(&capabilities.devices).err();
    let name = wish.prefer.as_str();
    let warning = |_| format!("no worker has `{name}` now; the CPU is used if none comes");
    Ok(lacking.map(warning).into_iter().collect())
}

/// Everything that can be known to fail before a byte is read.
async fn check(
    gateway: &Gateway,
    principal: &Principal,
    request: &MediaRequest,
) -> Result<(), Problem> {
    let capabilities = gateway.capabilities().unwrap_or_else(Capabilities::everything);
    request
        .check(&capabilities)
        .map_err(|refusal| Problem::field(Kind::Invalid, &refusal.pointer, refusal.detail))?;
    for (input, _) in request.inputs() {
        if let Some(Location::Web(url)) = input.as_ref() {
            check_host(gateway, url, "#/input")?;
        }
        let Some(Location::Upload(id)) = input.as_ref() else { continue };
        let state = uploads::state(gateway, &principal.tenant, *id).await?;
        if matches!(state, UploadState::Unknown | UploadState::Expired) {
            let detail =
                format!("upload {id} does not exist or has expired; POST /uploads creates one");
            return Err(Problem::field(Kind::Invalid, "#/input", detail));
        }
    }
    Ok(())
}

/// Refuses to call back where nothing may be sent.
pub(crate) fn may_call_back(gateway: &Gateway, callback: Option<&Callback>) -> Result<(), Problem> {
    let url = callback.and_then(|callback| Url::parse(callback.url.as_ref()?).ok());
    url.map_or(Ok(()), |url| check_host(gateway, &url, "#/webhook_url"))
}

/// Refuses what is charged where nothing is left. What is left may still be too little: the worker
/// finds that out once it knows how long the input lasts, before it makes anything.
fn has_minutes(
    gateway: &Gateway,
    principal: &Principal,
    request: &MediaRequest,
) -> Result<(), Problem> {
    if !request.is_charged() {
        return Ok(());
    }
    let (now, tenant) = (clock::now(), &principal.tenant);
    let months = gateway.directory.months(tenant);
    let Some(month) = months.get(&Month::of(now).to_string()) else { return Ok(()) };
    let limits = [
        ("account", month.taken(), Some(gateway.directory.limits(tenant).monthly_minutes)),
        ("key", month.taken_by(principal.key), principal.terms.monthly_limit_minutes),
    ];
    let makers = principal.makers.iter().filter_map(|maker| {
        let known = gateway.directory.key(*maker)?;
        let limit = known.state.key()?.terms.monthly_limit_minutes;
        Some(("maker of the key", month.taken_by(*maker), limit))
    });
    for (whose, taken, limit) in limits.into_iter().chain(makers) {
        let Some(limit) = limit.filter(|limit| taken >= limit.saturating_mul(MINUTE)) else {
            continue;
        };
        let detail = format!("the {whose}'s {limit} media minutes of this month are used up");
        return Err(Problem::too_many(detail, Month::of(now).end().since(now).as_secs()));
    }
    Ok(())
}

/// Refuses a host that is a closed address; what a name means, the worker finds out.
pub(crate) fn check_host(gateway: &Gateway, url: &Url, pointer: &str) -> Result<(), Problem> {
    let address: Option<IpAddr> = match url.host() {
        Some(Host::Ipv4(v4)) => Some(v4.into()),
        Some(Host::Ipv6(v6)) => Some(v6.into()),
        Some(Host::Domain(_)) | None => None,
    };
    match address.filter(|address| !may_go(*address, &gateway.egress.allow)) {
        None => Ok(()),
        Some(address) => {
            let detail = format!("{address} is not an address of the public internet");
            Err(Problem::field(Kind::Invalid, pointer, detail))
        }
    }
}
