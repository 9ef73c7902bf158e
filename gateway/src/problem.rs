//! RFC 9457 problems, and the only mapping from errors to HTTP status codes.

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

/// The kinds of problem. Each has its own `type`, documented in docs/errors.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 400: the request cannot be parsed.
    Malformed,
    /// 401: no valid credentials.
    Unauthorized,
    /// 403: the credentials are valid, but do not allow this.
    Forbidden,
    /// 404: the resource does not exist, or belongs to another tenant.
    NotFound,
    /// 405: the path does not support this method.
    MethodNotAllowed,
    /// 408: the request body was not received in time.
    RequestTimeout,
    /// 409: the current state of the resource does not allow this.
    Conflict,
    /// 410: the account is being erased, or is erased, or the outputs were deleted.
    Gone,
    /// 412: `If-Match` names another version.
    PreconditionFailed,
    /// 413: the body, a header, a batch or the storage needed is too large.
    TooLarge,
    /// 415: the content type of the body is not supported.
    UnsupportedMediaType,
    /// 416: the file does not have the requested range.
    RangeNotSatisfiable,
    /// 422: the request is well-formed, but its content is invalid.
    Invalid,
    /// 429: a rate limit or a quota of the account is reached.
    RateLimited,
    /// 460, as tus has it: the bytes do not have the checksum that was sent with them.
    ChecksumMismatch,
    /// 500: an error of the service.
    Internal,
    /// 503: temporarily unavailable; the request can be retried.
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
        Self::RequestTimeout,
        Self::Conflict,
        Self::Gone,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::RangeNotSatisfiable,
        Self::Invalid,
        Self::RateLimited,
        Self::ChecksumMismatch,
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
            Self::RequestTimeout => (408, "request-timeout", "Request timeout"),
            Self::Conflict => (409, "conflict", "Conflict with the current state"),
            Self::Gone => (410, "gone", "Gone"),
            Self::PreconditionFailed => (412, "precondition-failed", "Precondition failed"),
            Self::TooLarge => (413, "too-large", "Too large"),
            Self::UnsupportedMediaType => (415, "unsupported-media-type", "Unsupported media type"),
            Self::RangeNotSatisfiable => (416, "range-not-satisfiable", "Range not satisfiable"),
            Self::Invalid => (422, "invalid", "Invalid request"),
            Self::RateLimited => (429, "rate-limited", "Rate or quota limit reached"),
            Self::ChecksumMismatch => (460, "checksum-mismatch", "Checksum mismatch"),
            Self::Internal => (500, "internal", "Internal error"),
            Self::Unavailable => (503, "unavailable", "Service unavailable"),
        }
    }

    /// The kind of problem, for people.
    pub(crate) const fn title(self) -> &'static str {
        self.facts().2
    }

    /// The HTTP status.
    pub(crate) const fn status(self) -> u16 {
        self.facts().0
    }

    /// The last part of the `type` URI.
    pub const fn slug(self) -> &'static str {
        self.facts().1
    }
}

/// The part of a request that an error is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum RequestPart {
    /// A field of the body, as a JSON pointer, `#/…`; `#` is the whole body.
    #[serde(rename = "pointer")]
    Body(String),
    /// The name of a query parameter.
    #[serde(rename = "parameter")]
    Parameter(String),
    /// The name of a header.
    #[serde(rename = "header")]
    Header(String),
}

/// One error of the input.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FieldError {
    #[serde(flatten)]
    pub(crate) part: RequestPart,
    /// Explanation for a person.
    pub(crate) detail: String,
    /// Stable code: `malformed` or `invalid`.
    pub(crate) code: &'static str,
}

/// Maximum number of errors of one response.
const MAX_ERRORS: usize = 100;

/// An error response, as `application/problem+json`.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    /// Extra response headers: `Retry-After`, or the position of the read models.
    headers: Vec<(&'static str, String)>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    /// A part of the request is wrong.
    pub(crate) fn part(kind: Kind, part: RequestPart, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let code = if kind == Kind::Malformed { "malformed" } else { "invalid" };
        let error = FieldError { part, detail: detail.clone(), code };
        Self { errors: vec![error], ..Self::new(kind, detail) }
    }

    /// A field of the body is wrong; `pointer` is a JSON pointer.
    pub(crate) fn field(kind: Kind, pointer: &str, detail: impl Into<String>) -> Self {
        Self::part(kind, RequestPart::Body(pointer.to_owned()), detail)
    }

    /// A query parameter is malformed.
    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::part(Kind::Malformed, RequestPart::Parameter(name.to_owned()), detail)
    }

    /// A header is wrong.
    pub(crate) fn header(kind: Kind, name: &str, detail: impl Into<String>) -> Self {
        Self::part(kind, RequestPart::Header(name.to_owned()), detail)
    }

    /// Prefixes the pointers with the part of the request that they are in, like `/jobs/3`.
    pub(crate) fn within(mut self, part: &str) -> Self {
        if self.errors.is_empty() {
            let (detail, kind) = (self.detail.clone(), self.kind);
            self.errors = Self::field(kind, "#", detail).errors;
        }
        for error in &mut self.errors {
            if let RequestPart::Body(pointer) = &mut error.part {
                let rest = pointer.strip_prefix('#').unwrap_or(pointer);
                *pointer = format!("#{part}{rest}");
            }
        }
        self
    }

    /// Merges problems into one of the first one's kind, with the errors of all; none if there are
    /// none.
    pub(crate) fn all(problems: Vec<Self>) -> Option<Self> {
        let mut problems = problems.into_iter();
        let first = problems.next()?;
        Some(first.and(problems))
    }

    /// This problem with the errors of others.
    pub(crate) fn and(mut self, others: impl IntoIterator<Item = Self>) -> Self {
        self.errors.extend(others.into_iter().flat_map(|problem| problem.errors));
        let count = self.errors.len();
        if count > 1 {
            let shown = if count > MAX_ERRORS { "has the first 100" } else { "has them" };
            self.detail = format!("{count} parts of the request are invalid; `errors` {shown}");
            self.errors.truncate(MAX_ERRORS);
        }
        self
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The pointers of its errors in the body.
    pub(crate) fn pointers(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.errors.iter().filter_map(|error| match &error.part {
            RequestPart::Body(pointer) => Some(pointer.as_str()),
            RequestPart::Parameter(_) | RequestPart::Header(_) => None,
        })
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no such {what}"))
    }

    pub(crate) fn behind(position: impl ToString) -> Self {
        let detail = "the read models have not reached `min_position` yet; try again";
        let headers = vec![("x-log-position", position.to_string())];
        Self { headers, ..Self::new(Kind::Unavailable, detail) }
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// True if one of its errors is about this header.
    pub(crate) fn is_about_header(&self, name: &str) -> bool {
        let is_about = |part: &RequestPart| matches!(part, RequestPart::Header(of) if of == name);
        self.errors.iter().any(|error| is_about(&error.part))
    }

    /// True if the same request would fail again.
    pub(crate) const fn is_final(&self) -> bool {
        !matches!(
            self.kind,
            Kind::Unavailable | Kind::Internal | Kind::RateLimited | Kind::RequestTimeout
        )
    }

    /// A rate limit or quota is reached; `wait` is in seconds, for `Retry-After`.
    pub(crate) fn rate_limited(detail: impl Into<String>, wait: u64) -> Self {
        let headers = vec![("retry-after", wait.to_string())];
        Self { headers, ..Self::new(Kind::RateLimited, detail) }
    }

    pub(crate) fn response(&self, request_id: &str, path: &str) -> Response {
        let (status, slug, title) = self.kind.facts();
        let hint = if self.is_final() { "no_retry" } else { "retry" };
        let mut body = json!({
            // Relative to the service itself, which explains it there (RFC 9457, section 3.1.1).
            "type": format!("/errors/{slug}"),
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
            StorageError::NoStore { .. } => Self::new(Kind::Invalid, error.to_string()),
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

impl<R: fmt::Debug + Into<Self>> From<HandleError<R>> for Problem {
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
