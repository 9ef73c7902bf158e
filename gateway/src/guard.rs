//! Authentication and limits: who asks, from where, and whether it is too often; before any work is done for them.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Instant,
};

use ffapi_domain::{Timestamp, key::Scope};
use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{Method, StatusCode},
};

use crate::{
    audit_notes::AuditRecord,
    auth::{AuthError, Issuer, Principal, Token, shown},
    clock,
    problem::{Kind, Problem},
    rate_limits::{RateLimitHeaders, RateLimitStatus},
    state::Gateway,
};

/// Paths that answer to everybody, and are never limited.
const OPEN: [&str; 5] = ["/health", "/health/ready", "/docs", "/openapi.json", "/asyncapi.json"];

fn is_open(path: &str) -> bool {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    OPEN.contains(&path) || path.starts_with("/docs/")
}

/// Lets in whoever shows a key that opens, as often as its account allows.
pub(crate) async fn guard<E: Endpoint>(inner: Arc<E>, mut request: Request) -> Result<Response> {
    if is_open(request.original_uri().path()) {
        return Ok(inner.call(request).await?.into_response());
    }
    let gateway = request.data::<Arc<Gateway>>().cloned();
    let Some(gateway) = gateway else {
        return Err(Problem::new(Kind::Internal, "the request id finds it in the log").into());
    };
    let from = gateway.proxies.origin(&request);
    let principal = match identify(&gateway, &request, from).await {
        Ok(principal) => principal,
        Err(closed) => return Err(turn_away(&gateway, &request, from, closed).into()),
    };
    gateway.must_be_open(&principal.tenant)?;
    let limits = gateway.directory.limits(&principal.tenant);
    let (tenant, most) = (&principal.tenant, limits.requests_per_hour);
    let spent = gateway.buckets.spend(tenant, "requests", most, clock::now()).await;
    let spent = spent.map_err(Problem::from)?;
    if let Some(told) = request.data::<RateLimitHeaders>() {
        told.tell(&spent);
    }
    if !spent.allowed {
        let fact = AuditRecord::about(&request, &principal, "request.limited");
        gateway.audit.note(fact);
        return Err(spent.problem().into());
    }
    if let Some(problem) = at_this_path(&gateway, &request, &principal).await? {
        gateway.audit.note(AuditRecord::about(&request, &principal, "endpoint.limited"));
        return Err(problem.into());
    }
    gateway.audit.seen(&request, &principal);
    let limited = AuditRecord::about(&request, &principal, "quota.limited");
    request.set_data(principal);
    let answer = inner.call(request).await.map(IntoResponse::into_response);
    let status = answer.as_ref().map_or_else(poem::Error::status, Response::status);
    if status == StatusCode::TOO_MANY_REQUESTS {
        // Minutes, or places in the queue.
        gateway.audit.note(limited);
    }
    answer
}

async fn identify(
    gateway: &Gateway,
    request: &Request,
    from: Option<IpAddr>,
) -> Result<Principal, AuthError> {
    let now = clock::now();
    if let Some(secret) = shown(request) {
        return match &gateway.issuer {
            Some(issuer) if Issuer::is_token(secret) => {
                issuer.read(secret, from, &gateway.directory).await
            }
            _ => gateway.directory.check(secret, from, now),
        };
    }
    let text = token_in(request).ok_or(AuthError::Unknown)?;
    let token = Token::read(text, gateway.directory.pepper(), now).ok_or(AuthError::Unknown)?;
    if request.method() != Method::GET || !token.sight.shows(request.original_uri().path()) {
        return Err(AuthError::Unknown);
    }
    let mut principal = gateway.directory.admit(token.key, from, now)?;
    // Whatever its key may, a token shows jobs and does nothing.
    principal.may(Scope::JobsRead).map_err(|_| AuthError::Unknown)?;
    principal.scopes = BTreeSet::from([Scope::JobsRead]);
    principal.until = Some(Timestamp::from_millis(token.until));
    Ok(principal)
}

/// `?token=…`, from those who cannot send headers.
fn token_in(request: &Request) -> Option<&str> {
    let query = request.original_uri().query()?;
    query.split('&').find_map(|pair| pair.strip_prefix("token="))
}

/// What somebody gets who is not let in; a stranger that knocks too often gets it sooner.
fn turn_away(
    gateway: &Gateway,
    request: &Request,
    from: Option<IpAddr>,
    closed: AuthError,
) -> Problem {
    if closed == AuthError::Behind {
        let detail = "keys cannot be checked while the event log, or the token issuer, is unreachable; try again";
        return Problem::new(Kind::Unavailable, detail);
    }
    let from = from.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    if let Err(wait) = gateway.strangers.check(from, Instant::now()) {
        gateway.audit.note(AuditRecord::of_a_refusal(from, None, "stranger.limited"));
        let detail = "too many requests without a valid key from this address";
        return Problem::too_many(detail, wait.as_secs().saturating_add(1));
    }
    if closed == AuthError::Unheard {
        let detail = "this key may have been created a moment ago; try again";
        return Problem::new(Kind::Unavailable, detail);
    }
    let (kind, action, detail) = match closed {
        AuthError::Address => {
            (Kind::Forbidden, "key.refused_address", "this key may not be used from your address")
        }
        AuthError::Expired => (Kind::Unauthorized, "key.refused_expired", "this key has expired"),
        AuthError::Revoked => {
            (Kind::Unauthorized, "key.refused_revoked", "this key was revoked or rotated")
        }
        AuthError::Unknown | AuthError::Behind | AuthError::Unheard => (
            Kind::Unauthorized,
            "key.refused_unknown",
            "send a valid key as `X-API-Key: …` or `Authorization: Bearer …`",
        ),
    };
    let key = shown(request).and_then(|secret| gateway.directory.holder(secret));
    gateway.audit.note(AuditRecord::of_a_refusal(from, key, action));
    Problem::new(kind, detail)
}

/// The limit of one endpoint, where the operator set one.
async fn at_this_path(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
) -> Result<Option<Problem>, Problem> {
    if gateway.endpoint_limits.is_empty() {
        return Ok(None);
    }
    let path = request.original_uri().path();
    let name = path.strip_prefix("/api/v1/").unwrap_or(path).split('/').next().unwrap_or_default();
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let name = format!("{method} {name}");
    let Some(limit) = gateway.endpoint_limits.get(&name) else { return Ok(None) };
    let bucket = name.replace(' ', "-").to_lowercase();
    let spent: RateLimitStatus =
        gateway.buckets.spend(&principal.tenant, &bucket, *limit, clock::now()).await?;
    Ok((!spent.allowed).then(|| spent.problem()))
}
