use ffapi_commands::Caller;
use ffapi_domain::{
    BatchId, JobId,
    batch::{Batch, BatchCommand},
    job::JobCommand,
};
use futures::FutureExt;

use super::{
    carry_out::carry_out,
    show::{self, BatchShown},
};
use crate::{
    auth::Principal,
    intake::{Admission, BATCH_SUBMIT_TIME, Load, reserve_all},
    jobs::retry::{Retryable, retryable},
    join_in_chunks::join_in_chunks,
    problem::Problem,
    reply::Reply,
    state::Gateway,
};

/// Retries the failed and cancelled jobs of a batch.
pub(super) async fn retry(
    gateway: &Gateway,
    principal: &Principal,
    caller: &Caller,
    id: BatchId,
) -> Result<Reply<202, BatchShown>, Problem> {
    let tenant = principal.tenant.as_str();
    let batch = show::in_log(gateway, &principal.tenant, id).await?;
    let batch = batch.ok_or_else(|| Problem::not_found("batch"))?;
    // Read from the log, because the read model may not have the newest end of a job yet.
    let found =
        batch.view.jobs.iter().map(|job| retryable(gateway, &principal.tenant, *job).boxed());
    let found: Result<Vec<Option<Retryable>>, Problem> =
        join_in_chunks(found).await.into_iter().collect();
    let found: Vec<Retryable> = found?.into_iter().flatten().collect();
    let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
    // Counted before anything is written.
    let admission = Admission::of(gateway, &principal.tenant, Load::batch_retry(count)).await?;
    let claims: Vec<_> = found.iter().filter_map(|job| job.claim(BATCH_SUBMIT_TIME)).collect();
    reserve_all(gateway, &principal.tenant, caller, &claims).await?;
    let jobs: Vec<JobId> = found.iter().map(|found| found.job).collect();
    let lease = admission.lease();
    let command = BatchCommand::Retry { jobs: jobs.clone(), lease };
    let name = id.to_string();
    let retry = gateway.commands.handle::<Batch>(tenant, &name, caller, command);
    let handled = admission.spend(retry).await?;
    let retries = jobs.into_iter().map(|job| (job, JobCommand::Retry { lease }));
    let newest = carry_out(gateway, &principal.tenant, caller, retries).await.newest;
    let position = newest.map_or(handled.position, |newest| newest.max(handled.position));
    show::after(gateway, principal, id, position).await
}
