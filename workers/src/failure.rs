//! Maps errors around a job to the failure that its history records.

use std::{borrow::Borrow, io};

use ffapi_domain::job::FailureCode;
use ffapi_media::MediaError;
use ffapi_storage::{EgressError, PutError, StorageError};

/// Maps a storage error to a job's failure.
pub(crate) fn failed(error: impl Borrow<StorageError>) -> MediaError {
    let error = error.borrow();
    let code = match error {
        StorageError::NotFound(_) => FailureCode::InputNotFound,
        StorageError::Exists(_) | StorageError::Blocked(_) => FailureCode::OutputExists,
        StorageError::NameTooLong { .. } => FailureCode::Unsupported,
        StorageError::TooLarge { .. } => FailureCode::InputTooLarge,
        StorageError::Interrupted(_)
        | StorageError::NoStore { .. }
        | StorageError::Denied(_)
        | StorageError::Replaced(_)
        | StorageError::Config(_)
        | StorageError::Unavailable(_) => FailureCode::StorageUnavailable,
    };
    // Without the cause: it may name an endpoint, which is the operator's.
    MediaError { code, message: error.to_string() }
}

/// Maps the failure to put an output at a URL to a job's failure.
pub(crate) fn put_failed(error: PutError) -> MediaError {
    let code = match &error {
        PutError::Expired { .. } => FailureCode::OutputUrlExpired,
        PutError::Busy { .. } | PutError::Egress(EgressError::Unreachable { .. }) => {
            FailureCode::OutputUnreachable
        }
        PutError::Denied { .. }
        | PutError::Rejected { .. }
        | PutError::Early(_)
        | PutError::Egress(_) => FailureCode::OutputForbidden,
        PutError::Storage(_) | PutError::Changed => FailureCode::StorageUnavailable,
    };
    MediaError { code, message: error.to_string() }
}

/// The failure of a job whose child cannot be communicated with.
pub(crate) fn crashed(error: &io::Error) -> MediaError {
    MediaError {
        code: FailureCode::MediaCrashed,
        message: format!("lost communication with the media process: {error}"),
    }
}

/// Makes a media process's message fit into an event and any database: at most 2,000 characters, no
/// control characters.
pub(crate) fn presentable(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(2000).collect()
}

/// The failure of a job that needs a field (`what`) that was erased.
pub(crate) fn erased(what: &str) -> MediaError {
    MediaError {
        code: FailureCode::Unsupported,
        message: format!("the job's {what} was erased with its tenant's data"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_reports_success_early_is_to_blame_for_the_failure() {
        let failure = put_failed(PutError::Early("host.example.com".to_owned()));
        assert_eq!(failure.code, FailureCode::OutputForbidden, "such a job is charged");
    }

    #[test]
    fn the_failure_of_a_store_does_not_name_its_endpoint() {
        let cause = "error performing GET http://10.1.2.3:9000/media/a.mp4";
        let failure = failed(StorageError::Unavailable(cause.into()));
        assert_eq!(failure.code, FailureCode::StorageUnavailable);
        assert!(!failure.message.contains("10.1.2.3"), "{}", failure.message);
    }
}
