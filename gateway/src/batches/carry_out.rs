use ffapi_commands::Caller;
use ffapi_domain::{
    JobId, Tenant,
    job::{Job, JobCommand},
};
use ffapi_nats::Position;
use futures::FutureExt;

use crate::{join_in_chunks::join_in_chunks, state::Gateway};

/// Gives jobs the commands that follow from their batch's event; returns the position of the newest
/// of their events. If this process dies or the log is unavailable, the conductor gives the
/// remaining commands; a rejection means that the command was already given.
pub(super) async fn carry_out(
    gateway: &Gateway,
    tenant: &Tenant,
    caller: &Caller,
    commands: impl Iterator<Item = (JobId, JobCommand)> + Send,
) -> Option<Position> {
    let given = commands.map(|(job, command)| {
        async move {
            let (tenant, id) = (tenant.as_str(), job.to_string());
            let cancels = matches!(command, JobCommand::Cancel);
            let handled = gateway.commands.handle::<Job>(tenant, &id, caller, command).await;
            tracing::debug!(%job, ?handled, "a command of a batch was given to its job");
            let handled = handled.ok()?;
            if cancels {
                gateway.pubsub.publish(format!("ctl.cancel.{id}"), "").await;
            }
            Some(handled.position)
        }
        .boxed()
    });
    join_in_chunks(given).await.into_iter().flatten().max()
}
