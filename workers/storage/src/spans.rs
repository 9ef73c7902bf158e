//! Spans of operations on stores and of requests to other hosts. They name no object, host or path:
//! those are the tenants'.

use tracing::{Span, debug_span, field::Empty};

use crate::metrics::Operation;

/// An operation on a store, with its repetitions.
pub(crate) fn operation(store: &str, operation: Operation) -> Span {
    debug_span!(
        "storage",
        otel.name = %format_args!("storage {}", operation.name()),
        otel.kind = "client",
        ffapi.store = store,
        ffapi.operation = operation.name(),
        ffapi.outcome = Empty,
    )
}

/// A request to another host, until the headers of its response.
pub(crate) fn request(method: &'static str) -> Span {
    debug_span!(
        "request",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = method,
        http.response.status_code = Empty,
        error.type = Empty,
    )
}
