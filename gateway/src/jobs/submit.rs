use std::net::IpAddr;

use commands::HandleError;
use domain::{
    JobId, Personal,
    egress::may_go,
    hook::Callback,
    job::{Job, JobCommand, JobRejection, JobSpec, JobView},
    location::Location,
    media::{Capabilities, Fallback, Hardware, MediaRequest},
    quota::{MINUTE, Month},
    upload::{Upload, UploadState},
};
use nats::{Position, failpoint};
use poem::Request;
use poem_openapi::Object;
use url::{Host, Url};
use uuid::Uuid;

use super::{create::Create, reserve, show::JobBody, show::show, wait};
use crate::{
    auth::Principal,
    body::StrictJson,
    clock, idempotency,
    problem::{Kind, Problem},
    reply::Reply,
    room,
    state::{Gateway, caller},
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
    pub(crate) body: StrictJson<B>,
    pub(crate) key: Option<String>,
}

/// Checks what needs no bytes, reserves the key, appends the job.
pub(crate) async fn submit<B: Create>(
    gateway: &Gateway,
    submission: Submission<'_, B>,
    prefer: Option<&str>,
) -> Result<Reply<201, Submitted>, Problem> {
    let Submission { request, principal, body, key } = submission;
    let StrictJson { value: body, fingerprint } = body;
    let asked = Asked { request, principal, key, fingerprint, route: B::ROUTE };
    submit_spec(gateway, asked, body.spec()?, prefer).await
}

/// Who asks for a job, and how.
pub(crate) struct Asked<'a> {
    pub(crate) request: &'a Request,
    pub(crate) principal: &'a Principal,
    pub(crate) key: Option<String>,
    pub(crate) fingerprint: String,
    /// Keys that make a request safe to send again are its own.
    pub(crate) route: &'static str,
}

/// The same of a job that is read already.
pub(crate) async fn submit_spec(
    gateway: &Gateway,
    asked: Asked<'_>,
    mut spec: JobSpec,
    prefer: Option<&str>,
) -> Result<Reply<201, Submitted>, Problem> {
    let Asked { request, principal, key, fingerprint, route } = asked;
    let tenant = &principal.tenant;
    check(gateway, principal, &spec.request).await?;
    has_minutes(gateway, principal, &spec.request)?;
    may_call_back(gateway, spec.callback.as_ref())?;
    if spec.callback.is_some() {
        account_secret(gateway, principal).await?;
    }
    let warnings = warned(gateway, spec.hardware)?;

    let mut id = JobId::from_uuid(Uuid::now_v7());
    failpoint::hit("gateway.before_key");
    if let Some(key) = key {
        id = idempotency::reserve(gateway, principal, (route, &key), &id, fingerprint).await?;
        if let Some((job, position)) = gateway.job_in_log(tenant, id).await? {
            return Ok(answer(gateway, &job, (position, warnings), true));
        }
    }
    failpoint::hit("gateway.after_key");
    let caller = caller(principal, request);
    let mut place = room::take(gateway, tenant, 1).await?;
    spec.lease = Some(place.lease());
    if let Some(output) = spec.request.output().and_then(Personal::as_ref) {
        reserve::reserve(gateway, tenant, &caller, id, output).await?;
    }
    failpoint::hit("gateway.before_submit");
    let command = JobCommand::Submit { spec: Box::new(spec) };
    let outcome =
        gateway.commands.handle::<Job>(tenant.as_str(), &id.to_string(), &caller, command).await;
    // A refusal spent nothing; what became of anything else is for the log to say.
    place.spend(u32::from(!matches!(outcome, Err(HandleError::Rejected(_)))));
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
    Ok(answer(gateway, &job, (position, warnings), replayed))
}

fn answer(
    gateway: &Gateway,
    job: &JobView,
    (position, warnings): (Position, Vec<String>),
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

/// Refuses a wish for hardware that no worker has and that must be met; says what else becomes of
/// one.
pub(crate) fn warned(gateway: &Gateway, wish: Option<Hardware>) -> Result<Vec<String>, Problem> {
    let Some(wish) = wish else { return Ok(vec![]) };
    // Before any worker was heard nothing is known, and the job waits for one.
    let Some(capabilities) = gateway.capabilities() else { return Ok(vec![]) };
    wish.check(&capabilities.devices)
        .map_err(|refusal| Problem::field(Kind::Invalid, &refusal.pointer, refusal.detail))?;
    let must = Hardware { fallback: Fallback::Fail, ..wish };
    let lacking = must.check(&capabilities.devices).err();
    let name = wish.prefer.as_str();
    let warning = |_| format!("no worker has `{name}` now; the processor does it if none comes");
    Ok(lacking.map(warning).into_iter().collect())
}

/// Everything that can be known to fail before a byte is read.
pub(crate) async fn check(
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
        let tenant = principal.tenant.as_str();
        let state = gateway.commands.state::<Upload>(tenant, &id.to_string()).await?;
        if matches!(state, UploadState::Unknown | UploadState::Expired) {
            let detail =
                format!("there is no upload {id} any more or yet; POST /uploads makes one");
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
pub(crate) fn has_minutes(
    gateway: &Gateway,
    principal: &Principal,
    request: &MediaRequest,
) -> Result<(), Problem> {
    let tenant = &principal.tenant;
    let (now, limits) = (clock::now(), gateway.directory.limits(tenant));
    let limit = limits.monthly_minutes;
    let used_up = gateway.directory.taken(tenant, now) >= limit.saturating_mul(MINUTE);
    if !request.is_charged() || !used_up {
        return Ok(());
    }
    let detail = format!("the account's {limit} media minutes of this month are used up");
    Err(Problem::too_many(detail, Month::of(now).end().since(now).as_secs()))
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
            let detail = format!("{address} is no address of the public internet");
            Err(Problem::field(Kind::Invalid, pointer, detail))
        }
    }
}
