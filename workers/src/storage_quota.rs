//! Room for what a job made, held before it is promised to anybody.

use std::time::Duration;

use ffapi_commands::HandleError;
use ffapi_domain::{
    account::Account,
    dispatch::Release,
    job::{FailureCode, OutputFile},
    storage_quota::{StorageQuota, StorageQuotaCommand, StorageQuotaRejection},
};
use ffapi_media::MediaError;
use ffapi_nats::CodecError;

use crate::{attempt::AttemptContext, clock};

/// How long between two tries while the log does not answer, or others write to the same account.
const PATIENCE: Duration = Duration::from_millis(500);
/// Tries while others write to it.
const PATIENT: u32 = 20;
/// How long it is held; what is sealed is counted from the log.
const TERM: Duration = Duration::from_hours(1);

/// Holds room for the outputs of a job; fails it if the account keeps too much already.
pub(crate) async fn hold(
    context: &AttemptContext,
    release: &Release,
    outputs: &[OutputFile],
) -> Result<(), MediaError> {
    let bytes: u64 = outputs.iter().map(|file| file.size).fold(0, u64::saturating_add);
    if bytes == 0 {
        return Ok(());
    }
    let mut contended = 0_u32;
    loop {
        let error = match attempt(context, release, bytes).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match error {
            HandleError::Rejected(rejection @ StorageQuotaRejection::Full { .. }) => {
                let message = format!(
                    "{rejection}; remove uploads that are not needed, or ask for `storage_bytes`"
                );
                return Err(MediaError { code: FailureCode::StorageFull, message });
            }
            HandleError::Rejected(StorageQuotaRejection::Busy) => {
                let message = "the account stores too much at once".to_owned();
                return Err(MediaError { code: FailureCode::StorageUnavailable, message });
            }
            HandleError::Codec(CodecError::Unreadable(_)) | HandleError::TooLarge { .. } => {
                let message = "what the account keeps cannot be read".to_owned();
                return Err(MediaError { code: FailureCode::Internal, message });
            }
            HandleError::Contended if contended >= PATIENT => {
                let message = "what the account keeps changes too often".to_owned();
                return Err(MediaError { code: FailureCode::StorageUnavailable, message });
            }
            HandleError::Contended => contended = contended.saturating_add(1),
            // A log that is away for a while costs no attempt.
            HandleError::Log(_) | HandleError::Codec(_) | HandleError::VersionMismatch(_) => {}
        }
        tracing::warn!(job = %release.job, "room cannot be held yet");
        tokio::time::sleep(PATIENCE).await;
    }
}

async fn attempt(
    context: &AttemptContext,
    release: &Release,
    bytes: u64,
) -> Result<(), HandleError<StorageQuotaRejection>> {
    let (commands, tenant) = (&context.commands, release.tenant.as_str());
    let account = commands.state::<Account>(tenant, tenant).await?;
    let command = StorageQuotaCommand::Hold {
        thing: release.job.to_string(),
        least: bytes,
        most: bytes,
        until: clock::now().plus(TERM),
        limit: account.limits(&context.sources.tiers).storage_bytes,
    };
    commands.handle::<StorageQuota>(tenant, tenant, &context.caller, command).await?;
    Ok(())
}
