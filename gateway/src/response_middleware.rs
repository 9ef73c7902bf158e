//! Middleware for every response: adds a request id and headers, and turns every error into a
//! problem.

use std::sync::Arc;

use ffapi_nats::trace::within;
use poem::{
    Endpoint, Error, IntoResponse, Request, Response, Result,
    error::{MethodNotAllowedError, NotFoundError, ReadBodyError},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
};
use poem_openapi::error::{
    AuthorizationError, ContentTypeError, ParseParamError, ParsePathError, ParseRequestPayloadError,
};
use uuid::Uuid;

use crate::{
    api_paths::{self, ApiPaths},
    cors::{AllowedOrigin, CorsPolicy},
    guard,
    headers::{self, Scheme},
    metrics::{ActiveRequest, Answered, known_method},
    parser_messages::of_parameter,
    playback,
    problem::{Kind, Problem},
    rate_limits::RateLimitHeaders,
    reply::PREFERENCE_APPLIED,
    request_context::RequestId,
    state::Gateway,
    text, trace,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Assigns the request id, validates headers and URL, and converts errors to problems.
pub(crate) async fn response_middleware<E: Endpoint>(
    inner: Arc<E>,
    mut request: Request,
) -> Result<Response> {
    let given = request
        .header(REQUEST_ID)
        .filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()));
    let id = given.map_or_else(|| Uuid::now_v7().simple().to_string(), str::to_owned);
    request.set_data(RequestId(id.clone()));
    let gateway = request.data::<Arc<Gateway>>().cloned();
    if let Some(gateway) = &gateway {
        playback::route(&mut request, &gateway.credentials);
    }
    if !request.headers().contains_key(header::CONTENT_TYPE) {
        // The type of an upload is found in its content, whether the client states one or not.
        let is_upload = playback::path(&request).ends_with("/uploads");
        let kind = if is_upload { "application/octet-stream" } else { "application/json" };
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    resume(&mut request);
    // Everybody who has such a URL may use it on any page.
    let is_for_pages = guard::is_by_token_alone(&request);
    let methods = playback::methods(&request);
    let path = playback::path(&request).to_owned();
    let proxied =
        gateway.as_ref().is_some_and(|gateway| gateway.proxies.forwarded_by_trusted(&request));
    let paths = request.data::<Arc<ApiPaths>>().cloned();
    let scheme =
        if proxied { Scheme::of_client(&request) } else { Scheme::of_connection(&request) };
    let active = ActiveRequest::begin(request.method(), request.version(), scheme);
    let rate_limit = RateLimitHeaders::default();
    request.set_data(rate_limit.clone());
    let any = CorsPolicy::new(&[AllowedOrigin::Any]);
    let cors = if is_for_pages { Some(&any) } else { gateway.as_ref().map(|g| &g.cors) };
    let origin = request.headers().get(header::ORIGIN).cloned();
    let route = paths.as_ref().and_then(|paths| paths.template(&path));
    let span = trace::request_span(known_method(request.method()), route.as_ref(), &id);
    let caller = trace::caller(&request);
    let check_query = || {
        let (method, query) = (request.method(), request.original_uri().query());
        paths.as_ref().map_or(Ok(()), |paths| paths.check_query(method, &path, query))
    };
    let checked = check_size(&request).and_then(|()| text::check(&request));
    let outcome = match checked.and_then(|()| check_query()) {
        Ok(()) => {
            if let Some(response) = cors.and_then(|cors| cors.preflight(&request)) {
                Ok(response)
            } else {
                let answering = within(span.clone(), caller, inner.call(request));
                Box::pin(answering).await.map(IntoResponse::into_response)
            }
        }
        Err(problem) => Err(problem.into()),
    };
    let (mut response, kind) = match outcome {
        Ok(response) => (response, None),
        Err(error) if error.is_from_response() => (error.into_response(), None),
        Err(error) => {
            let problem = problem(&error);
            (problem.response(&id, &path), Some(problem.kind()))
        }
    };
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    rate_limit.write(response.headers_mut());
    let of_token = || Some(methods?.iter().map(Method::as_str).collect::<Vec<_>>().join(", "));
    let of_path = || paths.as_ref()?.at(&path).map(str::to_owned);
    if response.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Some(allowed) = of_token().or_else(of_path)
        && let Ok(allowed) = HeaderValue::from_str(&allowed)
    {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    if let Some(cors) = cors {
        cors.write(origin.as_ref(), response.headers_mut());
    }
    headers::write(&path, scheme, &mut response);
    let waited = response.headers().contains_key(PREFERENCE_APPLIED);
    trace::answered(&span, response.status(), kind.map(Kind::slug));
    let answered = Answered { route, status: response.status(), problem: kind, waited };
    // Within the span, which becomes the exemplar of the measurement.
    span.in_scope(|| active.answered(answered));
    Ok(response)
}

/// Clients of event streams that cannot send headers resume by a parameter.
fn resume(request: &mut Request) {
    let given = request.original_uri().query().unwrap_or_default().split('&');
    let mut values = given.filter_map(|pair| pair.split_once('='));
    let last = values.find(|(name, id)| *name == api_paths::LAST_EVENT_ID && !id.is_empty());
    let Some(Ok(last)) = last.map(|(_, id)| HeaderValue::from_str(id)) else { return };
    if !request.headers().contains_key(LAST_EVENT_ID) {
        request.headers_mut().insert(LAST_EVENT_ID, last);
    }
}

/// Maximum size in bytes of all headers of a request, and of one of them.
const MAX_HEADERS_BYTES: usize = 32 * 1024;
const MAX_HEADER_BYTES: usize = 8 * 1024;

/// Rejects requests with headers that are too large.
fn check_size(request: &Request) -> Result<(), Problem> {
    let mut all = 0_usize;
    for (name, value) in request.headers() {
        let size = name.as_str().len().saturating_add(value.len());
        if size > MAX_HEADER_BYTES {
            let detail =
                format!("a header is up to {MAX_HEADER_BYTES} bytes, and `{name}` is longer");
            return Err(Problem::new(Kind::TooLarge, detail));
        }
        all = all.saturating_add(size);
    }
    if all > MAX_HEADERS_BYTES {
        let detail =
            format!("the headers of a request are up to {MAX_HEADERS_BYTES} bytes together");
        return Err(Problem::new(Kind::TooLarge, detail));
    }
    Ok(())
}

/// The problem for an error of a handler or of the framework.
fn problem(error: &Error) -> Problem {
    if let Some(problem) = error.downcast_ref::<Problem>() {
        return problem.clone();
    }
    let message = error.to_string();
    if error.is::<AuthorizationError>() {
        let detail = "send a valid key as `X-API-Key: …` or `Authorization: Bearer …`";
        Problem::new(Kind::Unauthorized, detail)
    } else if error.is::<NotFoundError>() {
        Problem::new(Kind::NotFound, "there is nothing at this path; see /docs")
    } else if error.is::<MethodNotAllowedError>() {
        Problem::new(Kind::MethodNotAllowed, "this path does not support the method; see /docs")
    } else if error.is::<ContentTypeError>() {
        let detail = "send the body as `Content-Type: application/json`";
        Problem::new(Kind::UnsupportedMediaType, detail)
    } else if let Some(ReadBodyError::PayloadTooLarge) = error.downcast_ref() {
        Problem::new(Kind::TooLarge, "the body is too large")
    } else if let Some(error) = error.downcast_ref::<ParseParamError>() {
        Problem::parameter(error.name, of_parameter(&error.reason))
    } else if error.is::<ParsePathError>() {
        // A malformed id cannot exist.
        Problem::new(Kind::NotFound, "there is no resource with this id")
    } else if error.is::<ParseRequestPayloadError>() || error.is::<ReadBodyError>() {
        Problem::new(Kind::Malformed, message)
    } else {
        tracing::error!(error = message, "a request failed");
        Problem::new(Kind::Internal, "see the server's log for this request id")
    }
}
