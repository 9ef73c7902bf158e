//! Security headers of every response.

use poem::{
    Request, Response,
    http::{HeaderMap, HeaderName, HeaderValue, header},
};

/// Responses of the API are data, not pages: browsers must not run or frame them.
const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";
/// Media that was opened by itself: a browser puts it into a page of its own, with style.
pub(crate) const MEDIA_POLICY: &str = "default-src 'none'; img-src 'self'; media-src 'self'; \
                                       style-src 'unsafe-inline'; frame-ancestors 'none'";
/// The documentation page has inline script and style.
const DOCS_POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-inline'; \
                    style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                    frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// HSTS for a year.
const HSTS: &str = "max-age=31536000; includeSubDomains";
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// How a request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// Of the connection to this server.
    pub(crate) fn of_connection(request: &Request) -> Self {
        if request.scheme().as_str() == "https" { Self::Https } else { Self::Http }
    }

    /// Of the client's connection to a trusted proxy, as the proxy states it.
    pub(crate) fn of_client(request: &Request) -> Self {
        let is_stated = request.header("x-forwarded-proto").is_some_and(|proto| proto == "https")
            || request.header("forwarded").is_some_and(|value| value.contains("proto=https"));
        if is_stated { Self::Https } else { Self::of_connection(request) }
    }

    /// Its name in URLs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Adds the headers that the response does not set itself.
pub(crate) fn write(path: &str, scheme: Scheme, response: &mut Response) {
    let docs = path.strip_prefix("/api/v1").unwrap_or(path).starts_with("/docs");
    let headers = response.headers_mut();
    let policy = if docs { DOCS_POLICY } else { API_POLICY };
    put(headers, header::CONTENT_SECURITY_POLICY, policy);
    put(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(headers, header::X_FRAME_OPTIONS, "DENY");
    put(headers, header::REFERRER_POLICY, "no-referrer");
    put(headers, PERMISSIONS_POLICY, "camera=(), geolocation=(), microphone=()");
    if !docs {
        put(headers, header::CACHE_CONTROL, "no-store");
    }
    if scheme == Scheme::Https {
        put(headers, header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}
