//! What every answer says to browsers, so that nothing of ours can be turned against who reads it.

use poem::{
    Request, Response,
    http::{HeaderMap, HeaderName, HeaderValue, header},
};

/// Ours are answers, not pages: nothing in them is to be run, framed or guessed at.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";
/// The page that explains the API brings its own script and style.
const DOCS: &str = "default-src 'self'; script-src 'self' 'unsafe-inline'; \
                    style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                    frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
const YEAR: &str = "max-age=31536000; includeSubDomains";
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");

/// Writes them, where the answer itself does not say otherwise.
pub(crate) fn write(path: &str, secure: bool, response: &mut Response) {
    let docs = path.strip_prefix("/api/v1").unwrap_or(path).starts_with("/docs");
    let headers = response.headers_mut();
    let policy = if docs { DOCS } else { NOTHING };
    put(headers, header::CONTENT_SECURITY_POLICY, policy);
    put(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(headers, header::X_FRAME_OPTIONS, "DENY");
    put(headers, header::REFERRER_POLICY, "no-referrer");
    put(headers, PERMISSIONS, "camera=(), geolocation=(), microphone=()");
    if !docs {
        put(headers, header::CACHE_CONTROL, "no-store");
    }
    if secure {
        put(headers, header::STRICT_TRANSPORT_SECURITY, YEAR);
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}

/// True if the request came over TLS: to us, or to a proxy whose word counts.
pub(crate) fn is_secure(request: &Request, proxied: bool) -> bool {
    let told = request.header("x-forwarded-proto").is_some_and(|proto| proto == "https")
        || request.header("forwarded").is_some_and(|told| told.contains("proto=https"));
    request.scheme().as_str() == "https" || (proxied && told)
}
