use std::time::Duration;

use ffapi_nats::Position;
use poem::{
    IntoResponse, Response,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};

use crate::http_date::{SUNSET, http_date};

pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// A JSON response with the headers that the API shares; its status is part of its type.
pub(crate) struct Reply<const STATUS: u16, T> {
    body: Option<T>,
    etag: Option<String>,
    position: Option<Position>,
    location: Option<String>,
    link: Option<String>,
    /// The preferences of the request that were applied.
    applied: Option<String>,
    replayed: bool,
    sunset: Option<String>,
}

impl<const STATUS: u16, T> Reply<STATUS, T> {
    pub(crate) const fn new(body: T) -> Self {
        Self::maybe(Some(body))
    }

    /// With a body; 304 without one.
    pub(crate) const fn maybe(body: Option<T>) -> Self {
        Self {
            body,
            etag: None,
            position: None,
            location: None,
            link: None,
            applied: None,
            replayed: false,
            sunset: None,
        }
    }

    /// The body, for another response that contains it.
    pub(crate) fn into_body(self) -> Option<T> {
        self.body
    }

    pub(crate) fn version(mut self, version: u64) -> Self {
        self.etag = Some(etag(version));
        self
    }

    pub(crate) const fn position(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    pub(crate) fn location(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }

    pub(crate) fn next(mut self, link: Option<String>) -> Self {
        self.link = link.map(|link| format!("<{link}>; rel=\"next\""));
        self
    }

    /// With the wait that the request preferred (RFC 7240), if there was one.
    pub(crate) fn waited(mut self, wait: Option<Duration>) -> Self {
        self.applied = wait.map(|wait| format!("wait={}", wait.as_secs()));
        self
    }

    /// With the time at which the resource will be deleted, if it will be.
    pub(crate) fn until(mut self, expires_at: Option<&str>) -> Self {
        self.sunset = expires_at.and_then(|at| at.parse().ok()).map(http_date);
        self
    }

    pub(crate) const fn replayed(mut self, replayed: bool) -> Self {
        self.replayed = replayed;
        self
    }

    /// Becomes 304 if `If-None-Match` names this version.
    pub(crate) fn unless(mut self, if_none_match: Option<&str>) -> Self {
        let same = |etag: &String| {
            if_none_match.is_some_and(|tags| {
                tags.split(',').any(|tag| {
                    let tag = tag.trim();
                    tag == "*" || tag.trim_start_matches("W/") == etag
                })
            })
        };
        if self.etag.as_ref().is_some_and(same) {
            self.body = None;
        }
        self
    }
}

/// The entity tag of a version.
pub(crate) fn etag(version: u64) -> String {
    format!("\"v{version}\"")
}

impl<const STATUS: u16, T: ToJSON> IntoResponse for Reply<STATUS, T> {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Some(body) => Response::builder()
                .status(StatusCode::from_u16(STATUS).unwrap_or_default())
                .content_type("application/json")
                .body(body.to_json_string()),
            None => StatusCode::NOT_MODIFIED.into_response(),
        };
        let headers = response.headers_mut();
        let position = self.position.map(|position| position.to_string());
        for (name, value) in [
            (header::ETAG, self.etag),
            (header::LOCATION, self.location),
            (header::LINK, self.link),
            (PREFERENCE_APPLIED, self.applied),
            (SUNSET, self.sunset),
        ] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        }
        if let Some(value) = position.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert("x-log-position", value);
        }
        if self.replayed {
            headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}

impl<const STATUS: u16, T: ToJSON> ApiResponse for Reply<STATUS, T> {
    fn meta() -> MetaResponses {
        let header = |name: &str, description: &str| MetaHeader {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            required: false,
            deprecated: false,
            schema: String::schema_ref(),
        };
        let response = MetaResponse {
            description: "The response",
            status: Some(STATUS),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: "application/json",
                schema: T::schema_ref(),
            }],
            headers: vec![
                header("ETag", "Version, for `If-None-Match` and `If-Match`"),
                header("X-Log-Position", "Position in the log, for `min_position`"),
            ],
        };
        MetaResponses { responses: vec![response, problem_meta()] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

fn problem_meta() -> MetaResponse {
    MetaResponse {
        description: "A problem (RFC 9457), application/problem+json",
        status: None,
        status_range: None,
        content: vec![MetaMediaType {
            content_type: "application/problem+json",
            schema: MetaSchemaRef::Inline(Box::new(poem_openapi::registry::MetaSchema::new(
                "object",
            ))),
        }],
        headers: Vec::new(),
    }
}

/// A response that is not only JSON: a stream of events, or the bytes of a file.
pub(crate) struct Raw(pub(crate) Response);

impl IntoResponse for Raw {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for Raw {
    fn meta() -> MetaResponses {
        let content = |content_type| MetaMediaType { content_type, schema: String::schema_ref() };
        let response = MetaResponse {
            description: "The response",
            status: Some(200),
            status_range: None,
            content: vec![
                content("text/event-stream"),
                content("application/json"),
                content("application/octet-stream"),
            ],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![response, problem_meta()] }
    }

    fn register(_: &mut Registry) {}
}
