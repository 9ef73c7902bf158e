use std::{fmt::Debug, time::Duration};

use ffapi_commands::{Caller, Commands, HandleError, Handled};
use ffapi_domain::{
    dispatch::Release,
    job::{Job, JobCommand, JobRejection},
};

/// Why a command is not carried out, however often it is given.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The rules say no.
    Rejected(JobRejection),
    /// No message takes it: so many bytes, of so many at most.
    TooLarge(usize, usize),
}

/// Gives a command until the log answers: an encode is never lost because nobody was there to hear
/// of it.
pub(crate) async fn retry_until_decided(
    commands: &Commands,
    caller: &Caller,
    release: &Release,
    command: JobCommand,
) -> Result<Handled, Refused> {
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
    tracing::warn!(?error, "the log does not take a command; trying again");
    tokio::time::sleep(Duration::from_millis(500)).await;
}
