use std::{fmt::Debug, time::Duration};

use ffapi_commands::{Caller, CommandOutcome, Commands, HandleError};
use ffapi_domain::{
    dispatch::Release,
    job::{Job, JobCommand, JobRejection},
};

/// Why a command fails for good.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The aggregate rejected it.
    Rejected(JobRejection),
    /// Its decision does not fit into one message: its size and the maximum, in bytes.
    TooLarge(usize, usize),
}

/// Retries a command until the log accepts or rejects it, so that finished work is not lost while
/// the log is unavailable.
pub(crate) async fn retry_until_decided(
    commands: &Commands,
    caller: &Caller,
    release: &Release,
    command: JobCommand,
) -> Result<CommandOutcome<Job>, Refused> {
    let (tenant, id) = (release.tenant.as_str(), release.job.to_string());
    loop {
        let outcome = commands.handle::<Job>(tenant, &id, caller, command.clone()).await;
        match outcome {
            Ok(handled) => return Ok(handled),
            Err(HandleError::Rejected(rejection)) => return Err(Refused::Rejected(rejection)),
            Err(HandleError::TooLarge { size, max }) => return Err(Refused::TooLarge(size, max)),
            Err(error) => wait(&error).await,
        }
    }
}

async fn wait(error: &(impl Debug + Sync)) {
    tracing::warn!(?error, "the log does not accept a command; retrying");
    tokio::time::sleep(Duration::from_millis(500)).await;
}
