//! Why media work fails.

use ffapi_domain::{job::FailureCode, media::PlanRejection};

/// Why a media task failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MediaError {
    /// The category of the failure.
    pub code: FailureCode,
    /// A sentence for the client, which says what to do about it.
    pub message: String,
}

/// How the message of `MediaError::nothing_left` starts.
const NOTHING_LEFT: &str = "nothing is left";

impl MediaError {
    pub(crate) fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The input is invalid.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(FailureCode::InvalidInput, message)
    }

    /// The output would have no packets of a stream; `kind` is "video" or "audio".
    pub(crate) fn nothing_left(kind: &str) -> Self {
        Self::input(format!(
            "{NOTHING_LEFT} of the input's {kind}: it ends before the part that is kept"
        ))
    }

    /// True for [`Self::nothing_left`]: the reason may be another error.
    pub(crate) fn is_nothing_left(&self) -> bool {
        self.message.starts_with(NOTHING_LEFT)
    }

    /// A fault of the engine or the machine, in the step that `what` names.
    pub(crate) fn internal(what: &str, error: impl std::fmt::Display) -> Self {
        Self::new(FailureCode::Internal, format!("{what}: {error}"))
    }
}

/// A request that cannot be planned; the message names the field.
impl From<PlanRejection> for MediaError {
    fn from(rejection: PlanRejection) -> Self {
        let detail = format!("{}: {}", rejection.pointer, rejection.detail);
        Self::new(FailureCode::Unsupported, detail)
    }
}
