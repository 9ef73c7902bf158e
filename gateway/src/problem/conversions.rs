//! The problems for errors of the domain and of the services.

use ffapi_commands::HandleError;
use ffapi_domain::{
    account::AccountRejection,
    batch::BatchRejection,
    job::JobRejection,
    key::{KeyQuotaRejection, KeyRejection},
    output::OutputRejection,
    preset::PresetRejection,
    queue_quota::QueueQuotaRejection,
    storage_quota::StorageQuotaRejection,
    upload::UploadRejection,
    webhook::{WebhookQuotaRejection, WebhookRejection},
};
use ffapi_nats::{CodecError, LogError};
use ffapi_projections::ProjectionError;
use ffapi_storage::StorageError;

use super::{Kind, Problem};
use crate::{
    auth::CredentialsBehind, idempotency::IdempotencyError, random::RandomError,
    read_models::CatchUpError,
};

/// An internal error: logged once with its sources, reported to the client without them.
fn internal(error: &dyn std::error::Error) -> Problem {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        chain = format!("{chain}: {cause}");
        source = cause.source();
    }
    tracing::error!(error = chain, "a request failed");
    Problem::new(Kind::Internal, "see the server's log for this request id")
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        match &error {
            LogError::Unavailable(_) => {
                tracing::warn!(?error, "the log does not answer");
                Self::new(Kind::Unavailable, "the event log does not answer; nothing was lost")
            }
            LogError::Server { .. } | LogError::Misconfigured(_) | LogError::Corrupt(_) => {
                internal(&error)
            }
        }
    }
}

impl From<CodecError> for Problem {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Log(error) => error.into(),
            CodecError::Unreadable(_) => internal(&error),
        }
    }
}

impl From<ProjectionError> for Problem {
    fn from(error: ProjectionError) -> Self {
        if error.is_unavailable() {
            tracing::warn!(?error, "the database does not answer");
            return Self::new(Kind::Unavailable, "the database does not answer; nothing was lost");
        }
        internal(&error)
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound(_) => Self::not_found("object"),
            StorageError::Exists(_) | StorageError::Blocked(_) => {
                Self::new(Kind::Conflict, error.to_string())
            }
            StorageError::TooLarge { .. } => Self::new(Kind::TooLarge, error.to_string()),
            StorageError::Interrupted(_) => Self::new(Kind::Malformed, error.to_string()),
            StorageError::NoStore { .. } | StorageError::NameTooLong { .. } => {
                Self::new(Kind::Invalid, error.to_string())
            }
            StorageError::Replaced(_)
            | StorageError::Denied(_)
            | StorageError::Config(_)
            | StorageError::Unavailable(_) => {
                // Without names of files: health checks log why a store is away.
                tracing::warn!(error = error.reason(), "storage is unavailable");
                Self::new(Kind::Unavailable, "storage is unavailable at the moment")
            }
        }
    }
}

impl From<JobRejection> for Problem {
    fn from(rejection: JobRejection) -> Self {
        let kind = match &rejection {
            JobRejection::NotFound => Kind::NotFound,
            JobRejection::AlreadySubmitted
            | JobRejection::AlreadyOver
            | JobRejection::AlreadySealed
            | JobRejection::NotOver
            | JobRejection::StaleAttempt { .. }
            | JobRejection::TakenBy { .. }
            | JobRejection::Cancelling
            | JobRejection::NotSealed
            | JobRejection::TooManyAttempts => Kind::Conflict,
        };
        let detail = match rejection {
            JobRejection::AlreadyOver => {
                format!("{rejection}; `DELETE /jobs/{{id}}/outputs` deletes what it made")
            }
            _ => rejection.to_string(),
        };
        Self::new(kind, detail)
    }
}

impl From<OutputRejection> for Problem {
    fn from(rejection: OutputRejection) -> Self {
        Self::field(Kind::Conflict, "#/output", rejection.to_string())
    }
}

impl From<KeyRejection> for Problem {
    fn from(rejection: KeyRejection) -> Self {
        match &rejection {
            KeyRejection::NotFound => Self::not_found("key"),
            KeyRejection::AlreadyCreated
            | KeyRejection::Revoked
            | KeyRejection::TooManyRevokedTokens => {
                Self::new(Kind::Conflict, rejection.to_string())
            }
            KeyRejection::TooManyMakers => Self::new(Kind::Forbidden, rejection.to_string()),
            KeyRejection::EndsInThePast => {
                Self::field(Kind::Invalid, "#/expires_at", rejection.to_string())
            }
            KeyRejection::Beyond(beyond) => {
                Self::field(Kind::Forbidden, &beyond.pointer, beyond.detail.clone())
            }
        }
    }
}

impl From<BatchRejection> for Problem {
    fn from(rejection: BatchRejection) -> Self {
        match &rejection {
            BatchRejection::NotFound => Self::not_found("batch"),
            BatchRejection::AlreadySubmitted
            | BatchRejection::AlreadyOver
            | BatchRejection::Cancelling
            | BatchRejection::NothingToRetry => Self::new(Kind::Conflict, rejection.to_string()),
        }
    }
}

impl From<WebhookRejection> for Problem {
    fn from(rejection: WebhookRejection) -> Self {
        match &rejection {
            WebhookRejection::NotFound => Self::not_found("webhook"),
            WebhookRejection::AlreadyCreated
            | WebhookRejection::StaleSecret
            | WebhookRejection::Disabled => Self::new(Kind::Conflict, rejection.to_string()),
        }
    }
}

impl From<PresetRejection> for Problem {
    fn from(rejection: PresetRejection) -> Self {
        match &rejection {
            PresetRejection::NotFound => Self::not_found("preset"),
            PresetRejection::OtherKind { .. } => {
                Self::field(Kind::Invalid, "#/kind", rejection.to_string())
            }
            PresetRejection::TooManyVersions => Self::new(Kind::Conflict, rejection.to_string()),
        }
    }
}

impl From<KeyQuotaRejection> for Problem {
    fn from(rejection: KeyQuotaRejection) -> Self {
        Self::new(Kind::Conflict, rejection.to_string())
    }
}

impl From<QueueQuotaRejection> for Problem {
    fn from(rejection: QueueQuotaRejection) -> Self {
        Self::rate_limited(format!("{rejection}; each job that ends frees one"), 1)
    }
}

impl From<AccountRejection> for Problem {
    fn from(rejection: AccountRejection) -> Self {
        Self::new(Kind::Gone, rejection.to_string())
    }
}

impl<R: std::error::Error + Into<Self>> From<HandleError<R>> for Problem {
    fn from(error: HandleError<R>) -> Self {
        match error {
            HandleError::Rejected(rejection) => rejection.into(),
            HandleError::VersionMismatch(version) => Self::new(
                Kind::PreconditionFailed,
                format!("the current version is {version}; fetch it again"),
            ),
            HandleError::Contended => {
                Self::new(Kind::Unavailable, "too many concurrent changes; try again")
            }
            HandleError::Log(error) => error.into(),
            HandleError::Codec(error) => error.into(),
            HandleError::TooLarge { .. } => Self::new(Kind::TooLarge, "the request is too large"),
        }
    }
}

impl From<StorageQuotaRejection> for Problem {
    fn from(rejection: StorageQuotaRejection) -> Self {
        match rejection {
            StorageQuotaRejection::Full { .. } => Self::new(
                Kind::TooLarge,
                format!(
                    "{rejection}; DELETE /uploads/{{id}} frees the storage of an upload, outputs \
                     are deleted after their retention, and an admin can raise the account's \
                     `storage_bytes`"
                ),
            ),
            StorageQuotaRejection::Busy => {
                Self::rate_limited(format!("{rejection}; wait for some of them"), 5)
            }
        }
    }
}

impl From<IdempotencyError> for Problem {
    fn from(error: IdempotencyError) -> Self {
        let header = |kind| Self::header(kind, "Idempotency-Key", error.to_string());
        match error {
            IdempotencyError::Malformed => header(Kind::Malformed),
            IdempotencyError::UsedBefore => header(Kind::Invalid),
            IdempotencyError::Unreadable => internal(&error),
            IdempotencyError::Log(error) => error.into(),
        }
    }
}

impl From<CatchUpError> for Problem {
    fn from(error: CatchUpError) -> Self {
        match error {
            CatchUpError::Malformed(_) | CatchUpError::OtherEpoch(_) => {
                Self::parameter("min_position", error.to_string())
            }
            CatchUpError::Behind(position) => Self::behind(position),
            CatchUpError::Database(error) => error.into(),
            CatchUpError::Log(error) => error.into(),
        }
    }
}

impl From<UploadRejection> for Problem {
    fn from(rejection: UploadRejection) -> Self {
        Self::new(Kind::Conflict, rejection.to_string())
    }
}

impl From<WebhookQuotaRejection> for Problem {
    fn from(rejection: WebhookQuotaRejection) -> Self {
        Self::new(Kind::Conflict, rejection.to_string())
    }
}

impl From<RandomError> for Problem {
    fn from(error: RandomError) -> Self {
        tracing::error!(?error, "the system's random number generator failed");
        Self::new(Kind::Unavailable, error.to_string())
    }
}

impl From<CredentialsBehind> for Problem {
    fn from(error: CredentialsBehind) -> Self {
        match error {
            CredentialsBehind::NotReached => Self::new(Kind::Unavailable, error.to_string()),
            CredentialsBehind::Log(error) => error.into(),
        }
    }
}

/// Handlers return these errors of the gateway's own parts as they are.
macro_rules! returned_by_handlers {
    ($($error:ty),+) => {
        $(impl From<$error> for poem::Error {
            fn from(error: $error) -> Self {
                Problem::from(error).into()
            }
        })+
    };
}

returned_by_handlers!(CatchUpError, CredentialsBehind, IdempotencyError, RandomError);
