//! Authentication and rate limits: applied to every request before any other work is done for it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Instant,
};

use ffapi_domain::{Timestamp, key::Scope};
use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    error::{MethodNotAllowedError, NotFoundError},
    http::{Method, StatusCode},
};

use crate::{
    api_paths::OPEN_PATHS,
    audit_notes::AuditRecord,
    auth::{AuthError, Issuer, Principal, Token, TokenScope, presented_secret},
    clock,
    hourly_limit::{HourlyLimit, Presented},
    metrics::{self, Limit},
    playback::{self, PathToken},
    problem::{Kind, Problem},
    rate_limits::{RateLimitHeaders, RateLimitStatus},
    state::Gateway,
    uploads::UploadTicket,
};

/// True for paths without authentication and without rate limits of accounts.
fn is_open(path: &str) -> bool {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    OPEN_PATHS.contains(&path) || path.starts_with("/docs/") || path.starts_with("/errors/")
}

/// Passes requests with valid credentials on, within the limits of their account.
pub(crate) async fn guard<E: Endpoint>(inner: Arc<E>, mut request: Request) -> Result<Response> {
    let path = playback::path(&request);
    if is_open(path) {
        require_method(&request, &[Method::GET, Method::HEAD])?;
        return Ok(inner.call(request).await?.into_response());
    }
    if !path.starts_with("/api/v1/") {
        // Browsers ask for icons, and crawlers for rules.
        return Err(NotFoundError.into());
    }
    if let Some(methods) = playback::methods(&request) {
        require_method(&request, methods)?;
    }
    let gateway = request.data::<Arc<Gateway>>().cloned();
    let Some(gateway) = gateway else {
        let detail = "see the server's log for this request id";
        return Err(Problem::new(Kind::Internal, detail).into());
    };
    let from = gateway.proxies.origin(&request);
    let Identified { principal, ticket } = match identify(&gateway, &request, from).await {
        Ok(identified) => identified,
        Err(error) => return Err(rejection(&gateway, &request, from, error).into()),
    };
    gateway.must_be_open(&principal.tenant)?;
    let requests = gateway.credentials.limits(&principal.tenant).requests_per_hour;
    let HourlyLimit { name, factor, metric } = HourlyLimit::of(&request, presented(&request));
    let limit = requests.saturating_mul(factor);
    let status = gateway.rate_limiter.spend(&principal.tenant, name, limit, clock::now()).await;
    let status = status.map_err(Problem::from)?;
    if let Some(headers) = request.data::<RateLimitHeaders>() {
        headers.set(&status);
    }
    if !status.allowed {
        metrics::limit_reached(metric);
        let record = AuditRecord::about(&request, &principal, "request.limited");
        gateway.audit.note(record);
        return Err(status.problem().into());
    }
    if let Some(problem) = endpoint_limit(&gateway, &request, &principal).await? {
        metrics::limit_reached(Limit::Endpoint);
        gateway.audit.note(AuditRecord::about(&request, &principal, "endpoint.limited"));
        return Err(problem.into());
    }
    gateway.audit.seen(&request, &principal);
    let limited = AuditRecord::about(&request, &principal, "quota.limited");
    request.set_data(principal);
    request.set_data(SentMethod(request.method().clone()));
    if let Some(ticket) = ticket {
        request.set_data(ticket);
    }
    let response = inner.call(request).await.map(IntoResponse::into_response);
    let status = response.as_ref().map_or_else(poem::Error::status, Response::status);
    if status == StatusCode::TOO_MANY_REQUESTS {
        // Media minutes or queue slots are used up.
        gateway.audit.note(limited);
    }
    response
}

fn require_method(request: &Request, methods: &[Method]) -> Result<()> {
    if methods.contains(request.method()) { Ok(()) } else { Err(MethodNotAllowedError.into()) }
}

/// The method that the client sent: handlers of `GET` see `HEAD` as `GET`.
#[derive(Debug, Clone)]
pub(crate) struct SentMethod(pub(crate) Method);

/// The caller of a request.
struct Identified {
    principal: Principal,
    /// The upload that its token is for.
    ticket: Option<UploadTicket>,
}

impl From<Principal> for Identified {
    fn from(principal: Principal) -> Self {
        Self { principal, ticket: None }
    }
}

async fn identify(
    gateway: &Gateway,
    request: &Request,
    from: Option<IpAddr>,
) -> Result<Identified, AuthError> {
    let now = clock::now();
    if let Some(secret) = presented_secret(request) {
        return match &gateway.issuer {
            Some(issuer) if Issuer::is_token(secret) => {
                issuer.read(secret, from, &gateway.credentials).await.map(Identified::from)
            }
            _ => gateway.credentials.check(secret, from, now).map(Identified::from),
        };
    }
    let in_path = request.data::<PathToken>().map(|PathToken(token)| token.as_str());
    let text = in_path.or_else(|| token_in(request)).ok_or(AuthError::Unknown)?;
    let token = Token::read(text, gateway.credentials.peppers(), now).ok_or(AuthError::Unknown)?;
    let ticket = match token.scope {
        TokenScope::Upload(id) => {
            Some(UploadTicket { id, grant: token.upload.clone().unwrap_or_default() })
        }
        _ => None,
    };
    let (scope, is_method) = match &ticket {
        Some(_) => (Scope::JobsWrite, *request.method() == Method::POST),
        None => (Scope::JobsRead, matches!(*request.method(), Method::GET | Method::HEAD)),
    };
    if !is_method || !token.scope.covers(playback::path(request)) {
        return Err(AuthError::Unknown);
    }
    let mut principal = gateway.credentials.admit_token(token.key, Token::id(text), from, now)?;
    // Whatever the scopes of its key, a token reads jobs, or uploads its file, and nothing else.
    principal.require(scope).map_err(|_| AuthError::Unknown)?;
    principal.scopes = BTreeSet::from([scope]);
    principal.until = Some(Timestamp::from_millis(token.expires_at));
    Ok(Identified { principal, ticket })
}

/// The value of `?token=…`, for clients that cannot send headers.
fn token_in(request: &Request) -> Option<&str> {
    let query = request.original_uri().query()?;
    query.split('&').find_map(|pair| pair.strip_prefix("token="))
}

/// True for a request whose only credentials are a token in its URL.
pub(crate) fn is_by_token_alone(request: &Request) -> bool {
    presented_secret(request).is_none() && has_token(request)
}

fn presented(request: &Request) -> Presented {
    if is_by_token_alone(request) { Presented::UrlToken } else { Presented::Key }
}

fn has_token(request: &Request) -> bool {
    request.data::<PathToken>().is_some() || token_in(request).is_some()
}

/// The problem for a request without valid credentials. Too many of them from one address are rate
/// limited, before the reason is looked at.
fn rejection(
    gateway: &Gateway,
    request: &Request,
    from: Option<IpAddr>,
    error: AuthError,
) -> Problem {
    metrics::credentials_rejected(error);
    if error == AuthError::Stale {
        let detail = "keys cannot be checked while the event log, or the token issuer, is \
                      unreachable; try again";
        return Problem::new(Kind::Unavailable, detail);
    }
    let from = from.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    if let Err(wait) = gateway.anonymous_limiter.check(from, Instant::now()) {
        metrics::limit_reached(Limit::Anonymous);
        gateway.audit.note(AuditRecord::of_rejection(from, None, "stranger.limited"));
        let detail = "too many requests without a valid key from this address";
        return Problem::rate_limited(detail, wait.as_secs().saturating_add(1));
    }
    if error == AuthError::Unknown && is_by_token_alone(request) {
        gateway.audit.note(AuditRecord::of_rejection(from, None, "token.refused"));
        let detail = "this URL has expired, is damaged, or is not for this request; ask for a new one \
                      where it came from";
        return Problem::new(Kind::Unauthorized, detail);
    }
    if error == AuthError::NotYetKnown {
        let detail = "this key may have been created a moment ago; try again";
        return Problem::new(Kind::Unavailable, detail);
    }
    let (kind, action, detail) = match error {
        AuthError::Address => {
            (Kind::Forbidden, "key.refused_address", "this key may not be used from your address")
        }
        AuthError::Expired => (Kind::Unauthorized, "key.refused_expired", "this key has expired"),
        AuthError::Revoked => {
            (Kind::Unauthorized, "key.refused_revoked", "this key was revoked or rotated")
        }
        AuthError::Unknown | AuthError::Stale | AuthError::NotYetKnown => (
            Kind::Unauthorized,
            "key.refused_unknown",
            "send a valid key as `X-API-Key: …` or `Authorization: Bearer …`",
        ),
    };
    let key = presented_secret(request).and_then(|secret| gateway.credentials.holder(secret));
    gateway.audit.note(AuditRecord::of_rejection(from, key, action));
    Problem::new(kind, detail)
}

/// Applies the limit of one endpoint, if the operator set one; a problem if it is exceeded.
async fn endpoint_limit(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
) -> Result<Option<Problem>, Problem> {
    if gateway.endpoint_limits.is_empty() {
        return Ok(None);
    }
    let path = playback::path(request);
    let name = path.strip_prefix("/api/v1/").unwrap_or(path).split('/').next().unwrap_or_default();
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let name = format!("{method} {name}");
    let Some(limit) = gateway.endpoint_limits.get(&name) else { return Ok(None) };
    let bucket = name.replace(' ', "-").to_lowercase();
    let status: RateLimitStatus =
        gateway.rate_limiter.spend(&principal.tenant, &bucket, *limit, clock::now()).await?;
    Ok((!status.allowed).then(|| status.problem()))
}
