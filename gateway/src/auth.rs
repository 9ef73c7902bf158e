//! Who asks: a key, looked up in memory by its public id, compared in constant time.

mod secret;
mod table;

use std::sync::Arc;

use domain::{KeyId, Tenant, key::Scope};
use poem::Request;
use poem_openapi::{
    SecurityScheme,
    auth::{ApiKey, Bearer},
};

pub use self::{
    secret::{Minted, Pepper, mint},
    table::KeyTable,
};
use crate::{
    problem::{Kind, Problem},
    state::Gateway,
};

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    pub(crate) key: KeyId,
    pub(crate) tenant: Tenant,
    scopes: std::collections::BTreeSet<Scope>,
}

impl Principal {
    /// Refuses what the key does not allow; admins may everything.
    pub(crate) fn may(&self, scope: Scope) -> Result<&Self, Problem> {
        if self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin) {
            return Ok(self);
        }
        let scope = serde_json::to_string(&scope).unwrap_or_default();
        Err(Problem::new(Kind::Forbidden, format!("this needs a key with the scope {scope}")))
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

async fn check_key(request: &Request, key: ApiKey) -> Option<Principal> {
    check(request, &key.key)
}

async fn check_bearer(request: &Request, bearer: Bearer) -> Option<Principal> {
    check(request, &bearer.token)
}

fn check(request: &Request, secret: &str) -> Option<Principal> {
    let gateway = request.data::<Arc<Gateway>>()?;
    let (key, tenant, scopes) = gateway.keys.check(secret)?;
    Some(Principal { key, tenant, scopes })
}
