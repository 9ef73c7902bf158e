use std::collections::BTreeSet;

use ffapi_commands::HandleError;
use ffapi_domain::{
    BatchId, Personal,
    batch::{Batch, BatchCommand, BatchJob, BatchRejection, BatchSpec, Cycle, waves},
    job::{JobCommand, JobSpec, Membership},
    webhook::Callback,
};
use ffapi_nats::failpoint;
use futures::FutureExt;
use poem::Request;
use uuid::Uuid;

use super::{
    body::{BatchBody, DEFAULT_PARALLEL},
    carry_out::carry_out,
    show::{self, BatchInLog, BatchShown},
    specs::Specs,
};
use crate::{
    auth::Principal,
    body::StrictJson,
    egress_checks::check_callback,
    idempotency::Key,
    intake::{Admission, BATCH_SUBMIT_TIME, Load, OutputClaim, reserve_all, undo_if_closed},
    jobs::{input_jobs::BatchRequests, submit::precheck},
    join_in_chunks::join_in_chunks,
    log_view::{self, Address, InLog},
    problem::{Kind, Problem},
    reply::Reply,
    request_context::caller,
    state::Gateway,
    stores,
    webhooks::account_secret,
};

/// Validates every job, reserves their outputs, submits the batch and then its jobs.
pub(super) async fn create(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
    body: StrictJson<BatchBody>,
    key: Option<String>,
) -> Result<Reply<201, BatchShown>, Problem> {
    let StrictJson { value: mut body, fingerprint, .. } = body;
    let key = Key::of("/batch", key, fingerprint)?;
    if let Some(response) = replay(gateway, principal, key.as_ref()).await? {
        return Ok(response);
    }
    let specs = body.specs(gateway, &principal.tenant).await?;
    let callback = body.callback()?;
    let max_parallel = body.max_parallel.unwrap_or(DEFAULT_PARALLEL);
    let options = BatchOptions { name: body.name, max_parallel, callback, key };
    submit(gateway, request, principal, specs, options).await
}

/// The options of a batch, apart from its jobs.
#[derive(Debug)]
pub(crate) struct BatchOptions {
    pub(crate) name: Option<String>,
    pub(crate) max_parallel: u32,
    pub(crate) callback: Option<Callback>,
    /// The idempotency key.
    pub(crate) key: Option<Key>,
}

/// The response of an earlier request with the same idempotency key, if it submitted its batch.
pub(crate) async fn replay(
    gateway: &Gateway,
    principal: &Principal,
    key: Option<&Key>,
) -> Result<Option<Reply<201, BatchShown>>, Problem> {
    let Some(key) = key else { return Ok(None) };
    let Some(id) = key.earlier(&gateway.idempotency, &principal.tenant).await? else {
        return Ok(None);
    };
    let shown = show::in_log(gateway, &principal.tenant, id).await?;
    Ok(shown.map(|shown| response(&shown, id, vec![]).replayed(true)))
}

/// Submits a batch whose specs are already parsed.
pub(crate) async fn submit(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
    specs: Specs,
    options: BatchOptions,
) -> Result<Reply<201, BatchShown>, Problem> {
    let BatchOptions { name, max_parallel, callback, key } = options;
    let bytes = specs.bytes();
    let mut specs = specs.into_jobs();
    for (part, job) in &mut specs {
        let resolved = stores::resolve(gateway, &principal.tenant, &mut job.spec.request);
        resolved.map_err(|problem| problem.within(part))?;
    }
    let waves = waves(specs.iter().map(|(_, job)| job)).map_err(|cycle| cyclic(&specs, &cycle))?;
    check_callback(&gateway.egress, callback.as_ref())?;
    let warnings = precheck_all(gateway, principal, &specs).await?;
    if callback.is_some() || specs.iter().any(|(_, job)| job.spec.callback.is_some()) {
        account_secret(gateway, principal).await?;
    }
    let tenant = &principal.tenant;
    let mut id = BatchId::from_uuid(Uuid::now_v7());
    if let Some(key) = key {
        id = key.reserve(&gateway.idempotency, &principal.tenant, &id).await?;
        if let Some(shown) = show::in_log(gateway, tenant, id).await? {
            return Ok(response(&shown, id, vec![]).replayed(true));
        }
    }
    let count = u32::try_from(specs.len()).unwrap_or(u32::MAX);
    let admission = Admission::of(gateway, tenant, Load::batch(count, bytes)).await?;
    let lease = admission.lease();
    let jobs: Vec<(String, BatchJob)> = (0..)
        .zip(specs)
        .map(|(index, (part, job))| {
            let batch = Some(Membership { id, index, max_parallel });
            (part, BatchJob { spec: JobSpec { batch, lease, ..job.spec }, ..job })
        })
        .collect();
    let caller = caller(principal, request);
    let claims: Vec<OutputClaim<'_>> = jobs
        .iter()
        .filter_map(|(part, job)| {
            let claim = OutputClaim::of_new(job.id, &job.spec, BATCH_SUBMIT_TIME)?;
            Some(OutputClaim { part, ..claim })
        })
        .collect();
    reserve_all(gateway, tenant, &caller, &claims).await?;
    let jobs: Vec<BatchJob> = jobs.into_iter().map(|(_, job)| job).collect();
    failpoint::hit("gateway.before_batch");
    let spec =
        BatchSpec { name: Personal::Clear(name), max_parallel, callback, jobs: jobs.clone() };
    let command = BatchCommand::Submit { spec: Box::new(spec) };
    let batch = id.to_string();
    let submit = gateway.commands.handle::<Batch>(tenant.as_str(), &batch, &caller, command);
    let submitted = match admission.spend(submit).await {
        Ok(submitted) => {
            failpoint::hit("gateway.after_batch");
            for wave in waves {
                let submissions = wave.iter().filter_map(|index| jobs.get(*index)).map(|job| {
                    failpoint::hit("gateway.in_batch");
                    (job.id, JobCommand::Submit { spec: Box::new(job.spec.clone()) })
                });
                // A job must not be in the log before those that it reads; the conductor continues.
                if !carry_out(gateway, tenant, &caller, submissions).await.is_complete {
                    break;
                }
            }
            Some(submitted)
        }
        // A concurrent request with the same key was first, and submits the jobs.
        Err(HandleError::Rejected(BatchRejection::AlreadySubmitted)) => None,
        Err(error) => return Err(error.into()),
    };
    undo_if_closed::<Batch>(gateway, tenant, &batch, &caller, BatchCommand::Cancel).await?;
    let replayed = submitted.is_none();
    let shown = match submitted {
        Some(submitted) => {
            let of = Address { tenant, id };
            log_view::after::<BatchInLog>(&gateway.commands, of, &submitted, None).await?
        }
        None => show::in_log(gateway, tenant, id).await?,
    };
    let shown = shown.ok_or_else(|| Problem::not_found("batch"))?;
    Ok(response(&shown, id, warnings).replayed(replayed))
}

/// The problem of jobs that wait for each other, at each of them.
fn cyclic(jobs: &[(String, BatchJob)], cycle: &Cycle) -> Problem {
    let parts = cycle.indexes.iter().filter_map(|index| jobs.get(*index));
    let detail = "this job and others would wait for each other's outputs for ever";
    let problems =
        parts.map(|(part, _)| Problem::field(Kind::Invalid, "#/input", detail).within(part));
    Problem::all(problems.collect())
        .unwrap_or_else(|| Problem::field(Kind::Invalid, "#/jobs", cycle.to_string()))
}

fn response(
    shown: &InLog<BatchInLog>,
    id: BatchId,
    warnings: Vec<String>,
) -> Reply<201, BatchShown> {
    let InLog { view, position } = shown;
    let body = show::show(&view.batch, view.counts(), 0.0).created(&view.jobs, warnings);
    Reply::new(body)
        .location(format!("/api/v1/batch/{id}"))
        .version(view.batch.version)
        .position(*position)
}

/// Applies the checks of a submission to every job; returns their warnings without duplicates.
async fn precheck_all(
    gateway: &Gateway,
    principal: &Principal,
    jobs: &[(String, BatchJob)],
) -> Result<Vec<String>, Problem> {
    let batch = jobs.iter().map(|(_, job)| (job.id, &job.spec.request)).collect();
    let batch: &BatchRequests<'_> = &batch;
    let checks = jobs.iter().map(|(part, job)| {
        async move {
            let checked = precheck(gateway, principal, &job.spec, batch).await;
            checked.map_err(|problem| problem.within(part))
        }
        .boxed()
    });
    let outcomes = join_in_chunks(checks).await;
    let (mut warnings, mut problems) = (BTreeSet::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(more) => warnings.extend(more),
            Err(problem) => problems.push(problem),
        }
    }
    match Problem::all(problems) {
        Some(problem) => Err(problem),
        None => Ok(warnings.into_iter().collect()),
    }
}
