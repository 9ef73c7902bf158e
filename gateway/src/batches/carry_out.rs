use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    JobId, Tenant,
    job::{Job, JobCommand},
};
use ffapi_nats::{Position, subject};
use futures::FutureExt;

use crate::{join_in_chunks::join_in_chunks, state::Gateway};

/// How far the commands of a batch were given.
#[derive(Debug)]
pub(super) struct CarriedOut {
    /// The position of the newest of the jobs' events.
    pub(super) newest: Option<Position>,
    /// True if every job has had its command.
    pub(super) is_complete: bool,
}

/// Gives jobs the commands that follow from their batch's event. If this process dies or the log is unavailable, the conductor gives the
/// remaining commands; a rejection means that the command was already given.
pub(super) async fn carry_out(
    gateway: &Gateway,
    tenant: &Tenant,
    caller: &Caller,
    commands: impl Iterator<Item = (JobId, JobCommand)> + Send,
) -> CarriedOut {
    let given = commands.map(|(job, command)| {
        async move {
            let (tenant, id) = (tenant.as_str(), job.to_string());
            let cancels = matches!(command, JobCommand::Cancel);
            let handled = gateway.commands.handle::<Job>(tenant, &id, caller, command).await;
            tracing::debug!(%job, ?handled, "a command of a batch was given to its job");
            match handled {
                Ok(outcome) => {
                    if cancels {
                        gateway.pubsub.publish(subject::cancel_job(id), "").await;
                    }
                    Ok(Some(outcome.position))
                }
                Err(HandleError::Rejected(_)) => Ok(None),
                Err(_) => Err(()),
            }
        }
        .boxed()
    });
    let given = join_in_chunks(given).await;
    CarriedOut {
        newest: given.iter().filter_map(|given| given.ok().flatten()).max(),
        is_complete: given.iter().all(Result::is_ok),
    }
}
