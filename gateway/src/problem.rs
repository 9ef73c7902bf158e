//! RFC 9457 problems: the one place that knows status codes.

use std::fmt;

use ffapi_commands::HandleError;
use ffapi_domain::{
    account::AccountRejection,
    batch::BatchRejection,
    job::JobRejection,
    key::{KeyQuotaRejection, KeyRejection},
    output::OutputRejection,
    preset::PresetRejection,
    queue_quota::QueueQuotaRejection,
    webhook::WebhookRejection,
};
use ffapi_nats::{CodecError, LogError};
use ffapi_projections::ProjectionError;
use ffapi_storage::StorageError;
use poem::{
    Response,
    error::ResponseError,
    http::{StatusCode, header},
};
use serde::Serialize;
use serde_json::json;

/// The kinds of problem; each has its own `type`, explained in docs/errors.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 400: it cannot be read.
    Malformed,
    /// 401: nobody we know.
    Unauthorized,
    /// 403: known, and not allowed.
    Forbidden,
    /// 404: there is no such thing, or it is somebody else's.
    NotFound,
    /// 405: not this way.
    MethodNotAllowed,
    /// 408: it did not come in time.
    Slow,
    /// 409: not as it stands.
    Conflict,
    /// 410: it was, and is erased.
    Gone,
    /// 412: it is not the version you saw.
    PreconditionFailed,
    /// 413: too much.
    TooLarge,
    /// 415: not this kind of body.
    UnsupportedMediaType,
    /// 416: no such part.
    RangeNotSatisfiable,
    /// 422: it can be read and makes no sense.
    Invalid,
    /// 429: too often, or more than the account has.
    TooMany,
    /// 500: ours.
    Internal,
    /// 503: come again.
    Unavailable,
}

impl Kind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Malformed,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Slow,
        Self::Conflict,
        Self::Gone,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::RangeNotSatisfiable,
        Self::Invalid,
        Self::TooMany,
        Self::Internal,
        Self::Unavailable,
    ];

    const fn facts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Malformed => (400, "malformed", "Malformed request"),
            Self::Unauthorized => (401, "unauthorized", "A valid API key is required"),
            Self::Forbidden => (403, "forbidden", "The API key does not allow this"),
            Self::NotFound => (404, "not-found", "Not found"),
            Self::MethodNotAllowed => (405, "method-not-allowed", "Method not allowed"),
            Self::Slow => (408, "request-timeout", "Request timeout"),
            Self::Conflict => (409, "conflict", "Conflict with the current state"),
            Self::Gone => (410, "gone", "Gone"),
            Self::PreconditionFailed => (412, "precondition-failed", "Precondition failed"),
            Self::TooLarge => (413, "too-large", "Too large"),
            Self::UnsupportedMediaType => (415, "unsupported-media-type", "Unsupported media type"),
            Self::RangeNotSatisfiable => (416, "range-not-satisfiable", "Range not satisfiable"),
            Self::Invalid => (422, "invalid", "Invalid request"),
            Self::TooMany => (429, "rate-limited", "Rate or quota limit reached"),
            Self::Internal => (500, "internal", "Internal error"),
            Self::Unavailable => (503, "unavailable", "Service unavailable"),
        }
    }

    /// The last part of the `type` URI.
    pub const fn slug(self) -> &'static str {
        self.facts().1
    }
}

/// One thing wrong with the input.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FieldError {
    /// JSON pointer, `#/…`.
    pub(crate) pointer: String,
    /// What would work.
    pub(crate) detail: String,
    /// Stable.
    pub(crate) code: &'static str,
}

/// What a request gets instead of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    /// Headers of the answer: when to come again, where the read side stands.
    headers: Vec<(&'static str, String)>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    pub(crate) fn field(kind: Kind, pointer: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let code = if kind == Kind::Malformed { "malformed" } else { "invalid" };
        let error = FieldError { pointer: pointer.to_owned(), detail: detail.clone(), code };
        Self { errors: vec![error], ..Self::new(kind, detail) }
    }

    /// The same of a part of what was sent: its pointers begin there, like `/jobs/3`.
    pub(crate) fn within(mut self, part: &str) -> Self {
        if self.errors.is_empty() {
            let (detail, kind) = (self.detail.clone(), self.kind);
            self.errors = Self::field(kind, "#", detail).errors;
        }
        for error in &mut self.errors {
            let rest = error.pointer.strip_prefix('#').unwrap_or(&error.pointer);
            error.pointer = format!("#{part}{rest}");
        }
        self
    }

    /// Several at once, as one: the first one's kind, everybody's errors.
    pub(crate) fn all(problems: Vec<Self>) -> Option<Self> {
        let count = problems.len();
        let mut problems = problems.into_iter();
        let mut first = problems.next()?;
        if count > 1 {
            first.detail = format!("{count} parts of it make no sense; `errors` has the first 100");
            first.errors.extend(problems.flat_map(|problem| problem.errors));
            first.errors.truncate(100);
        }
        Some(first)
    }

    /// Where it is wrong.
    #[cfg(test)]
    pub(crate) fn pointers(&self) -> impl Iterator<Item = &str> {
        self.errors.iter().map(|error| error.pointer.as_str())
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no such {what}"))
    }

    pub(crate) fn behind(position: impl ToString) -> Self {
        let detail = "the read models have not reached `min_position` yet; try again";
        let headers = vec![("x-log-position", position.to_string())];
        Self { headers, ..Self::new(Kind::Unavailable, detail) }
    }

    /// Too often; `wait` in seconds.
    pub(crate) fn too_many(detail: impl Into<String>, wait: u64) -> Self {
        let headers = vec![("retry-after", wait.to_string())];
        Self { headers, ..Self::new(Kind::TooMany, detail) }
    }

    pub(crate) fn response(&self, request_id: &str, path: &str) -> Response {
        let (status, slug, title) = self.kind.facts();
        let hint = match self.kind {
            Kind::Unavailable | Kind::Internal | Kind::TooMany | Kind::Slow => "retry",
            _ => "no_retry",
        };
        let mut body = json!({
            "type": format!("https://ffapi.dev/errors/{slug}"),
            "title": title,
            "status": status,
            "detail": self.detail,
            "instance": path,
            "request_id": request_id,
            "retry_hint": hint,
        });
        if let (Some(body), false) = (body.as_object_mut(), self.errors.is_empty()) {
            body.insert("errors".to_owned(), json!(self.errors));
        }
        let mut response = Response::builder()
            .status(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            .header(header::CONTENT_TYPE, "application/problem+json");
        if self.kind == Kind::Unauthorized {
            response = response.header(header::WWW_AUTHENTICATE, "Bearer realm=\"ffapi\"");
        }
        if self.kind == Kind::Unavailable {
            response = response.header(header::RETRY_AFTER, "1");
        }
        for (name, value) in &self.headers {
            response = response.header(*name, value);
        }
        response.body(body.to_string())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.facts().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Ours, logged once, told without its insides.
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
            StorageError::Exists(_) => Self::new(Kind::Conflict, error.to_string()),
            StorageError::TooLarge { .. } => Self::new(Kind::TooLarge, error.to_string()),
            StorageError::BrokenOff(_) => Self::new(Kind::Malformed, error.to_string()),
            StorageError::Unavailable(_) => {
                tracing::warn!(?error, "storage cannot be used");
                Self::new(Kind::Unavailable, "storage cannot be used at the moment")
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
            | JobRejection::NotSealed => Kind::Conflict,
        };
        Self::new(kind, rejection.to_string())
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
            KeyRejection::AlreadyCreated | KeyRejection::Revoked => {
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
        Self::too_many(format!("{rejection}; a job that is over frees one"), 1)
    }
}

impl From<AccountRejection> for Problem {
    fn from(rejection: AccountRejection) -> Self {
        Self::new(Kind::Gone, rejection.to_string())
    }
}

impl<R: fmt::Debug + Into<Self>> From<HandleError<R>> for Problem {
    fn from(error: HandleError<R>) -> Self {
        match error {
            HandleError::Rejected(rejection) => rejection.into(),
            HandleError::VersionMismatch(version) => Self::new(
                Kind::PreconditionFailed,
                format!("its current version is {version}; read it again"),
            ),
            HandleError::Contended => {
                Self::new(Kind::Unavailable, "too many changes to it at once; try again")
            }
            HandleError::Log(error) => error.into(),
            HandleError::Codec(error) => error.into(),
            HandleError::TooLarge { .. } => {
                Self::new(Kind::TooLarge, "the request is too large for one decision")
            }
        }
    }
}
