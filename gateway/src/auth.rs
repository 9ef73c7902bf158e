//! Authentication by API key (looked up in memory by its public id, compared in constant time), by
//! an issuer's token, or by a token of this service.

mod address;
mod anonymous_rate_limiter;
mod credential_store;
mod error;
mod issuer;
mod secret;
mod stream_access;
mod token;

use std::{collections::BTreeSet, net::IpAddr};

use ffapi_domain::{
    KeyId, Tenant, Timestamp,
    key::{Grant, KeyTerms, Scope, TokenId},
};
use poem::Request;
use poem_openapi::{
    SecurityScheme,
    auth::{ApiKey, Bearer},
};

pub(crate) use self::{
    address::Proxies,
    anonymous_rate_limiter::{AnonymousRateLimiter, subnet},
    credential_store::KnownKey,
    error::{AuthError, CredentialsBehind},
    issuer::Issuer,
    stream_access::while_authorized,
    token::{Token, TokenScope, UploadGrant},
};
pub use self::{
    address::ProxyHeader,
    credential_store::CredentialStore,
    issuer::IssuerConfig,
    secret::{Minted, Pepper, Peppers, mint},
};
use crate::problem::{Kind, Problem};

/// The authenticated caller of a request.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    pub(crate) key: KeyId,
    pub(crate) tenant: Tenant,
    pub(crate) scopes: BTreeSet<Scope>,
    pub(crate) terms: KeyTerms,
    /// The chain of keys that created its key, its direct creator first.
    pub(crate) makers: Vec<KeyId>,
    /// The client's address.
    pub(crate) address: Option<IpAddr>,
    /// When the token expires that was sent instead of the key.
    pub(crate) until: Option<Timestamp>,
    /// The token of its key that was sent instead of the key.
    pub(crate) token: Option<TokenId>,
    /// How it authenticated.
    pub(crate) credential: CredentialKind,
}

/// How a principal authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CredentialKind {
    /// With an API key, or a token that was created with one.
    Key,
    /// With a token of the configured issuer.
    Issued,
}

impl Principal {
    /// Requires a scope; admins have every scope.
    ///
    /// # Errors
    /// A `forbidden` problem that names the scope.
    pub(crate) fn require(&self, scope: Scope) -> Result<&Self, Problem> {
        if self.scopes.contains(&scope) || self.is_admin() {
            return Ok(self);
        }
        let scope = scope.as_str();
        Err(Problem::new(Kind::Forbidden, format!("this needs a key with the scope `{scope}`")))
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.scopes.contains(&Scope::Admin)
    }

    /// What it may grant to keys that it creates or changes.
    pub(crate) fn grant(&self) -> Grant {
        let line = match self.credential {
            CredentialKind::Key => {
                std::iter::once(self.key).chain(self.makers.iter().copied()).collect()
            }
            CredentialKind::Issued => vec![],
        };
        Grant { scopes: self.scopes.clone(), terms: self.terms.clone(), line }
    }
}

#[derive(SecurityScheme)]
#[oai(ty = "api_key", key_name = "X-API-Key", key_in = "header", checker = "check_key")]
pub(crate) struct KeyHeader(Principal);

#[derive(SecurityScheme)]
#[oai(ty = "bearer", checker = "check_bearer")]
pub(crate) struct BearerHeader(Principal);

/// An API key in either header.
#[derive(SecurityScheme)]
pub(crate) enum Auth {
    Key(KeyHeader),
    Bearer(BearerHeader),
}

impl Auth {
    /// The principal, whatever it may do.
    pub(crate) const fn principal(&self) -> &Principal {
        let (Self::Key(KeyHeader(principal)) | Self::Bearer(BearerHeader(principal))) = self;
        principal
    }

    /// The principal, if it has the scope.
    pub(crate) fn require(&self, scope: Scope) -> Result<&Principal, Problem> {
        self.principal().require(scope)
    }
}

#[derive(SecurityScheme)]
#[oai(ty = "api_key", key_name = "token", key_in = "query", checker = "check_key")]
pub(crate) struct TokenQuery(Principal);

/// An API key in either header, or a token for the requested resource.
#[derive(SecurityScheme)]
pub(crate) enum ReadAuth {
    Key(KeyHeader),
    Bearer(BearerHeader),
    Token(TokenQuery),
}

impl ReadAuth {
    /// The principal, if it may read jobs.
    pub(crate) fn require_read(&self) -> Result<&Principal, Problem> {
        self.require(Scope::JobsRead)
    }

    /// The principal, if it has the scope.
    pub(crate) fn require(&self, scope: Scope) -> Result<&Principal, Problem> {
        let (Self::Key(KeyHeader(principal))
        | Self::Bearer(BearerHeader(principal))
        | Self::Token(TokenQuery(principal))) = self;
        principal.require(scope)
    }
}

// The guard has already authenticated the request; see `guard.rs`.

async fn check_key(request: &Request, _: ApiKey) -> Option<Principal> {
    request.data::<Principal>().cloned()
}

async fn check_bearer(request: &Request, _: Bearer) -> Option<Principal> {
    request.data::<Principal>().cloned()
}

/// The secret that a request sends in `X-API-Key` or `Authorization`.
pub(crate) fn presented_secret(request: &Request) -> Option<&str> {
    let bearer = || {
        let (scheme, secret) = request.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
    };
    request.header("x-api-key").or_else(bearer)
}
