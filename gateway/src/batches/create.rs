use std::collections::BTreeSet;

use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    BatchId, JobId, Personal,
    batch::{Batch, BatchCommand, BatchJob, BatchRejection, BatchSpec},
    job::{JobCommand, JobSpec, Membership},
    webhook::Callback,
};
use ffapi_nats::failpoint;
use futures::FutureExt;
use poem::Request;
use uuid::Uuid;

use super::{
    body::{BatchBody, USUAL_PARALLEL},
    carry_out::carry_out,
    show::{self, BatchShown},
    specs::Specs,
};
use crate::{
    at_once::at_once,
    auth::Principal,
    body::StrictJson,
    idempotency::Key,
    jobs::{
        reserve::reserve,
        submit::{may, may_call_back},
    },
    problem::Problem,
    queue_slots,
    reply::Reply,
    state::{Gateway, caller},
    webhooks::account_secret,
};

/// Checks every job, reserves what they make, appends the batch, makes its jobs.
pub(super) async fn create(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
    body: StrictJson<BatchBody>,
    key: Option<String>,
) -> Result<Reply<201, BatchShown>, Problem> {
    let StrictJson { value: mut body, fingerprint, .. } = body;
    let key = Key::of("/batch", key, fingerprint)?;
    if let Some(answer) = before(gateway, principal, key.as_ref()).await? {
        return Ok(answer);
    }
    let specs = body.specs(gateway, &principal.tenant).await?;
    let callback = body.callback()?;
    let max_parallel = body.max_parallel.unwrap_or(USUAL_PARALLEL);
    let terms = Terms { name: body.name, max_parallel, callback, key };
    submit(gateway, request, principal, specs, terms).await
}

/// What a batch has beside its jobs.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) name: Option<String>,
    pub(crate) max_parallel: u32,
    pub(crate) callback: Option<Callback>,
    /// What makes it safe to send again.
    pub(crate) key: Option<Key>,
}

/// The batch that the same request made before.
pub(crate) async fn before(
    gateway: &Gateway,
    principal: &Principal,
    key: Option<&Key>,
) -> Result<Option<Reply<201, BatchShown>>, Problem> {
    let Some(key) = key else { return Ok(None) };
    let Some(id) = key.before(gateway, principal).await? else { return Ok(None) };
    let shown = show::in_log(gateway, &principal.tenant, id).await?;
    Ok(shown.map(|shown| answer(shown, id, vec![], true)))
}

/// The same of jobs that are read already.
pub(crate) async fn submit(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
    specs: Specs,
    terms: Terms,
) -> Result<Reply<201, BatchShown>, Problem> {
    let Terms { name, max_parallel, callback, key } = terms;
    let specs = specs.into_jobs();
    may_call_back(gateway, callback.as_ref())?;
    let warnings = look_at(gateway, principal, &specs).await?;
    if callback.is_some() || specs.iter().any(|(_, spec)| spec.callback.is_some()) {
        account_secret(gateway, principal).await?;
    }
    let tenant = &principal.tenant;
    let mut id = BatchId::from_uuid(Uuid::now_v7());
    if let Some(key) = key {
        id = key.reserve(gateway, principal, &id).await?;
        if let Some(shown) = show::in_log(gateway, tenant, id).await? {
            return Ok(answer(shown, id, vec![], true));
        }
    }
    let count = u32::try_from(specs.len()).unwrap_or(u32::MAX);
    let mut places = queue_slots::take(gateway, tenant, count).await?;
    let lease = Some(places.lease());
    let jobs: Vec<(String, BatchJob)> = (0..)
        .zip(specs)
        .map(|(index, (part, spec))| {
            let batch = Some(Membership { id, index, max_parallel });
            let id = JobId::from_uuid(Uuid::now_v7());
            (part, BatchJob { id, spec: JobSpec { batch, lease, ..spec } })
        })
        .collect();
    let caller = caller(principal, request);
    reserve_all(gateway, principal, &caller, &jobs).await?;
    let jobs: Vec<BatchJob> = jobs.into_iter().map(|(_, job)| job).collect();
    failpoint::hit("gateway.before_batch");
    let spec =
        BatchSpec { name: Personal::Clear(name), max_parallel, callback, jobs: jobs.clone() };
    let command = BatchCommand::Submit { spec: Box::new(spec) };
    places.spend(count);
    let outcome =
        gateway.commands.handle::<Batch>(tenant.as_str(), &id.to_string(), &caller, command).await;
    places.keep(if matches!(outcome, Err(HandleError::Rejected(_))) { count } else { 0 });
    let replayed = match outcome {
        Ok(_) => {
            failpoint::hit("gateway.after_batch");
            let submissions = jobs.into_iter().map(|job| {
                failpoint::hit("gateway.in_batch");
                (job.id, JobCommand::Submit { spec: Box::new(job.spec) })
            });
            carry_out(gateway, tenant, &caller, submissions).await;
            false
        }
        // The same key, at the same moment: whoever was first makes the jobs.
        Err(HandleError::Rejected(BatchRejection::AlreadySubmitted)) => true,
        Err(error) => return Err(error.into()),
    };
    if let Err(problem) = gateway.must_be_open(tenant) {
        // Its erasure began in between. Where this gateway has not heard of it yet, the conductor calls
        // the batch off: in the log it stands behind what closed the account.
        let (tenant, id, cancel) = (tenant.as_str(), id.to_string(), BatchCommand::Cancel);
        let _ = gateway.commands.handle::<Batch>(tenant, &id, &caller, cancel).await;
        return Err(problem);
    }
    let shown = show::in_log(gateway, tenant, id).await?;
    let shown = shown.ok_or_else(|| Problem::not_found("batch"))?;
    Ok(answer(shown, id, warnings, replayed))
}

fn answer(
    shown: show::InLog,
    id: BatchId,
    warnings: Vec<String>,
    replayed: bool,
) -> Reply<201, BatchShown> {
    let show::InLog { view, jobs, position, counts } = shown;
    let body = show::show(&view, counts, 0.0).created(&jobs, warnings);
    Reply::new(body)
        .location(format!("/api/v1/batch/{id}"))
        .version(view.version)
        .position(position)
        .replayed(replayed)
}

/// Everything that can be known to fail before a byte is read, of every job; what else is to be said.
async fn look_at(
    gateway: &Gateway,
    principal: &Principal,
    specs: &[(String, JobSpec)],
) -> Result<Vec<String>, Problem> {
    let looks = specs.iter().map(|(part, spec)| {
        async move { may(gateway, principal, spec).await.map_err(|problem| problem.within(part)) }
            .boxed()
    });
    let looks = at_once(looks).await;
    let (mut warnings, mut problems) = (BTreeSet::new(), Vec::new());
    for look in looks {
        match look {
            Ok(said) => warnings.extend(said),
            Err(problem) => problems.push(problem),
        }
    }
    match Problem::all(problems) {
        Some(problem) => Err(problem),
        None => Ok(warnings.into_iter().collect()),
    }
}

/// Two live jobs never make the same file.
async fn reserve_all(
    gateway: &Gateway,
    principal: &Principal,
    caller: &Caller,
    jobs: &[(String, BatchJob)],
) -> Result<(), Problem> {
    let reservations = jobs.iter().map(|(part, job)| {
        async move {
            let Some(output) = job.spec.request.output().and_then(Personal::as_ref) else {
                return Ok(());
            };
            let reserved = reserve(gateway, &principal.tenant, caller, job.id, output).await;
            reserved.map_err(|problem| problem.within(part))
        }
        .boxed()
    });
    at_once(reservations).await.into_iter().collect()
}
