//! Cross-origin resource sharing: which pages of other origins may call the API from a browser.
//!
//! No response depends on cookies, so there is nothing that a page of an unknown origin could abuse:
//! its requests are answered as any other, and its browser does not show it the responses.

mod origin;

use poem::{
    Request, Response,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};

pub use self::origin::AllowedOrigin;

/// What a page may send.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-disposition, content-type, idempotency-key, if-match, if-none-match, \
     if-range, last-event-id, prefer, range, traceparent, tus-resumable, upload-checksum, \
     upload-concat, upload-defer-length, upload-length, upload-metadata, upload-offset, x-api-key, \
     x-http-method-override, x-request-id, x-requested-with",
);
/// What a page may read; browsers hide all others.
const RESPONSE_HEADERS: HeaderValue = HeaderValue::from_static(
    "accept-ranges, allow, content-disposition, content-length, content-range, etag, \
     idempotent-replayed, last-modified, link, location, preference-applied, ratelimit, \
     ratelimit-policy, retry-after, sunset, tus-checksum-algorithm, tus-extension, tus-max-size, \
     tus-resumable, tus-version, upload-concat, upload-defer-length, upload-expires, upload-length, \
     upload-metadata, upload-offset, www-authenticate, x-log-position, x-request-id",
);
/// How long a browser may remember the answer to a preflight request, in seconds; no browser
/// remembers it for longer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
/// What the answer to a preflight request depends on.
const PREFLIGHT_VARY: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);
const ORIGIN: HeaderValue = HeaderValue::from_static("origin");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The origins whose pages may call the API.
#[derive(Debug, Clone, Default)]
pub(crate) struct CorsPolicy {
    origins: Vec<AllowedOrigin>,
}

impl CorsPolicy {
    pub(crate) fn new(origins: &[AllowedOrigin]) -> Self {
        Self { origins: origins.to_vec() }
    }

    /// The value of `access-control-allow-origin`, if the origin may call the API.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.origins.contains(&AllowedOrigin::Any) {
            return Some(ANY);
        }
        let is_listed = |allowed: &AllowedOrigin| match allowed {
            AllowedOrigin::Any => true,
            AllowedOrigin::Exact(allowed) => {
                origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes())
            }
        };
        self.origins.iter().any(is_listed).then(|| origin.clone())
    }

    /// The answer to a preflight request of an allowed origin.
    pub(crate) fn preflight(&self, request: &Request) -> Option<Response> {
        let headers = request.headers();
        let is_preflight = request.method() == Method::OPTIONS
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        self.allowed(headers.get(header::ORIGIN).filter(|_| is_preflight)?)?;
        let response = Response::builder()
            .status(StatusCode::NO_CONTENT)
            .header(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS)
            .header(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS)
            .header(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE)
            .header(header::VARY, PREFLIGHT_VARY);
        Some(response.finish())
    }

    /// Adds the headers to the response to a request with this origin.
    pub(crate) fn write(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if self.origins.is_empty() {
            return;
        }
        // Caches must not give the response for one origin to another, nor to a request without one.
        headers.append(header::VARY, ORIGIN);
        if let Some(allowed) = origin.and_then(|origin| self.allowed(origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(origins: &[&str], origin: Option<&'static str>) -> HeaderMap {
        let origins: Vec<AllowedOrigin> = origins.iter().map(|it| it.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        let origin = origin.map(HeaderValue::from_static);
        CorsPolicy::new(&origins).write(origin.as_ref(), &mut headers);
        headers
    }

    fn preflight(method: Method, origin: &str) -> Option<Response> {
        let request = Request::builder()
            .method(method)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .finish();
        CorsPolicy::new(&["https://app.example.com/".parse().unwrap()]).preflight(&request)
    }

    #[test]
    fn responses_name_the_origin_if_it_is_allowed_and_always_vary_by_it() {
        let app = "https://app.example.com";
        let allowed = |headers: &HeaderMap| {
            let origin = headers.get("access-control-allow-origin");
            origin.map(|origin| origin.to_str().unwrap().to_owned())
        };
        for (origins, origin, expected) in [
            (&[app][..], Some(app), Some(app)),
            (&[app], Some("HTTPS://app.example.com"), Some("HTTPS://app.example.com")),
            (&[app], Some("https://evil.example.com"), None),
            (&[app], Some("https://app.example.com.evil.com"), None),
            (&[app], Some("null"), None),
            (&[app], None, None),
            (&["*"], Some("https://any.example.com"), Some("*")),
        ] {
            let headers = written(origins, origin);
            assert_eq!(allowed(&headers).as_deref(), expected, "{origin:?}");
            assert_eq!(headers.get("vary").unwrap(), "origin", "{origin:?}");
        }
        assert!(written(&[], Some(app)).is_empty());
    }

    #[test]
    fn only_preflight_requests_of_allowed_origins_are_answered() {
        let answer = preflight(Method::OPTIONS, "https://app.example.com").unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(answer.header("access-control-max-age"), Some("7200"));
        assert!(preflight(Method::POST, "https://app.example.com").is_none());
        assert!(preflight(Method::OPTIONS, "https://evil.example.com").is_none());
    }
}
