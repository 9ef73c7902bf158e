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

    pub(super) const fn facts(self) -> (u16, &'static str, &'static str) {
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
