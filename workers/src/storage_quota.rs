//! Reserves storage space for a job's outputs before they are sealed.

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

/// Delay between retries while the log is unavailable or the account's aggregate is contended.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Retries while other writers change the same aggregate.
const MAX_CONTENDED_RETRIES: u32 = 20;
/// How long the space is held; sealed outputs are counted from the log.
const HOLD_DURATION: Duration = Duration::from_hours(1);

/// Holds storage space for a job's outputs. Those that are put at URLs are stored here until then.
///
/// # Errors
/// `StorageFull` if the account's limit would be exceeded; other codes if the quota cannot be
/// checked.
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
        let error = match try_hold(context, release, bytes).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match error {
            HandleError::Rejected(rejection @ StorageQuotaRejection::Full { .. }) => {
                let message = format!(
                    "{rejection}; delete unused uploads, or ask for a higher `storage_bytes` limit"
                );
                return Err(MediaError { code: FailureCode::StorageFull, message });
            }
            HandleError::Rejected(StorageQuotaRejection::Busy) => {
                let message = "the account has too many storage reservations".to_owned();
                return Err(MediaError { code: FailureCode::StorageUnavailable, message });
            }
            HandleError::Codec(CodecError::Unreadable(_)) | HandleError::TooLarge { .. } => {
                let message = "the account's storage quota cannot be read".to_owned();
                return Err(MediaError { code: FailureCode::Internal, message });
            }
            HandleError::Contended if contended >= MAX_CONTENDED_RETRIES => {
                let message = "the account's storage quota changes too often".to_owned();
                return Err(MediaError { code: FailureCode::StorageUnavailable, message });
            }
            HandleError::Contended => contended = contended.saturating_add(1),
            // A log that is unavailable for a while does not fail the attempt.
            HandleError::Log(_) | HandleError::Codec(_) | HandleError::VersionMismatch(_) => {}
        }
        tracing::warn!(job = %release.job, "cannot hold storage space yet; retrying");
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

async fn try_hold(
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
        until: clock::now().plus(HOLD_DURATION),
        limit: account.limits(&context.input_fetcher.tiers).storage_bytes,
    };
    commands.handle::<StorageQuota>(tenant, tenant, &context.caller, command).await?;
    Ok(())
}
