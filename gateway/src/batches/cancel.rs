use ffapi_commands::Caller;
use ffapi_domain::{
    BatchId,
    batch::{Batch, BatchCommand},
    job::JobCommand,
};
use ffapi_nats::failpoint;

use super::{
    carry_out::carry_out,
    show::{self, BatchShown},
};
use crate::{auth::Principal, problem::Problem, reply::Reply, state::Gateway};

/// Cancels a batch and its jobs.
pub(super) async fn cancel(
    gateway: &Gateway,
    principal: &Principal,
    caller: &Caller,
    id: BatchId,
) -> Result<Reply<202, BatchShown>, Problem> {
    let tenant = &principal.tenant;
    let name = id.to_string();
    let handled = gateway
        .commands
        .handle::<Batch>(tenant.as_str(), &name, caller, BatchCommand::Cancel)
        .await?;
    failpoint::hit("gateway.after_batch_cancel");
    let batch = show::in_log(gateway, tenant, id).await?;
    let batch = batch.ok_or_else(|| Problem::not_found("batch"))?;
    let cancels = batch.view.jobs.iter().map(|job| (*job, JobCommand::Cancel));
    let newest = carry_out(gateway, tenant, caller, cancels).await.newest;
    let position = newest.map_or(handled.position, |newest| newest.max(handled.position));
    show::after(gateway, principal, id, position).await
}
