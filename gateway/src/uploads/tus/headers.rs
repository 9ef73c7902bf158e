//! The headers of tus.

use poem::{
    Request, Response, ResponseBuilder,
    http::{Method, StatusCode, header},
};

/// The version of the protocol.
pub(super) const VERSION: &str = "1.0.0";
const EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,expiration,checksum,\
                          termination,concatenation";

/// The method; clients that cannot send every method name it in a header.
pub(super) fn method(request: &Request) -> Method {
    let named = request.header("x-http-method-override").filter(|_| {
        *request.method() == Method::POST && request.headers().contains_key("tus-resumable")
    });
    named.and_then(|name| name.parse().ok()).unwrap_or_else(|| request.method().clone())
}

/// A response with the headers that all have.
pub(super) fn answer(status: StatusCode) -> ResponseBuilder {
    Response::builder()
        .status(status)
        .header("tus-resumable", VERSION)
        .header(header::CACHE_CONTROL, "no-store")
}

/// The answer to `OPTIONS`: what this server supports.
pub(super) fn capabilities(max_size: Option<u64>) -> Response {
    let mut response = answer(StatusCode::NO_CONTENT)
        .header("tus-version", VERSION)
        .header("tus-extension", EXTENSIONS)
        .header("tus-checksum-algorithm", "sha1,sha256");
    if let Some(max) = max_size {
        response = response.header("tus-max-size", max);
    }
    response.finish()
}
