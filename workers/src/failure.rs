//! What goes wrong around a job, as the failure that its history tells.

use std::{error::Error, io};

use ffapi_domain::job::FailureCode;
use ffapi_media::MediaError;
use ffapi_storage::StorageError;

/// What storage says, as a job's failure.
pub(crate) fn failed(error: StorageError) -> MediaError {
    let code = match &error {
        StorageError::NotFound(_) => FailureCode::InputNotFound,
        StorageError::Exists(_) => FailureCode::OutputExists,
        StorageError::TooLarge { .. } => FailureCode::InputTooLarge,
        StorageError::BrokenOff(_) | StorageError::Unavailable(_) => {
            FailureCode::StorageUnavailable
        }
    };
    let cause = error.source().map(|cause| format!(": {cause}"));
    MediaError { code, message: format!("{error}{}", cause.unwrap_or_default()) }
}

/// A child that does not answer, as a job's failure.
pub(crate) fn crashed(error: &io::Error) -> MediaError {
    MediaError {
        code: FailureCode::MediaCrashed,
        message: format!("the media process cannot be talked to: {error}"),
    }
}

/// A message that fits into an event and every database, whatever a media process wrote.
pub(crate) fn presentable(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(2000).collect()
}

/// What a job cannot do without, and was erased.
pub(crate) fn erased(what: &str) -> MediaError {
    MediaError {
        code: FailureCode::Unsupported,
        message: format!("the job's {what} was erased with its tenant's data"),
    }
}
