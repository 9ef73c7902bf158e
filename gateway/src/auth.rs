//! Who asks: a key, looked up in memory by its public id, compared in constant time.

mod address;
mod anonymous_rate_limiter;
mod credential_store;
mod issuer;
mod secret;
mod stream_access;
mod token;

use std::{collections::BTreeSet, net::IpAddr};

use ffapi_domain::{
    KeyId, Tenant, Timestamp,
    key::{Grant, KeyTerms, Scope},
};
use poem::Request;
use poem_openapi::{
    SecurityScheme,
    auth::{ApiKey, Bearer},
};

pub(crate) use self::{
    address::Proxies,
    anonymous_rate_limiter::{AnonymousRateLimiter, subnet},
    credential_store::{AuthError, KnownKey},
    issuer::Issuer,
    stream_access::while_admitted,
    token::{Token, TokenScope},
};
pub use self::{
    address::ProxyHeader,
    credential_store::CredentialStore,
    issuer::IssuerConfig,
    secret::{Minted, Pepper, mint},
};
use crate::problem::{Kind, Problem};

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    pub(crate) key: KeyId,
    pub(crate) tenant: Tenant,
    pub(crate) scopes: BTreeSet<Scope>,
    pub(crate) terms: KeyTerms,
    /// The keys that its key was made by, the nearest first.
    pub(crate) makers: Vec<KeyId>,
    /// From where.
    pub(crate) address: Option<IpAddr>,
    /// When the token is over that was shown in place of the key.
    pub(crate) until: Option<Timestamp>,
    /// What was shown.
    pub(crate) shown: CredentialKind,
}

/// What a principal stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CredentialKind {
    /// A key of ours, or a token that was made with one.
    Key,
    /// An issuer's word, for as long as it is good.
    Issued,
}

impl Principal {
    /// Refuses what the key does not allow; admins may everything.
    pub(crate) fn may(&self, scope: Scope) -> Result<&Self, Problem> {
        if self.scopes.contains(&scope) || self.is_admin() {
            return Ok(self);
        }
        let scope = scope.as_str();
        Err(Problem::new(Kind::Forbidden, format!("this needs a key with the scope `{scope}`")))
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.scopes.contains(&Scope::Admin)
    }

    /// What it can give to others.
    pub(crate) fn grant(&self) -> Grant {
        let line = match self.shown {
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

/// Either header.
#[derive(SecurityScheme)]
pub(crate) enum Auth {
    Key(KeyHeader),
    Bearer(BearerHeader),
}

impl Auth {
    /// Who, if the key allows it.
    pub(crate) fn may(&self, scope: Scope) -> Result<&Principal, Problem> {
        let (Self::Key(KeyHeader(principal)) | Self::Bearer(BearerHeader(principal))) = self;
        principal.may(scope)
    }
}

#[derive(SecurityScheme)]
#[oai(ty = "api_key", key_name = "token", key_in = "query", checker = "check_key")]
pub(crate) struct TokenQuery(Principal);

/// Either header, or a token that was made for what is asked for.
#[derive(SecurityScheme)]
pub(crate) enum ReadAuth {
    Key(KeyHeader),
    Bearer(BearerHeader),
    Token(TokenQuery),
}

impl ReadAuth {
    /// Who, if they may see jobs.
    pub(crate) fn sees(&self) -> Result<&Principal, Problem> {
        let (Self::Key(KeyHeader(principal))
        | Self::Bearer(BearerHeader(principal))
        | Self::Token(TokenQuery(principal))) = self;
        principal.may(Scope::JobsRead)
    }
}

// The guard has looked at the key before anything else was done; see `guard.rs`.

async fn check_key(request: &Request, _: ApiKey) -> Option<Principal> {
    request.data::<Principal>().cloned()
}

async fn check_bearer(request: &Request, _: Bearer) -> Option<Principal> {
    request.data::<Principal>().cloned()
}

/// The secret that a request shows, in either header.
pub(crate) fn shown(request: &Request) -> Option<&str> {
    let bearer = || {
        let (scheme, secret) = request.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
    };
    request.header("x-api-key").or_else(bearer)
}
