use ffapi_commands::Caller;
use ffapi_domain::{
    JobId, Tenant,
    job::{Job, JobCommand},
};
use ffapi_nats::Position;
use futures::FutureExt;

use crate::{at_once::at_once, state::Gateway};

/// Gives jobs the commands that their batch's event asks for; answers where the newest of what was
/// done stands. What is not given, because this process dies or the log goes away, the conductor
/// gives; a refusal means that it was given already.
pub(super) async fn carry_out(
    gateway: &Gateway,
    tenant: &Tenant,
    caller: &Caller,
    commands: impl Iterator<Item = (JobId, JobCommand)> + Send,
) -> Option<Position> {
    let given = commands.map(|(job, command)| {
        async move {
            let (tenant, id) = (tenant.as_str(), job.to_string());
            let stops = matches!(command, JobCommand::Cancel);
            let handled = gateway.commands.handle::<Job>(tenant, &id, caller, command).await;
            tracing::debug!(%job, ?handled, "a batch's job was seen to");
            let handled = handled.ok()?;
            if stops {
                gateway.live.tell(format!("ctl.cancel.{id}"), "").await;
            }
            Some(handled.position)
        }
        .boxed()
    });
    at_once(given).await.into_iter().flatten().max()
}
