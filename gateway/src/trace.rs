//! The span of a request. It names no path, whose ids and tokens are the clients'.

use std::sync::Arc;

use ffapi_nats::trace::TraceContext;
use poem::{Request, http::StatusCode};
use tracing::{Span, error_span, field::Empty};

/// Probes of health, which come every few seconds and cause nothing.
const UNTRACED: [&str; 3] = ["/health", "/livez", "/readyz"];

/// The context of the caller's span, if the request names a valid one.
pub(crate) fn caller(request: &Request) -> Option<TraceContext> {
    request.header("traceparent").and_then(TraceContext::parse)
}

/// The span of a request that matches the template of a path; disabled for a probe of health.
pub(crate) fn request_span(method: &'static str, route: Option<&Arc<str>>, id: &str) -> Span {
    if route.is_some_and(|route| UNTRACED.iter().any(|untraced| route.starts_with(untraced))) {
        return Span::none();
    }
    let name = match route {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    };
    error_span!(
        parent: None,
        "request",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route.map(AsRef::as_ref),
        http.response.status_code = Empty,
        error.type = Empty,
        request_id = id,
        trace_id = Empty,
    )
}

/// Records how a request was answered; `problem` is the kind of problem that it reports.
pub(crate) fn answered(span: &Span, status: StatusCode, problem: Option<&'static str>) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "error");
        span.record("error.type", problem.unwrap_or("internal"));
    }
    span.in_scope(|| tracing::debug!(status = status.as_u16(), problem, "request answered"));
}
