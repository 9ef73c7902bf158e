use ffapi_domain::job::FailureCode;

use crate::MediaError;

/// The error for an output that is not what was planned or encoded.
pub(super) fn mismatch(message: impl Into<String>) -> MediaError {
    MediaError::new(FailureCode::VerificationFailed, message)
}
