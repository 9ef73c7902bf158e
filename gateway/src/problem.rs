//! RFC 9457 problems, and the only mapping from errors to HTTP status codes.

mod conversions;
mod kind;

use std::fmt;

use poem::{
    Response,
    error::ResponseError,
    http::{StatusCode, header},
};
use serde::Serialize;
use serde_json::json;

pub use self::kind::Kind;

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
