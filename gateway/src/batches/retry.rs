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
    jobs::reserve::reserve_again,
    join_in_chunks::join_in_chunks,
    problem::Problem,
    queue_slots::{self, Slots},
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
    let reserved = batch.jobs.iter().map(|job| {
        let reserved = reserve_again(gateway, &principal.tenant, caller, *job);
        async move { Ok::<_, Problem>(reserved.await?.then_some(*job)) }.boxed()
    });
    let reserved: Result<Vec<Option<JobId>>, Problem> =
        join_in_chunks(reserved).await.into_iter().collect();
    let jobs: Vec<JobId> = reserved?.into_iter().flatten().collect();
    let count = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
    let mut slots = if count == 0 {
        None
    } else {
        let slots = queue_slots::take(gateway, &principal.tenant, count).await?;
        job_rate::spend(gateway, &principal.tenant, count).await?;
        Some(slots)
    };
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
    let newest = carry_out(gateway, &principal.tenant, caller, retries).await;
    let position = newest.map_or(handled.position, |newest| newest.max(handled.position));
    show::after(gateway, principal, id, position).await
}
