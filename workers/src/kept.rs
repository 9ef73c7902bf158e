//! Room for what a job made, held before it is promised to anybody.

use std::time::Duration;

use commands::HandleError;
use domain::{
    account::Account,
    dispatch::Release,
    job::{FailureCode, OutputFile},
    kept::{Kept, KeptCommand, KeptRejection},
};
use media::MediaError;

use crate::{attempt::Workshop, clock};

/// How long between two tries while the log does not answer, or too much is stored at once.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long it is held; what is sealed is counted from the log.
const TERM: Duration = Duration::from_hours(1);

/// Holds room for the outputs of a job; fails it if the account keeps too much already.
pub(crate) async fn hold(
    workshop: &Workshop,
    release: &Release,
    outputs: &[OutputFile],
) -> Result<(), MediaError> {
    let bytes: u64 = outputs.iter().map(|file| file.size).fold(0, u64::saturating_add);
    if bytes == 0 {
        return Ok(());
    }
    loop {
        match attempt(workshop, release, bytes).await {
            Ok(()) => return Ok(()),
            Err(HandleError::Rejected(rejection @ KeptRejection::Full { .. })) => {
                let message = format!(
                    "{rejection}; remove uploads that are not needed, or ask for `storage_bytes`"
                );
                return Err(MediaError { code: FailureCode::StorageFull, message });
            }
            Err(error) => {
                tracing::warn!(%error, job = %release.job, "room cannot be held yet");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

async fn attempt(
    workshop: &Workshop,
    release: &Release,
    bytes: u64,
) -> Result<(), HandleError<KeptRejection>> {
    let (commands, tenant) = (&workshop.commands, release.tenant.as_str());
    let account = commands.state::<Account>(tenant, tenant).await?;
    let command = KeptCommand::Hold {
        thing: release.job.to_string(),
        least: bytes,
        most: bytes,
        until: clock::now().plus(TERM),
        limit: account.limits(&workshop.sources.tiers).storage_bytes,
    };
    commands.handle::<Kept>(tenant, tenant, &workshop.caller, command).await?;
    Ok(())
}
