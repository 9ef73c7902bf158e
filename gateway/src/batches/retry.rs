use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    BatchId, JobId,
    batch::{Batch, BatchCommand},
    job::JobCommand,
};
use futures::FutureExt;

use super::{
    carry_out::carry_out,
    job_rate,
    show::{self, BatchShown},
};
use crate::{
    auth::Principal,
    jobs::reserve::{BATCH_SUBMIT_TIME, Claim, Retryable, check_free, reserve, retryable},
    join_in_chunks::join_in_chunks,
    problem::Problem,
    queue_slots::Slots,
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
    let found = batch.jobs.iter().map(|job| {
        let found = retryable(gateway, &principal.tenant, *job);
        async move { Ok::<_, Problem>(found.await?.map(|found| (*job, found))) }.boxed()
    });
    let found: Result<Vec<Option<(JobId, Retryable)>>, Problem> =
        join_in_chunks(found).await.into_iter().collect();
    let found: Vec<(JobId, Retryable)> = found?.into_iter().flatten().collect();
    let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
    // Counted before anything is written.
    let mut slots = if count == 0 {
        None
    } else {
        let slots = gateway.queue_slots.take(&principal.tenant, count).await?;
        job_rate::spend(gateway, &principal.tenant, count).await?;
        Some(slots)
    };
    reserve_all(gateway, principal, caller, &found).await?;
    let jobs: Vec<JobId> = found.into_iter().map(|(job, _)| job).collect();
    let lease = slots.as_ref().map(Slots::lease);
    let command = BatchCommand::Retry { jobs: jobs.clone(), lease };
    if let Some(slots) = &mut slots {
        slots.spend(count);
    }
    let handled = gateway.commands.handle::<Batch>(tenant, &id.to_string(), caller, command).await;
    if let (Some(slots), Err(HandleError::Rejected(_))) = (&mut slots, &handled) {
        slots.refund(count);
    }
    let handled = handled?;
    let retries = jobs.into_iter().map(|job| (job, JobCommand::Retry { lease }));
    let newest = carry_out(gateway, &principal.tenant, caller, retries).await.newest;
    let position = newest.map_or(handled.position, |newest| newest.max(handled.position));
    show::after(gateway, principal, id, position).await
}

/// Reserves the outputs of all jobs again, after all of them were checked.
async fn reserve_all(
    gateway: &Gateway,
    principal: &Principal,
    caller: &Caller,
    jobs: &[(JobId, Retryable)],
) -> Result<(), Problem> {
    let tenant = &principal.tenant;
    let outputs = || {
        jobs.iter().filter_map(|(job, found)| {
            let claim =
                Claim { job: *job, job_sequence: found.job_sequence, within: BATCH_SUBMIT_TIME };
            Some((claim, found.output.as_ref()?))
        })
    };
    let checks =
        outputs().map(|(claim, output)| check_free(gateway, tenant, claim.job, output).boxed());
    join_in_chunks(checks).await.into_iter().collect::<Result<(), Problem>>()?;
    let reservations =
        outputs().map(|(claim, output)| reserve(gateway, tenant, caller, claim, output).boxed());
    join_in_chunks(reservations).await.into_iter().collect()
}
