use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use ffapi_domain::{
    KeyId, Tenant, Timestamp,
    key::{KeyTerms, Scope},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, Header, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{AuthError, CredentialKind, CredentialStore, Principal};

/// Somebody who says who people are: an issuer as of `OpenID` Connect.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// As it stands in `iss`.
    pub issuer: String,
    /// As it stands in `aud`: us.
    pub audience: String,
    /// Where its keys are (`jwks_uri`).
    pub jwks: String,
    /// The claim that names the tenant.
    #[serde(default = "tenant")]
    pub tenant_claim: String,
    /// The tenants that the claim's values mean; a value that is not here means itself.
    #[serde(default)]
    pub tenants: BTreeMap<String, Tenant>,
    /// The claim that holds what its holder may: words with spaces between, or a list.
    #[serde(default = "scope")]
    pub scope_claim: String,
    /// What each word of it means here; words that are not here mean nothing.
    pub scopes: BTreeMap<String, BTreeSet<Scope>>,
}

fn tenant() -> String {
    "tenant".to_owned()
}

fn scope() -> String {
    "scope".to_owned()
}

/// Reads tokens of an issuer, with its keys as it publishes them.
#[derive(Debug)]
pub(crate) struct Issuer {
    config: IssuerConfig,
    client: reqwest::Client,
    keys: RwLock<Option<(Arc<JwkSet>, Instant)>>,
    /// Held while the keys are fetched; when that was tried last.
    fetched: Mutex<Option<Instant>>,
}

/// How long its keys are believed without asking again.
const FRESH: Duration = Duration::from_mins(10);
/// How long they are believed while it does not answer.
const STALE: Duration = Duration::from_hours(1);
/// How soon a key that nobody knows makes us ask again.
const AGAIN: Duration = Duration::from_secs(5);
/// Signatures of keys that are public; never a secret that we would share with it.
const ALGORITHMS: [Algorithm; 7] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

impl Issuer {
    pub(crate) fn new(config: IssuerConfig) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { config, client, keys: RwLock::default(), fetched: Mutex::default() })
    }

    /// True if a text looks like a token of an issuer, whoever's.
    pub(crate) fn is_token(text: &str) -> bool {
        text.split('.').count() == 3 && !text.starts_with("ffapi_")
    }

    /// Who a token speaks of, if the issuer signed it for us and its time is not over.
    pub(crate) async fn read(
        &self,
        token: &str,
        from: Option<IpAddr>,
        directory: &CredentialStore,
    ) -> Result<Principal, AuthError> {
        let header = decode_header(token).map_err(|_| AuthError::Unknown)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(AuthError::Unknown);
        }
        let key = self.key(&header).await?;
        let key = DecodingKey::from_jwk(&key).map_err(|_| AuthError::Unknown)?;
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.config.audience]);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        let claims = decode::<Map<String, Value>>(token, &key, &validation);
        let claims = claims.map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::ExpiredSignature => AuthError::Expired,
            _ => AuthError::Unknown,
        })?;
        self.principal(&claims.claims, from, directory)
    }

    fn principal(
        &self,
        claims: &Map<String, Value>,
        from: Option<IpAddr>,
        directory: &CredentialStore,
    ) -> Result<Principal, AuthError> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let named = text(&self.config.tenant_claim).ok_or(AuthError::Unknown)?;
        let tenant = self.config.tenants.get(named).cloned();
        let tenant = tenant.or_else(|| named.parse().ok()).ok_or(AuthError::Unknown)?;
        directory.admit_issued(&tenant, from)?;
        let words: Vec<&str> = match claims.get(&self.config.scope_claim) {
            Some(Value::String(words)) => words.split_whitespace().collect(),
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let meant = words.iter().filter_map(|word| self.config.scopes.get(*word));
        let scopes: BTreeSet<Scope> = meant.flatten().copied().collect();
        let until = claims.get("exp").and_then(Value::as_u64).ok_or(AuthError::Unknown)?;
        let subject = text("sub").ok_or(AuthError::Unknown)?;
        // The same person of the same issuer has the same id, which no key of ours has.
        let name = format!("{}\n{subject}", self.config.issuer);
        let key = KeyId::from_uuid(Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()));
        Ok(Principal {
            key,
            tenant,
            scopes,
            terms: KeyTerms::default(),
            makers: vec![],
            address: from,
            until: Some(Timestamp::from_millis(until.saturating_mul(1_000))),
            shown: CredentialKind::Issued,
        })
    }

    /// The key that a token says it is signed with.
    async fn key(&self, header: &Header) -> Result<Jwk, AuthError> {
        let of = |keys: &JwkSet| match &header.kid {
            Some(kid) => keys.find(kid).cloned(),
            // With one key there is nothing to name.
            None => keys.keys.first().filter(|_| keys.keys.len() == 1).cloned(),
        };
        let (known, age) = self.known();
        if let Some(key) = known.as_deref().and_then(of)
            && age < FRESH
        {
            return Ok(key);
        }
        // While one asks, others go on with what is there.
        let usable = age < STALE && known.as_deref().and_then(of).is_some();
        self.fetch(!usable).await;
        let (known, age) = self.known();
        match known.as_deref() {
            Some(keys) if age < STALE => of(keys).ok_or(AuthError::Unknown),
            _ => Err(AuthError::Behind),
        }
    }

    fn known(&self) -> (Option<Arc<JwkSet>>, Duration) {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let age = keys.as_ref().map_or(Duration::MAX, |(_, at)| at.elapsed());
        (keys.as_ref().map(|(keys, _)| Arc::clone(keys)), age)
    }

    /// Asks for the keys, one at a time and not too often, whoever sends what tokens.
    async fn fetch(&self, wait: bool) {
        let mut fetched = match self.fetched.try_lock() {
            Ok(fetched) => fetched,
            Err(_) if wait => self.fetched.lock().await,
            Err(_) => return,
        };
        if fetched.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        let answer = self.client.get(&self.config.jwks).send().await;
        let keys = match answer.and_then(reqwest::Response::error_for_status) {
            Ok(answer) => answer.json::<JwkSet>().await,
            Err(error) => Err(error),
        };
        match keys {
            Ok(keys) => {
                let mut kept = self.keys.write().unwrap_or_else(PoisonError::into_inner);
                *kept = Some((Arc::new(keys), Instant::now()));
            }
            Err(error) => tracing::warn!(%error, "the issuer's keys cannot be had"),
        }
        // From the answer on: whoever waited for it does not ask again.
        *fetched = Some(Instant::now());
    }
}
